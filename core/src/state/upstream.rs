//! Homes that somebody else's DNS knows the address of: what it says is the host's address, as an update's would be.
//!
//! Whoever asks DNS is outside of here; a change of the address is a commit, so that our own zone, the gateway and whoever follows the host see
//! one truth.

use std::net::Ipv6Addr;

use jiff::Timestamp;

use super::{State, network};
use crate::change::{Key, Refused};
use crate::host::{AddressFrom, Host, Settings, Updated};
use crate::name::{DnsName, HostName};
use crate::policy::Policy;

/// Whether what is known of `old`'s address is what the upstream in its `new` settings says. An import knows it of a host without settings yet.
pub(super) fn stays(old: &Host, new: &Settings) -> bool {
    let same = old.settings.upstream.is_none() || old.settings.upstream == new.upstream;
    new.upstream.is_some() && same && old.settings.address_from == AddressFrom::Link
}

impl State {
    /// Whether `settings` may have the upstream that they have.
    pub(super) fn check_upstream(&self, name: &HostName, settings: &Settings, policy: &Policy) -> Result<(), Refused> {
        let Some(upstream) = &settings.upstream else { return Ok(()) };
        if settings.address.is_some() || settings.address_from != AddressFrom::Link || settings.follows.is_some() {
            return Err(Refused::UpstreamElsewhere(name.clone()));
        }
        let mut served = self.zones.keys().filter(|zone| upstream.within(zone).is_some());
        match served.next().or_else(|| policy.own_names.iter().find(|own| *own == upstream)) {
            Some(served) => Err(Refused::UpstreamHere { upstream: upstream.clone(), served: served.clone() }),
            None => Ok(()),
        }
    }

    pub(super) fn resolved(
        &mut self,
        name: &HostName,
        upstream: &DnsName,
        address: Option<Ipv6Addr>,
        at: Timestamp,
        policy: &Policy,
    ) -> Result<Vec<Key>, Refused> {
        let host = self.known(name)?;
        if host.settings.upstream.as_ref() != Some(upstream) {
            return Ok(Vec::new());
        }
        if let Some(address) = address {
            policy.addresses.check(address)?;
        }
        let was = host.updated.map(|updated| updated.address);
        if was == address {
            return Ok(Vec::new());
        }
        self.with_host(name, policy, |new| {
            let moved = was.filter(|was| address.is_none_or(|address| network(*was) != network(address)));
            new.before = moved.or(new.before);
            new.updated = address.map(|address| Updated { address, since: at });
        })
    }
}
