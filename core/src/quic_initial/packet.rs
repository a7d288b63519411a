//! The packets of one datagram, as far as they can be told apart without a key (RFC 8999, RFC 9000 §17, RFC 9369 §3.2).

use crate::reader::Reader;

/// The longest connection ID of the versions that are known (RFC 9000 §17.2).
pub const ID_LIMIT: usize = 20;

/// A version whose first packets can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 9000.
    V1,
    /// RFC 9369.
    V2,
}

/// What a long header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a connection; its keys follow from what it shows.
    Initial,
    /// Data that the client sends at once.
    ZeroRtt,
    /// Under keys that only the two ends know.
    Handshake,
    /// The server wants the client to come again with a token.
    Retry,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Long<'a> {
    /// Its version.
    pub version: Version,
    /// Its kind.
    pub kind: Kind,
    /// The connection ID of whom it is for.
    pub destination: &'a [u8],
    /// The connection ID of whom it is from.
    pub source: &'a [u8],
    /// All of it, header included.
    pub(super) whole: &'a [u8],
    /// Where in it the packet number begins, if it has one.
    pub(super) number_at: usize,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// With a long header of a version that is known.
    Long(Long<'a>),
    /// With a long header of another version: nothing else of it is known, and nothing of what follows it.
    Foreign {
        /// The connection ID of whom it is for.
        destination: &'a [u8],
        /// The connection ID of whom it is from.
        source: &'a [u8],
    },
    /// The server's list of versions, all of the datagram.
    Negotiation,
    /// With a short header: what follows its first byte, a connection ID whose length only its owner knows at the front.
    Short(&'a [u8]),
}

/// The packets of a datagram, one after another; ends before the first that is broken.
#[derive(Clone, Debug)]
pub struct Packets<'a>(&'a [u8]);

/// Takes `datagram` apart.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets(datagram)
}

impl Version {
    fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            0x6b33_43cf => Some(Self::V2),
            _ => None,
        }
    }

    /// The kind that the two bits behind the first two say.
    fn kind(self, bits: u8) -> Kind {
        let shift = match self {
            Self::V1 => 0,
            Self::V2 => 3,
        };
        match (bits + shift) & 3 {
            0 => Kind::Initial,
            1 => Kind::ZeroRtt,
            2 => Kind::Handshake,
            _ => Kind::Retry,
        }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let datagram = std::mem::take(&mut self.0);
        let (first, after) = datagram.split_first()?;
        if first & 0x80 == 0 {
            return Some(Packet::Short(after));
        }
        let mut rest = Reader(after);
        let version = rest.u32()?;
        let (destination, source) = (rest.vec8()?.0, rest.vec8()?.0);
        if destination.len() > ID_LIMIT || source.len() > ID_LIMIT {
            return None;
        }
        if version == 0 {
            return Some(Packet::Negotiation);
        }
        let Some(version) = Version::from_number(version) else {
            return Some(Packet::Foreign { destination, source });
        };
        let kind = version.kind(first >> 4 & 3);
        if kind == Kind::Retry {
            return Some(Packet::Long(Long { version, kind, destination, source, whole: datagram, number_at: datagram.len() }));
        }
        if kind == Kind::Initial {
            let token = length(&mut rest)?;
            rest.take(token)?;
        }
        let payload = length(&mut rest)?;
        let number_at = datagram.len().checked_sub(rest.0.len())?;
        let (whole, next) = datagram.split_at_checked(number_at.checked_add(payload)?)?;
        self.0 = next;
        Some(Packet::Long(Long { version, kind, destination, source, whole, number_at }))
    }
}

/// A number in one, two, four or eight bytes (RFC 9000 §16).
pub(super) fn number(rest: &mut Reader<'_>) -> Option<u64> {
    let first = rest.u8()?;
    let more = (1_usize << (first >> 6)).checked_sub(1)?;
    rest.take(more).map(|bytes| bytes.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

fn length(rest: &mut Reader<'_>) -> Option<usize> {
    number(rest).and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_standard_has_them() {
        // RFC 9000 appendix A.1
        let cases: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in cases {
            let mut rest = Reader(bytes);
            assert_eq!((number(&mut rest), rest.0), (Some(value), &[][..]));
            assert_eq!(number(&mut Reader(&bytes[..bytes.len() - 1])), None, "cut");
        }
    }

    #[test]
    fn coalesced_packets_are_told_apart() {
        let datagram = [
            b"\xc0\0\0\0\x01\x02dd\x01s\x02tt\x03abc".as_slice(), // Initial with a token
            b"\xd0\0\0\0\x01\x02dd\x01s\x40\x02de",               // 0-RTT, its length in two bytes
            b"\xf0\x6b\x33\x43\xcf\x02dd\x01s\x01h",              // Handshake of version 2
            b"\x40dd and the rest",
        ]
        .concat();
        let kinds: Vec<_> = packets(&datagram)
            .map(|packet| match packet {
                Packet::Long(long) => {
                    assert_eq!((long.destination, long.source), (&b"dd"[..], &b"s"[..]));
                    (Some((long.version, long.kind)), long.whole[long.number_at..].to_vec())
                }
                Packet::Short(rest) => (None, rest.to_vec()),
                packet => panic!("{packet:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                (Some((Version::V1, Kind::Initial)), b"abc".to_vec()),
                (Some((Version::V1, Kind::ZeroRtt)), b"de".to_vec()),
                (Some((Version::V2, Kind::Handshake)), b"h".to_vec()),
                (None, b"dd and the rest".to_vec()),
            ]
        );
    }

    #[test]
    fn each_version_has_its_own_kinds() {
        use Kind::{Handshake, Initial, Retry, ZeroRtt};
        assert_eq!([0, 1, 2, 3].map(|bits| Version::V1.kind(bits)), [Initial, ZeroRtt, Handshake, Retry]);
        assert_eq!([0, 1, 2, 3].map(|bits| Version::V2.kind(bits)), [Retry, Initial, ZeroRtt, Handshake]);
    }

    #[test]
    fn what_ends_a_datagram() {
        let only = |datagram: &'static [u8]| {
            let mut all = packets(datagram);
            (all.next(), all.next())
        };
        let retry = only(b"\xf0\0\0\0\x01\x01d\x01stoken and tag");
        assert!(matches!(retry, (Some(Packet::Long(Long { kind: Kind::Retry, .. })), None)), "{retry:?}");
        let foreign = Packet::Foreign { destination: b"d", source: b"s" };
        assert_eq!(only(b"\xc0\x1a\x2a\x3a\x4a\x01d\x01s whatever"), (Some(foreign), None));
        assert_eq!(only(b"\x80\0\0\0\0\x01d\x01s\0\0\0\x01"), (Some(Packet::Negotiation), None));
        for broken in [
            &b""[..],
            b"\xc0\0\0\0\x01\x15ddddddddddddddddddddd\0\0\0",
            b"\xc0\0\0\0\x01\x01d\x01s\0\x04abc",
            b"\xc0\0\0\0\x01\x01d\x01s\x09tok",
        ] {
            assert_eq!(packets(broken).next(), None, "{broken:?}");
        }
    }
}
