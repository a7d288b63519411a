//! The signatures of a unit, side by side in one piece of memory: there are five or more of them for each of a million hosts.

use std::fmt;

use crate::reader::Reader;
use crate::wire::Type;

/// Bytes of a signature, whatever the algorithm.
pub const SIGNATURE: usize = 64;

/// A name among those of its unit. What a host's name is does not change, so this is all that is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot<'a> {
    /// The zone, or a host's name for everyone.
    Main,
    /// A host's twin.
    Twin,
    /// What a host's router reported.
    Router,
    /// The challenge of a host.
    Challenge,
    /// The wildcard of a host.
    Wildcard,
    /// Our own name.
    Own,
    /// The challenge of our own name.
    OwnChallenge,
    /// What a host's owner put there: what stands in front of the host's name.
    Below(&'a str),
}

/// One signature, and all that a record of it says (RFC 4034 §3.1) beside the zone's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose it is.
    pub spot: Spot<'a>,
    /// The type of the records that it covers.
    pub kind: Type,
    /// The algorithm's number.
    pub algorithm: u8,
    /// How many labels their name has, without a wildcard's.
    pub labels: u8,
    /// Their TTL.
    pub ttl: u32,
    /// From when it is good, in seconds since 1970.
    pub inception: u32,
    /// Until when.
    pub expiration: u32,
    /// Whose it is among the zone's keys.
    pub key_tag: u16,
    /// Of the key and of the records in their canonical form: another one means that something changed.
    pub hash: [u8; 8],
    /// The signature.
    pub signature: &'a [u8; SIGNATURE],
}

/// The signatures of a unit.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Signatures(Box<[u8]>);

impl Signatures {
    /// These, in this order.
    pub fn new<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut bytes = Vec::new();
        entries.into_iter().for_each(|entry| entry.write(&mut bytes));
        Self(bytes.into())
    }

    /// What was kept as `bytes`; `None` if it is not whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        while !reader.0.is_empty() {
            entry(&mut reader)?;
        }
        Some(Self(bytes.into()))
    }

    /// As it is to be kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut reader = Reader(&self.0);
        std::iter::from_fn(move || entry(&mut reader))
    }

    /// Those of the records of one type at one name.
    pub fn of(&self, spot: Spot<'_>, kind: Type) -> impl Iterator<Item = Entry<'_>> {
        self.iter().filter(move |entry| entry.kind == kind && entry.spot == spot)
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|entry| (entry.spot, entry.kind.0, entry.expiration))).finish()
    }
}

impl Spot<'_> {
    fn write(self, bytes: &mut Vec<u8>) {
        let number = match self {
            Self::Main => 0,
            Self::Twin => 1,
            Self::Router => 2,
            Self::Challenge => 3,
            Self::Wildcard => 4,
            Self::Own => 5,
            Self::OwnChallenge => 6,
            Self::Below(_) => 7,
        };
        bytes.push(number);
        if let Self::Below(owner) = self {
            bytes.push(owner.len() as u8);
            bytes.extend_from_slice(owner.as_bytes());
        }
    }

    fn read<'a>(reader: &mut Reader<'a>) -> Option<Spot<'a>> {
        Some(match reader.u8()? {
            0 => Spot::Main,
            1 => Spot::Twin,
            2 => Spot::Router,
            3 => Spot::Challenge,
            4 => Spot::Wildcard,
            5 => Spot::Own,
            6 => Spot::OwnChallenge,
            7 => {
                let length = reader.u8()?;
                Spot::Below(std::str::from_utf8(reader.take(length.into())?).ok()?)
            }
            _ => return None,
        })
    }
}

impl Entry<'_> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.spot.write(bytes);
        bytes.extend_from_slice(&self.kind.0.to_be_bytes());
        bytes.extend_from_slice(&[self.algorithm, self.labels]);
        for number in [self.ttl, self.inception, self.expiration] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.key_tag.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(self.signature);
    }
}

fn entry<'a>(reader: &mut Reader<'a>) -> Option<Entry<'a>> {
    Some(Entry {
        spot: Spot::read(reader)?,
        kind: Type(reader.u16()?),
        algorithm: reader.u8()?,
        labels: reader.u8()?,
        ttl: reader.u32()?,
        inception: reader.u32()?,
        expiration: reader.u32()?,
        key_tag: reader.u16()?,
        hash: *reader.take(8)?.first_chunk()?,
        signature: reader.take(SIGNATURE)?.first_chunk()?,
    })
}
