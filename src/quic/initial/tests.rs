//! The standards' own packets, and hellos that rustls makes.

use std::sync::Arc;

use fourward_core::client_hello::ClientHello;
use fourward_core::peek::{Asked, Peek};
use fourward_core::quic_initial::{Beginning, LEAST, begin};

use super::*;

/// RFC 9001 and RFC 9369, appendices A.2: the same hello, to the same connection ID.
const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
const HELLO: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868\
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578\
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba\
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400\
    0d0010000e0403050306030203080408050806002d00020101001c0002400100\
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000\
    75300901100f088394c8f03e51570806048000ffff";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Seals `frames` as the client does; the packet number has four bytes.
fn sealed(version: Version, id: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    let (first, name, keys) = match version {
        Version::V1 => (0xc3, 1_u32, quic::Version::V1),
        Version::V2 => (0xd3, 0x6b33_43cf, quic::Version::V2),
    };
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite()).expect("a suite");
    let keys = suite.keys(id, Side::Client, keys).local;
    let mut payload = frames.to_vec();
    // RFC 9001 fills its example up to 1200 bytes in all.
    payload.resize(payload.len().max(LEAST - 16 - 14 - id.len()), 0);
    let length = u16::try_from(payload.len() + 4 + 16).expect("short") | 0x4000;
    let mut packet =
        [&[first][..], &name.to_be_bytes(), &[id.len() as u8], id, &[0, 0], &length.to_be_bytes(), &number.to_be_bytes()].concat();
    let tag = keys.packet.encrypt_in_place(number.into(), &packet, &mut payload).expect("sealed");
    let number_at = packet.len() - 4;
    packet.extend([&payload[..], tag.as_ref()].concat());
    let (header, behind) = packet.split_at_mut(number_at + 4);
    let (first, rest) = header.split_first_mut().expect("a header");
    keys.header.encrypt_in_place(&behind[..16], first, &mut rest[number_at - 1..]).expect("masked");
    packet
}

fn known(name: &str, alpn: &[u8]) -> Peek<ClientHello> {
    Peek::Known(ClientHello { name: Asked::Name(name.parse().expect("a name")), alpn: vec![alpn.to_vec()] })
}

fn first(datagram: &[u8]) -> Option<(Beginning<InitialKeys>, Peek<ClientHello>)> {
    begin(datagram, InitialKeys::new)
}

#[test]
fn the_standards_packets_are_read() {
    // The published beginning and end: the end covers the rest, being the tag.
    let published = [
        (Version::V1, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11", "e221af44860018ab0856972e194cd934"),
        (Version::V2, "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485", "a18b2faa745b6fe189cf772a9f84cbfc"),
    ];
    for (version, begins, ends) in published {
        let packet = sealed(version, &ID, 2, &hex(HELLO));
        assert_eq!(packet.len(), 1200);
        assert!(packet.starts_with(&hex(begins)) && packet.ends_with(&hex(ends)), "{version:?}");
        let (_, peek) = first(&packet).expect("a beginning");
        assert_eq!(peek, known("example.com", b"alpn"), "{version:?}");
    }
}

#[test]
fn any_damage_is_noticed() {
    for version in [Version::V1, Version::V2] {
        let good = sealed(version, &ID, 2, &hex(HELLO));
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(first(&damaged).is_none(), "{version:?}, byte {at}");
        }
    }
}

#[test]
fn a_post_quantum_hello_is_read_from_two_datagrams_in_any_order() {
    let provider = crate::crypto::tls_provider();
    assert!(provider.kx_groups[0].name() == rustls::NamedGroup::X25519MLKEM768, "what clients send");
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let name = "cloud.dyn.example.org".try_into().expect("a name");
    let mut client = quic::ClientConnection::new(Arc::new(config), quic::Version::V1, name, vec![7; 60]).expect("a client");
    let mut hello = Vec::new();
    client.write_hs(&mut hello);
    assert!(hello.len() > 1300, "more than fits into one: {}", hello.len());
    let frame = |from: usize, to: usize| {
        let number = |value: usize| (u16::try_from(value).expect("small") | 0x4000).to_be_bytes();
        [&[6][..], &number(from), &number(to - from), &hello[from..to]].concat()
    };
    for version in [Version::V1, Version::V2] {
        for cut in [1, 4, 500, 1000, 1150] {
            let one = sealed(version, b"another id of 20 byt", 0, &frame(0, cut));
            let other = sealed(version, b"another id of 20 byt", 1, &frame(cut, hello.len()));
            for [a, b] in [[&one, &other], [&other, &one]] {
                let (mut beginning, peek) = first(a).expect("a beginning");
                assert_eq!(peek, Peek::Partial);
                assert_eq!(beginning.read(b), known("cloud.dyn.example.org", b"h3"), "{version:?}, {cut}");
                assert_eq!(beginning.handshake(), hello);
            }
        }
    }
}
