//! The API of acme-dns: its clients' requests, accounts that only the operator makes, and several values at once.

use std::collections::BTreeSet;

use crate::dialects::Host;
use crate::machines::ZONE;
use crate::raw::{Raw, Reply};
use crate::recorded::{ACME_DNS, AT6};
use crate::rig::{OWN, Rig};

/// The proof of an order of this number, as long as any.
fn proof(number: usize) -> String {
    format!("{number:0>43}")
}

/// The values of the record of the host `label`.
fn values(rig: &Rig, label: &str) -> BTreeSet<String> {
    let shown = rig.dig(&format!("_acme-challenge.{label}.{ZONE}"), "TXT");
    shown.split_whitespace().map(|value| value.trim_matches('"').to_owned()).collect()
}

fn posted(host: &Host, rig: &Rig, raw: &Raw, request: &str) -> Reply {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let body = body.replace("{LABEL}", &host.label).replace("{HOST}", &format!("{}.{ZONE}", host.label));
    let head = host.filled(head).replace("{LENGTH}", &body.len().to_string()).replace('\n', "\r\n");
    raw.ask(rig, false, &format!("{head}\r\n\r\n{body}"))
}

/// A post of `txt` by the account `user` with `key`, for itself.
fn post(rig: &Rig, user: &str, key: &str, txt: &str) -> (u16, String) {
    let (user_header, key_header) = (format!("X-Api-User: {user}"), format!("X-Api-Key: {key}"));
    let data = format!("{{\"subdomain\":\"{user}\",\"txt\":\"{txt}\"}}");
    let answer = rig.curl(&["--header", &user_header, "--header", &key_header, "--data", &data], &format!("https://{OWN}/update"));
    (answer.status, answer.body)
}

fn done(txt: &str) -> (u16, String) {
    (200, format!("{{\"txt\": \"{txt}\"}}"))
}

#[test]
fn each_client_of_acme_dns_hears_what_it_understands() {
    let rig = Rig::new(&["address-from=update"]);
    let raw = Raw::new(&rig);
    let mut wrong = Vec::new();
    let mut hosts = Vec::new();
    for (at, row) in ACME_DNS.iter().enumerate() {
        let host = Host::new(&rig, &raw, format!("h{at}"));
        let proof = proof(at);
        let reply = posted(&host, &rig, &raw, &row.request.replace("{PROOF}", &proof));
        let head = reply.head.to_lowercase();
        let told = head.contains("content-type: application/json\r\n") && head.contains("cache-control: no-store");
        let expected = if row.status == 200 { BTreeSet::from([proof.clone()]) } else { BTreeSet::new() };
        let after = values(&rig, &host.label);
        if (reply.status, &reply.body) != (row.status, &row.body.replace("{PROOF}", &proof)) || after != expected || !told {
            wrong.push(format!("{}: {reply:?}\n  expected {} {}\n  after {after:?}", row.client, row.status, row.body));
        }
        assert_eq!(rig.dig(&format!("{}.{ZONE}", host.label), "AAAA"), AT6, "nothing else is touched");
        // Clients repeat themselves; it costs nothing.
        let serial = rig.serial();
        let again = posted(&host, &rig, &raw, &row.request.replace("{PROOF}", &proof));
        if (again.status, &again.body) != (reply.status, &reply.body) || rig.serial() != serial {
            wrong.push(format!("{}, again: {again:?}", row.client));
        }
        hosts.push(host);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), ACME_DNS.len(), wrong.join("\n"));
    for name in ["_acme-challenge.cloud.dyn.example.org", "_acme-challenge.dyn.example.org"] {
        assert_eq!(rig.dig(name, "TXT"), "", "no other's record was touched");
    }
    rig.tells_no_secret(&hosts.iter().map(|host| host.password.as_str()).collect::<Vec<_>>());
}

#[test]
fn a_name_its_wildcard_and_orders_beside_it_are_proven_at_once() {
    let mut rig = Rig::new(&["address-from=update"]);
    let key = rig.password.clone();
    for number in 0..4 {
        assert_eq!(post(&rig, "cloud", &key, &proof(number)), done(&proof(number)));
    }
    assert_eq!(values(&rig, "cloud"), (0..4).map(proof).collect());
    // On disk before it was answered; and an order that was on its way goes on.
    rig.restart();
    assert_eq!(values(&rig, "cloud"), (0..4).map(proof).collect());
    for number in 4..8 {
        assert_eq!(post(&rig, "cloud", &key, &proof(number)), done(&proof(number)));
    }
    assert_eq!(values(&rig, "cloud"), (0..8).map(proof).collect());
    assert_eq!(post(&rig, "cloud", &key, &proof(8)), done(&proof(8)));
    assert_eq!(values(&rig, "cloud").len(), 8, "and no more than so many");
    assert!(values(&rig, "cloud").contains(&proof(8)));
    // By another dialect it is the same record, with the same limits.
    assert_eq!(rig.update("txt=by-hand"), "good\n");
    assert!(values(&rig, "cloud").is_superset(&BTreeSet::from([proof(8), "by-hand".into()])));
    assert_eq!(rig.update("txt="), "good\n");
    assert_eq!(values(&rig, "cloud"), BTreeSet::new());
}

#[test]
fn wrong_keys_cost_their_network_and_what_goes_on_is_told_to_wait() {
    let rig = Rig::new(&["address-from=update"]);
    let key = rig.password.clone();
    let posts: Vec<_> = (0..90).map(|number| post(&rig, "cloud", &key, &proof(number))).collect();
    let (status, body) = posts.iter().find(|(status, _)| *status != 200).expect("too often");
    assert!(*status == 429 && body.starts_with("{\"error\": \"too_many_requests\", \"reason\": \"too many changes"), "{body}");
    for _ in 0..10 {
        assert_eq!(post(&rig, "cloud", "wrong", &proof(0)), (401, "{\"error\": \"forbidden\"}".into()));
    }
    let (status, body) = post(&rig, "cloud", &key, &proof(0));
    assert!(status == 429 && body.contains("too many wrong passwords"), "{body}");
    rig.tells_no_secret(&[]);
}

#[test]
fn an_update_password_is_no_account_where_it_is_no_authority_and_nobody_s_in_the_clear() {
    let rig = Rig::new(&[]);
    let (status, body) = post(&rig, "cloud", &rig.password, &proof(0));
    assert!(status == 401 && body.starts_with("{\"error\": \"forbidden\", \"reason\": \""), "{body}");
    assert!(body.contains("address-from=update"), "{body}");
    let added = rig.server.ask(&["host", "add", "@", "address-from=update"]);
    let (status, body) = post(&rig, "@", added["update"]["password"].as_str().expect("a password"), &proof(0));
    assert!(status == 401 && body.contains("every host"), "{body}");
    let header = format!("X-Api-Key: {}", rig.password);
    let plain = rig.curl(&["--header", "X-Api-User: cloud", "--header", &header, "--data", "{}"], &format!("http://{OWN}/update"));
    assert!(plain.status == 403 && plain.body.contains("https://"), "{plain:?}");
    for label in ["cloud.", ""] {
        assert_eq!(rig.dig(&format!("_acme-challenge.{label}{ZONE}"), "TXT"), "");
    }
    rig.tells_no_secret(&[]);
}

#[test]
fn an_account_of_the_operator_s_writes_the_record_of_its_host_and_nothing_else() {
    let rig = Rig::new(&[]);
    let added = rig.server.ask(&["host", "add", "nas", "address-from=update"]);
    let account = |label: &str| {
        let file = rig.server.ask(&["host", "token", label, "--acme-dns"]);
        file[format!("{label}.{ZONE}")]["password"].as_str().expect("a key").to_owned()
    };
    // Also where an agent says where the host is.
    let (key, nas) = (account("cloud"), account("nas"));
    assert_eq!(post(&rig, "cloud", &key, &proof(1)), done(&proof(1)));
    assert_eq!(post(&rig, "nas", &nas, &proof(2)), done(&proof(2)));
    assert_eq!((values(&rig, "cloud"), values(&rig, "nas")), ([proof(1)].into(), [proof(2)].into()));
    let forbidden = (401, "{\"error\": \"forbidden\"}".to_owned());
    assert_eq!(post(&rig, "nas", &key, &proof(3)), forbidden, "another's key");
    assert_eq!(post(&rig, "cloud", added["update"]["password"].as_str().expect("a password"), &proof(3)), forbidden);

    // No address, whichever way, and no other name's record.
    let url = format!("https://{OWN}/nic/update");
    for query in ["myip=2001:db8:100::77", "myipv6=-", "", "offline=YES"] {
        let refused = rig.curl(&["--user", &format!("nas:{nas}")], &format!("{url}?{query}"));
        assert!(refused.body.starts_with("dnserr this key writes the TXT record alone"), "{query}: {refused:?}");
    }
    let shown = rig.server.ask(&["host", "show", "nas"]);
    assert_eq!((shown["address"].is_null(), shown["router"].is_null()), (true, true), "{shown}");
    let he = |name: &str| rig.curl(&["--user", &format!("cloud:{key}")], &format!("{url}?hostname={name}&txt={}", proof(4))).body;
    assert_eq!(he("_acme-challenge.nas.dyn.example.org"), "nohost\n");
    assert_eq!(he("_acme-challenge.cloud.dyn.example.org"), "good\n", "the same record by another dialect");
    assert_eq!(values(&rig, "cloud"), [proof(1), proof(4)].into());

    // Each secret ends by its own command.
    rig.server.tell(&["host", "token", "cloud"]).succeeds();
    assert_eq!(post(&rig, "cloud", &key, &proof(4)), done(&proof(4)));
    let new = account("cloud");
    assert_eq!(post(&rig, "cloud", &key, &proof(4)), forbidden);
    assert_eq!(post(&rig, "cloud", &new, &proof(4)), done(&proof(4)));
    rig.tells_no_secret(&[&key, &new, &nas]);
}

#[test]
fn clients_that_ask_whether_anybody_is_there_hear_so() {
    let rig = Rig::new(&[]);
    let health = rig.curl(&[], &format!("https://{OWN}/health"));
    assert_eq!((health.status, health.body.as_str()), (200, ""), "{health:?}");
    let long = "x".repeat(9_000);
    let header = format!("X-Api-Key: {}", rig.password);
    let refused = rig.curl(&["--header", "X-Api-User: cloud", "--header", &header, "--data", &long], &format!("https://{OWN}/update"));
    assert!(refused.status == 400 && refused.body.contains("longer than"), "{refused:?}");
}
