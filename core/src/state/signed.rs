//! What the state keeps of a signed zone beside its records.

use std::ops::Bound;
use std::sync::Arc;

use super::{Known, State};
use crate::change::{Key, Refused, Zone};
use crate::dnssec::{Signatures, Unit, ZoneKeys};
use crate::name::{DnsName, HostKey};

impl State {
    /// The keys of `zone`, if it is signed.
    pub fn zone_keys(&self, zone: &DnsName) -> Option<&Arc<ZoneKeys>> {
        self.zone_keys.get(zone)
    }

    /// The signatures of what is `zone`'s own.
    pub fn zone_signatures(&self, zone: &DnsName) -> Option<&Arc<Signatures>> {
        self.zone_signatures.get(zone)
    }

    /// The signatures of `unit`.
    pub fn signatures(&self, unit: &Unit) -> Option<&Arc<Signatures>> {
        match unit {
            Unit::Zone(zone) => self.zone_signatures(zone),
            Unit::Host(host) => self.by_name.get_key_value(host)?.1.signatures.as_ref(),
        }
    }

    /// The first `count` units of `zone` that come after `unit`, or of all: what is the zone's own, then its hosts.
    pub fn units_after(&self, zone: &DnsName, unit: Option<&Unit>, count: usize) -> Vec<Unit> {
        let own = unit.is_none().then(|| Unit::Zone(zone.clone()));
        // No host has a label that is empty.
        let label = match unit {
            Some(Unit::Host(host)) => host.label(),
            Some(Unit::Zone(_)) | None => "",
        };
        let after = (zone, label);
        let hosts = self.hosts.range::<dyn HostKey, _>((Bound::Excluded(&after as &dyn HostKey), Bound::Unbounded));
        let hosts = hosts.map(|(name, _)| name).take_while(|name| name.zone() == zone).cloned().map(Unit::Host);
        own.into_iter().chain(hosts).take(count).collect()
    }

    /// Those of a host that is not there are nobody's.
    pub(super) fn put_signatures(&mut self, unit: &Unit, signatures: Option<Arc<Signatures>>) {
        match (unit, signatures) {
            (Unit::Zone(zone), Some(signatures)) => self.zone_signatures.insert_mut(zone.clone(), signatures),
            (Unit::Zone(zone), None) => drop(self.zone_signatures.remove_mut(zone)),
            (Unit::Host(host), signatures) => {
                let Some((_, known)) = self.by_name.get_key_value(host) else { return };
                let known = Known { signatures, host: Arc::clone(&known.host) };
                self.by_name.insert(host.clone(), known);
            }
        }
    }

    pub(super) fn sign(&mut self, unit: &Unit, signatures: &Arc<Signatures>) -> Result<Vec<Key>, Refused> {
        match unit {
            Unit::Zone(zone) => self.served(zone).map(drop)?,
            Unit::Host(host) => self.known(host).map(drop)?,
        }
        let new = Some(signatures).filter(|signatures| !signatures.is_empty());
        if self.signatures(unit) == new {
            return Ok(Vec::new());
        }
        self.put_signatures(unit, new.cloned());
        Ok(vec![Key::Signatures(unit.clone())])
    }

    pub(super) fn set_zone_keys(&mut self, zone: &DnsName, keys: Option<&ZoneKeys>) -> Result<Vec<Key>, Refused> {
        self.served(zone)?;
        if self.zone_keys(zone).map(AsRef::as_ref) == keys {
            return Ok(Vec::new());
        }
        match keys {
            Some(keys) => self.zone_keys.insert_mut(zone.clone(), Arc::new(keys.clone())),
            None => drop(self.zone_keys.remove_mut(zone)),
        }
        let mut touched = self.refresh(zone)?;
        touched.push(Key::ZoneKeys(zone.clone()));
        Ok(touched)
    }

    pub(super) fn refresh(&mut self, zone: &DnsName) -> Result<Vec<Key>, Refused> {
        let kept = self.served(zone)?;
        self.zones.insert_mut(zone.clone(), Zone { serial: kept.serial.next(), ..kept });
        Ok(vec![Key::Zone(zone.clone())])
    }

    fn served(&self, zone: &DnsName) -> Result<Zone, Refused> {
        self.zones.get(zone).copied().ok_or_else(|| Refused::UnknownZone(zone.clone()))
    }
}
