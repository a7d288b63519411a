use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fourward_core::name::HostName;
use fourward_core::policy::Policy;
use fourward_core::tsig::Algorithm;
use fourward_core::update::{Grant, Writable};

use super::*;
use crate::config::Key;

const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

/// Updates by the key `k`, of a host that is not there.
fn updates(folder: &Path) -> Arc<Updates> {
    let (store, secret_file) = (Store::open(folder, Policy::default()).expect("a store"), folder.join("key"));
    fs::write(&secret_file, SECRET).expect("written");
    fs::set_permissions(&secret_file, fs::Permissions::from_mode(0o600)).expect("set");
    let host = HostName::new("cloud", "dyn.example.org".parse().expect("a zone")).expect("a host");
    let grant = Grant { host, types: [Writable::Aaaa].into() };
    let key = Key { name: "k".parse().expect("a name"), algorithm: Algorithm::HmacSha256, secret_file, grant: Some(grant) };
    Updates::new(&Arc::new(Keys::read(&[key]).expect("a key")), store, Arc::default()).expect("with a key")
}

/// An update of nothing, signed now (RFC 8945 §4.3.3).
fn signed(id: u16) -> Vec<u8> {
    let (key, algorithm) = (b"\x01k\0", b"\x0bhmac-sha256\0");
    let timers = [&now().to_be_bytes()[2..], &300_u16.to_be_bytes()].concat();
    let mut message = [&id.to_be_bytes()[..], &[0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"\x03dyn\0\0\x06\0\x01"].concat();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).expect("base64"));
    let covered = [&message[..], key, &[0, 255, 0, 0, 0, 0], algorithm, &timers, &[0; 4]].concat();
    let mac = hmac::sign(&secret, &covered);
    let data = [algorithm, &timers[..], &[0, 32], mac.as_ref(), &id.to_be_bytes(), &[0; 4]].concat();
    let length = u16::try_from(data.len()).expect("short");
    message[11] = 1;
    [&message[..], key, &[0, 250, 0, 255, 0, 0, 0, 0], &length.to_be_bytes(), &data].concat()
}

fn params() -> Arc<ZoneParams> {
    let own_name = "gw.example.org".parse().expect("a name");
    Arc::new(ZoneParams { zones: Vec::new(), nameservers: Vec::new(), own_name, ipv4: Vec::new(), ipv6: Vec::new(), ttl: 60, dnssec: true })
}

#[test]
fn a_network_has_so_many_places_and_gets_them_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let updates = updates(folder.path());
    let place = |last: u8| updates.place([192, 0, 2, last].into());
    let mut held: Vec<_> = (0..WAITING).map(|_| place(1).expect("room")).collect();
    assert!(place(1).is_none(), "no more of one network");
    assert!(place(2).is_some(), "another one's are its own");
    held.pop();
    assert!(place(1).is_some(), "one is back");
    drop(held);
    assert!(locked(&updates.waiting).is_empty(), "nothing is remembered of who is gone");
}

#[tokio::test]
async fn who_finds_no_room_is_told_so_and_may_send_the_same_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (updates, params) = (updates(folder.path()), params());
    let asker = |last: u8| Asker { transport: Transport::Udp, address: [192, 0, 2, last].into(), now: 0, secrets: None };
    let receive = |message: &[u8], last: u8| updates.receive(message, &asker(last), &params);
    let outcome = |word: &str| updates.outcomes.counts().into_iter().find(|(name, _)| *name == word).map(|(_, count)| count);
    // All in one second, or the older ones would be refused.
    let messages = loop {
        let (before, messages) = (now(), (0..=WAITING as u16).map(signed).collect::<Vec<_>>());
        if now() == before {
            break messages;
        }
    };
    let mut held = Vec::new();
    for message in &messages[..WAITING] {
        let Outcome::Waits(pending) = receive(message, 1) else { panic!("room") };
        held.push(pending);
    }
    let Outcome::Said(told) = receive(&messages[WAITING], 1) else { panic!("no room") };
    assert_eq!((told.rcode, Signature::of(&told.message).expect("sound").expect("signed").mac().len()), (Rcode::SERVFAIL, 32));
    let told = held.pop().expect("one").busy();
    assert_eq!((told.rcode, outcome("busy")), (Rcode::SERVFAIL, Some(2)), "nor is there in the queue");
    let Outcome::Waits(pending) = receive(&messages[WAITING], 1) else { panic!("one is back") };
    assert_eq!(pending.done().await.rcode, Rcode::NOTAUTH, "its zone is not served");
    let Outcome::Said(told) = receive(&messages[WAITING], 1) else { panic!("answered before") };
    assert_eq!((told.rcode, outcome("again"), outcome("refused")), (Rcode::NOTAUTH, Some(1), Some(1)));
    assert!(matches!(receive(&messages[0], 2), Outcome::Silence), "it is under way");
}
