//! Which names a host has in its zone, and their order.

use super::State;
use crate::host::{Host, Reported};
use crate::name::{APEX, DnsName, HostName};
use crate::order::{Order, OrderKey};

/// What stands left of the zone in each name with records of `host`'s own, which is called `name`. An apex host shares the zone's, which is not
/// among them.
pub(crate) fn host_names(name: &HostName, host: &Host) -> Vec<String> {
    let label = Some(name.label()).filter(|label| *label != APEX);
    let below = |left: &str| label.map_or_else(|| left.to_owned(), |label| format!("{left}.{label}"));
    let left = |name: DnsName, zone: &DnsName| name.within(zone).map(str::to_owned);
    let mut names: Vec<String> = label.map(str::to_owned).into_iter().chain(left(name.twin(), name.zone())).collect();
    names.extend(host.router.filter(Reported::is_said).and_then(|_| left(name.router(), name.zone())));
    names.extend((!host.challenge.is_empty()).then(|| below("_acme-challenge")));
    names.extend(host.settings.wildcard.then(|| below("*")));
    let mut owners: Vec<_> = host.settings.record.iter().filter_map(|record| record.owner.as_ref()).collect();
    owners.dedup();
    names.extend(owners.into_iter().map(|owner| below(owner.as_str())));
    names
}

impl State {
    /// The names of the hosts of `zone`, in canonical order.
    pub(crate) fn order(&self, zone: &DnsName) -> Option<&Order> {
        self.orders.get(zone)
    }

    /// Takes the names of `old` out of the order, and puts those of `new` in.
    pub(super) fn reorder(&mut self, name: &HostName, old: Option<&Host>, new: Option<&Host>) {
        let shape = |host: &Host| (host.router.is_some_and(|said| said.is_said()), host.challenge.is_empty(), host.settings.wildcard);
        let same = |(old, new): (&Host, &Host)| shape(old) == shape(new) && old.settings.record == new.settings.record;
        if old.zip(new).is_some_and(same) {
            return;
        }
        let names = |host: Option<&Host>| host.map(|host| host_names(name, host)).unwrap_or_default();
        let (old, new) = (names(old), names(new));
        let mut order = self.orders.get(name.zone()).cloned().unwrap_or_default();
        for left in old.iter().filter(|left| !new.contains(left)) {
            order.remove(OrderKey::of(left).as_bytes());
        }
        for left in new.iter().filter(|left| !old.contains(left)) {
            order.insert(OrderKey::of(left).as_bytes());
        }
        if order.is_empty() {
            self.orders.remove_mut(name.zone());
        } else {
            self.orders.insert_mut(name.zone().clone(), order);
        }
    }
}
