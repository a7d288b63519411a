//! Packets with a cipher that hides nothing: what is made of them. The real one, and the standards' own examples, are in the root package.

use proptest::prelude::*;

use super::*;
use crate::client_hello::tests::hello;
use crate::peek::Asked;

const TAG: [u8; 16] = *b"a genuine packet";
const ID: &[u8] = b"firstone";

/// Leaves all as it is, and takes for genuine what ends with [`TAG`].
#[derive(Debug)]
pub(crate) struct Plain;

impl Keys for Plain {
    fn unmask(&self, _: &[u8], _: &mut u8, _: &mut [u8]) -> bool {
        true
    }

    fn open(&self, _: u64, _: &[u8], payload: &mut [u8]) -> Option<usize> {
        payload.strip_suffix(&TAG).map(<[u8]>::len)
    }
}

fn plain(_: Version, _: &[u8]) -> Option<Plain> {
    Some(Plain)
}

fn long_number(value: usize) -> [u8; 4] {
    (u32::try_from(value).expect("small") | 0x8000_0000).to_be_bytes()
}

pub(crate) fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    [&[6][..], &long_number(offset), &long_number(data.len()), data].concat()
}

fn packet(first: u8, destination: &[u8], frames: &[u8]) -> Vec<u8> {
    let (to, token) = ([u8::try_from(destination.len()).expect("short")], [0]);
    let behind = [&[9][..], frames, &TAG].concat();
    [&[first, 0, 0, 0, 1][..], &to, destination, b"\x04from", &token, &long_number(behind.len()), &behind].concat()
}

/// A datagram with one Initial packet, filled up.
fn datagram(frames: &[u8]) -> Vec<u8> {
    datagram_to(ID, frames)
}

/// The same to another connection ID.
pub(crate) fn datagram_to(destination: &[u8], frames: &[u8]) -> Vec<u8> {
    let missing = LEAST.saturating_sub(packet(0xc0, destination, frames).len());
    packet(0xc0, destination, &[frames, &vec![0; missing]].concat())
}

/// What the datagrams come to, one after another, until it is settled.
fn read(datagrams: &[Vec<u8>]) -> Peek<ClientHello> {
    let mut rest = datagrams.iter();
    let Some((mut beginning, mut peek)) = rest.by_ref().find_map(|datagram| begin(datagram, plain)) else { return Peek::Partial };
    for datagram in rest {
        if peek != Peek::Partial {
            break;
        }
        peek = beginning.read(datagram);
    }
    peek
}

fn known(name: &str) -> Peek<ClientHello> {
    Peek::Known(ClientHello { name: Asked::Name(name.parse().expect("a name")), alpn: vec![b"h3".to_vec()] })
}

#[test]
fn one_datagram_says_it_all() {
    let hello = hello("cloud.example.org", "h3", 0);
    assert_eq!(read(&[datagram(&crypto(0, &hello))]), known("cloud.example.org"));
    let busy = [&[1, 0, 0][..], &[2, 5, 0, 1, 3, 1, 1], &crypto(0, &hello), &[3, 5, 0, 0, 3, 1, 2, 3]].concat();
    assert_eq!(read(&[datagram(&busy)]), known("cloud.example.org"), "PING, PADDING, ACK");
    let (front, back) = hello.split_at(70);
    let padded = [back, &[0; 0]].concat();
    let two = [packet(0xc0, ID, &crypto(70, &padded)), packet(0xc0, ID, &[crypto(0, front), vec![0; LEAST]].concat())].concat();
    assert_eq!(read(&[two]), known("cloud.example.org"), "coalesced, and the other way round");
}

#[test]
fn a_long_hello_comes_in_two_datagrams_cut_anywhere_in_any_order() {
    let hello = hello("cloud.example.org", "h3", 1200);
    for cut in 0..hello.len() {
        let (front, back) = hello.split_at(cut);
        let (front, back) = (datagram(&crypto(0, front)), datagram(&crypto(cut, back)));
        assert_eq!(read(&[front.clone(), back.clone()]), known("cloud.example.org"), "{cut}");
        assert_eq!(read(&[back.clone(), front.clone()]), known("cloud.example.org"), "{cut}, turned round");
        assert_eq!(read(&[back.clone(), back, front.clone(), front]), known("cloud.example.org"), "{cut}, twice");
    }
}

#[test]
fn two_hellos_in_one_are_none() {
    let (one, other) = (hello("cloud.example.org", "h3", 0), hello("clown.example.org", "h3", 0));
    let frames = [crypto(50, &one[50..]), crypto(0, &other)].concat();
    assert_eq!(read(&[datagram(&frames)]), Peek::Foreign);
}

#[test]
fn what_is_not_genuine_begins_nothing() {
    let good = datagram(&crypto(0, &hello("cloud.example.org", "h3", 0)));
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    assert!(begin(&damaged(good.len() - 1), plain).is_none(), "the tag");
    assert!(begin(&good[..LEAST - 1], plain).is_none(), "cut");
    assert!(begin(&packet(0xc0, ID, &crypto(0, &hello("a.org", "h3", 0))), plain).is_none(), "too small a datagram");
    assert!(begin(&good, |_, _| None::<Plain>).is_none(), "no keys");
    for first in [0xd0, 0xe0, 0xf0, 0x40] {
        let mut other = good.clone();
        other[0] = first;
        assert!(begin(&other, plain).is_none(), "{first:x}");
    }
    // Neither does it disturb what has begun.
    let hello = hello("cloud.example.org", "h3", 1200);
    let (front, back) = (datagram(&crypto(0, &hello[..1000])), datagram(&crypto(1000, &hello[1000..])));
    let stranger = packet(0xc0, b"otherone", &[crypto(1000, b"x"), vec![0; LEAST]].concat());
    let short = packet(0xc0, ID, &crypto(1000, b"x"));
    assert_eq!(read(&[front, stranger, damaged(good.len() - 1), short, back]), known("cloud.example.org"));
}

#[test]
fn what_no_server_takes_ends_the_reading() {
    let stream = [&[8, 0][..], b"data"].concat();
    for frames in [
        stream,
        vec![6, 0, 0x7f, 0xff],
        vec![2, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        crypto(16 * 1024, b"x"),
        crypto(0, b"\x02"),
    ] {
        assert_eq!(read(&[datagram(&frames)]), Peek::Foreign, "{frames:?}");
    }
    let drip: Vec<_> = (0..DATAGRAMS).map(|at| datagram(&crypto(at, &hello("cloud.example.org", "h3", 0)[at..=at]))).collect();
    assert_eq!(read(&drip[..DATAGRAMS - 1]), Peek::Partial);
    assert_eq!(read(&drip), Peek::Foreign, "so many datagrams and no more");
}

#[test]
fn packet_numbers_are_the_nearest() {
    let at = |largest, bytes: &[u8]| {
        let (version, destination, crypto) = (Version::V1, ID.to_vec(), Crypto::default());
        Beginning { keys: Plain, version, destination, crypto, largest, datagrams: 0 }.full_number(bytes)
    };
    assert_eq!(at(None, &[2]), 2);
    assert_eq!(at(None, &[255]), 255, "nothing is before 0");
    assert_eq!(at(Some(0xa82f_30ea), &[0x9b, 0x32]), 0xa82f_9b32, "RFC 9000 appendix A.3");
    assert_eq!(at(Some(254), &[1]), 257);
    assert_eq!(at(Some(256), &[254]), 254);
    at(Some(u64::MAX), &[0; 4]); // whatever it is
}

/// A piece of a hello: from, to, and in which of the datagrams.
type Cut = (usize, usize, usize);

proptest! {
    #[test]
    fn any_pieces_in_any_datagrams_are_the_hello(
        padding in 0_usize..2000,
        cuts in proptest::collection::vec((0_usize..4000, 0_usize..4000, 0_usize..8), 0..12),
        order in Just((0_usize..8).collect::<Vec<_>>()).prop_shuffle(),
        step in 100_usize..900,
    ) {
        let hello = hello("cloud.example.org", "h3", padding);
        let length = hello.len();
        let mut pieces: Vec<Cut> = cuts.into_iter().map(|(a, b, at)| ((a % length).min(b % length), (a % length).max(b % length), at)).collect();
        pieces.extend((0..length).step_by(step).enumerate().map(|(nth, from)| (from, (from + step).min(length), nth * 3)));
        let mut frames = vec![Vec::new(); 8];
        for (from, to, at) in pieces {
            frames[order[at % 8]].extend([crypto(from, &hello[from..to]), vec![1]].concat());
        }
        let datagrams: Vec<_> = frames.iter().map(|frames| datagram(frames)).collect();
        prop_assert_eq!(read(&datagrams), known("cloud.example.org"));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1500), more in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = packets(&bytes).count();
        let _ = begin(&bytes, plain);
        let _ = read(&[datagram(&more), datagram(&bytes)]);
    }
}
