//! Every dialect: each recorded request, its exact answer, and what it changed; and what goes beyond one request.

use std::collections::BTreeSet;

use crate::machines::ZONE;
use crate::raw::{Raw, Reply};
use crate::recorded::{AT4, AT6, DESEC_AND_DYNV6, DYNDNS2, FRITZ_BOX, Row};
use crate::rig::{OWN, Rig, base64};

/// A host of its own for each row, so that none sees what another did.
pub(crate) struct Host {
    pub(crate) label: String,
    pub(crate) password: String,
}

impl Host {
    pub(crate) fn new(rig: &Rig, raw: &Raw, label: String) -> Self {
        let added = rig.server.ask(&["host", "add", &label, "address-from=update"]);
        let host = Self { password: added["update"]["password"].as_str().expect("a password").to_owned(), label };
        let first = format!("GET /nic/update?myip={AT4},{AT6} HTTP/1.0\nAuthorization: Basic {{BASIC}}\n");
        assert_eq!(host.asks(rig, raw, false, &first).body, format!("good 192.0.2.11,{AT6}\n"));
        host
    }

    fn asks(&self, rig: &Rig, raw: &Raw, six: bool, request: &str) -> Reply {
        raw.ask(rig, six, &(self.filled(request) + "\n").replace('\n', "\r\n"))
    }

    /// `request` with what is this host's.
    pub(crate) fn filled(&self, request: &str) -> String {
        let user = format!("{}.{ZONE}", self.label);
        let request = request.replace("{HOST}", &user).replace("{LABEL}", &self.label).replace("{PASSWORD}", &self.password);
        request.replace("{BASIC}", &base64(&format!("{user}:{}", self.password)))
    }

    /// Its AAAA, and its router's A and AAAA.
    fn published(&self, rig: &Rig) -> [String; 3] {
        let (host, router) = (format!("{}.{ZONE}", self.label), format!("{}-router.{ZONE}", self.label));
        [rig.dig(&host, "AAAA"), rig.dig(&router, "A"), rig.dig(&router, "AAAA")]
    }
}

fn each(rows: &[Row]) {
    let rig = Rig::new(&[]);
    let raw = Raw::new(&rig);
    let clients: BTreeSet<&str> = rows.iter().map(|row| row.client).collect();
    assert_eq!(clients.len(), rows.len(), "each row has a name of its own");
    let mut wrong = Vec::new();
    let mut hosts = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let host = Host::new(&rig, &raw, format!("h{at}"));
        let reply = host.asks(&rig, &raw, row.six, row.request);
        let head = reply.head.to_lowercase();
        let told = row.status != 401 || head.contains("www-authenticate: basic realm=");
        let plain = head.contains("content-type: text/plain; charset=utf-8") && head.contains("cache-control: no-store");
        let after = host.published(&rig);
        if (reply.status, reply.body.as_str()) != (row.status, row.body) || after != row.after || !told || !plain {
            wrong.push(format!(
                "{}: {reply:?}\n  expected {} {:?}\n  after {after:?}, expected {:?}",
                row.client, row.status, row.body, row.after
            ));
        }
        // Routers repeat themselves; so often as they like.
        let serial = rig.serial();
        let again = host.asks(&rig, &raw, row.six, row.request);
        if again.status != row.status || again.status == 200 && again.body.starts_with("good") || rig.serial() != serial {
            wrong.push(format!("{}, again: {again:?}", row.client));
        }
        hosts.push(host);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    let secrets: Vec<String> =
        hosts.iter().flat_map(|host| [host.password.clone(), base64(&format!("{}.{ZONE}:{}", host.label, host.password))]).collect();
    rig.tells_no_secret(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn each_client_of_dyndns2_hears_what_it_understands() {
    each(DYNDNS2);
}

#[test]
fn each_client_of_desec_and_dynv6_hears_what_it_understands() {
    each(DESEC_AND_DYNV6);
}

#[test]
fn a_fritz_box_is_understood_in_all_its_moods() {
    each(FRITZ_BOX);
}

#[test]
fn the_url_of_the_page_moves_a_machine_behind_a_fritz_box() {
    let page = include_str!("../../docs/fritzbox.md");
    let url = page.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("the URL");
    let target = url.strip_prefix("https://gw.dyn.example.org").expect("the server's own name");
    // What the box knows; it does not escape it.
    let target = target.replace("<domain>", "cloud-router.dyn.example.org").replace("<ipaddr>", "100.64.9.9");
    let target = target.replace("<ip6addr>", "2001:db8:ffff::1").replace("<ip6lanprefix>", "2001:db8:100:7::/64");
    assert!(!target.contains(['<', '>', ' ', '\n']), "{target}");
    let rig = Rig::new(&["address-from=update"]);
    let basic = base64(&format!("cloud:{}", rig.password));
    let request = format!("GET {target} HTTP/1.0\r\nHost: {OWN}\r\nAuthorization: Basic {basic}\r\n\r\n");
    let reply = Raw::new(&rig).ask(&rig, false, &request);
    assert_eq!((reply.status, reply.body.as_str()), (200, "good 192.0.2.11,2001:db8:100:7::22\n"), "{target}");
    assert_eq!(rig.dig("cloud.dyn.example.org", "AAAA"), "2001:db8:100:7::22");
}

#[test]
fn a_prefix_alone_is_refused_until_an_address_is_known_and_names_the_remedy() {
    let rig = Rig::new(&["address-from=update"]);
    let refused = rig.update("ip6lanprefix=2001:db8:100:7::/64");
    let expected = "dnserr 2001:db8:100:7::/64 alone does not say where the host is, since nothing of its address is known yet: have that \
                    machine send its whole address once (myipv6=ADDRESS); from then on the prefix is enough\n";
    assert_eq!(refused, expected);
    assert_eq!(rig.update("myipv6=2001:db8:100:5::11"), "good 2001:db8:100:5::11\n");
    assert_eq!(rig.update("ip6lanprefix=2001:db8:100:7::/64"), "good 2001:db8:100:7::11\n");
    assert_eq!(rig.dig("cloud.dyn.example.org", "AAAA"), "2001:db8:100:7::11");
    assert_eq!(rig.update("ip6lanprefix=fd00::/64").split(' ').next(), Some("dnserr"), "what no home could be at");
}

#[test]
fn one_prefix_moves_a_host_and_all_that_follow_it_at_once() {
    let rig = Rig::new(&["address-from=update"]);
    for at in 1..=3 {
        rig.server.tell(&["host", "add", &format!("nas{at}"), "follows=cloud", &format!("suffix=::{at}")]).succeeds();
    }
    let homes = || ["cloud", "nas1", "nas2", "nas3"].map(|label| rig.dig(&format!("{label}.{ZONE}"), "AAAA"));
    // As a FRITZ!Box sends it: its own address is in another network, and moves nobody.
    let by = |net: &str, end: &str| rig.update(&format!("myip=100.64.0.7&myipv6=2001:db8:ffff::1&ip6lanprefix={net}{end}"));
    assert_eq!(by("2001:db8:100:5500::/56", "::11"), "good 192.0.2.11,2001:db8:100:5500::11\n");
    assert_eq!(homes(), ["2001:db8:100:5500::11", "2001:db8:100:5500::1", "2001:db8:100:5500::2", "2001:db8:100:5500::3"]);
    let serial = rig.serial();
    assert_eq!(by("2001:db8:100:7700::/56", ""), "good 192.0.2.11,2001:db8:100:7700::11\n");
    assert_eq!(homes(), ["2001:db8:100:7700::11", "2001:db8:100:7700::1", "2001:db8:100:7700::2", "2001:db8:100:7700::3"]);
    assert_eq!(rig.serial(), serial + 1, "one commit, one version");
    assert_eq!(rig.dig("cloud-router.dyn.example.org", "AAAA"), "2001:db8:ffff::1");
}

#[test]
fn acme_clients_of_he_get_a_name_and_its_wildcard_proven_at_once() {
    let rig = Rig::new(&["address-from=update"]);
    rig.server.tell(&["host", "add", "linked"]).succeeds();
    let url = format!("https://{OWN}/nic/update");
    let name = "_acme-challenge.cloud.dyn.example.org";
    // As acme.sh's dns_he_ddns sends it: a form.
    let post = |name: &str, txt: &str| rig.curl(&["--data", &format!("hostname={name}&password={}&txt={txt}", rig.password)], &url);
    let txt = || rig.dig(name, "TXT").split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    let values = |values: &[&str]| values.iter().map(|value| format!("\"{value}\"")).collect::<BTreeSet<_>>();
    assert_eq!((post(name, "first-value_1").status, post(name, "first-value_1").body.as_str()), (200, "nochg\n"));
    assert_eq!(post(name, "second-value_2").body, "good\n");
    assert_eq!(txt(), values(&["first-value_1", "second-value_2"]));
    assert_eq!(post(name, "third&txt=fourth").body, "good\n");
    assert_eq!(txt(), values(&["third", "fourth"]), "several at once are all");
    for other in ["_acme-challenge.linked.dyn.example.org", "_acme-challenge.dyn.example.org", "cloud.dyn.example.org"] {
        let refused = post(other, "stranger");
        assert!(refused.status == 401 || refused.body == "nohost\n", "{other}: {refused:?}");
    }
    assert_eq!(rig.dig("_acme-challenge.dyn.example.org", "TXT"), "", "never for the whole zone");
    rig.server.tell(&["host", "set", "cloud", "address-from=link"]).succeeds();
    let refused = post(name, "hint");
    assert!(refused.body.starts_with("dnserr ") && refused.body.contains("address-from=update"), "{refused:?}");
    rig.tells_no_secret(&[]);
}

#[test]
fn the_apex_is_proven_by_no_password_also_where_no_name_is_said() {
    let rig = Rig::new(&["address-from=update"]);
    let added = rig.server.ask(&["host", "add", "@", "address-from=update"]);
    let password = added["update"]["password"].as_str().expect("a password");
    for (user, names) in [("@", ""), ("@", "hostname=YES&"), ("@", "hostname=<domain>&"), (ZONE, "")] {
        let (user, url) = (format!("{user}:{password}"), format!("https://{OWN}/nic/update?{names}txt=stranger"));
        let refused = rig.curl(&["--user", &user], &url);
        assert!(refused.body.starts_with("dnserr ") && refused.body.contains("every host"), "{user} {names}: {refused:?}");
        assert_eq!(rig.dig("_acme-challenge.dyn.example.org", "TXT"), "", "{user} {names}");
    }
    assert_eq!(rig.update("txt=own"), "good\n", "any other host's own name needs not be said");
    assert_eq!(rig.dig("_acme-challenge.cloud.dyn.example.org", "TXT"), "\"own\"");
    rig.tells_no_secret(&[password]);
}

#[test]
fn a_password_in_the_address_line_is_taken_over_tls_alone() {
    let rig = Rig::with(&["address-from=update"], true);
    let query = format!("/nic/update?hostname=cloud.{ZONE}&password={}&myip={AT6}", rig.password);
    let refused = rig.curl(&[], &format!("http://{OWN}{query}"));
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.starts_with("badagent ") && refused.body.contains("HTTP Basic"), "{refused:?}");
    assert!(!refused.whole.contains(&rig.password), "{refused:?}");
    assert_eq!(rig.curl(&[], &format!("https://{OWN}{query}")).body, format!("good {AT6}\n"));
    let in_header = format!("http://{OWN}/nic/update?myip=<ipaddr>&myipv6={AT6}");
    assert_eq!(rig.curl(&["--user", &format!("cloud:{}", rig.password)], &in_header).body, format!("nochg {AT6}\n"));
    rig.tells_no_secret(&[]);
}

#[test]
fn names_of_one_host_cannot_be_at_two_addresses() {
    let rig = Rig::new(&["address-from=update", "alias=owncloud.example.org"]);
    let names = format!("hostname=cloud.{ZONE},owncloud.example.org");
    let answer = rig.update(&format!("{names}&myipv6={AT6}&myipv6:owncloud.example.org=2001:db8:100:7::22"));
    assert_eq!(answer, "dnserr these names are one host, and it cannot be at two addresses\n".repeat(2));
    assert_eq!(rig.dig("cloud.dyn.example.org", "AAAA"), "");
    let answer = rig.update(&format!("{names}&myipv6={AT6}&myipv6:owncloud.example.org={AT6}"));
    assert_eq!(answer, format!("good {AT6}\n").repeat(2));
}
