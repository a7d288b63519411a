//! A message to the name server: at most one reply, to its sender's ID, never to a reply, and no longer than it may be.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use fourward_core::answer::{Asker, TCP_LIMIT, Transport, UDP_LIMIT, answer};
use fourward_core::change::Change;
use fourward_core::cookie::Secrets;
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::Policy;
use fourward_core::state::State;
use fourward_core::transfer::{Request, is_transfer, told};
use fourward_core::wire::HEADER;
use fourward_core::zone::ZoneParams;

/// What a client without EDNS takes (RFC 1035 §4.2.1).
const PLAIN: usize = 512;

const START: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;

static SECRETS: LazyLock<Secrets> = LazyLock::new(|| Secrets::at(1_559_731_985, |_| [7; 16]));

static SERVED: LazyLock<(State, ZoneParams)> = LazyLock::new(|| (state(), params()));

pub fn check(message: &[u8]) {
    // Whatever it is, it is taken apart without a fault, also where it is asked for a whole zone.
    if is_transfer(message) {
        let _ = Request::parse(message).map(|request| request.zone(&SERVED.1).cloned());
    }
    let _ = told(message, 7);
    let udp = reply(message, Transport::Udp, UDP_LIMIT);
    let tcp = reply(message, Transport::Tcp, TCP_LIMIT);
    assert_eq!(udp.is_some(), tcp.is_some(), "one transport is answered and the other is not");
    let (Some(udp), Some(tcp)) = (udp, tcp) else { return };
    assert!(message.len() >= HEADER && message[2] & RESPONSE == 0, "a reply to what is no query");
    for reply in [&udp, &tcp] {
        assert!(reply.len() >= HEADER && reply[..2] == message[..2], "another ID");
        assert!(reply[2] & RESPONSE != 0 && reply[2] & 0x78 == message[2] & 0x78, "no response, or another opcode");
        let questions = reply[4..6] == [0, 1];
        assert!(questions || reply[4..6] == [0, 0], "more than one question");
    }
    let additional = message[10..12] != [0, 0];
    assert!(udp.len() <= if additional { UDP_LIMIT } else { PLAIN }, "{} bytes by UDP", udp.len());
    assert!(tcp[2] & TRUNCATED == 0, "truncated on TCP");
    assert!(udp[2] & TRUNCATED != 0 || udp == tcp, "not truncated, and not the same");
}

fn reply(message: &[u8], transport: Transport, room: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; room];
    let asker = Asker { transport, address: [192, 0, 2, 99].into(), now: 1_559_731_985, secrets: Some(&SECRETS) };
    let answer = answer(message, &asker, &SERVED.0, &SERVED.1, &mut out)?;
    out.truncate(answer.length);
    let mut cut = out.clone();
    cut.truncate(answer.cut(&mut out.clone()));
    assert!(cut.len() >= HEADER && cut.len() <= out.len(), "cut to {} of {} bytes", cut.len(), out.len());
    Some(out)
}

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

pub fn params() -> ZoneParams {
    ZoneParams {
        zones: vec![name("dyn.example.org"), name("home.test")],
        nameservers: vec![name("gw.dyn.example.org"), name("ns.example.net")],
        own_name: name("gw.dyn.example.org"),
        ipv4: vec!["192.0.2.11".parse().expect("v4")],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        ttl: 60,
        dnssec: true,
    }
}

/// A home that is there, one that is away, one at an apex, one that follows, records of theirs, and more challenges than a datagram holds.
pub fn state() -> State {
    let mut state = State::default();
    let mut apply = |change| drop(state.apply(&change, &Policy::default()).expect("a good change"));
    for zone in params().zones {
        apply(Change::Serve { zone, apex: Digest([0; 32]), at: START });
    }
    let host = |text: &str| HostName::parse(text, &params().zones).expect("a host");
    let join = JoinSecret { secret: Digest([1; 32]), expires: START, spent_by: None };
    let mine =
        ["wildcard=on", "alpn=h2", "caa=issue ca.org", "record=MX 1 @", "record+=_xmpp._tcp SRV 0 5 5222 mail", "record+=_dmarc TXT x"];
    for (text, edits) in [("cloud", &mine[..]), ("away", &[]), ("home.test", &mine), ("nas", &["follows=cloud", "suffix=::22"])] {
        let edits = edits.iter().map(|edit| edit.parse().expect("an edit")).collect();
        apply(Change::Add { host: host(text), edits, join, update: Digest([2; 32]), reuse: false });
    }
    for (text, address) in [("cloud", "2001:db8:1::11"), ("home.test", "2001:db8:2::11")] {
        apply(Change::Move { host: host(text), address: address.parse().expect("v6"), at: START });
    }
    apply(Change::Challenge { host: host("cloud"), before: BTreeSet::new(), values: (0..30).map(|at| format!("{at:043}")).collect() });
    apply(Change::Challenge { host: host("away"), before: BTreeSet::new(), values: [String::new(), "x".repeat(300)].into() });
    state
}
