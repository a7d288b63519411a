use std::collections::BTreeSet;

use super::*;
use crate::answer::TCP_LIMIT;
use crate::state::State;
use crate::wire::Canonical;

/// A zone as a secondary has it: its start of authority, and every other record, each with whole names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    start: Vec<u8>,
    records: BTreeSet<Vec<u8>>,
}

/// The records in `bytes`, one by one.
pub(crate) fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = Reader(bytes);
    let mut parts = Vec::new();
    while !rest.0.is_empty() {
        let before = rest.0;
        record(&mut rest).expect("a record");
        parts.push(before[..before.len() - rest.0.len()].to_vec());
    }
    parts
}

fn is_start(record: &[u8]) -> bool {
    let mut rest = Reader(record);
    Canonical::whole(&mut rest).expect("a name");
    rest.u16() == Some(Type::SOA.0)
}

impl Copy {
    fn of(records: &[Vec<u8>]) -> Self {
        let [first, between @ .., last] = records else { panic!("no start of authority") };
        assert!(is_start(first) && first == last, "it begins and ends with the start of authority");
        assert!(between.iter().all(|record| !is_start(record)), "and has it nowhere else");
        let copy = Self { start: first.clone(), records: between.iter().cloned().collect() };
        assert_eq!(copy.records.len(), between.len(), "no record comes twice");
        copy
    }

    /// Takes out and puts in what a difference says, each of which must be possible.
    pub(crate) fn play(&mut self, difference: &[Vec<u8>]) {
        assert_eq!(difference[0], self.start, "it is a difference from this version");
        let at = difference.iter().skip(1).position(|record| is_start(record)).expect("a new version") + 1;
        for gone in &difference[1..at] {
            assert!(self.records.remove(gone), "what goes was there: {}", gone.escape_ascii());
        }
        self.start.clone_from(&difference[at]);
        for come in &difference[at + 1..] {
            assert!(self.records.insert(come.clone()), "what comes was not there: {}", come.escape_ascii());
        }
    }
}

/// The records of `message`, their names whole.
fn read(message: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = Reader(message);
    rest.u32().expect("a header");
    let counts: Vec<u16> = (0..4).map(|_| rest.u16().expect("a count")).collect();
    question(&mut rest).expect("a question");
    assert_eq!((counts[0], counts[2]), (1, 0));
    let mut records = Vec::new();
    for _ in 0..counts[1] {
        let mut whole = Canonical::read(message, &mut rest).expect("a name").as_bytes().to_vec();
        let (kind, class, ttl, length) = (rest.u16().expect("a type"), rest.u16(), rest.u32(), rest.u16().expect("a length"));
        let mut inside = rest;
        let plain = rest.take(length.into()).expect("data");
        let mut data: Vec<u8> = Vec::new();
        if matches!(Type(kind), Type::NS | Type::SOA) {
            let names = if Type(kind) == Type::SOA { 2 } else { 1 };
            (0..names).for_each(|_| data.extend(Canonical::read(message, &mut inside).expect("a name").as_bytes()));
            data.extend(&plain[plain.len() - if names == 2 { 20 } else { 0 }..]);
        } else {
            data.extend(plain);
        }
        whole.extend(kind.to_be_bytes());
        whole.extend(class.expect("a class").to_be_bytes());
        whole.extend(ttl.expect("a TTL").to_be_bytes());
        whole.extend((data.len() as u16).to_be_bytes());
        whole.extend(data);
        records.push(whole);
    }
    records
}

fn asked(zone: &DnsName, kind: Type, since: Option<Serial>) -> Vec<u8> {
    let mut message = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, u8::from(since.is_some()), 0, 0];
    message.extend(Canonical::of(zone).as_bytes());
    message.extend([kind.0.to_be_bytes(), [0, 1]].concat());
    if let Some(Serial(serial)) = since {
        message.extend([0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        message.extend(serial.to_be_bytes());
        message.extend([0; 16]);
    }
    message
}

/// All messages of a transfer of `zone`, each of at most `limit` bytes.
fn messages(state: &State, params: &ZoneParams, zone: &DnsName, limit: usize) -> Option<Vec<Vec<u8>>> {
    let question = asked(zone, Type::AXFR, None);
    let request = Request::parse(&question).expect("a good request");
    let view = ZoneView::new(request.zone(params).expect("ours"), state, params)?;
    let (mut walk, mut messages) = (Walk::default(), Vec::new());
    while !walk.is_over() {
        let mut out = Vec::new();
        let count = request.message(None, limit, &mut out, &mut |writer, at| walk.fill(&view, writer, at)).expect("room");
        assert!(count > 0 && out.len() <= limit);
        messages.push(out);
    }
    Some(messages)
}

/// The zone as a secondary has it that takes it as a whole.
pub(crate) fn whole(state: &State, params: &ZoneParams, zone: &DnsName) -> Option<Copy> {
    let messages = messages(state, params, zone, TCP_LIMIT)?;
    Some(Copy::of(&messages.iter().flat_map(|message| read(message)).collect::<Vec<_>>()))
}

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn state() -> (State, ZoneParams) {
    use crate::zone::tests::{params, state, with};
    let labels: Vec<String> = (0..40).map(|at| format!("h{at}")).collect();
    let edits = ["wildcard=on", "record+=x.y TXT t", "record+=MX 10 @"];
    let changes: Vec<_> = labels.iter().map(|label| with(label, &edits)).collect();
    (state(&changes), params())
}

#[test]
fn however_small_the_messages_the_zone_is_the_same() {
    let (state, params) = state();
    let zone = &params.zones[0];
    let one = whole(&state, &params, zone).expect("served");
    // The start, two servers, our own A and AAAA; of each host A and MX, of its wildcard A, TXT below it. Twins have nothing while it is away.
    assert_eq!(one.records.len(), 4 + 40 * 4);
    for limit in [150, 151, 512, 4096] {
        let messages = messages(&state, &params, zone, limit).expect("served");
        assert!(messages.len() > 4000 / limit, "{limit}: {} messages", messages.len());
        let records: Vec<_> = messages.iter().flat_map(|message| read(message)).collect();
        assert_eq!(Copy::of(&records), one, "{limit}");
    }
}

#[test]
fn what_is_kept_comes_out_as_it_was_wherever_it_is_cut() {
    let (state, params) = state();
    let zone = &params.zones[0];
    let (wire, bytes): (_, Vec<u8>) =
        (Canonical::of(zone), whole(&state, &params, zone).expect("served").records.into_iter().flatten().collect());
    let question = asked(zone, Type::IXFR, Some(Serial(5)));
    let request = Request::parse(&question).expect("a good request");
    for (limit, step) in [(150, 7), (512, 1000), (TCP_LIMIT, 65_000)] {
        let (mut pending, mut records) = (Pending::default(), Vec::new());
        for piece in bytes.chunks(step) {
            pending.push(piece);
            loop {
                let mut out = Vec::new();
                let count =
                    request.message(None, limit, &mut out, &mut |writer, at| pending.fill(writer, wire.as_bytes(), at)).expect("room");
                assert!(out.len() <= limit);
                records.extend(read(&out));
                if count == 0 {
                    break;
                }
            }
        }
        assert!(pending.is_empty());
        assert_eq!(records, parts(&bytes), "{limit}, {step}");
    }
}

#[test]
fn a_record_is_shorter_by_the_name_of_the_zone() {
    let (state, params) = state();
    let zone = &params.zones[0];
    let messages = messages(&state, &params, zone, TCP_LIMIT).expect("served");
    let [message] = messages.as_slice() else { panic!("one message") };
    let names = message.windows(5).filter(|window| window == b"\x03dyn\x07").count();
    // That of the question, and one in each MX, where Debian's and everybody's servers would take a pointer too, but nothing asks for it.
    assert_eq!(names, 1 + 40);
}

#[test]
fn one_rule_says_who_may() {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let secondary = |text: &str, key: Option<&str>| Secondary { address: text.parse().expect("an address"), key: key.map(name) };
    let all = [secondary("192.0.2.53:53", None), secondary("[2001:db8::53]:53", Some("to-second"))];
    let (key, other) = (name("to-second"), name("another"));
    for (from, with, expected) in [
        ("192.0.2.53", None, true),
        ("192.0.2.53", Some(&other), true),
        ("::ffff:192.0.2.53", None, true),
        ("192.0.2.54", None, false),
        ("192.0.2.54", Some(&other), false),
        ("2001:db8::53", None, false),
        ("2001:db8::53", Some(&other), false),
        ("2001:db8::53", Some(&key), true),
        ("198.51.100.1", Some(&key), true),
    ] {
        assert_eq!(may(&all, address(from), with), expected, "{from} {with:?}");
    }
    assert!(!may(&[], address("192.0.2.53"), Some(&key)));
}

#[test]
fn what_asks_for_a_transfer_is_known_and_taken_apart() {
    let zone = name("dyn.example.org");
    let since = |message: &[u8]| Request::parse(message).map(|request| request.wanted);
    let whole = asked(&zone, Type::AXFR, None);
    let some = asked(&zone, Type::IXFR, Some(Serial(4_000_000_000)));
    assert!(is_transfer(&whole) && is_transfer(&some) && !is_transfer(&asked(&zone, Type::SOA, None)));
    assert_eq!((since(&whole), since(&some)), (Ok(Wanted::Whole), Ok(Wanted::Since(Serial(4_000_000_000)))));
    assert_eq!(since(&asked(&zone, Type::IXFR, None)), Err(Rcode::FORMERR), "no version");
    for flags in [0x80, 0x08, 0x20] {
        let mut other = whole.clone();
        other[2] = flags;
        assert!(!is_transfer(&other), "a response, or another operation: {flags:x}");
    }
    for length in 0..some.len() {
        assert!(Request::parse(&some[..length]).is_err(), "cut at {length}");
    }
    let params = crate::zone::tests::params();
    let of = |zone: &str| Request::parse(&asked(&name(zone), Type::AXFR, None)).expect("good").zone(&params).is_some();
    assert_eq!(["dyn.example.org", "DYN.example.ORG", "cloud.dyn.example.org", "example.org"].map(of), [true, true, false, false]);
}
