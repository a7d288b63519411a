//! Every answer is verified, whatever is asked, during and after a thousand changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::machines::{Machines, Role, ZONE};
use crate::verifiers::{Unbound, anchors, delv, dnsviz_is_content, whole_zone_is_valid};

/// Hosts with everything that a host can have.
const HOSTS: [(&str, &[&str]); 6] = [
    ("@", &["wildcard=on", "record=MX 10 mail.example.org.", "record+=_dmarc TXT \"v=DMARC1; p=none\"", "caa=issue letsencrypt.org"]),
    (
        "cloud",
        &[
            "address-from=static",
            "address=2001:db8:1::11",
            "wildcard=on",
            "alpn=h2,http/1.1",
            "caa=issue letsencrypt.org; accounturi=https://acme.test/acct/1",
            r#"record=TXT "say \"hi\" \255\\""#,
            "record+=_xmpp-client._tcp SRV 0 5 5222 @",
            "record+=mail MX 10 in.mail.cloud.dyn.example.org.",
            "record+=deep.er TXT x",
        ],
    ),
    ("by-gw", &["wildcard=on", "via=gateway", "address-from=static", "address=2001:db8:3::11"]),
    ("nas", &["address-from=static", "address=2001:db8:4::11"]),
    ("box", &["follows=nas", "suffix=::22"]),
    ("away", &[]),
];

/// What stands left of the zone in names that are there, that are not, and that only a wildcard has. None of them lies between a name and the `*`
/// below it (`\\000.cloud`): from the proof in its first answer about such a one unbound 1.17 infers that nothing is there.
const LEFT: [&str; 33] = [
    "",
    "*",
    "www",
    "a.b",
    "_x",
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
    "x.*.cloud",
    r"a\.b.cloud",
    "_acme-challenge.cloud",
    "cloud-ip6only",
    "x.cloud-ip6only",
    "a.by-gw",
    "nas",
    "x.nas",
    "box",
    "away",
    "away-ip6only",
    "_dmarc",
    "x._dmarc",
    "_tcp.cloud",
    "_xmpp-client._tcp.cloud",
    "mail.cloud",
    "er.cloud",
    "x.er.cloud",
];

/// NSEC and ANY are not asked of it: it answers these from what it has.
const KINDS: [&str; 11] = ["A", "AAAA", "TXT", "MX", "SRV", "CAA", "HTTPS", "NS", "SOA", "DNSKEY", "CDS"];

pub(crate) fn name(left: &str) -> String {
    if left.is_empty() { ZONE.to_owned() } else { format!("{left}.{ZONE}") }
}

fn add_all(server: &Role) {
    for (label, settings) in HOSTS {
        server.tell(&[&["host", "add", label], settings].concat()).succeeds();
    }
}

/// All of [`LEFT`] with all of [`KINDS`], some at a time.
fn all_agree(unbound: &Unbound<'_>) {
    for left in LEFT {
        let name = name(left);
        unbound.agrees(&KINDS.map(|kind| (name.as_str(), kind)));
    }
}

/// Changes number `at` of a thousand: each kind of name comes and goes.
fn change(server: &Role, at: usize) {
    let (last, turn) = (at % 0xFFFF, (at / 8).is_multiple_of(2));
    let label = format!("h{}", at / 8 % 5);
    let set = |host: &str, edit: &str| drop(server.tell(&["host", "set", host, edit]).succeeds());
    match at % 8 {
        0 => set("nas", &format!("address=2001:db8:4::{last:x}")),
        1 => set("cloud", &format!("address=2001:db8:1::{last:x}")),
        2 => drop(server.tell(&["host", "add", &label, "--reuse"]).succeeds()),
        3 => drop(server.tell(&["host", "remove", &label]).succeeds()),
        4 => set("cloud", if turn { "wildcard=off" } else { "wildcard=on" }),
        5 => set("cloud", if turn { "record-=deep.er TXT x" } else { "record+=deep.er TXT x" }),
        6 => set("@", if turn { "wildcard=off" } else { "wildcard=on" }),
        _ => set("box", &format!("ttl={}", 60 + at)),
    }
}

#[test]
fn every_answer_is_verified_during_and_after_a_thousand_changes() {
    let machines = Machines::new();
    let server = machines.server();
    add_all(&server);
    let anchor = anchors(&server).remove(0);
    let unbound = Unbound::start(&machines, &anchor, "+0");
    all_agree(&unbound);

    let done = AtomicBool::new(false);
    let (mut rounds, mut asked) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..1_000).for_each(|at| change(&server, at));
            done.store(true, Ordering::Release);
        });
        // Each round in another type, so that every name is met with every type.
        while !done.load(Ordering::Acquire) || rounds < KINDS.len() {
            let kind = KINDS[rounds % KINDS.len()];
            let names: Vec<String> = LEFT.iter().map(|left| name(left)).chain((0..5).map(|at| name(&format!("h{at}")))).collect();
            for answered in unbound.ask(&names.iter().map(|name| (name.as_str(), kind)).collect::<Vec<_>>()) {
                assert!(answered.verified && ["NOERROR", "NXDOMAIN"].contains(&answered.status.as_str()), "{answered:?}");
                asked += 1;
            }
            rounds += 1;
        }
    });
    eprintln!("figure: {asked} answers verified while a thousand changes were made");
    all_agree(&unbound);

    whole_zone_is_valid(&machines, &server);
    let names = ["", "gw", "cloud", "nas-ip6only", "away-ip6only", "_dmarc", "nobody.nas"].map(name);
    dnsviz_is_content(&machines, &names.each_ref().map(String::as_str));
    for left in ["gw", "cloud", "nas-ip6only", "_dmarc"] {
        let said = delv(&machines, &anchor, &name(left), if left == "_dmarc" { "TXT" } else { "AAAA" });
        assert!(said.contains("; fully validated"), "{left}: {said}");
    }
    for (left, kind) in [("nobody.nas", "A"), ("nas", "MX")] {
        let said = delv(&machines, &anchor, &name(left), kind);
        assert!(said.contains("; negative response, fully validated"), "{left}: {said}");
    }
}
