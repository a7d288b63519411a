mod conformance;
mod dnssec;
mod edns;
mod hostile;
mod validator;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::*;
use crate::change::Change;
use crate::host::{Digest, JoinSecret};
use crate::name::HostName;
use crate::policy::Policy;

const CLOUD: &[&[u8]] = &[b"cloud", b"dyn", b"example", b"org"];
const APEX: &[&[u8]] = &[b"dyn", b"example", b"org"];
const ABSENT: &[&[u8]] = &[b"absent", b"dyn", b"example", b"org"];
const CHALLENGE: &[&[u8]] = &[b"_acme-challenge", b"cloud", b"dyn", b"example", b"org"];
const AWAY: &[&[u8]] = &[b"away", b"dyn", b"example", b"org"];
const SERVICE: &[&[u8]] = &[b"_x", b"_tcp", b"away", b"dyn", b"example", b"org"];
const AWAY_TWIN: &[&[u8]] = &[b"away-ip6only", b"dyn", b"example", b"org"];
const OFF_ZONE: &[&[u8]] = &[b"www", b"example", b"org"];

/// An OPT record with `size`, version and flags, without options.
fn opt(size: u16, version: u8, flags: u16) -> Vec<u8> {
    let mut record = vec![0, 0, 41];
    record.extend(size.to_be_bytes());
    record.extend([0, version]);
    record.extend(flags.to_be_bytes());
    record.extend([0, 0]);
    record
}

/// A message to send, made part by part.
#[derive(Clone)]
struct Message {
    flags: u16,
    counts: [u16; 4],
    body: Vec<u8>,
}

impl Message {
    fn empty() -> Self {
        Self { flags: 0x0100, counts: [0; 4], body: Vec::new() }
    }

    fn asking(labels: &[&[u8]], kind: Type) -> Self {
        Self::empty().question(labels, kind, CLASS_IN)
    }

    fn question(mut self, labels: &[&[u8]], kind: Type, class: u16) -> Self {
        for label in labels {
            self.body.push(u8::try_from(label.len()).expect("a short label"));
            self.body.extend_from_slice(label);
        }
        self.body.push(0);
        self.body.extend(kind.0.to_be_bytes());
        self.body.extend(class.to_be_bytes());
        self.counts[0] += 1;
        self
    }

    fn record(mut self, section: usize, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self.counts[section] += 1;
        self
    }

    fn edns(self, size: u16) -> Self {
        self.record(3, &opt(size, 0, 0))
    }

    fn trailing(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    fn flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    fn opcode(self, opcode: u16) -> Self {
        self.flags(0x0100 | opcode << 11)
    }

    fn bytes(&self) -> Vec<u8> {
        let header = [0xBEEF, self.flags, self.counts[0], self.counts[1], self.counts[2], self.counts[3]];
        header.iter().flat_map(|value| value.to_be_bytes()).chain(self.body.iter().copied()).collect()
    }
}

/// A record as it was received.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    section: usize,
    owner: String,
    kind: u16,
    class: u16,
    ttl: u32,
    data: Vec<u8>,
}

/// An answer, taken apart by other code than ours.
#[derive(Debug)]
struct Reply {
    length: usize,
    flags: u16,
    rcode: u16,
    questions: u16,
    question: Vec<u8>,
    records: Vec<Got>,
}

impl Reply {
    fn read(message: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let (flags, mut at) = (u16_at(2), 12);
        let questions = u16_at(4);
        for _ in 0..questions {
            at = name_at(message, at).1 + 4;
        }
        let question = message[12..at].to_vec();
        let mut records = Vec::new();
        for section in 1..4 {
            for _ in 0..u16_at(4 + 2 * section) {
                let (owner, end) = name_at(message, at);
                let data = end + 10..end + 10 + usize::from(u16_at(end + 8));
                let ttl = u32::from_be_bytes([message[end + 4], message[end + 5], message[end + 6], message[end + 7]]);
                at = data.end;
                records.push(Got { section, owner, kind: u16_at(end), class: u16_at(end + 2), ttl, data: message[data].to_vec() });
            }
        }
        assert_eq!(at, message.len(), "nothing stands after the last record");
        let mut reply = Self { length: message.len(), flags, rcode: flags & 0xF, questions, question, records };
        reply.rcode |= reply.opt().map_or(0, |opt| u16::try_from(opt.ttl >> 24).expect("8 bits") << 4);
        reply
    }

    fn opt(&self) -> Option<&Got> {
        self.records.iter().find(|record| record.kind == 41)
    }

    fn of(&self, section: usize) -> Vec<(&str, u16)> {
        let wanted = |record: &&Got| record.section == section && record.kind != 41;
        self.records.iter().filter(wanted).map(|record| (record.owner.as_str(), record.kind)).collect()
    }

    fn authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    fn truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }
}

fn name_at(message: &[u8], mut at: usize) -> (String, usize) {
    let (mut text, mut end) = (String::new(), None);
    loop {
        match message[at] {
            0 => return (text, end.unwrap_or(at + 1)),
            high @ 192.. => {
                end = end.or(Some(at + 2));
                let to = usize::from(u16::from_be_bytes([high & 0x3F, message[at + 1]]));
                assert!(to < at, "pointers lead back");
                at = to;
            }
            length => {
                let label = &message[at + 1..at + 1 + usize::from(length)];
                text.push_str(&format!("{}.", label.escape_ascii()));
                at += 1 + usize::from(length);
            }
        }
    }
}

fn params() -> ZoneParams {
    let name = |text: &str| text.parse().expect("a name");
    ZoneParams {
        zones: vec![name("dyn.example.org"), name("other.test")],
        nameservers: vec![name("gw.dyn.example.org"), name("ns.example.net")],
        own_name: name("gw.dyn.example.org"),
        ipv4: vec![Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        ttl: 300,
        dnssec: true,
    }
}

fn state_with(challenge: BTreeSet<String>) -> State {
    let mut state = State::default();
    let host = |label: &str| HostName::parse(label, &params().zones).expect("a host");
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let add = |label: &str| Change::Add { host: host(label), edits: Vec::new(), join, update: Digest([2; 32]), reuse: false };
    let mine = ["alpn=h3,h2", "caa=issue ca.org", "record=TXT x", "record+=MX 1 mail", "record+=_x._tcp SRV 0 5 5222 @"];
    let mine = mine.iter().map(|edit| edit.parse().expect("an edit")).collect();
    let zone = params().zones[0].clone();
    let changes = [
        Change::Serve { zone, apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH },
        add("cloud"),
        add("away"),
        Change::Set { host: host("away"), edits: mine },
        Change::Move { host: host("cloud"), address: "2001:db8:1::11".parse().expect("v6"), at: Timestamp::UNIX_EPOCH },
        Change::Challenge { host: host("cloud"), before: BTreeSet::new(), values: challenge },
    ];
    for change in changes {
        state.apply(&change, &Policy::default()).expect("a good change");
    }
    state
}

fn state() -> State {
    state_with(BTreeSet::from(["token".to_owned()]))
}

fn asker(transport: Transport) -> Asker<'static> {
    Asker { transport, address: Ipv4Addr::new(198, 51, 100, 100).into(), now: 1_559_731_985, secrets: None }
}

fn send(message: &[u8], transport: Transport, state: &State) -> Option<Vec<u8>> {
    let mut out = vec![0xAA; TCP_LIMIT];
    let length = answer(message, &asker(transport), state, &params(), &mut out)?.length;
    out.truncate(length);
    Some(out)
}

fn ask(message: &Message) -> Reply {
    let reply = send(&message.bytes(), Transport::Udp, &state()).expect("an answer");
    assert_eq!(reply[..2], [0xBE, 0xEF], "the ID is the query's");
    assert_ne!(reply[2] & 0x80, 0, "it is a response");
    Reply::read(&reply)
}

/// What, the message, and what is expected: the code, how many questions come back, AA, how many answers.
type Row = (&'static str, Message, Rcode, u16, bool, usize);

fn check(table: Vec<Row>) {
    for (what, message, rcode, questions, aa, answers) in table {
        let reply = ask(&message);
        assert_eq!((reply.rcode, reply.questions, reply.authoritative(), reply.of(1).len()), (rcode.0, questions, aa, answers), "{what}");
        assert!(!reply.truncated(), "{what}");
        assert_eq!((reply.flags >> 11) & 0xF, (message.flags >> 11) & 0xF, "{what}: the opcode is kept");
        let negative = aa && answers == 0;
        assert_eq!(reply.of(2), if negative { vec![("dyn.example.org.", 6)] } else { vec![] }, "{what}");
    }
}

/// A record of the root without data.
const RECORD: [u8; 11] = [0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0];

#[test]
fn every_name_of_the_zone_has_its_answer() {
    let asking = Message::asking;
    #[rustfmt::skip]
    let table: Vec<Row> = vec![
        ("A", asking(CLOUD, Type::A), Rcode::NOERROR, 1, true, 2),
        ("AAAA", asking(CLOUD, Type::AAAA), Rcode::NOERROR, 1, true, 1),
        ("another type", asking(CLOUD, Type(65)), Rcode::NOERROR, 1, true, 0),
        ("an unassigned type", asking(CLOUD, Type(65_000)), Rcode::NOERROR, 1, true, 0),
        ("a twin's A", asking(AWAY_TWIN, Type::A), Rcode::NOERROR, 1, true, 0),
        ("the AAAA of who is away", asking(AWAY_TWIN, Type::AAAA), Rcode::NOERROR, 1, true, 0),
        ("no such name", asking(ABSENT, Type::A), Rcode::NXDOMAIN, 1, true, 0),
        ("no such name, ANY", asking(ABSENT, Type::ANY), Rcode::NXDOMAIN, 1, true, 0),
        ("a challenge", asking(CHALLENGE, Type::TXT), Rcode::NOERROR, 1, true, 1),
        ("a name with a dot in a label", asking(&[b"x.cloud", b"dyn", b"example", b"org"], Type::A), Rcode::NXDOMAIN, 1, true, 0),
        ("a name that a dot makes up", asking(&[b"_acme-challenge.cloud", b"dyn", b"example", b"org"], Type::TXT), Rcode::NXDOMAIN, 1, true, 0),
        ("an @", asking(&[b"@", b"dyn", b"example", b"org"], Type::A), Rcode::NXDOMAIN, 1, true, 0),
        ("ANY", asking(CLOUD, Type::ANY), Rcode::NOERROR, 1, true, 2),
        ("SOA", asking(APEX, Type::SOA), Rcode::NOERROR, 1, true, 1),
        ("NS", asking(APEX, Type::NS), Rcode::NOERROR, 1, true, 2),
        ("HTTPS", asking(AWAY, Type::HTTPS), Rcode::NOERROR, 1, true, 1),
        ("CAA", asking(AWAY, Type::CAA), Rcode::NOERROR, 1, true, 1),
        ("MX", asking(AWAY, Type::MX), Rcode::NOERROR, 1, true, 1),
        ("SRV", asking(SERVICE, Type::SRV), Rcode::NOERROR, 1, true, 1),
        ("on the way to a record", asking(&SERVICE[1..], Type::SRV), Rcode::NOERROR, 1, true, 0),
    ];
    check(table);
}

#[test]
fn what_is_not_served_is_declined() {
    let asking = Message::asking;
    #[rustfmt::skip]
    let table: Vec<Row> = vec![
        ("another zone", asking(OFF_ZONE, Type::A), Rcode::REFUSED, 1, false, 0),
        ("the root", asking(&[], Type::NS), Rcode::REFUSED, 1, false, 0),
        ("a zone that is not there yet", asking(&[b"other", b"test"], Type::SOA), Rcode::SERVFAIL, 1, false, 0),
        ("another class", Message::empty().question(CLOUD, Type::A, 3), Rcode::REFUSED, 1, false, 0),
        ("any class", Message::empty().question(CLOUD, Type::A, 255), Rcode::REFUSED, 1, false, 0),
        ("AXFR", asking(APEX, Type::AXFR), Rcode::REFUSED, 1, false, 0),
        ("IXFR", asking(APEX, Type::IXFR).record(2, &RECORD), Rcode::REFUSED, 1, false, 0),
        ("OPT asked for", asking(CLOUD, Type::OPT), Rcode::FORMERR, 1, false, 0),
        ("TSIG asked for", asking(CLOUD, Type::TSIG), Rcode::FORMERR, 1, false, 0),
        ("NXNAME asked for", asking(CLOUD, Type::NXNAME), Rcode::FORMERR, 1, false, 0),
        ("MAILB", asking(CLOUD, Type::MAILB), Rcode::NOTIMP, 1, false, 0),
        ("EDNS 1", asking(CLOUD, Type::A).record(3, &opt(1232, 1, 0)), Rcode::BADVERS, 1, false, 0),
        ("NOTIFY", asking(APEX, Type::SOA).opcode(4), Rcode::NOTIMP, 1, false, 0),
        ("UPDATE", asking(APEX, Type::SOA).opcode(5), Rcode::NOTIMP, 1, false, 0),
        ("an opcode alone", Message::empty().opcode(15).edns(1232), Rcode::NOTIMP, 0, false, 0),
    ];
    check(table);
}

#[test]
fn a_broken_message_is_said_to_be_broken() {
    let asking = Message::asking;
    let a = || asking(CLOUD, Type::A);
    let only = |body: &[u8]| Message { body: body.to_vec(), counts: [1, 0, 0, 0], ..Message::empty() };
    let mut broken_option = opt(1232, 0, 0);
    broken_option.truncate(9);
    broken_option.extend([0, 3, 0, 10, 0]);
    let mut opt_elsewhere = vec![1, b'x'];
    opt_elsewhere.extend(opt(1232, 0, 0));
    #[rustfmt::skip]
    let table: Vec<Row> = vec![
        ("no question", Message::empty(), Rcode::FORMERR, 0, false, 0),
        ("no question, EDNS", Message::empty().edns(1232), Rcode::FORMERR, 0, false, 0),
        ("two questions", a().question(CLOUD, Type::AAAA, CLASS_IN), Rcode::FORMERR, 0, false, 0),
        ("a question cut short", only(b"\x05clo"), Rcode::FORMERR, 0, false, 0),
        ("a question that points", only(b"\xc0\x0c\0\x01\0\x01"), Rcode::FORMERR, 0, false, 0),
        ("a label of an unknown kind", only(b"\x41x\0\0\x01\0\x01"), Rcode::FORMERR, 0, false, 0),
        ("bytes behind the end", a().trailing(b"x"), Rcode::FORMERR, 1, false, 0),
        ("a record that is not there", Message { counts: [1, 0, 0, 1], ..a() }, Rcode::FORMERR, 1, false, 0),
        ("an answer in the query", a().record(1, &RECORD), Rcode::FORMERR, 1, false, 0),
        ("authority in the query", a().record(2, &RECORD), Rcode::FORMERR, 1, false, 0),
        ("another additional record", a().record(3, &RECORD), Rcode::NOERROR, 1, true, 2),
        ("two OPTs", a().edns(1232).edns(1232), Rcode::FORMERR, 1, false, 0),
        ("a broken option", a().record(3, &broken_option), Rcode::FORMERR, 1, false, 0),
        ("an OPT of another name", a().record(3, &opt_elsewhere), Rcode::FORMERR, 1, false, 0),
    ];
    check(table);
}

#[test]
fn of_the_flags_only_rd_comes_back() {
    // AA, TC, RA, Z, AD, CD in a query mean nothing here.
    let reply = ask(&Message::asking(CLOUD, Type::A).flags(0x07F0));
    assert_eq!(reply.flags, 0x8500);
    assert_eq!(ask(&Message::asking(CLOUD, Type::A).flags(0x0000)).flags, 0x8400);
}

#[test]
fn the_question_comes_back_letter_by_letter() {
    let labels: &[&[u8]] = &[b"cLoUd", b"DYN", b"eXample", b"Org"];
    let message = Message::asking(labels, Type::AAAA);
    let reply = ask(&message);
    assert_eq!(reply.question, message.body);
    assert_eq!(reply.of(1), [("cLoUd.DYN.eXample.Org.", 28)]);
}

#[test]
fn negative_answers_may_be_remembered_for_the_minimum() {
    let reply = ask(&Message::asking(ABSENT, Type::A));
    let soa = &reply.records[0];
    assert_eq!((soa.ttl, soa.data.last_chunk::<20>().map(|n| u32::from_be_bytes([n[16], n[17], n[18], n[19]]))), (60, Some(60)));
    let at_apex = ask(&Message::asking(APEX, Type::SOA));
    assert_eq!(at_apex.records[0].ttl, 300);
}

#[test]
fn name_servers_in_the_zone_come_with_their_addresses() {
    let reply = ask(&Message::asking(APEX, Type::NS));
    let gw = "gw.dyn.example.org.";
    assert_eq!(reply.of(3), [(gw, 1), (gw, 1), (gw, 28)], "the name server outside has none");
}

/// What is counted together when a network is told too much: one name, one wildcard, what a zone has not, what is wrong.
#[test]
fn an_answer_says_what_it_is_about() {
    let mut state = state();
    let host = HostName::parse("cloud", &params().zones).expect("a host");
    let edits = vec!["wildcard=on".parse().expect("an edit")];
    state.apply(&Change::Set { host, edits }, &Policy::default()).expect("a good change");
    let about = |labels: &[&[u8]], kind: Type| {
        let mut out = [0; UDP_LIMIT];
        let answer =
            answer(&Message::asking(labels, kind).bytes(), &asker(Transport::Udp), &state, &params(), &mut out).expect("an answer");
        (answer.kind, answer.name(&out[..answer.length]).to_vec())
    };
    let wire = |labels: &[&[u8]]| labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect::<Vec<u8>>();
    let below = |label: &'static [u8]| [&[label][..], CLOUD].concat();
    assert_eq!(about(CLOUD, Type::A), (Kind::OfName, wire(CLOUD)));
    assert_eq!(about(CLOUD, Type(15)), (Kind::OfName, wire(CLOUD)), "a name that is there has its own account for what it lacks");
    for (label, kind) in [(&b"a"[..], Type::A), (b"another", Type::A), (b"a", Type(15))] {
        assert_eq!(about(&below(label), kind), (Kind::OfWildcard, wire(CLOUD)), "{label:?}");
    }
    assert_eq!(about(&[&[&b"x"[..], b"y"], CLOUD].concat(), Type::A), (Kind::OfWildcard, wire(CLOUD)));
    assert_eq!(about(ABSENT, Type::A), (Kind::Absent, wire(APEX)));
    assert_eq!(about(OFF_ZONE, Type::A), (Kind::Fault, vec![]));
}

#[test]
fn a_reply_never_exceeds_what_the_client_takes() {
    // 43 characters each, as ACME has them: about 1,700 bytes in all.
    let many = state_with((0..30).map(|at| format!("{at:043}")).collect());
    let reply = |message: Message, transport| Reply::read(&send(&message.bytes(), transport, &many).expect("an answer"));
    let txt = || Message::asking(CHALLENGE, Type::TXT);
    for (message, limit) in [(txt(), 512), (txt().edns(0), 512), (txt().edns(700), 700), (txt().edns(65_535), 1232)] {
        let reply = reply(message, Transport::Udp);
        assert!(reply.truncated() && reply.length <= limit, "{limit}");
        assert_eq!((reply.questions, reply.of(1).len() + reply.of(2).len() + reply.of(3).len()), (1, 0));
    }
    assert!(reply(txt().edns(4096), Transport::Udp).opt().is_some(), "EDNS is not lost by truncation");
    let whole = reply(txt(), Transport::Tcp);
    assert_eq!((whole.truncated(), whole.of(1).len()), (false, 30));
    let few = state_with((0..8).map(|at| format!("{at:043}")).collect());
    let large = Reply::read(&send(&txt().edns(1232).bytes(), Transport::Udp, &few).expect("an answer"));
    assert!(large.length > 512 && !large.truncated() && large.of(1).len() == 8);
}

#[test]
fn a_long_value_is_several_strings() {
    let reply = |value: &str| {
        let state = state_with(BTreeSet::from([value.to_owned()]));
        let message = Message::asking(CHALLENGE, Type::TXT).edns(1232);
        Reply::read(&send(&message.bytes(), Transport::Udp, &state).expect("an answer")).records.remove(0).data
    };
    let long = reply(&"x".repeat(300));
    assert_eq!((long.len(), long[0], long[256]), (302, 255, 45));
    assert_eq!(reply(""), [0]);
}

#[test]
fn what_no_message_can_hold_is_truncated_on_tcp_too() {
    let endless = state_with(BTreeSet::from(["x".repeat(70_000)]));
    let reply = send(&Message::asking(CHALLENGE, Type::TXT).bytes(), Transport::Tcp, &endless).expect("an answer");
    assert!(Reply::read(&reply).truncated());
}

#[test]
fn a_changed_state_is_the_next_answer() {
    let mut state = state();
    let serial = |state: &State| {
        let reply = send(&Message::asking(APEX, Type::SOA).bytes(), Transport::Udp, state).expect("an answer");
        Reply::read(&reply).records[0].data.last_chunk::<20>().expect("five numbers")[..4].to_vec()
    };
    let before = serial(&state);
    let host = HostName::parse("cloud", &params().zones).expect("a host");
    let moved = Change::Move { host, address: "2001:db8:2::11".parse().expect("v6"), at: Timestamp::UNIX_EPOCH };
    state.apply(&moved, &Policy::default()).expect("it moved");
    let reply = send(&Message::asking(CLOUD, Type::AAAA).bytes(), Transport::Udp, &state).expect("an answer");
    assert_eq!(Reply::read(&reply).records[0].data[..6], [0x20, 1, 0x0D, 0xB8, 0, 2]);
    assert_ne!(serial(&state), before);
}
