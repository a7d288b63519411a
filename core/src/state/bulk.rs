//! Many hosts at once, for `host import` and `host export`: each judged as if it were added alone, all of them or none.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;

use super::State;
use super::update::check_reported;
use crate::change::{Entry, Key, Refused, Said, Zone};
use crate::host::{Edit, Host};
use crate::name::HostName;
use crate::policy::Policy;

/// What an import may do beyond filling gaps.
#[derive(Clone, Copy)]
pub(super) struct Consent {
    /// Put a host in the place of the one that is there.
    pub(super) replace: bool,
    /// Give out the name of a removed host again.
    pub(super) reuse: bool,
}

impl State {
    /// The hosts that come after `name`, or all.
    pub fn hosts_after(&self, name: Option<&HostName>) -> impl Iterator<Item = (&HostName, &Arc<Host>)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.hosts.range::<HostName, _>((from, Bound::Unbounded))
    }

    /// The removed names that come after `name`, or all, and when they were removed.
    pub fn tombstones_after(&self, name: Option<&HostName>) -> impl Iterator<Item = (&HostName, &Timestamp)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.tombstones.range::<HostName, _>((from, Bound::Unbounded))
    }

    /// Carries all of `entries` out; each zone that shows it gets one new version.
    pub(super) fn import(&mut self, entries: &[Entry], consent: Consent, policy: &Policy) -> Result<Vec<Key>, Refused> {
        let mut new = self.clone();
        let mut touched = BTreeSet::new();
        for (at, entry) in entries.iter().enumerate() {
            let entered = match entry {
                Entry::Host { name, edits, host } => new.enter(name, edits, host, consent, policy, &mut touched),
                Entry::Tombstone { name, removed } => new.bury(name, *removed, &mut touched),
            };
            entered.map_err(|reason| Refused::Entry { at, reason: Box::new(reason) })?;
        }
        // A leader may have come after its followers.
        for name in touched.iter().filter_map(host_of) {
            new.judge(name, policy);
        }
        touched.retain(|key| self.record(key) != new.record(key));
        let mut carried = Vec::new();
        for name in touched.iter().filter_map(host_of) {
            let home = |state: &Self| state.hosts.get(name).and_then(|host| host.home());
            carried.extend(new.carry_along(name, home(self), home(&new), policy));
        }
        touched.extend(carried);
        let shows = |key: &Key| match key {
            Key::Host(name) => {
                let old = self.hosts.get(name).map(|host| self.visible(name, host));
                (old != new.hosts.get(name).map(|host| new.visible(name, host))).then(|| name.zone().clone())
            }
            _ => None,
        };
        let zones: BTreeSet<_> = touched.iter().filter_map(shows).collect();
        for zone in zones {
            let Some(kept) = new.zones.get(&zone).copied() else { continue };
            new.zones.insert_mut(zone.clone(), Zone { serial: kept.serial.next(), ..kept });
            touched.insert(Key::Zone(zone));
        }
        *self = new;
        Ok(touched.into_iter().collect())
    }

    fn enter(
        &mut self,
        name: &HostName,
        edits: &[Edit],
        entry: &Host,
        consent: Consent,
        policy: &Policy,
        touched: &mut BTreeSet<Key>,
    ) -> Result<(), Refused> {
        let there = self.hosts.get(name).cloned();
        if there.is_some() && !consent.replace {
            return Err(Refused::ExistsAlready(name.clone()));
        }
        self.check_name(name, there.is_some() || consent.reuse, policy)?;
        if let Some(other) = entry.credentials.agent.and_then(|key| self.agents.get(&key)).filter(|other| *other != name) {
            return Err(Refused::KeyTaken(other.clone()));
        }
        let mut host = entry.clone();
        if let Some(there) = there {
            keep_where_it_is(&mut host, &there);
        }
        let addresses = host.proven.map(|proven| proven.address).into_iter().chain(host.updated.map(|updated| updated.address));
        for address in addresses {
            policy.addresses.check(address)?;
        }
        if let Some(router) = host.router {
            check_reported(Said::addresses(router.v4, router.v6), policy)?;
        }
        let new = self.edited(name, &host, edits, policy)?;
        self.forget(name);
        self.put(name, Arc::new(new));
        touched.insert(Key::Host(name.clone()));
        if self.tombstones.remove_mut(name) {
            touched.insert(Key::Tombstone(name.clone()));
        }
        Ok(())
    }

    /// An import never removes a host: that is for `host remove`.
    fn bury(&mut self, name: &HostName, removed: Timestamp, touched: &mut BTreeSet<Key>) -> Result<(), Refused> {
        if self.hosts.contains_key(name) {
            return Err(Refused::Alive(name.clone()));
        }
        let last = self.tombstones.get(name).map_or(removed, |there| removed.max(*there));
        self.tombstones.insert_mut(name.clone(), last);
        touched.insert(Key::Tombstone(name.clone()));
        Ok(())
    }
}

fn host_of(key: &Key) -> Option<&HostName> {
    if let Key::Host(name) = key { Some(name) } else { None }
}

/// What this server found out about where a host is counts for more than what was once written down.
fn keep_where_it_is(host: &mut Host, there: &Host) {
    // What was spent since stays spent, by whom it was.
    let (said, is) = (host.credentials.join, there.credentials.join);
    if said.secret == is.secret && said.spent_by.is_none() && is.spent_by.is_some() {
        host.credentials.join = is;
        host.credentials.agent = there.credentials.agent;
    }
    if host.credentials.agent == there.credentials.agent {
        host.proven = there.proven;
        host.before = there.before;
    }
    host.updated = there.updated.or(host.updated);
    host.router = there.router.or(host.router);
    host.challenge.clone_from(&there.challenge);
}
