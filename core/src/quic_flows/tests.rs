//! Two clients, their homes, and what they call each other.
#![allow(clippy::disallowed_methods, reason = "each test starts a clock of its own and moves it by hand")]

use std::time::{Duration, Instant};

use super::*;
use crate::flows::Flows;
use crate::peek::Asked;
use crate::quic_initial::tests::{Plain, crypto, datagram_to};

/// What the home chose.
const HOME: &[u8] = b"homesown";

fn long(kind: u8, to: &[u8], from: &[u8]) -> Vec<u8> {
    let ids = [&[to.len() as u8][..], to, &[from.len() as u8], from].concat();
    let token: &[u8] = if kind == 0xc0 { &[0] } else { &[] };
    [&[kind, 0, 0, 0, 1][..], &ids, token, &[4], b"data"].concat()
}

fn short(to: &[u8], length: usize) -> Vec<u8> {
    let mut datagram = [&[0x40][..], to].concat();
    datagram.resize(length, 7);
    datagram
}

const INITIAL: u8 = 0xc0;
const ZERO_RTT: u8 = 0xd0;
const HANDSHAKE: u8 = 0xe0;

struct Rig {
    routes: Routes<u8>,
    flows: Flows<()>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self { routes: Routes::default(), flows: Flows::default(), now: Instant::now() }
    }

    fn flow(&mut self) -> Id {
        self.flows.begin((), [], self.now)
    }

    /// A flow of `peer` that the home has answered as `home`.
    fn answered(&mut self, peer: u8, first: &[u8], home: &[u8]) -> Id {
        let id = self.flow();
        self.routes.begin(id, peer, ConnectionId::new(first).expect("an ID"));
        self.routes.from_home(id, &[long(INITIAL, b"client", home), long(HANDSHAKE, b"client", home)].concat());
        id
    }
}

fn flow(id: Id, proves: bool) -> Whose {
    Whose::Flow { id, proves }
}

#[test]
fn a_connection_is_followed_from_its_first_packet() {
    let mut rig = Rig::new();
    assert_eq!(rig.routes.whose(1, &long(INITIAL, b"madeup", b"client")), Whose::Begins);
    let id = rig.flow();
    rig.routes.begin(id, 1, ConnectionId::new(b"madeup").expect("an ID"));
    for kind in [INITIAL, ZERO_RTT, HANDSHAKE] {
        assert_eq!(
            rig.routes.whose(1, &long(kind, b"madeup", b"client")),
            flow(id, false),
            "{kind:x}: whoever made it up needs to hear nothing"
        );
    }
    assert_eq!(rig.routes.whose(2, &long(INITIAL, b"madeup", b"client")), Whose::Begins, "made up by another one");
    rig.routes.from_home(id, &long(INITIAL, b"client", HOME));
    assert_eq!(rig.routes.whose(1, &long(INITIAL, HOME, b"client")), flow(id, false), "an ID of a Retry may have been guessed at");
    assert_eq!(rig.routes.whose(1, &long(HANDSHAKE, HOME, b"client")), flow(id, true));
    assert_eq!(rig.routes.whose(1, &short(HOME, 60)), flow(id, true));
    rig.routes.end(id);
    assert_eq!(rig.routes.whose(1, &short(HOME, 60)), Whose::Nobody);
    assert!(rig.routes.by_peer.is_empty() && rig.routes.by_id.is_empty() && rig.routes.lengths.iter().all(|count| *count == 0));
}

#[test]
fn an_address_with_many_connections_is_told_apart_by_ids() {
    let mut rig = Rig::new();
    let (one, other) = (rig.answered(1, b"madeup", HOME), rig.answered(1, b"another", b"nas!"));
    for _ in 0..2 {
        assert_eq!(rig.routes.whose(1, &short(HOME, 60)), flow(one, true));
        assert_eq!(rig.routes.whose(1, &short(b"nas!", 60)), flow(other, true));
    }
    assert_eq!(rig.routes.whose(1, &short(b"whatever", 60)), flow(other, false), "the one used last");
    assert_eq!(rig.routes.whose(2, &short(b"whatever", 60)), Whose::Nobody, "and nothing was learned");
}

#[test]
fn a_client_that_moves_is_known_by_its_id_and_proves_itself_anew() {
    let mut rig = Rig::new();
    let old = rig.answered(1, b"madeup", HOME);
    assert_eq!(rig.routes.whose(2, &short(HOME, 60)), Whose::Moved(old));
    assert_eq!(rig.routes.whose(2, &long(HANDSHAKE, HOME, b"client")), Whose::Moved(old));
    assert_eq!(rig.routes.whose(2, &short(b"unknown!", 60)), Whose::Nobody);
    let new = rig.flow();
    rig.routes.moved(old, new, 2);
    assert_eq!(rig.routes.whose(2, &short(HOME, 60)), flow(new, false), "whoever saw the ID can show it");
    assert_eq!(rig.routes.whose(2, &short(HOME, LEAST)), flow(new, true), "an answer to the home's question");
    assert_eq!(rig.routes.whose(1, &short(HOME, 60)), flow(old, true), "or it is back");
    assert_eq!(rig.routes.whose(3, &short(HOME, 60)), Whose::Moved(new));
    rig.routes.end(old);
    assert_eq!(rig.routes.whose(3, &short(HOME, 60)), Whose::Moved(new));
}

#[test]
fn an_id_that_comes_later_is_learned_by_use() {
    let mut rig = Rig::new();
    let id = rig.answered(1, b"madeup", HOME);
    assert_eq!(rig.routes.whose(1, &short(b"givenout", 60)), flow(id, false), "sealed, so unknown");
    assert_eq!(rig.routes.whose(2, &short(b"givenout", 60)), Whose::Moved(id));
    for at in 0..100_u8 {
        assert_eq!(rig.routes.whose(1, &short(&[at; 8], 60)), flow(id, false));
    }
    assert!(rig.routes.by_id.len() <= IDS, "no more than that is kept");
    assert_eq!(rig.routes.whose(2, &short(HOME, 60)), Whose::Moved(id), "the home's own word stays");
    assert_eq!(rig.routes.whose(2, &short(&[99; 8], 60)), Whose::Moved(id));
    assert_eq!(rig.routes.whose(2, &short(&[1; 8], 60)), Whose::Nobody);
}

#[test]
fn short_ids_and_foreign_ones_take_nothing_from_others() {
    let mut rig = Rig::new();
    let (thief, owner) = (rig.answered(1, b"madeup", b"hom"), rig.answered(2, b"another", HOME));
    rig.routes.from_home(thief, &long(HANDSHAKE, b"client", HOME));
    assert_eq!(rig.routes.whose(3, &short(HOME, 60)), Whose::Moved(owner), "the longest, and whoever had it first");
    rig.routes.end(owner);
    assert_eq!(rig.routes.whose(3, &short(b"home", 60)), Whose::Nobody, "three bytes are no name");
    let none = rig.answered(4, b"dest", b"");
    assert_eq!(rig.routes.whose(4, &short(b"anything", 60)), flow(none, false), "by address alone");
}

#[test]
fn other_versions_are_known_flows_or_nobodys() {
    let mut rig = Rig::new();
    let foreign = |to: &[u8]| [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a][..], &[to.len() as u8], to, b"\x01c and more"].concat();
    assert_eq!(rig.routes.whose(1, &foreign(b"madeup")), Whose::Nobody);
    let id = rig.answered(1, b"madeup", HOME);
    assert_eq!(rig.routes.whose(1, &foreign(b"madeup")), flow(id, false));
    assert_eq!(rig.routes.whose(1, b"\x80\0\0\0\0\x04home\x01c\0\0\0\x01"), Whose::Nobody, "no client negotiates");
    assert_eq!(rig.routes.whose(1, b""), Whose::Nobody);
}

fn hello(padding: usize) -> Vec<u8> {
    crate::client_hello::tests::hello("cloud.example.org", "h3", padding)
}

fn read(all: &mut Beginnings<u32, Plain>, peer: u32, datagram: &[u8], now: Instant) -> Read {
    all.read(peer, datagram, |_, _| Some(Plain), now)
}

#[test]
fn a_beginning_waits_until_its_hello_is_whole() {
    let (mut all, now) = (Beginnings::default(), Instant::now());
    let hello = hello(1200);
    let (front, back) = (datagram_to(b"madeup", &crypto(0, &hello[..1000])), datagram_to(b"madeup", &crypto(1000, &hello[1000..])));
    let early = long(ZERO_RTT, b"madeup", b"client");
    assert!(matches!(read(&mut all, 1, &early, now), Read::Nothing), "nobody knows yet what it belongs to");
    assert!(matches!(read(&mut all, 1, &back, now), Read::Waits));
    assert!(matches!(read(&mut all, 1, &early, now), Read::Waits));
    assert!(matches!(read(&mut all, 2, &front, now), Read::Waits), "another's");
    let Read::Says { hello, datagrams, first } = read(&mut all, 1, &front, now) else { panic!("it is whole") };
    assert_eq!(hello.name, Asked::Name("cloud.example.org".parse().expect("a name")));
    assert_eq!((datagrams, Some(first)), (vec![back.into(), early.into(), front.into()], ConnectionId::new(b"madeup")));
    assert_eq!(all.len(), 1);
    all.own(1, first, now);
    assert!(matches!(read(&mut all, 1, &datagram_to(b"madeup", &[1]), now), Read::Own));
    let later = now + PATIENCE_AND_MORE;
    assert!(matches!(read(&mut all, 3, &datagram_to(b"madeup", &[1]), later), Read::Waits));
    assert_eq!(all.len(), 1, "the others are over");
}

/// A single byte of a hello, the last that there may be, takes memory for all before it.
#[test]
fn what_a_hello_takes_counts_as_well_as_what_came() {
    let (mut all, now) = (Beginnings::default(), Instant::now());
    for peer in 0..4_000 {
        assert!(matches!(read(&mut all, peer, &datagram_to(b"madeup", &crypto(16_383, b"x")), now), Read::Waits));
    }
    assert!(all.len() * (16_384 + LEAST) <= 4 << 20, "{}", all.len());
}

const PATIENCE_AND_MORE: Duration = Duration::from_secs(6);

#[test]
fn a_flood_of_beginnings_is_bounded_and_the_newest_are_served() {
    let (mut all, now) = (Beginnings::default(), Instant::now());
    for peer in 0..20_000 {
        assert!(matches!(read(&mut all, peer, &datagram_to(b"madeup", &[1]), now), Read::Waits));
    }
    assert!(all.len() <= 4096 && all.len() * LEAST <= 4 << 20, "{}", all.len());
    for _ in 0..8 {
        assert!(matches!(read(&mut all, 19_999, &datagram_to(b"madeup", &[1]), now), Read::Waits));
    }
    assert!(matches!(read(&mut all, 19_999, &datagram_to(b"madeup", &[1]), now), Read::Nothing), "no more than ten");
    let whole = datagram_to(b"madeup", &crypto(0, &hello(0)));
    assert!(matches!(read(&mut all, 77, &whole, now), Read::Says { .. }));
}
