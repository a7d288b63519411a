//! A host: what its owner set, who may speak for it, and where it is.
//!
//! What the owner may set, and how it is written, is `settings`'s.

mod settings;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use settings::ALIAS_LIMIT;
pub use settings::{
    AddressFrom, Alpn, Caa, Carrier, Edit, EditError, Forward, HomePort, HostRecord, RecordData, RecordKind, Settings, Suffix, Target, Via,
};

/// A SHA-256 digest of a secret or of a public key: 32 bytes, hexadecimal in text.
///
/// Compared plainly: what is hashed are 256 random bits, so that time tells nothing of use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// A host's credentials, all of them as digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Credentials {
    /// The join string's secret, until it is spent or too old.
    pub join: JoinSecret,
    /// The public key of the agent that joined (digest of its SubjectPublicKeyInfo).
    pub agent: Option<Digest>,
    /// The update password of dyndns2.
    pub update: Digest,
    /// The key of the account that writes the TXT record of `_acme-challenge`, and nothing else.
    pub proof: Option<Digest>,
}

/// A join string's secret: good once, and not for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JoinSecret {
    /// Digest of the secret.
    pub secret: Digest,
    /// From then on it is refused.
    pub expires: Timestamp,
    /// The key that spent it. The same key may come again: its first answer may have been lost.
    pub spent_by: Option<Digest>,
}

/// Where a home was proven to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proven {
    /// The home address.
    pub address: Ipv6Addr,
    /// When it was first proven there.
    pub since: Timestamp,
}

/// Where an update put a home, or DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Updated {
    /// The home address.
    pub address: Ipv6Addr,
    /// When it was first reported.
    pub since: Timestamp,
}

/// What an update client last said. Published under the host's router name, for routers that verify themselves by DNS; never dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reported {
    /// Its IPv4 address, if it ever told one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, if it ever told one.
    pub v6: Option<Ipv6Addr>,
    /// When one of them last changed. A report that repeats them costs no write.
    pub at: Timestamp,
}

impl Reported {
    /// Whether it says anything.
    pub fn is_said(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }
}

/// One host, as the state keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// What the owner set.
    pub settings: Settings,
    /// Who may speak for it.
    pub credentials: Credentials,
    /// Where its agent proved to be; withdrawn when the lease ends.
    pub proven: Option<Proven>,
    /// Where it was before, in another network: what of an address changes with the prefix is seen by it.
    pub before: Option<Ipv6Addr>,
    /// Where an update put it, while updates are the authority, or DNS, where that is asked (`upstream`).
    pub updated: Option<Updated>,
    /// Where a follower would be by its leader's address, and no home may be: there it is nowhere.
    pub barred: Option<Ipv6Addr>,
    /// What an update client last said.
    pub router: Option<Reported>,
    /// The values of `_acme-challenge` TXT.
    pub challenge: BTreeSet<String>,
}

impl Host {
    /// Whether its own link says where it is.
    pub fn by_link(&self) -> bool {
        self.settings.address_from == AddressFrom::Link && self.settings.follows.is_none() && self.settings.upstream.is_none()
    }

    /// The home address that it has by itself. A follower's comes from its leader: the state's `home` is what is published and dialled.
    pub fn home(&self) -> Option<Ipv6Addr> {
        match self.settings.address_from {
            _ if self.settings.upstream.is_some() => self.updated.map(|updated| updated.address),
            AddressFrom::Static => self.settings.address,
            AddressFrom::Link => self.proven.map(|proven| proven.address),
            AddressFrom::Update => self.updated.map(|updated| updated.address),
        }
    }
}

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct NoDigest;

impl TryFrom<String> for Digest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NoDigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
