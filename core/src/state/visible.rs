//! What of a host shows in its zone: a change of it is a new version.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::State;
use crate::host::{Alpn, Caa, Host, HostRecord, Settings, Via};
use crate::name::HostName;

/// All of a host that its records follow from.
#[derive(PartialEq)]
pub(super) struct Visible<'a> {
    home: Option<Ipv6Addr>,
    router: (Option<Ipv4Addr>, Option<Ipv6Addr>),
    ttl: Option<u32>,
    via: Via,
    wildcard: bool,
    challenge: &'a BTreeSet<String>,
    record: &'a BTreeSet<HostRecord>,
    caa: &'a BTreeSet<Caa>,
    alpn: &'a BTreeSet<Alpn>,
}

impl State {
    /// What shows of `host` when it is called `name`.
    pub(super) fn visible<'a>(&self, name: &HostName, host: &'a Host) -> Visible<'a> {
        let router = host.router.map(|router| (router.v4, router.v6)).unwrap_or_default();
        let Settings { ttl, via, wildcard, ref record, ref caa, ref alpn, .. } = host.settings;
        let home = self.home_of(name.zone(), host);
        Visible { home, router, ttl, via, wildcard, challenge: &host.challenge, record, caa, alpn }
    }
}
