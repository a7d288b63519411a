use super::*;

/// A query for `labels`, type A, class IN.
fn query(labels: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        message.push(u8::try_from(label.len()).expect("a short label"));
        message.extend_from_slice(label);
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

fn text(labels: &[&[u8]]) -> Option<String> {
    let message = query(labels);
    let name = Query::parse(&message).expect("a query").question.expect("a question").name;
    name.text(labels.len(), &mut [0; NAME_LIMIT]).map(str::to_owned)
}

#[test]
fn names_become_text_in_lower_case() {
    assert_eq!(text(&[b"_ACME-challenge", b"Cloud"]).as_deref(), Some("_acme-challenge.cloud"));
    assert_eq!(text(&[]).as_deref(), Some(""));
}

#[test]
fn a_dot_inside_a_label_is_no_dot_between_two() {
    for label in [&b"a.b"[..], b"a\0", b"@", b"a b", b"\xff", "ü".as_bytes()] {
        let text = text(&[label, b"org"]).expect("text");
        assert_eq!((text.split('.').count(), text.contains('?')), (2, true), "{label:?}: {text}");
    }
    assert_eq!(text(&[b"*", b"org"]).as_deref(), Some("*.org"));
}

#[test]
fn a_zone_is_the_end_of_a_name_label_by_label() {
    let zone: DnsName = "dyn.example.org".parse().expect("a name");
    let left = |labels: &[&[u8]]| {
        let message = query(labels);
        Query::parse(&message).expect("a query").question.expect("a question").name.left_of(&zone)
    };
    assert_eq!(left(&[b"a", b"bc", b"DYN", b"example", b"org"]), Some((2, 5)));
    assert_eq!(left(&[b"dyn", b"example", b"org"]), Some((0, 0)));
    assert_eq!(left(&[b"a.dyn", b"example", b"org"]), None);
    assert_eq!(left(&[b"xdyn", b"example", b"org"]), None);
    assert_eq!(left(&[b"example", b"org"]), None);
    assert_eq!(left(&[]), None);
}

#[test]
fn a_name_has_at_most_255_bytes() {
    let long = [b'a'; 63];
    let most: [&[u8]; 4] = [&long, &long, &long, &long[..61]];
    assert!(Query::parse(&query(&most)).expect("a query").sound);
    let more: [&[u8]; 4] = [&long, &long, &long, &long[..62]];
    assert!(!Query::parse(&query(&more)).expect("a query").sound);
}

#[test]
fn what_cannot_be_written_whole_is_not_written() {
    let mut out = [0; 8];
    let mut writer = Writer::new(&mut out, 6);
    assert_eq!(writer.u32(1), Ok(()));
    assert_eq!(writer.u32(2), Err(Full));
    assert_eq!((writer.len(), writer.u16(3), writer.u16(4)), (4, Ok(()), Err(Full)));
}

#[test]
fn a_reserve_is_kept_until_it_is_released() {
    let mut out = [0; 8];
    let mut writer = Writer::new(&mut out, 4);
    assert_eq!((writer.reserve(5), writer.reserve(2)), (Err(Full), Ok(())));
    assert_eq!((writer.u16(1), writer.u16(2)), (Ok(()), Err(Full)));
    writer.release(2);
    assert_eq!(writer.u16(2), Ok(()));
}

#[test]
fn a_name_points_to_the_end_that_it_shares() {
    let name = |text: &str| text.parse::<DnsName>().expect("a name");
    let zone = name("b.org");
    let written = |text: &str, at: Option<u16>| {
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out, 64);
        writer.name(&name(text), Suffix { name: &zone, at }).expect("it fits");
        let length = writer.len();
        out[..length].to_vec()
    };
    assert_eq!(written("x.a.b.org", Some(12)), b"\x01x\x01a\xc0\x0c");
    assert_eq!(written("b.org", Some(12)), b"\xc0\x0c");
    assert_eq!(written("ab.org", Some(12)), b"\x02ab\x03org\0");
    assert_eq!(written("x.b.org", None), b"\x01x\x01b\x03org\0");
}

/// The types of a name, as they are on the wire.
fn bitmap(kinds: &[Type]) -> Vec<u8> {
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out, 64);
    kinds.iter().fold(TypeSet::default(), |set, kind| set.with(*kind)).write(&mut writer).expect("it fits");
    let length = writer.len();
    out[..length].to_vec()
}

#[test]
fn types_are_said_as_in_rfc_4034() {
    // RFC 4034 §4.3, as far as it has types that are known here.
    assert_eq!(bitmap(&[Type::A, Type::MX, Type::RRSIG, Type::NSEC]), [0, 6, 0x40, 1, 0, 0, 0, 3]);
    assert_eq!(bitmap(&[]), Vec::<u8>::new());
    assert_eq!(bitmap(&[Type::CAA]), [1, 1, 0x40]);
    assert_eq!(bitmap(&[Type::HTTPS, Type::CAA, Type::NS]), [0, 9, 0x20, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 1, 0x40]);
}
