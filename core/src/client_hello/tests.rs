//! Hellos made by hand: whole, cut, split, and broken. Those of a real client are in the root package's tests.

use proptest::prelude::*;

use super::*;

/// What a hello shall contain.
#[derive(Clone, Debug, Default)]
struct Wanted {
    names: Vec<Vec<u8>>,
    alpn: Vec<Vec<u8>>,
    /// Bytes of an extension that nobody knows.
    padding: usize,
}

fn vec8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("short")][..], bytes].concat()
}

fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vec16(content)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(EXTENSION_SERVER_NAME, &vec16(&[&[HOST_NAME][..], &vec16(name)].concat()))
}

fn with_extensions(extensions: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &vec8(&[9; 32]), &vec16(&[0x13, 0x01]), &vec8(&[0]), &vec16(extensions)].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[CLIENT_HELLO][..], &length[1..], &body].concat()
}

fn handshake(wanted: &Wanted) -> Vec<u8> {
    let mut extensions = extension(0x7a7a, &vec![0; wanted.padding]);
    for name in &wanted.names {
        extensions.extend(sni(name));
    }
    if !wanted.alpn.is_empty() {
        let list: Vec<u8> = wanted.alpn.iter().flat_map(|name| vec8(name)).collect();
        extensions.extend(extension(EXTENSION_ALPN, &vec16(&list)));
    }
    with_extensions(&extensions)
}

/// A whole hello for `name`, `padding` bytes longer than it need be.
pub(crate) fn hello(name: &str, alpn: &str, padding: usize) -> Vec<u8> {
    handshake(&Wanted { names: vec![name.into()], alpn: vec![alpn.into()], padding })
}

/// `handshake` in records of at most `sizes` bytes each, in turn.
fn records(handshake: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut wire, mut rest) = (Vec::new(), handshake);
    for size in sizes.iter().cycle() {
        let (payload, next) = rest.split_at((*size).clamp(1, RECORD_LIMIT).min(rest.len()));
        wire.extend([RECORD_HANDSHAKE, 3, 1]);
        wire.extend(vec16(payload));
        rest = next;
        if rest.is_empty() {
            return wire;
        }
    }
    wire
}

fn one_record(handshake: &[u8]) -> Vec<u8> {
    records(handshake, &[RECORD_LIMIT])
}

fn named(name: &str) -> Wanted {
    Wanted { names: vec![name.into()], alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], padding: 0 }
}

fn asked(hello: &[u8]) -> Asked {
    match read(hello) {
        Peek::Known(hello) => hello.name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_tells_name_and_protocols() {
    let hello =
        ClientHello { name: Asked::Name("cloud.example.org".parse().expect("name")), alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
    let handshake = handshake(&named("Cloud.example.org"));
    assert_eq!(read(&one_record(&handshake)), Peek::Known(hello.clone()));
    assert_eq!(message(&handshake), Peek::Known(hello), "as QUIC has it");
}

#[test]
fn names_that_are_none_are_judged_and_not_looked_up() {
    let long = [b"a.".repeat(149), b"org".to_vec()].concat();
    for name in [&b"a\0b.example.org"[..], b"192.0.2.1", b"::1", b"", &long, "ü.org".as_bytes()] {
        let hello = handshake(&Wanted { names: vec![name.to_vec()], ..Wanted::default() });
        assert!(matches!(asked(&one_record(&hello)), Asked::Refused(Refusal::NoName(_))), "{name:?}");
    }
    let hello = handshake(&Wanted { names: vec![vec![0xff, 0xfe]], ..Wanted::default() });
    assert_eq!(asked(&one_record(&hello)), Asked::Refused(Refusal::NoText));
}

#[test]
fn a_name_given_twice_is_none() {
    let twice = handshake(&Wanted { names: vec![b"a.org".to_vec(), b"b.org".to_vec()], ..Wanted::default() });
    assert_eq!(asked(&one_record(&twice)), Asked::Refused(Refusal::Repeated));
    let entry = [&[HOST_NAME][..], &vec16(b"a.org")].concat();
    let listed = with_extensions(&extension(EXTENSION_SERVER_NAME, &vec16(&entry.repeat(2))));
    assert_eq!(asked(&one_record(&listed)), Asked::Refused(Refusal::Repeated));
    let alpn = extension(EXTENSION_ALPN, &vec16(&vec8(b"h2")));
    let protocols = with_extensions(&[sni(b"a.org"), alpn.clone(), alpn].concat());
    assert_eq!(asked(&one_record(&protocols)), Asked::Refused(Refusal::Repeated));
}

#[test]
fn no_name_and_no_extensions_are_fine() {
    assert_eq!(asked(&one_record(&handshake(&Wanted::default()))), Asked::Nothing);
    let mut bare = handshake(&Wanted::default());
    bare.truncate(MESSAGE_HEADER + 2 + 32 + 33 + 4 + 2);
    let length = u32::try_from(bare.len() - MESSAGE_HEADER).expect("short").to_be_bytes();
    bare[1..4].copy_from_slice(&length[1..]);
    assert_eq!(asked(&one_record(&bare)), Asked::Nothing, "TLS 1.0 without extensions");
}

#[test]
fn other_protocols_are_foreign_from_the_first_byte_that_tells() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"SSH-2.0-x\r\n",
        b"\x80\x2e\x01\x00\x02",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17",
        b"\x16\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x04\x02",
        b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",
    ] {
        assert_eq!(read(bytes), Peek::Foreign, "{bytes:x?}");
    }
}

#[test]
fn a_hellos_old_version_field_is_the_homes_to_judge() {
    let mut hello = handshake(&named("a.org"));
    hello[MESSAGE_HEADER..MESSAGE_HEADER + 2].copy_from_slice(&[0x81, 0xb2]);
    assert_eq!(asked(&one_record(&hello)), Asked::Name("a.org".parse().expect("name")));
}

#[test]
fn a_records_minor_version_means_nothing() {
    let mut hello = one_record(&handshake(&named("a.org")));
    for minor in [0, 1, 3, 4, 9, 255] {
        hello[2] = minor;
        assert_eq!(asked(&hello), Asked::Name("a.org".parse().expect("name")), "3.{minor}");
    }
}

#[test]
fn a_broken_hello_is_foreign() {
    let good = handshake(&named("a.org"));
    for extensions in [
        &extension(EXTENSION_SERVER_NAME, b"")[..],
        &extension(EXTENSION_SERVER_NAME, &vec16(b"")),
        &extension(EXTENSION_SERVER_NAME, &[0, 9, 0, 0, 1, b'a']),
        &extension(EXTENSION_ALPN, &vec16(&vec8(b""))),
        &[0, 0, 0],
    ] {
        assert_eq!(read(&one_record(&with_extensions(extensions))), Peek::Foreign, "{extensions:x?}");
    }
    let mut behind = good;
    behind.extend([0; 3]);
    let length = u32::try_from(behind.len() - MESSAGE_HEADER).expect("short").to_be_bytes();
    behind[1..4].copy_from_slice(&length[1..]);
    assert_eq!(read(&one_record(&behind)), Peek::Foreign, "bytes after the extensions");
}

#[test]
fn the_limit_ends_what_never_ends() {
    let endless = [&[CLIENT_HELLO, 0, 0xff, 0xfc][..], &vec![0; HELLO_LIMIT]].concat();
    let wire = records(&endless, &[100]);
    assert_eq!(read(&wire[..HELLO_LIMIT - 1]), Peek::Partial);
    assert_eq!(read(&wire[..HELLO_LIMIT]), Peek::Foreign);
    let wire = records(&endless, &[1]);
    assert_eq!(read(&wire[..RECORDS * (RECORD_HEADER + 1)]), Peek::Partial);
    assert_eq!(read(&wire[..=RECORDS * (RECORD_HEADER + 1)]), Peek::Foreign, "one record too many");
    let large = Wanted { padding: 60_000, ..named("a.org") };
    assert_eq!(asked(&one_record(&handshake(&large))), Asked::Name("a.org".parse().expect("name")));
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let names = prop::collection::vec(prop_oneof!["[a-z0-9.-]{0,40}".prop_map(String::into_bytes), any::<Vec<u8>>()], 0..3);
    let alpn = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..4);
    (names, alpn, 0_usize..3_000).prop_map(|(names, alpn, padding)| Wanted { names, alpn, padding })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_prefix_is_partial_and_the_whole_is_settled(wanted in any_wanted(), size in 2_usize..2_000, after in any::<[u8; 8]>()) {
        let wire = records(&handshake(&wanted), &[size]);
        for cut in 0..wire.len() {
            prop_assert_eq!(read(&wire[..cut]), Peek::Partial, "{} of {}", cut, wire.len());
        }
        let whole = read(&wire);
        prop_assert!(matches!(whole, Peek::Known(_)), "{:?}", whole);
        prop_assert_eq!(read(&[wire, after.to_vec()].concat()), whole, "with the next flight behind it");
    }

    #[test]
    fn every_split_into_records_reads_alike(wanted in any_wanted(), sizes in prop::collection::vec(2_usize..600, 1..9)) {
        let handshake = handshake(&wanted);
        prop_assert_eq!(read(&records(&handshake, &sizes)), message(&handshake));
    }

    #[test]
    fn two_records_may_meet_anywhere(wanted in any_wanted()) {
        let handshake = handshake(&wanted);
        let expected = message(&handshake);
        for (first, second) in (1..handshake.len()).map(|at| handshake.split_at(at)) {
            let first = one_record(first);
            prop_assert_eq!(read(&first), Peek::Partial, "cut at {}", first.len());
            prop_assert_eq!(read(&[first, one_record(second)].concat()), expected.clone());
        }
    }

    #[test]
    fn junk_never_panics_and_a_verdict_stands(mut bytes in prop::collection::vec(any::<u8>(), 0..400), tls in any::<bool>()) {
        if tls {
            bytes.splice(0..0, [22, 3, 1, 0, 200, 1, 0, 0, 150, 3, 3]);
        }
        let whole = read(&bytes);
        for cut in 0..bytes.len() {
            let prefix = read(&bytes[..cut]);
            prop_assert!(prefix == Peek::Partial || prefix == whole, "{} of {}", cut, bytes.len());
        }
    }

    #[test]
    fn one_flipped_byte_never_panics(wanted in any_wanted(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut wire = one_record(&handshake(&wanted));
        let at = at.index(wire.len());
        wire[at] = to;
        read(&wire);
    }
}
