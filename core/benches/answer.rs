//! What an answer costs without the sockets: nanoseconds of CPU a query, by the number of hosts.
//!
//! `cargo bench -p fourward-core --bench answer [HOSTS…]`; 1,000 and 100,000 hosts if none are named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark may fail by a panic")]

use std::hint::black_box;

use fourward_core::answer::{Asker, Transport, UDP_LIMIT, answer};
use fourward_core::change::Change;
use fourward_core::dnssec::{Algorithm, Phase, ZoneKey, ZoneKeys};
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::Policy;
use fourward_core::signing::plan;
use fourward_core::state::State;
use fourward_core::zone::{ZoneParams, ZoneView};
use jiff::Timestamp;

/// Measured so often; the median is shown.
const ROUNDS: usize = 7;

/// Queries a round.
const QUERIES: usize = 1 << 18;

fn main() {
    let mut sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 100_000];
    }
    for size in sizes {
        let zone: DnsName = "dyn.example.org".parse().expect("a name");
        let mut state = state(&zone, size);
        let params = params(&zone);
        let kinds = |dnssec_ok| {
            let queries = |of: fn(usize) -> (String, u16)| queries(size, dnssec_ok, of);
            [
                ("AAAA", queries(|at| (format!("h{at}"), 28))),
                ("AAAA of the twin", queries(|at| (format!("h{at}-ip6only"), 28))),
                ("A", queries(|at| (format!("h{at}"), 1))),
                ("no such name", queries(|at| (format!("x{at}"), 28))),
                ("one of ten missing", queries(|at| (format!("{}{at}", if at % 10 == 0 { "x" } else { "h" }), 28))),
            ]
        };
        for (what, queries) in kinds(false) {
            println!("{size:>9} hosts  {what:<20} {:>6.0} ns", measure(&queries, &state, &params));
        }
        sign(&mut state, &params);
        for (what, queries) in kinds(true) {
            println!("{size:>9} hosts  {what:<20} {:>6.0} ns signed", measure(&queries, &state, &params));
        }
    }
}

fn measure(queries: &[Vec<u8>], state: &State, params: &ZoneParams) -> f64 {
    let mut out = [0; UDP_LIMIT];
    let asker = Asker { transport: Transport::Udp, address: [192, 0, 2, 99].into(), now: 1_000, secrets: None };
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = cpu();
            for query in queries {
                black_box(answer(black_box(query), &asker, state, params, &mut out));
            }
            (cpu() - begin) as f64 / queries.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Nanoseconds that this thread has had a processor: others that want it do not count.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

/// Queries for names in no order that a cache could guess.
fn queries(size: usize, dnssec_ok: bool, of: impl Fn(usize) -> (String, u16)) -> Vec<Vec<u8>> {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % size as u64).expect("small")
    };
    (0..QUERIES).map(|_| of(next())).map(|(label, kind)| query(&label, kind, dnssec_ok)).collect()
}

fn query(label: &str, kind: u16, dnssec_ok: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in format!("{label}.dyn.example.org").split('.') {
        message.push(u8::try_from(label.len()).expect("short"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1, 0, 0, 41, 4, 208, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    message
}

fn params(zone: &DnsName) -> ZoneParams {
    ZoneParams {
        zones: vec![zone.clone()],
        nameservers: vec![zone.child("gw").expect("a name")],
        own_name: zone.child("gw").expect("a name"),
        ipv4: vec![[192, 0, 2, 11].into()],
        ipv6: vec!["2001:db8:a::11".parse().expect("an address")],
        ttl: 60,
        dnssec: true,
    }
}

fn state(zone: &DnsName, size: usize) -> State {
    let (mut state, policy, at) = (State::default(), Policy::default(), Timestamp::from_second(1_000).expect("a time"));
    state.apply(&Change::Serve { zone: zone.clone(), apex: Digest([0; 32]), at }, &policy).expect("served");
    let join = JoinSecret { secret: Digest([1; 32]), expires: at, spent_by: None };
    for index in 0..size {
        let host = HostName::new(&format!("h{index}"), zone.clone()).expect("a host");
        let add = Change::Add { host: host.clone(), edits: Vec::new(), join, update: Digest([2; 32]), reuse: false };
        state.apply(&add, &policy).expect("added");
        let address = (0x2001_0db8_0001_u128 << 80 | (index as u128) << 64 | 0x11).into();
        state.apply(&Change::Move { host, address, at }, &policy).expect("moved");
    }
    state
}

/// Signs the zone with what only looks like signatures: what they cost is the library's affair.
fn sign(state: &mut State, params: &ZoneParams) {
    let (zone, policy, since) = (&params.zones[0], Policy::default(), Timestamp::from_second(1_000).expect("a time"));
    let (algorithm, phase, digest) = (Algorithm::Ed25519, Phase::Active, Digest([3; 32]));
    let key = ZoneKey { algorithm, phase, since, public: Box::new([4; 32]), private: Box::default(), digest };
    let keys = Some(ZoneKeys::new(vec![key]).expect("a key"));
    state.apply(&Change::ZoneKeys { zone: zone.clone(), keys }, &policy).expect("keys");
    for unit in state.units_after(zone, None, usize::MAX) {
        let snapshot = state.clone();
        let view = ZoneView::new(zone, &snapshot, params).expect("served");
        let plan = plan(&view, &unit, 1_000_000).expect("nothing is signed yet");
        let change = plan.sign(|_, _| Ok::<_, ()>([5; 64])).expect("signed");
        drop(plan);
        drop(snapshot);
        state.apply(&change, &policy).expect("kept");
    }
}
