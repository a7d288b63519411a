//! What a commit made of a zone, record by record: what a secondary that has the version before needs to have the one after (RFC 1995 §4).
//!
//! It follows from the states before and after, with all that was signed, and from what was touched on the way: only the units where something
//! may be otherwise are looked at. Where it is kept, and for how long, is the store's.

use std::collections::BTreeSet;

use crate::change::{Key, Serial};
use crate::dnssec::Unit;
use crate::name::DnsName;
use crate::rdata;
use crate::state::State;
use crate::transfer::{of_name, record_at, soa};
use crate::wire::Suffix;
use crate::zone::{ZoneParams, ZoneView};

/// The most that is kept of one commit: a whole zone is sent sooner than more than this is taken apart.
pub const ENTRY_LIMIT: usize = 8 << 20;

/// From one version of a zone to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version before.
    pub from: Serial,
    /// The version after.
    pub to: Serial,
    /// As an IXFR has it: the old start of authority and the records that went, then the new one and the records that came, names whole.
    pub records: Vec<u8>,
}

/// What a commit was for a zone's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next entry.
    Entry(Entry),
    /// Nothing that was before leads here: whoever has an older version needs all of the zone.
    Cut,
}

/// What becomes of the journals of the zones that a commit from `before` to `after` gave a new version; it touched `keys`.
pub fn steps(before: &State, after: &State, params: &ZoneParams, keys: &BTreeSet<Key>) -> Vec<(DnsName, Step)> {
    let versions = keys.iter().filter_map(|key| match key {
        Key::Zone(zone) if before.zone(zone) != after.zone(zone) => Some(zone),
        _ => None,
    });
    let zones: BTreeSet<&DnsName> = versions.collect();
    zones.into_iter().map(|zone| (zone.clone(), entry(before, after, params, zone, keys).map_or(Step::Cut, Step::Entry))).collect()
}

fn entry(before: &State, after: &State, params: &ZoneParams, zone: &DnsName, keys: &BTreeSet<Key>) -> Option<Entry> {
    let (old, new) = (before.zone(zone)?, after.zone(zone)?);
    // What the configuration said before is not known any more; and of a zone that is signed from now on, every name has changed.
    let is_same = old.apex == new.apex && before.zone_keys(zone).is_some() == after.zone_keys(zone).is_some();
    (is_same && new.serial.is_after(old.serial)).then_some(())?;
    let (was, is) = (ZoneView::new(zone, before, params)?, ZoneView::new(zone, after, params)?);
    let (mut went, mut came) = (soa(&was), soa(&is));
    let mut scratch = Vec::new();
    for unit in units(zone, keys) {
        let (old, new) = (records(&was, &unit, &mut scratch), records(&is, &unit, &mut scratch));
        old.difference(&new).for_each(|record| went.extend_from_slice(record));
        new.difference(&old).for_each(|record| came.extend_from_slice(record));
        (went.len().saturating_add(came.len()) <= ENTRY_LIMIT).then_some(())?;
    }
    went.append(&mut came);
    Some(Entry { from: old.serial, to: new.serial, records: went })
}

/// The units of `zone` where something may be otherwise. A name whose proof alone changed, since a neighbour came or went, was signed anew.
fn units(zone: &DnsName, keys: &BTreeSet<Key>) -> BTreeSet<Unit> {
    let of_key = |key: &Key| match key {
        Key::Host(host) => Some(Unit::Host(host.clone())),
        Key::Signatures(unit) => Some(unit.clone()),
        Key::Zone(name) | Key::ZoneKeys(name) => Some(Unit::Zone(name.clone())),
        Key::Challenge(_) => Some(Unit::Zone(zone.clone())),
        _ => None,
    };
    keys.iter().filter_map(of_key).filter(|unit| unit.zone() == zone).collect()
}

/// The records of `unit`, each with whole names.
fn records(view: &ZoneView<'_>, unit: &Unit, scratch: &mut Vec<u8>) -> BTreeSet<Vec<u8>> {
    let (chain, zone) = (view.chain(), Suffix { name: view.name, at: None });
    let mut records = BTreeSet::new();
    for (left, node) in view.records_of(unit) {
        let written = of_name(view, &chain, &left, &node, zone, &mut |left, kind, fill| {
            // What no message can hold is not transferred either.
            records.extend(rdata::written(scratch, &|writer| record_at(writer, left, kind, zone, fill)));
            Ok(())
        });
        debug_assert!(written.is_ok());
    }
    records
}

#[cfg(test)]
mod tests;
