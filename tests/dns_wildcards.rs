//! Wildcards, hosts' own records and followers as nsd has them, which knows only the records: what it answers, we answer (Debian: nsd, dnsutils).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward::config::{Dns, Public};
use fourward::dns;
use fourward_core::change::Change;
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::Policy;
use fourward_core::state::State;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const ZONE: &str = "dyn.example.org";

/// nsd starts in well under a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

const OF_THE_ZONE: [&str; 6] = [
    "wildcard=on",
    "record=MX 10 mail.example.org.",
    "record+=MX 20 @",
    "record+=_dmarc TXT \"v=DMARC1; p=none\"",
    "record+=s._domainkey TXT \"v=DKIM1; p=\" AAAA",
    "caa=issue letsencrypt.org",
];

const OF_CLOUD: [&str; 12] = [
    "wildcard=on",
    "alpn=h2,http/1.1",
    "caa=issue letsencrypt.org; accounturi=https://acme.test/acct/1; validationmethods=dns-01",
    "caa+=128 issuewild ;",
    "record=TXT \"v=spf1 -all\"",
    r#"record+=TXT "say \"hi\" \255\\""#,
    "record+=MX 0 .",
    "record+=_xmpp-client._tcp SRV 0 5 5222 @",
    "record+=_imap._tcp SRV 0 0 0 .",
    "record+=mail MX 10 in.mail.cloud.dyn.example.org.",
    "record+=mail MX 20 xmail",
    "record+=deep.er TXT x",
];

/// What the hosts of [`state`] come to, as records.
const RECORDS: &str = "\
$ORIGIN dyn.example.org.
$TTL 60
@ SOA gw hostmaster 1 14400 3600 604800 60
@ NS gw
@ A 192.0.2.11
@ AAAA 2001:db8:2::11
* A 192.0.2.11
* AAAA 2001:db8:2::11
ip6only AAAA 2001:db8:2::11
gw A 192.0.2.11
gw AAAA 2001:db8:a::11
cloud A 192.0.2.11
cloud AAAA 2001:db8:1::11
*.cloud A 192.0.2.11
*.cloud AAAA 2001:db8:1::11
_acme-challenge.cloud 1 TXT token
cloud-ip6only AAAA 2001:db8:1::11
by-gw A 192.0.2.11
by-gw AAAA 2001:db8:a::11
*.by-gw A 192.0.2.11
*.by-gw AAAA 2001:db8:a::11
by-gw-ip6only AAAA 2001:db8:3::11
nas A 192.0.2.11
nas AAAA 2001:db8:4::11
nas-ip6only AAAA 2001:db8:4::11
box A 192.0.2.11
box AAAA 2001:db8:4::22
box-ip6only AAAA 2001:db8:4::22
@ MX 10 mail.example.org.
@ MX 20 dyn.example.org.
@ CAA 0 issue \"letsencrypt.org\"
_dmarc TXT \"v=DMARC1; p=none\"
s._domainkey TXT \"v=DKIM1; p=\" \"AAAA\"
cloud TXT \"v=spf1 -all\"
cloud TXT \"say \\\"hi\\\" \\255\\\\\"
cloud MX 0 .
cloud CAA 0 issue \"letsencrypt.org; accounturi=https://acme.test/acct/1; validationmethods=dns-01\"
cloud CAA 128 issuewild \";\"
cloud HTTPS 1 . alpn=h2,http/1.1
*.cloud HTTPS 1 . alpn=h2,http/1.1
_xmpp-client._tcp.cloud SRV 0 5 5222 cloud.dyn.example.org.
_imap._tcp.cloud SRV 0 0 0 .
mail.cloud MX 10 in.mail.cloud.dyn.example.org.
mail.cloud MX 20 xmail.cloud.dyn.example.org.
deep.er.cloud TXT x
";

const NAMES: [&str; 51] = [
    "",
    "*",
    "www",
    "a.b",
    "_x",
    "_acme-challenge",
    "who-ip6only",
    "ip6only",
    "x.ip6only",
    "gw",
    "x.gw",
    "cloud",
    "*.cloud",
    "www.cloud",
    "WWW.Cloud",
    "a.b.c.cloud",
    "*.*.cloud",
    "x.*.cloud",
    r"a\.b.cloud",
    r"\000.cloud",
    "_acme-challenge.cloud",
    "x._acme-challenge.cloud",
    "cloud-ip6only",
    "x.cloud-ip6only",
    "by-gw",
    "a.by-gw",
    "by-gw-ip6only",
    "nas",
    "x.nas",
    "*.nas",
    "box",
    "box-ip6only",
    "_dmarc",
    "x._dmarc",
    "_domainkey",
    "s._domainkey",
    "x._domainkey",
    "S._DomainKey",
    "_dmarc.nas",
    "_tcp.cloud",
    "_xmpp-client._tcp.cloud",
    "_imap._tcp.cloud",
    "x._tcp.cloud",
    "*._tcp.cloud",
    "_udp.cloud",
    "mail.cloud",
    "in.mail.cloud",
    "er.cloud",
    "deep.er.cloud",
    "x.er.cloud",
    "x.deep.er.cloud",
];

const KINDS: [&str; 8] = ["A", "AAAA", "TXT", "MX", "SRV", "CAA", "HTTPS", "NS"];

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn host(label: &str) -> HostName {
    HostName::new(label, name(ZONE)).expect("a host")
}

fn state() -> State {
    let mut state = State::default();
    let mut apply = |change| drop(state.apply(&change, &Policy::default()).expect("a good change"));
    let at = Timestamp::from_second(0).expect("a time");
    apply(Change::Serve { zone: name(ZONE), apex: Digest([0; 32]), at });
    let join = JoinSecret { secret: Digest([1; 32]), expires: at, spent_by: None };
    for (label, settings, address) in [
        ("@", &OF_THE_ZONE[..], "2001:db8:2::11"),
        ("cloud", &OF_CLOUD[..], "2001:db8:1::11"),
        ("by-gw", &["wildcard=on", "via=gateway"], "2001:db8:3::11"),
        ("nas", &[], "2001:db8:4::11"),
    ] {
        let edits = settings.iter().map(|edit| edit.parse().expect("an edit")).collect();
        apply(Change::Add { host: host(label), edits, join, update: Digest([2; 32]), reuse: false });
        apply(Change::Move { host: host(label), address: address.parse().expect("v6"), at });
    }
    let edits = ["follows=nas", "suffix=::22"].map(|edit| edit.parse().expect("an edit")).to_vec();
    apply(Change::Add { host: host("box"), edits, join, update: Digest([2; 32]), reuse: false });
    apply(Change::Challenge { host: host("cloud"), before: BTreeSet::new(), values: ["token".to_owned()].into() });
    state
}

/// nsd with [`RECORDS`], gone when dropped.
struct Nsd(Child, SocketAddr);

impl Nsd {
    fn start(folder: &Path) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let home = folder.display();
        fs::write(folder.join("zone"), RECORDS).expect("written");
        fs::write(
            folder.join("nsd.conf"),
            format!(
                "server:\n ip-address: 127.0.0.1@{port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n pidfile: \"\"\n \
                 xfrdfile: \"\"\n zonesdir: \"{home}\"\n xfrdir: \"{home}\"\n zonelistfile: \"{home}/zone.list\"\n rrl-ratelimit: 0\n\
                 remote-control:\n control-enable: no\nzone:\n name: \"{ZONE}\"\n zonefile: \"zone\"\n"
            ),
        )
        .expect("written");
        let mut nsd = Command::new("nsd");
        nsd.args(["-d", "-c"]).arg(folder.join("nsd.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let nsd = Self(nsd.spawn().expect("nsd is in Debian's nsd"), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let since = Instant::now();
        while !dig(nsd.1, ZONE, &["SOA"]).iter().any(|said| said.contains("NOERROR")) {
            assert!(since.elapsed() < PATIENCE, "nsd does not answer");
        }
        nsd
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// For each of `kinds`, in their order: the status, the flag AA and the records of the answer, sorted and without what each server may choose.
fn dig(server: SocketAddr, name: &str, kinds: &[&str]) -> Vec<String> {
    let port = format!("-p{}", server.port());
    let common = ["+norec", "+nocookie", "+tries=1", "+time=2", "+noall", "+comments", "+answer", "@127.0.0.1", &port];
    let questions = kinds.iter().flat_map(|kind| common.iter().copied().chain(["-q", name, kind]));
    let output = Command::new("dig").args(questions).output().expect("dig is in dnsutils");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split(";; Got answer:").skip(1).map(said).collect()
}

fn said(text: &str) -> String {
    let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("none");
    let aa = text.lines().any(|line| line.starts_with(";; flags:") && line.contains(" aa"));
    let mut records: Vec<&str> = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty()).collect();
    records.sort_unstable();
    format!("{status} aa={aa} {records:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_answered_as_nsd_does_with_the_same_records() {
    let folder = tempfile::tempdir().expect("folder");
    let nsd = Nsd::start(folder.path());
    let settings = Dns {
        zones: vec![name(ZONE)],
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        ttl: 60,
        nameservers: vec![name("gw.dyn.example.org")],
        rate_limit: 0,
        keys: Vec::new(),
        secondaries: Vec::new(),
        dnssec: None,
    };
    let public = Public {
        ipv4: vec![Ipv4Addr::new(192, 0, 2, 11)],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        name: name("gw.dyn.example.org"),
    };
    let sockets = dns::bind(&settings, []).expect("a free port");
    let ours = *sockets.addresses().first().expect("an address");
    let (_states, watched) = watch::channel(Arc::new(state()));
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    tokio::spawn(dns::run(sockets, dns::settings(&settings, &public), watched, [7; 32], cancel));
    for left in NAMES {
        let name = if left.is_empty() { ZONE.to_owned() } else { format!("{left}.{ZONE}") };
        let (ours, nsds) = (dig(ours, &name, &KINDS), dig(nsd.1, &name, &KINDS));
        assert_eq!((ours.len(), &ours), (KINDS.len(), &nsds), "{name}");
    }
}
