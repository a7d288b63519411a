//! Replies made by hand and by chance: whole, cut, bent and endless. Real servers answer in the root package's tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn question() -> Question {
    Question { name: name("owncloud.example.org"), kind: Type::A, recursion: true }
}

/// A message as a careful server writes it: each name that stood there before is a pointer.
struct Message {
    bytes: Vec<u8>,
    names: Vec<(DnsName, usize)>,
}

impl Message {
    fn word(&mut self, word: u16) {
        self.bytes.extend(word.to_be_bytes());
    }

    fn name(&mut self, name: Option<&DnsName>) {
        let mut rest = name.cloned();
        while let Some(name) = rest {
            if let Some((_, place)) = self.names.iter().find(|(known, _)| *known == name) {
                return self.word(0xC000 | u16::try_from(*place).expect("near"));
            }
            if self.bytes.len() < 0x4000 {
                self.names.push((name.clone(), self.bytes.len()));
            }
            let label = name.labels().next().expect("a label");
            self.bytes.push(u8::try_from(label.len()).expect("short"));
            self.bytes.extend(label.as_bytes());
            rest = name.as_str().split_once('.').and_then(|(_, rest)| rest.parse().ok());
        }
        self.bytes.push(0);
    }

    fn record(&mut self, record: &Record) {
        self.name(record.owner.as_ref());
        self.word(record.kind.0);
        self.word(record.class);
        self.bytes.extend(record.ttl.to_be_bytes());
        let length = self.bytes.len();
        self.word(0);
        match &record.data {
            Data::A(address) => self.bytes.extend(address.octets()),
            Data::Aaaa(address) => self.bytes.extend(address.octets()),
            Data::Cname(name) | Data::Ns(name) => self.name(Some(name)),
            Data::Soa(soa) => {
                self.name(soa.primary.as_ref());
                self.name(None);
                self.bytes.extend(soa.serial.to_be_bytes());
                self.bytes.extend([0; 12]);
                self.bytes.extend(soa.minimum.to_be_bytes());
            }
            Data::Txt(strings) => strings.iter().for_each(|string| {
                self.bytes.push(u8::try_from(string.len()).expect("short"));
                self.bytes.extend(string);
            }),
            Data::Ds(ds) => {
                self.bytes.extend(ds.tag.to_be_bytes());
                self.bytes.extend([ds.algorithm, ds.digest_type]);
                self.bytes.extend(&ds.digest);
            }
            Data::Dnskey(key) => self.bytes.extend(key),
            Data::Other => self.bytes.extend([1, 2, 3]),
        }
        let written = u16::try_from(self.bytes.len() - length - 2).expect("short");
        self.bytes[length..length + 2].copy_from_slice(&written.to_be_bytes());
    }
}

fn written(reply: &Reply) -> Vec<u8> {
    let mut message = Message { bytes: Vec::new(), names: Vec::new() };
    let flag = |on: bool, at: u16| u16::from(on) << at;
    let flags = flag(reply.authoritative, 10) | flag(reply.truncated, 9) | flag(reply.recursion_available, 7);
    let sections = [&reply.answer, &reply.authority, &reply.additional];
    message.word(reply.id);
    message.word(RESPONSE | flags | reply.rcode.0 & 0xF);
    message.word(reply.question.is_some().into());
    for (at, section) in sections.iter().enumerate() {
        message.word(u16::try_from(section.len() + usize::from(at == 2)).expect("few"));
    }
    if let Some((name, kind)) = &reply.question {
        message.name(Some(name));
        message.word(kind.0);
        message.word(CLASS_IN);
    }
    sections.iter().for_each(|section| section.iter().for_each(|record| message.record(record)));
    let [_, extended] = (reply.rcode.0 >> 4).to_be_bytes();
    message.bytes.extend([0, 0, 41, 4, 208, extended, 0, 0, 0, 0, 0]);
    message.bytes
}

fn record(owner: &str, ttl: u32, data: Data) -> Record {
    let kind = match &data {
        Data::A(_) => Type::A,
        Data::Aaaa(_) => Type::AAAA,
        Data::Cname(_) => Type::CNAME,
        Data::Ns(_) => Type::NS,
        Data::Soa(_) => Type::SOA,
        Data::Txt(_) => Type::TXT,
        Data::Ds(_) => Type::DS,
        Data::Dnskey(_) => Type::DNSKEY,
        Data::Other => Type(257),
    };
    Record { owner: Some(name(owner)), kind, class: CLASS_IN, ttl, data }
}

fn to(owner: &str, target: &str) -> Record {
    record(owner, 300, Data::Cname(name(target)))
}

fn reply(answer: Vec<Record>) -> Reply {
    let Question { name, kind, .. } = question();
    Reply {
        id: 7,
        question: Some((name, kind)),
        authoritative: false,
        truncated: false,
        recursion_available: true,
        rcode: Rcode::NOERROR,
        answer,
        authority: Vec::new(),
        additional: Vec::new(),
    }
}

#[test]
fn a_question_is_what_rfc_1035_and_6891_say() {
    let asked = Question { name: name("a.example"), kind: Type::AAAA, recursion: true }.message(0x1234);
    assert_eq!(asked, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x01a\x07example\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0");
    let query = crate::wire::Query::parse(&asked).expect("a query");
    assert!(query.sound && query.edns.is_some_and(|edns| edns.size == UDP_SIZE && !edns.dnssec_ok));
}

#[test]
fn another_id_question_or_direction_is_foreign() {
    let message = written(&reply(Vec::new()));
    assert!(question().reply(7, &message).is_ok());
    assert_eq!(question().reply(8, &message), Err(ReplyError::Foreign));
    assert_eq!(Question { kind: Type::AAAA, ..question() }.reply(7, &message), Err(ReplyError::Foreign));
    assert_eq!(Question { name: name("example.org"), ..question() }.reply(7, &message), Err(ReplyError::Foreign));
    assert_eq!(question().reply(7, &question().message(7)), Err(ReplyError::Foreign), "a question is no reply");
    assert_eq!(question().reply(7, b"\0\x07"), Err(ReplyError::Foreign));
}

#[test]
fn the_case_of_a_name_does_not_matter() {
    let mut message = written(&reply(Vec::new()));
    message[13..21].copy_from_slice(b"OwnCloud");
    assert!(question().reply(7, &message).is_ok());
}

#[test]
fn only_an_error_may_leave_the_question_out() {
    let with = |rcode| question().reply(7, &written(&Reply { question: None, rcode, ..reply(Vec::new()) }));
    assert!(with(Rcode::FORMERR).is_ok() && with(Rcode::REFUSED).is_ok());
    assert_eq!(with(Rcode::NOERROR), Err(ReplyError::Foreign));
    assert_eq!(with(Rcode::NXDOMAIN), Err(ReplyError::Foreign));
}

#[test]
fn a_reply_cut_anywhere_is_broken_unless_it_says_so_itself() {
    let whole = Reply { truncated: true, ..reply(vec![to("owncloud.example.org", "cloud.dyn.example.org"); 2]) };
    let message = written(&whole);
    let question_end = 12 + 22 + 4;
    for length in 12..message.len() {
        let cut = Reply::parse(&message[..length]);
        assert_eq!(cut.is_some(), length >= question_end, "cut at {length}");
        assert!(cut.is_none_or(|cut| whole.answer.starts_with(&cut.answer)), "cut at {length}");
    }
    let message = written(&Reply { truncated: false, ..whole });
    for length in 0..message.len() {
        assert_eq!(Reply::parse(&message[..length]), None, "cut at {length}");
    }
}

#[test]
fn names_that_are_no_host_names_spoil_nothing() {
    let mut message = written(&reply(vec![to("a b".replace(' ', "-").as_str(), "cloud.dyn.example.org"), to("x.org", "y-z.org")]));
    for (from, to) in [(&b"\x03a-b"[..], &b"\x03a.b"[..]), (b"\x03y-z", b"\x03y\0z")] {
        let at = message.windows(from.len()).position(|window| window == from).expect("it is there");
        message[at..at + to.len()].copy_from_slice(to);
    }
    let read = question().reply(7, &message).expect("a reply").answer;
    assert_eq!((&read[0].owner, &read[0].data), (&None, &Data::Cname(name("cloud.dyn.example.org"))));
    assert_eq!((&read[1].owner, &read[1].data), (&Some(name("x.org")), &Data::Other));
}

#[test]
fn pointers_lead_strictly_backwards() {
    let header = [0, 7, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let rest = [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1];
    let with = |owner: &[u8]| Reply::parse(&[&header, owner, &rest].concat());
    assert!(with(&[0xC0, 2]).is_none(), "to 0x80, which is no label");
    assert!(with(&[0xC0, 6]).is_some(), "to a zero, wherever it stands");
    for owner in [&[0xC0, 12][..], &[0xC0, 14], &[1, b'a', 0xC0, 12], &[0xFF, 0xFF], &[0x40, 0]] {
        assert_eq!(with(owner), None, "{owner:?}");
    }
}

#[test]
fn a_chain_of_pointers_has_an_end() {
    // Each pointer leads to the one before it.
    let with = |pointers: u16| {
        let mut message = vec![0, 7, 0x80, 0, 0, 0, 0, 2, 0, 0, 0, 0];
        message.extend([0, 0, 16, 0, 3, 0, 0, 0, 0]);
        message.extend((2 * pointers).to_be_bytes());
        let begin = u16::try_from(message.len()).expect("short");
        (0..pointers).for_each(|at| message.extend((0xC000 | if at == 0 { 12 } else { begin + 2 * (at - 1) }).to_be_bytes()));
        message.extend((0xC000 | (begin + 2 * (pointers - 1))).to_be_bytes());
        message.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
        Reply::parse(&message)
    };
    assert!(with(126).is_some());
    assert!(with(127).is_none());
}

#[test]
fn more_records_than_anybody_needs_are_refused() {
    let records = |count: usize| Reply::parse(&written(&reply(vec![record("a.org", 1, Data::Other); count])));
    assert!(records(RECORD_LIMIT - 1).is_some());
    assert!(records(RECORD_LIMIT).is_none());
}

#[test]
fn a_chain_is_followed_in_any_order_and_has_the_shortest_ttl() {
    let cloud = name("cloud.dyn.example.org");
    let shuffled = reply(vec![
        record("b.example.net", 60, Data::Cname(cloud.clone())),
        record("cloud.dyn.example.org", 20, Data::A([192, 0, 2, 11].into())),
        to("owncloud.example.org", "b.example.net"),
    ]);
    assert_eq!(shuffled.chain(&question().name, 8), Some(Chain { end: cloud.clone(), links: 2, ttl: 60 }));
    assert_eq!(shuffled.chain(&question().name, 1), None);
    assert_eq!(shuffled.chain(&cloud, 8).map(|chain| chain.links), Some(0));
    let circle = reply(vec![to("owncloud.example.org", "b.org"), to("b.org", "owncloud.example.org")]);
    assert_eq!(circle.chain(&question().name, 8), None);
}

#[test]
fn nothing_may_be_kept_as_long_as_the_zone_says() {
    let soa = |ttl, minimum| record("example.org", ttl, Data::Soa(Soa { primary: None, serial: 1, minimum }));
    let negative = |record| Reply { rcode: Rcode::NXDOMAIN, authority: vec![record], ..reply(Vec::new()) }.negative_ttl();
    assert_eq!((negative(soa(300, 60)), negative(soa(30, 60))), (Some(60), Some(30)));
    assert_eq!(reply(Vec::new()).negative_ttl(), None);
    let long = written(&reply(vec![record("a.org", 0x8000_0000, Data::Other)]));
    assert_eq!(Reply::parse(&long).expect("a reply").answer[0].ttl, 0, "RFC 2181 §8");
}

fn any_name() -> impl Strategy<Value = DnsName> {
    vec("[a-z0-9_]{1,3}", 1..4).prop_map(|labels| format!("{}.x", labels.join(".")).parse().expect("a name"))
}

fn any_data() -> impl Strategy<Value = Data> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Data::A(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Data::Aaaa(octets.into())),
        any_name().prop_map(Data::Cname),
        any_name().prop_map(Data::Ns),
        (option::of(any_name()), any::<u32>(), any::<u32>()).prop_map(|(primary, serial, minimum)| Data::Soa(Soa {
            primary,
            serial,
            minimum
        })),
        vec(vec(any::<u8>(), 0..255), 0..3).prop_map(Data::Txt),
        (any::<u16>(), any::<[u8; 2]>(), vec(any::<u8>(), 0..64)).prop_map(|(tag, [algorithm, digest_type], digest)| Data::Ds(Ds {
            tag,
            algorithm,
            digest_type,
            digest
        })),
        vec(any::<u8>(), 0..80).prop_map(Data::Dnskey),
        Just(Data::Other),
    ]
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let one = (option::of(any_name()), 0..=LONGEST_TTL, any_data());
    vec(one.prop_map(|(owner, ttl, data)| Record { owner, ..record("x", ttl, data) }), 0..6)
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let head = (any::<u16>(), option::of(any_name()), any::<[bool; 3]>(), 0_u16..4096);
    (head, any_records(), any_records(), any_records()).prop_map(|((id, asked, flags, rcode), answer, authority, additional)| Reply {
        id,
        question: asked.map(|name| (name, Type::TXT)),
        authoritative: flags[0],
        truncated: flags[1],
        recursion_available: flags[2],
        rcode: Rcode(rcode),
        answer,
        authority,
        additional,
    })
}

proptest! {
    #[test]
    fn what_is_built_parses_back(reply in any_reply()) {
        prop_assert_eq!(Reply::parse(&written(&reply)), Some(reply));
    }

    #[test]
    fn any_bytes_are_a_reply_or_none(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Reply::parse(&bytes);
        let _ = question().reply(7, &bytes);
    }

    #[test]
    fn a_bent_reply_is_a_reply_or_none(reply in any_reply(), bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut message = written(&reply);
        for (at, byte) in bends {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some(read) = Reply::parse(&message) {
            let _ = read.chain(&question().name, 8);
        }
    }
}
