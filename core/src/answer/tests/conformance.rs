//! Headers and EDNS as the RFCs want them, case by case: RFC 1035 §4.1, RFC 6891 §6 and §7, RFC 6895 §2, RFC 8906 §8, RFC 9619 §4.
//!
//! Each reply is compared whole but for the contents of records, whose number must fit; by UDP and by TCP it is the same.

use super::*;

const QR: u16 = 0x8000;
const AA: u16 = 0x0400;
const RD: u16 = 0x0100;

/// NOERROR with the two addresses of the host.
const FOUND: Said = Said { flags: QR | AA, rcode: 0, sections: [1, 2, 0], opt: None };
const NODATA: Said = Said { sections: [1, 0, 1], ..FOUND };
const BAD: Said = Said { flags: QR, rcode: 1, sections: [1, 0, 0], opt: None };
/// What could not be taken apart is not repeated.
const WORSE: Said = Said { sections: [0; 3], ..BAD };
const NOT_DONE: Said = Said { rcode: 4, ..BAD };
const REFUSED: Said = Said { rcode: 5, ..BAD };
const BAD_VERSION: Said = Said { rcode: 16, opt: Some(0), ..BAD };

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    /// The header's flags, but for RD, the opcode and the code.
    flags: u16,
    rcode: u16,
    /// Questions, answers, authority.
    sections: [usize; 3],
    /// The OPT's flags, if there is one.
    opt: Option<u32>,
}

impl Said {
    const fn with_opt(self, flags: u32) -> Self {
        Self { opt: Some(flags), ..self }
    }
}

fn a() -> Message {
    Message::asking(CLOUD, Type::A).flags(0)
}

fn raw(counts: [u16; 4], body: &[u8]) -> Message {
    Message { flags: 0, counts, body: body.to_vec() }
}

/// An OPT record with these options.
fn options(version: u8, flags: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
    let data: Vec<u8> =
        options.iter().flat_map(|(code, value)| [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()).collect();
    [&opt(1232, version, flags)[..9], &(data.len() as u16).to_be_bytes(), &data].concat()
}

#[track_caller]
fn says(what: &str, message: &Message, expected: Said) {
    let bytes = message.bytes();
    let udp = send(&bytes, Transport::Udp, &state()).unwrap_or_else(|| panic!("{what}: silence"));
    assert_eq!(Some(&udp), send(&bytes, Transport::Tcp, &state()).as_ref(), "{what}: by TCP");
    let reply = Reply::read(&udp);
    let sections = [reply.questions.into(), reply.of(1).len(), reply.of(2).len()];
    // The opcode and RD come back, of a query that can be read at all.
    let kept = message.flags & (0x7800 | RD);
    let said = Said { flags: reply.flags & 0x87F0 & !RD, rcode: reply.rcode, sections, opt: reply.opt().map(|opt| opt.ttl & 0x00FF_FFFF) };
    assert_eq!((said, reply.flags & (0x7800 | RD)), (expected, kept), "{what}");
    assert_eq!(reply.of(3).len(), 0, "{what}: nothing else beside an OPT");
    if let Some(opt) = reply.opt() {
        assert_eq!((opt.owner.as_str(), opt.class), ("", 1232), "{what}");
        let of_ours = opt.data.is_empty() || opt.data[..4] == [0, 15, 0, 2] && opt.data.len() == 6;
        assert!(of_ours, "{what}: no option comes back, but for why a query was declined (RFC 8914)");
    }
    if expected.sections[0] == 1 {
        assert!(message.body.starts_with(&reply.question), "{what}: the question comes back as it was");
    }
}

#[test]
fn headers_are_as_the_rfcs_want() {
    #[rustfmt::skip]
    let table = [
        ("a plain question", a(), FOUND),
        ("recursion desired is repeated, and not done", a().flags(RD), FOUND),
        ("AA in a query means nothing", a().flags(AA), FOUND),
        ("TC in a query means nothing", a().flags(0x0200), FOUND),
        ("RA in a query means nothing", a().flags(0x0080), FOUND),
        ("Z must be zero in a reply (RFC 8906 §8.1.3.1)", a().flags(0x0040), FOUND),
        ("AD in a query does not come back", a().flags(0x0020), FOUND),
        ("CD in a query does not come back", a().flags(0x0010), FOUND),
        ("a code in a query means nothing", a().flags(0x000F), FOUND),
        ("an unknown type (RFC 3597)", Message::asking(CLOUD, Type(1_000)).flags(0), NODATA),
        ("the last type", Message::asking(CLOUD, Type(65_535)).flags(0), NODATA),
        ("type 0", Message::asking(CLOUD, Type(0)).flags(0), NODATA),
        ("class CH", Message::empty().question(CLOUD, Type::A, 3).flags(0), REFUSED),
        ("class NONE", Message::empty().question(CLOUD, Type::A, 254).flags(0), REFUSED),
        ("class 0", Message::empty().question(CLOUD, Type::A, 0).flags(0), REFUSED),
        ("an unassigned class", Message::empty().question(CLOUD, Type::A, 12_345).flags(0), REFUSED),
        ("no question", raw([0; 4], b""), WORSE),
        ("no question, with EDNS", raw([0, 0, 0, 1], &opt(1232, 0, 0)), WORSE.with_opt(0)),
        ("two questions (RFC 9619)", a().question(CLOUD, Type::AAAA, CLASS_IN), WORSE),
        ("the same question twice", a().question(CLOUD, Type::A, CLASS_IN), WORSE),
        ("a question that points at itself", raw([1, 0, 0, 0], b"\xc0\x0c\0\x01\0\x01"), WORSE),
        ("a question that points into the header", raw([1, 0, 0, 0], b"\x01a\xc0\0\0\x01\0\x01"), WORSE),
        ("a question that points ahead", raw([1, 0, 0, 0], b"\xc0\x12\0\x01\0\x01\x01a\0"), WORSE),
        ("a label of a kind that never came (RFC 6891 §5)", raw([1, 0, 0, 0], b"\x41\x01a\0\0\x01\0\x01"), WORSE),
        ("an answer in a query", a().record(1, &RECORD), BAD),
        ("authority in a query", a().record(2, &RECORD), BAD),
        ("something additional", a().record(3, &RECORD), FOUND),
        ("a byte behind the end", a().trailing(&[0]), BAD),
        ("a whole message behind the end", a().trailing(&a().bytes()), BAD),
        ("a byte behind EDNS", a().edns(1232).trailing(&[0]), BAD.with_opt(0)),
        ("a record that is not there", Message { counts: [1, 0, 0, 1], ..a() }, BAD),
    ];
    table.iter().for_each(|(what, message, expected)| says(what, message, *expected));
}

#[test]
fn opcodes_that_are_not_served_are_not_done() {
    for opcode in 1..16 {
        says(&format!("opcode {opcode}"), &a().opcode(opcode), NOT_DONE);
        says(&format!("opcode {opcode}, nothing else"), &raw([0; 4], b"").opcode(opcode), Said { sections: [0; 3], ..NOT_DONE });
        says(&format!("opcode {opcode}, EDNS"), &a().edns(1232).opcode(opcode), NOT_DONE.with_opt(0));
    }
}

#[test]
fn edns_is_as_the_rfcs_want() {
    let with = |record: Vec<u8>| a().record(3, &record);
    let cookie: &[u8] = &[1; 8];
    let (mut named, mut cut) = (vec![1, b'x'], options(0, 0, &[(3, b"")]));
    named.extend(opt(1232, 0, 0));
    cut[10] += 1;
    let in_answer = Message { counts: [1, 1, 0, 0], ..with(opt(1232, 0, 0)) };
    let in_authority = Message { counts: [1, 0, 1, 0], ..with(opt(1232, 0, 0)) };
    #[rustfmt::skip]
    let table = [
        ("EDNS 0 (RFC 8906 §8.2.1)", with(opt(4096, 0, 0)), FOUND.with_opt(0)),
        ("EDNS 1 (§8.2.2)", with(opt(4096, 1, 0)), BAD_VERSION),
        ("EDNS 255", with(opt(4096, 255, 0)), BAD_VERSION),
        ("an unknown option (§8.2.3)", with(options(0, 0, &[(100, b"")])), FOUND.with_opt(0)),
        ("the last option", with(options(0, 0, &[(65_535, &[7; 300])])), FOUND.with_opt(0)),
        ("unknown flags (§8.2.4)", with(opt(4096, 0, 0x0080)), FOUND.with_opt(0)),
        ("EDNS 1 and unknown flags (§8.2.5)", with(opt(4096, 1, 0x0080)), BAD_VERSION),
        ("EDNS 1 and an unknown option (§8.2.6)", with(options(1, 0, &[(100, b"")])), BAD_VERSION),
        ("DO (§8.2.7)", with(opt(4096, 0, 0x8000)), FOUND.with_opt(0x8000)),
        ("DO and every flag", with(opt(4096, 0, 0xFFFF)), FOUND.with_opt(0x8000)),
        ("EDNS 1 and DO (§8.2.8)", with(opt(4096, 1, 0x8000)), BAD_VERSION.with_opt(0x8000)),
        ("several options (§8.2.9)", with(options(0, 0x8000, &[(3, b""), (8, &[0, 1, 0, 0]), (9, b""), (10, cookie)])), FOUND.with_opt(0x8000)),
        ("a size below 512 counts as 512 (RFC 6891 §6.2.3)", with(opt(1, 0, 0)), FOUND.with_opt(0)),
        ("a code in a query's OPT means nothing", with([&[0, 0, 41, 4, 208, 99, 0, 0, 0, 0, 0][..]].concat()), FOUND.with_opt(0)),
        ("two OPTs (§6.1.1)", with(opt(1232, 0, 0)).edns(1232), BAD.with_opt(0)),
        ("an OPT that is not the root's (§6.1.2)", with(named), BAD),
        ("an option that is cut short", with(cut), BAD),
        ("an OPT among the answers", in_answer, BAD),
        ("an OPT in the authority section", in_authority, BAD),
        ("EDNS 1 and an opcode", with(opt(4096, 1, 0)).opcode(2), NOT_DONE.with_opt(0)),
        ("an OPT behind another record", a().record(3, &RECORD).edns(1232), FOUND.with_opt(0)),
    ];
    table.iter().for_each(|(what, message, expected)| says(what, message, *expected));
}

#[test]
fn a_message_that_is_cut_anywhere_is_malformed() {
    let whole = a().edns(1232);
    let (bytes, question) = (whole.bytes(), a().body.len());
    for length in HEADER..bytes.len() {
        let body = &bytes[HEADER..length];
        says(
            &format!("{length} bytes"),
            &Message { body: body.to_vec(), ..whole.clone() },
            if body.len() < question { WORSE } else { BAD },
        );
    }
}

#[test]
fn letters_of_any_case_come_back_and_find_the_same() {
    for pattern in [0_u32, u32::MAX, 0x5555_5555, 0x1234_5678] {
        let mixed: Vec<Vec<u8>> = CLOUD
            .iter()
            .map(|label| {
                label.iter().enumerate().map(|(at, byte)| if pattern >> at & 1 == 1 { byte.to_ascii_uppercase() } else { *byte }).collect()
            })
            .collect();
        let labels: Vec<&[u8]> = mixed.iter().map(Vec::as_slice).collect();
        says(&format!("{pattern:x}"), &Message::asking(&labels, Type::A).flags(0), FOUND);
    }
}
