//! EDNS, and what comes with it: cookies (RFC 7873), and why something is declined (RFC 8914).

use super::*;

#[test]
fn edns_is_answered_by_edns_and_only_then() {
    assert!(ask(&Message::asking(CLOUD, Type::A)).opt().is_none());
    for (flags, expected) in [(0, 0), (0x8000, 0x8000), (0xFFFF, 0x8000)] {
        let reply = ask(&Message::asking(CLOUD, Type::A).record(3, &opt(4096, 0, flags)));
        let opt = reply.opt().expect("an OPT");
        assert_eq!((opt.class, opt.ttl, opt.data.len()), (1232, expected, 0));
    }
    for fault in [Message::asking(OFF_ZONE, Type::A).edns(512), Message::asking(APEX, Type::SOA).opcode(4).edns(512)] {
        assert!(ask(&fault).opt().is_some(), "errors too");
    }
    let unknown_option = [opt(1232, 0, 0)[..9].to_vec(), vec![0, 6, 0xFD, 0xE9, 0, 2, 1, 2]].concat();
    assert_eq!(ask(&Message::asking(CLOUD, Type::A).record(3, &unknown_option)).rcode, 0);
}

/// An OPT record with one option.
fn with_option(code: u16, data: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).expect("short").to_be_bytes();
    [&opt(1232, 0, 0)[..9], &length(4 + data.len()), &code.to_be_bytes(), &length(data.len()), data].concat()
}

/// The answer to a message of somebody who may have cookies, and whether it is known.
fn ask_with_cookies(message: &Message, address: [u8; 4]) -> (Reply, bool) {
    let secrets = Secrets::at(1_559_731_985, |_| [7; 16]);
    let asker = Asker { address: Ipv4Addr::from(address).into(), secrets: Some(&secrets), ..asker(Transport::Udp) };
    let mut out = [0; UDP_LIMIT];
    let answer = answer(&message.bytes(), &asker, &state(), &params(), &mut out).expect("an answer");
    (Reply::read(&out[..answer.length]), answer.known)
}

#[test]
fn whoever_brings_a_cookie_gets_one_and_is_known_by_it() {
    const CLIENT: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let question = || Message::asking(CLOUD, Type::A);
    let (reply, known) = ask_with_cookies(&question().record(3, &with_option(10, CLIENT)), [198, 51, 100, 1]);
    let option = &reply.opt().expect("an OPT").data;
    assert_eq!((known, &option[..12]), (false, &[&[0, 10, 0, 24], CLIENT].concat()[..]));
    let both = question().record(3, &with_option(10, &option[4..]));
    let (reply, known) = ask_with_cookies(&both, [198, 51, 100, 1]);
    assert!(known && reply.of(1).len() == 2);
    assert!(!ask_with_cookies(&both, [198, 51, 100, 2]).1, "somebody else's");
    let (reply, known) = ask_with_cookies(&question().edns(1232), [198, 51, 100, 1]);
    assert!(!known && reply.opt().is_some_and(|opt| opt.data.is_empty()), "who brings none gets none");
}

#[test]
fn a_version_that_is_not_there_is_said_so_before_anything_else() {
    let of_version_1 = |code: u16, data: &[u8]| {
        let mut record = with_option(code, data);
        record[6] = 1;
        record
    };
    for message in [
        Message::empty().record(3, &of_version_1(10, &[1; 8])),
        Message::asking(CLOUD, Type::A).record(3, &of_version_1(10, &[1; 3])),
        Message::empty().record(3, &opt(1232, 1, 0)),
    ] {
        assert_eq!(ask(&message).rcode, Rcode::BADVERS.0);
    }
}

#[test]
fn a_cookie_may_be_all_that_is_asked_for() {
    let (reply, _) = ask_with_cookies(&Message::empty().record(3, &with_option(10, &[1; 8])), [198, 51, 100, 1]);
    assert_eq!((reply.rcode, reply.questions, reply.opt().map(|opt| opt.data.len())), (0, 0, Some(28)));
    assert_eq!(ask(&Message::empty().edns(1232)).rcode, Rcode::FORMERR.0, "nothing is no question");
}

#[test]
fn a_cookie_of_no_length_that_there_is_is_malformed() {
    for length in [0, 7, 9, 15, 41] {
        let message = Message::asking(CLOUD, Type::A).record(3, &with_option(10, &vec![1; length]));
        assert_eq!(ask_with_cookies(&message, [198, 51, 100, 1]).0.rcode, Rcode::FORMERR.0, "{length}");
    }
    for length in [8, 16, 40] {
        let message = Message::asking(CLOUD, Type::A).record(3, &with_option(10, &vec![1; length]));
        assert_eq!(ask_with_cookies(&message, [198, 51, 100, 1]).0.rcode, 0, "{length}");
    }
}

#[test]
fn a_declined_query_is_told_why_if_it_can_hear_it() {
    for (message, why) in [
        (Message::asking(OFF_ZONE, Type::A), 20),
        (Message::asking(APEX, Type::AXFR), 18),
        (Message::asking(APEX, Type::SOA).opcode(4), 21),
        (Message::asking(&[b"other", b"test"], Type::SOA), 14),
    ] {
        assert_eq!(ask(&message.clone().edns(1232)).opt().map(|opt| opt.data.clone()), Some(vec![0, 15, 0, 2, 0, why]), "{why}");
        assert!(ask(&message).opt().is_none());
    }
}
