//! What a signed zone has beside its records: keys, signatures, and whose they are.
//!
//! One key signs all of a zone (RFC 6781 §3.1, a "combined signing key"); there are two of them only while one follows the other. Nothing is
//! signed here and no digest is made: that takes randomness and cryptography, which come in from outside. What is to be signed is
//! `signing`'s.

mod rollover;
mod signatures;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::host::Digest;
use crate::name::{DnsName, HostName};
use crate::wire::Canonical;

pub(crate) use rollover::Hex;
pub use rollover::{Ds, KEPT, NotNow, Parent, SHOWN, Step};
pub use signatures::{Entry, SIGNATURE, Signatures, Spot};

/// A key of a zone that is also its entry point, since there is no other (RFC 4034 §2.1.1).
const FLAGS: u16 = 257;

/// RFC 4034 §2.1.2.
const PROTOCOL: u8 = 3;

/// SHA-256 (RFC 4509).
const DIGEST_TYPE: u8 = 2;

/// Seconds for which keys may be remembered. They change once in years, and then with patience; asking anew each minute, as for addresses, would
/// be for nothing.
pub const KEY_TTL: u32 = 3600;

/// The most keys of one zone: the one, its successor, and one that is on its way out.
pub const KEY_LIMIT: usize = 4;

/// How a zone is signed. Both have signatures of 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 6605).
    EcdsaP256Sha256,
    /// Ed25519 (RFC 8080).
    Ed25519,
}

impl Algorithm {
    /// Its number in the registry.
    pub fn number(self) -> u8 {
        match self {
            Self::EcdsaP256Sha256 => 13,
            Self::Ed25519 => 15,
        }
    }

    /// Its name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ECDSAP256SHA256",
            Self::Ed25519 => "ED25519",
        }
    }

    /// The one with this number.
    pub fn of(number: u8) -> Option<Self> {
        [Self::EcdsaP256Sha256, Self::Ed25519].into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// Bytes of a public key, as a DNSKEY has it.
    pub fn public_size(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 => 64,
            Self::Ed25519 => 32,
        }
    }
}

/// What a key is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is shown, and signs the set of keys, so that everybody knows it when its time comes, and the parent is asked to trust it too.
    Published,
    /// It signs the zone.
    Active,
    /// It signs no more than the set of keys, as long as somebody may have a signature of it.
    Retired,
}

/// A key of a zone. Its private part is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ZoneKey {
    /// How it signs.
    pub algorithm: Algorithm,
    /// What it is there for.
    pub phase: Phase,
    /// Since when it is.
    pub since: Timestamp,
    /// As a DNSKEY has it.
    pub public: Box<[u8]>,
    /// PKCS #8.
    pub private: Box<[u8]>,
    /// SHA-256 of [`ZoneKey::ds_input`].
    pub digest: Digest,
}

impl std::fmt::Debug for ZoneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ZoneKey({} {:?} {:?} since {}, private part secret)", self.tag(), self.algorithm, self.phase, self.since)
    }
}

impl ZoneKey {
    /// What stands before the public key in a DNSKEY, and in a CDNSKEY (RFC 4034 §2.1).
    pub fn head(&self) -> [u8; 4] {
        let [high, low] = FLAGS.to_be_bytes();
        [high, low, PROTOCOL, self.algorithm.number()]
    }

    /// The DNSKEY as master files have it (RFC 4034 §2.2).
    pub fn text(&self) -> String {
        format!("{FLAGS} {PROTOCOL} {} {}", self.algorithm.number(), STANDARD.encode(&self.public))
    }

    /// What stands before the digest in a DS, and in a CDS (RFC 4034 §5.1).
    pub fn ds_head(&self) -> [u8; 4] {
        let [high, low] = self.tag().to_be_bytes();
        [high, low, self.algorithm.number(), DIGEST_TYPE]
    }

    /// By which a signature says who made it (RFC 4034 App. B).
    pub fn tag(&self) -> u16 {
        key_tag(self.head().iter().chain(&self.public))
    }

    /// What a DS has the digest of: the name and the key (RFC 4034 §5.1.4).
    pub fn ds_input(&self, zone: &DnsName) -> Vec<u8> {
        [Canonical::of(zone).as_bytes(), &self.head(), &self.public].concat()
    }
}

/// By what a signature names the key that stands in a DNSKEY as `data` (RFC 4034 App. B).
pub fn key_tag<'a>(data: impl Iterator<Item = &'a u8>) -> u16 {
    let sum = data.enumerate().fold(0_u32, |sum, (at, byte)| {
        let value = if at % 2 == 0 { u32::from(*byte) << 8 } else { u32::from(*byte) };
        sum.wrapping_add(value)
    });
    (sum.wrapping_add(sum >> 16) & 0xFFFF) as u16
}

/// The keys of a zone, one of them active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneKeys(Vec<ZoneKey>);

/// Why keys cannot be a zone's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// Not one.
    #[error("exactly one key of a zone is active")]
    Active,
    /// Too many.
    #[error("a zone has no more than {KEY_LIMIT} keys; let a rollover end before the next one begins")]
    TooMany,
    /// A signature would not say whose it is.
    #[error("two keys of a zone have the same tag; make another one")]
    SameTag,
    /// A key that is none.
    #[error("a public key is not as long as its algorithm has it")]
    Length,
}

impl ZoneKeys {
    /// These keys.
    ///
    /// # Errors
    /// They cannot be a zone's.
    pub fn new(keys: Vec<ZoneKey>) -> Result<Self, BadKeys> {
        let same_tag = |(at, key): (usize, &ZoneKey)| keys.iter().take(at).any(|other| other.tag() == key.tag());
        if keys.iter().filter(|key| key.phase == Phase::Active).count() != 1 {
            return Err(BadKeys::Active);
        }
        if keys.len() > KEY_LIMIT {
            return Err(BadKeys::TooMany);
        }
        if keys.iter().any(|key| key.public.len() != key.algorithm.public_size()) {
            return Err(BadKeys::Length);
        }
        if keys.iter().enumerate().any(same_tag) {
            return Err(BadKeys::SameTag);
        }
        Ok(Self(keys))
    }

    /// All of them: the set of DNSKEY, which each of them signs.
    pub fn iter(&self) -> impl Iterator<Item = &ZoneKey> {
        self.0.iter()
    }

    /// The one that signs the zone.
    pub fn active(&self) -> Option<&ZoneKey> {
        self.0.iter().find(|key| key.phase == Phase::Active)
    }

    /// Those that sign more than their own set: the active one, and one of another algorithm beside it, since all of a zone has a signature of
    /// each algorithm that its keys have (RFC 4035 §2.2).
    pub fn signing(&self) -> impl Iterator<Item = &ZoneKey> {
        let active = self.active().map(|key| key.algorithm);
        self.0.iter().filter(move |key| key.phase == Phase::Active || Some(key.algorithm) != active)
    }

    /// Those that the parent should trust: CDS and CDNSKEY (RFC 7344). A successor beside the active one, so that either can be the one
    /// that somebody has heard of.
    pub fn for_parent(&self) -> impl Iterator<Item = &ZoneKey> {
        self.0.iter().filter(|key| key.phase != Phase::Retired)
    }
}

/// Records that change together, and whose signatures are kept together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// The zone itself, our own name in it and its challenge.
    Zone(DnsName),
    /// All names of a host but the zone's own, which an apex host shares.
    Host(HostName),
}

impl Unit {
    /// The zone that it is in.
    pub fn zone(&self) -> &DnsName {
        match self {
            Self::Zone(zone) => zone,
            Self::Host(host) => host.zone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
