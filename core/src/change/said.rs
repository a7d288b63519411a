//! What clients say of a host: where it is, in the words of routers, and what its records are, in those of DNS.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::Ipv6Net;
use jiff::Timestamp;

use super::Serial;
use crate::host::{Edit, Host};
use crate::name::HostName;

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

/// What an update by a key (RFC 2136) leaves of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The host.
    pub host: HostName,
    /// The host by which it was judged.
    pub seen: Arc<Host>,
    /// The zone's version likewise, where more than the host mattered.
    pub serial: Option<Serial>,
    /// Where it is said to be.
    pub said: Said,
    /// All values of its `_acme-challenge` TXT.
    pub challenge: BTreeSet<String>,
    /// Its own records that come and go.
    pub edits: Vec<Edit>,
    /// Now.
    pub at: Timestamp,
}
