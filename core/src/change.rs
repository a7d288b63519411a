//! What can be wished of the state, why it may be refused, and what it touches: the words of `state`.
//!
//! A change carries its time and its entropy with it, so that applying it twice gives the same. What becomes of it is `apply`'s.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::host::{Digest, Edit, EditError, Host, JoinSecret};
use crate::name::{DnsName, HostName};
use crate::policy::Forbidden;

/// A zone's version (RFC 1035 §3.3.13). It wraps (RFC 1982), so it has no order by `<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial(pub u32);

impl Serial {
    /// The serial of the zone's next version.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
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

/// What an update client says of where a host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its IPv4 address. Never the host's A: that is the gateway's.
    pub v4: Word<Ipv4Addr>,
    /// Its IPv6 address: the host's own, or its router's where a prefix is said too that it is not in.
    pub v6: Word<Ipv6Addr>,
    /// The network of the home, no longer than a /64: the host's address changes so far, and keeps the rest. Where this says more than the
    /// network, it is the host's whole address.
    pub prefix: Option<Ipv6Net>,
}

/// What is said of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word<A> {
    /// Nothing: it stays as it is.
    #[default]
    Keep,
    /// It is this.
    Set(A),
    /// There is none any more.
    Clear,
}

impl Said {
    /// These addresses, and nothing else.
    pub fn addresses(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Self {
        Self { v4: v4.map_or(Word::Keep, Word::Set), v6: v6.map_or(Word::Keep, Word::Set), prefix: None }
    }
}

impl<A: Copy> Word<A> {
    /// The address that is said.
    pub fn set(self) -> Option<A> {
        match self {
            Self::Set(address) => Some(address),
            Self::Keep | Self::Clear => None,
        }
    }

    /// What is so afterwards, where it was `old`.
    #[must_use]
    pub fn after(self, old: Option<A>) -> Option<A> {
        match self {
            Self::Keep => old,
            Self::Set(address) => Some(address),
            Self::Clear => None,
        }
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
    /// Replace the values of `_acme-challenge` TXT. On behalf of a host's credential never at the apex: it would speak for `*.Z`, and so for
    /// every host.
    Challenge {
        /// The host.
        host: HostName,
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
}

/// Why a change is refused. The state is then as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such host.
    #[error("there is no host {0}; `fourward host list` shows those that are")]
    UnknownHost(HostName),
    /// No such zone.
    #[error("{0} is not served here; the configuration's dns.zones lists the zones that are")]
    UnknownZone(DnsName),
    /// The name is taken.
    #[error("{0} exists already; change it with `fourward host set`")]
    Exists(HostName),
    /// The name is taken, and an import may not replace what is there.
    #[error("{0} exists already; import with --replace to have it as the line says")]
    ExistsAlready(HostName),
    /// A line says that the name was removed.
    #[error(
        "{0} exists, and the line says that it was removed: `fourward host remove` does that, an import never does; or leave the line out"
    )]
    Alive(HostName),
    /// One of many.
    #[error("{reason}")]
    Entry {
        /// Which, from 0.
        at: usize,
        /// Why it is refused.
        reason: Box<Refused>,
    },
    /// The name is the gateway's.
    #[error("{0} is this gateway's own name (public.name); choose another for the host")]
    OwnName(DnsName),
    /// The name was somebody's before.
    #[error(
        "{host} was removed on {removed:.0}: whoever trusted that name would reach its new owner; if that is meant, add it with --reuse"
    )]
    Tombstone {
        /// The name.
        host: HostName,
        /// When it was removed.
        removed: Timestamp,
    },
    /// A setting does not fit.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The address may not be a home's.
    #[error(transparent)]
    Address(#[from] Forbidden),
    /// `address-from=static` with nothing to publish, or the other way round.
    #[error("{0}: address-from=static and address=… go together: give both or neither")]
    StaticAddress(HostName),
    /// Whom it follows is not known here.
    #[error("{host} follows {leader}, and there is no such host in {}: `fourward host list` shows those that are", host.zone())]
    NoLeader {
        /// The follower.
        host: HostName,
        /// Whom it follows, as given.
        leader: String,
    },
    /// One of the two settings of a follower.
    #[error("{0}: follows=HOST and suffix=… go together: give both or neither")]
    HalfFollower(HostName),
    /// A follower's address is its leader's affair.
    #[error(
        "{0}: a follower's address comes from the host that it follows: leave address and address-from out, or take follows and suffix back"
    )]
    FollowerElsewhere(HostName),
    /// A follower would be where no home may be.
    #[error("{host}, beside {leader}: {reason} (suffix=…, with the bits of the subnet that the device is in)")]
    FollowerAt {
        /// The follower.
        host: HostName,
        /// Whom it follows.
        leader: String,
        /// What is wrong with its address.
        reason: Forbidden,
    },
    /// A circle.
    #[error("{0} cannot follow itself; follows= names the host whose network it is in")]
    FollowsItself(HostName),
    /// A chain.
    #[error("{leader} follows {other} itself; follow {other} directly: both are in the same network")]
    LeaderFollows {
        /// Whom it follows.
        leader: HostName,
        /// Whom that one follows.
        other: String,
    },
    /// A chain, from its other end.
    #[error("{host} is followed by {followers}: it cannot follow another host itself; let them follow that one first")]
    Leads {
        /// The host.
        host: HostName,
        /// Who follows it.
        followers: String,
    },
    /// Somebody would be left behind.
    #[error("{host} is followed by {followers}: remove them first, or let them follow another host (follows=…)")]
    Followed {
        /// The host.
        host: HostName,
        /// Who follows it.
        followers: String,
    },
    /// A record may not stand where it would.
    #[error("record={record}: {reason}")]
    Record {
        /// The record.
        record: String,
        /// Why not.
        reason: String,
    },
    /// An alias is for a name of the user's own.
    #[error("alias {alias} is in {zone}, which is served here: an alias is a name in another domain that leads to the host by CNAME")]
    AliasInZone {
        /// The alias.
        alias: DnsName,
        /// The zone.
        zone: DnsName,
    },
    /// An alias may not be the gateway.
    #[error("alias {0} is this gateway's own name: connections to it would go round in a circle")]
    AliasOwn(DnsName),
    /// Two hosts cannot share an alias.
    #[error("alias {alias} already leads to {host}; take it off there first")]
    AliasTaken {
        /// The alias.
        alias: DnsName,
        /// Whose it is.
        host: HostName,
    },
    /// The join string is not good here.
    #[error("the join string does not fit {0}: it was cut, altered or replaced by a newer one; `fourward host token` makes a new one")]
    WrongSecret(HostName),
    /// The join string was used.
    #[error("the join string for {0} was used already; it is good for one home, once: `fourward host token` makes a new one")]
    SpentSecret(HostName),
    /// The join string is too old.
    #[error("the join string for {host} ended on {expired:.0}; `fourward host token` makes a new one")]
    ExpiredSecret {
        /// The host.
        host: HostName,
        /// When it ended.
        expired: Timestamp,
    },
    /// A key speaks for one host.
    #[error("this key already speaks for {0}; an agent makes a new key for each join")]
    KeyTaken(HostName),
    /// A prefix is half an address, and the other half was never said.
    #[error(
        "{prefix} alone does not say where the host is, since nothing of its address is known yet: have that machine send its whole address \
         once (myipv6=ADDRESS); from then on the prefix is enough"
    )]
    PrefixAlone {
        /// The host.
        host: HostName,
        /// The prefix.
        prefix: Ipv6Net,
    },
    /// An address that nobody has cannot be reported.
    #[error("{0} is no address that anybody could be reached at")]
    NoAddress(std::net::IpAddr),
    /// The address has another authority.
    #[error(
        "the address of {0} is set by its owner (address-from=static), by updates (address-from=update) or by whom it follows (follows=…), not by its agent"
    )]
    NotByLink(HostName),
    /// Whoever proves a zone's apex gets certificates for every host in it.
    #[error("a TXT record at _acme-challenge.{0} would prove *.{0}, and so every host there: no host's credential sets it")]
    ApexChallenge(DnsName),
    /// The secrets are there already; new ones would lock every agent out.
    #[error("this server has an identity already")]
    Identified,
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
}
