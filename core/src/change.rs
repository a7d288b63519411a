//! What can be wished of the state, and what it touches: the words of `state`. Why it may be refused is in a file of its own.
//!
//! A change carries its time and its entropy with it, so that applying it twice gives the same. What becomes of it is `apply`'s.

mod refused;
mod said;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dnssec::{Signatures, Unit, ZoneKeys};
use crate::host::{Digest, Edit, Host, JoinSecret};
use crate::name::{DnsName, HostName};

pub use refused::Refused;
pub use said::{Rewrite, Said, Word};

/// A zone's version (RFC 1035 §3.3.13). It wraps (RFC 1982), so it has no order by `<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial(pub u32);

impl Serial {
    /// The serial of the zone's next version.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this version came after `other` (RFC 1982 §3.2). Of two that are half the circle apart, neither did.
    pub fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }
}

/// A zone: its version, and what its apex was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The version that is being served.
    pub serial: Serial,
    /// Digest of what the configuration gives to the zone: a change of it is a new version.
    pub apex: Digest,
}

/// The secrets by which agents and clients know this server again. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The private key of the link (PKCS #8), whose public key join strings pin.
    pub link_key: Vec<u8>,
    /// What stateless resets (RFC 9000 §10.3) and our connection IDs are made with, kept so that agents notice a restart at once.
    pub reset_key: [u8; 32],
    /// The private key of the self-signed certificate of our own name (PKCS #8).
    pub certificate_key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(secret)")
    }
}

/// What an ACME server knows this server by (RFC 8555 §7.1.2), and how the last tries there went: the account's URL and private key, in
/// the client's own form. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Account(pub Vec<u8>);

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Account(secret)")
    }
}

/// A certificate that was ordered, and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, in DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The private key (PKCS #8). Never printed.
    pub key: Vec<u8>,
    /// The ACME directory that it was ordered at.
    pub directory: String,
    /// When it came.
    pub at: Timestamp,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({} of {}, key secret)", self.directory, self.at)
    }
}

/// One of many hosts that are imported, or the name of one that was removed.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// There is a host.
    Host {
        /// Its name.
        name: HostName,
        /// What its owner set.
        edits: Vec<Edit>,
        /// All else of it; its settings are those of a new one.
        host: Box<Host>,
    },
    /// There was one.
    Tombstone {
        /// Its name.
        name: HostName,
        /// When it was removed.
        removed: Timestamp,
    },
}

impl Entry {
    /// Whom it is about.
    pub fn name(&self) -> &HostName {
        match self {
            Self::Host { name, .. } | Self::Tombstone { name, .. } => name,
        }
    }

    /// Whether it says where a home was proven to be.
    pub fn is_proven(&self) -> bool {
        matches!(self, Self::Host { host, .. } if host.proven.is_some())
    }
}

/// A wish to change the state. Time and entropy come with it, so that applying it twice gives the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Serve a zone, with what the configuration gives to it.
    Serve {
        /// The zone.
        zone: DnsName,
        /// Digest of the apex's contents.
        apex: Digest,
        /// Now; a new zone's serial starts from it, so that a lost store never serves an older one.
        at: Timestamp,
    },
    /// Serve a zone no longer. Its hosts are kept, and are back with it.
    Retire {
        /// The zone.
        zone: DnsName,
    },
    /// Create a host.
    Add {
        /// Its name.
        host: HostName,
        /// Its settings.
        edits: Vec<Edit>,
        /// Its join string's secret.
        join: JoinSecret,
        /// Its update password.
        update: Digest,
        /// Whether a removed host's name may be given out again.
        reuse: bool,
    },
    /// Change a host's settings: all of the edits or none.
    Set {
        /// Its name.
        host: HostName,
        /// What to change.
        edits: Vec<Edit>,
    },
    /// Remove a host; its name stays behind as a tombstone.
    Remove {
        /// Its name.
        host: HostName,
        /// Now.
        at: Timestamp,
    },
    /// Add many hosts and tombstones: all of them or none. Where a host that is there has its home is kept.
    Import {
        /// The hosts and tombstones.
        entries: Vec<Entry>,
        /// Whether a host may take the place of one that is there.
        replace: bool,
        /// Whether a removed host's name may be given out again.
        reuse: bool,
    },
    /// New secrets for a host; the old ones end.
    Token {
        /// Its name.
        host: HostName,
        /// The new join string's secret.
        join: JoinSecret,
        /// The new update password.
        update: Digest,
    },
    /// A new account for a host's TXT record alone; the old one ends.
    ProofKey {
        /// Its name.
        host: HostName,
        /// The account's key.
        key: Digest,
    },
    /// Trade a join string's secret for an agent's key.
    Register {
        /// The host that the join string names.
        host: HostName,
        /// Digest of the secret.
        secret: Digest,
        /// Digest of the agent's public key.
        key: Digest,
        /// Now.
        at: Timestamp,
    },
    /// A link proved that the home is at `address`.
    Move {
        /// The host.
        host: HostName,
        /// Its home address.
        address: Ipv6Addr,
        /// Now.
        at: Timestamp,
    },
    /// The lease on `address` ended. No effect if the host has moved on since.
    Withdraw {
        /// The host.
        host: HostName,
        /// The address that is no longer proven.
        address: Ipv6Addr,
    },
    /// An update client reported where it is. A family that it did not mention is kept. The IPv6 address, or the prefix with what is known of
    /// the host's address, becomes the home address where updates are the authority on it, and is a hint elsewhere.
    Update {
        /// The host.
        host: HostName,
        /// What it said.
        said: Said,
        /// Now.
        at: Timestamp,
    },
    /// DNS says where a host's upstream is. No effect if the host has another one since.
    Resolved {
        /// The host.
        host: HostName,
        /// The name that was looked up.
        upstream: DnsName,
        /// Its address; none where DNS has none, or none that may be a home's.
        address: Option<Ipv6Addr>,
        /// Now.
        at: Timestamp,
    },
    /// What an update by a key (RFC 2136) leaves of a host: all of it or nothing, and only if nothing came between.
    Rewrite(Rewrite),
    /// Replace the values of `_acme-challenge` TXT, if they are what the requester believes. On behalf of a host's credential never at the apex:
    /// it would speak for `*.Z`, and so for every host.
    Challenge {
        /// The host.
        host: HostName,
        /// All values until now.
        before: BTreeSet<String>,
        /// All values from now on.
        values: BTreeSet<String>,
    },
    /// Replace the values of `_acme-challenge` TXT below one of the gateway's own names.
    OwnChallenge {
        /// The own name.
        name: DnsName,
        /// All values from now on.
        values: BTreeSet<String>,
    },
    /// Keep an account.
    Account {
        /// URL of the ACME server's directory.
        directory: String,
        /// What it knows us by.
        account: Account,
    },
    /// Keep a certificate in the place of an earlier one.
    Certificate {
        /// The own name that it is for.
        name: DnsName,
        /// The certificate.
        certificate: Certificate,
    },
    /// The secrets of this server, made once.
    Identify(Identity),
    /// Sign a zone with these keys from now on, or no longer.
    ZoneKeys {
        /// The zone.
        zone: DnsName,
        /// Its keys.
        keys: Option<ZoneKeys>,
    },
    /// A new version of a zone, since signatures are about to take the place of older ones.
    Refresh {
        /// The zone.
        zone: DnsName,
    },
    /// Keep signatures, in the place of all earlier ones of that unit. It comes with the change that they sign, which has made the new version.
    Sign {
        /// Whose they are.
        unit: Unit,
        /// All of them.
        signatures: Arc<Signatures>,
    },
}

/// What a change touched, and so what must be written and looked at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A zone's version.
    Zone(DnsName),
    /// A host.
    Host(HostName),
    /// A tombstone.
    Tombstone(HostName),
    /// The values of the challenge of an own name.
    Challenge(DnsName),
    /// An account, by the URL of the directory.
    Account(String),
    /// The certificate of an own name.
    Certificate(DnsName),
    /// The server's secrets.
    Identity,
    /// The keys of a zone.
    ZoneKeys(DnsName),
    /// The signatures of a unit.
    Signatures(Unit),
}

/// What is kept under a [`Key`].
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Under [`Key::Zone`].
    Zone(DnsName, Zone),
    /// Under [`Key::Host`].
    Host(HostName, Arc<Host>),
    /// Under [`Key::Tombstone`].
    Tombstone(HostName, Timestamp),
    /// Under [`Key::Challenge`].
    Challenge(DnsName, Arc<BTreeSet<String>>),
    /// Under [`Key::Account`].
    Account(String, Arc<Account>),
    /// Under [`Key::Certificate`].
    Certificate(DnsName, Arc<Certificate>),
    /// Under [`Key::Identity`].
    Identity(Arc<Identity>),
    /// Under [`Key::ZoneKeys`].
    ZoneKeys(DnsName, Arc<ZoneKeys>),
    /// Under [`Key::Signatures`].
    Signatures(Unit, Arc<Signatures>),
}
