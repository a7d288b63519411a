//! What of a zone is to be signed, and the bytes that are.
//!
//! A change says what it touched; from that follows whose signatures may be wrong, with those of the neighbours of a name that came or went.
//! For each of them a [`Plan`] keeps every signature that is still right, and has the rest made. Who makes them has the keys and the
//! randomness, which are not here; the result is a change like any other.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher24;

use crate::change::{Change, Key};
use crate::dnssec::{Entry, SIGNATURE, Signatures, Spot, Unit, ZoneKey, ZoneKeys};
use crate::name::{DnsName, HostName};
use crate::order::OrderKey;
use crate::rdata;
use crate::state::{State, host_names};
use crate::wire::{CLASS_IN, Full, Suffix, Type};
use crate::zone::{Rrset, ZoneParams, ZoneView};

/// Seconds for which a signature is good: what is left when it is made anew is as long as secondaries serve the zone of a primary that is away
/// (`Soa::EXPIRE`, RFC 6781 §4.4.1).
pub const LIFE: u32 = 28 * 86_400;

/// A signature is made anew before less than this is left of it: a quarter, and as long as it takes to look at all of them once…
const LEAST: u32 = LIFE / 4 + ROUND;

/// Seconds in which every signature is looked at once.
pub const ROUND: u32 = 3_600;

/// …up to so much earlier, each name at another time, so that a zone that was signed at once is not signed anew at once.
const SPREAD: u32 = LIFE / 8;

/// A signature is good from so long ago, for those whose clock is behind.
const EARLIER: u32 = 3_600;

/// Where signatures may be wrong after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// These are to be planned with the change itself.
    pub units: BTreeSet<Unit>,
    /// All of these zones, unit by unit: their keys or the configuration changed.
    pub whole: BTreeSet<DnsName>,
}

/// What is to be done for one unit.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whose signatures they are.
    pub unit: Unit,
    slots: Vec<Slot<'a>>,
}

/// A signature that must be there.
#[derive(Debug)]
struct Slot<'a> {
    entry: Entry<'a>,
    /// With which key what is to be signed; nothing where the signature is there already.
    wanted: Option<(&'a ZoneKey, Vec<u8>)>,
}

/// Stands where a signature is yet to come.
const BLANK: &[u8; SIGNATURE] = &[0; SIGNATURE];

/// Where signatures may be wrong after a change from `before` to `after` that touched `keys`.
pub fn scope(before: &State, after: &State, params: &ZoneParams, keys: &BTreeSet<Key>) -> Scope {
    let mut scope = Scope::default();
    for zone in params.zones.iter().filter(|_| params.dnssec) {
        if before.zone_keys(zone).is_none() && after.zone_keys(zone).is_none() {
            continue;
        }
        let Some(view) = ZoneView::new(zone, after, params) else { continue };
        for key in keys {
            match key {
                Key::Zone(name) if name == zone => {
                    scope.units.insert(Unit::Zone(zone.clone()));
                    let apex = |state: &State| state.zone(zone).map(|zone| zone.apex);
                    if apex(before) != apex(after) {
                        scope.whole.insert(zone.clone());
                    }
                }
                Key::ZoneKeys(name) if name == zone => {
                    scope.units.insert(Unit::Zone(zone.clone()));
                    let signs = |state: &State| -> BTreeSet<Box<[u8]>> {
                        state.zone_keys(zone).iter().flat_map(|keys| keys.signing()).map(|key| key.public.clone()).collect()
                    };
                    if signs(before) != signs(after) {
                        scope.whole.insert(zone.clone());
                    }
                }
                Key::Challenge(own) if own.within(zone).is_some() => {
                    let left = own.within(zone).map(|own| ["_acme-challenge", own].join("."));
                    scope.units.extend(left.and_then(|left| neighbour(&view, &left)));
                    scope.units.insert(Unit::Zone(zone.clone()));
                }
                // What shows of a host has touched the zone too, and what does not is not to be signed: under the same version a signature may be
                // made once only.
                Key::Host(host) if host.zone() == zone && keys.contains(&Key::Zone(zone.clone())) => {
                    scope.units.insert(Unit::Host(host.clone()));
                    scope.units.extend(came_or_went(host, before, after).iter().filter_map(|left| neighbour(&view, left)));
                }
                _ => {}
            }
        }
    }
    scope
}

/// The names that `host` has in one of both states only.
fn came_or_went(host: &HostName, before: &State, after: &State) -> BTreeSet<String> {
    let names = |state: &State| -> BTreeSet<String> { state.host(host).into_iter().flat_map(|known| host_names(host, known)).collect() };
    names(before).symmetric_difference(&names(after)).cloned().collect()
}

/// Whose name stands before the one with `left` in front of the zone: it says what comes next.
fn neighbour(view: &ZoneView<'_>, left: &str) -> Option<Unit> {
    let before = view.chain().before(OrderKey::of(left).as_bytes());
    view.node(before.as_str())?.place.map(|place| view.unit_of(place))
}

/// What is to be signed of `unit` at the time `now`, in seconds since 1970; `None` if every signature is right, and none is too much.
pub fn plan<'a>(view: &ZoneView<'a>, unit: &Unit, now: u32) -> Option<Plan<'a>> {
    let old = view.signatures_of(unit);
    let threshold = LEAST.saturating_add(spread(unit));
    // One that is not good yet was made by a clock that was ahead.
    let is_good = |entry: &Entry<'_>| now.wrapping_sub(entry.inception).cast_signed() >= 0;
    let is_fresh = |entry: &Entry<'_>| is_good(entry) && entry.expiration.wrapping_sub(now).cast_signed() > threshold.cast_signed();
    let mut slots = Vec::new();
    if let Some(keys) = view.keys() {
        let (mut scratch, chain) = (Vec::new(), view.chain());
        for (left, node) in view.records_of(unit) {
            let Some(place) = node.place else { continue };
            let nsec = chain.nsec(left.as_str(), &node);
            for set in node.sets().chain([view.nsec_set(&nsec)]) {
                let owner = Owner { left: left.as_str(), zone: view.name };
                // A record that no message can hold is not answered either.
                let Ok(records) = owner.canonical(&set, &mut scratch) else { continue };
                for key in signers(keys, set.data.kind()) {
                    let mut entry = owner.entry(place.spot, &set, key, &records, now);
                    let kept = old.into_iter().flat_map(|old| old.of(entry.spot, entry.kind)).find(|kept| kept.is_like(&entry));
                    let wanted = match kept.filter(is_fresh) {
                        Some(kept) => {
                            entry = kept;
                            None
                        }
                        None => Some((key, owner.message(&entry, &records, &mut scratch).ok()?)),
                    };
                    slots.push(Slot { entry, wanted });
                }
            }
        }
    }
    let is_whole = slots.iter().all(|slot| slot.wanted.is_none()) && slots.len() == old.map_or(0, |old| old.iter().count());
    (!is_whole).then(|| Plan { unit: unit.clone(), slots })
}

/// How much earlier than it must `unit` is signed anew.
fn spread(unit: &Unit) -> u32 {
    let mut hasher = SipHasher24::new();
    hasher.write(unit.zone().as_str().as_bytes());
    if let Unit::Host(host) = unit {
        hasher.write(b"/");
        hasher.write(host.label().as_bytes());
    }
    (hasher.finish() % u64::from(SPREAD)) as u32
}

/// The keys that sign records of this type: all of them their own set, so that whoever trusts one of them trusts all.
fn signers(keys: &ZoneKeys, kind: Type) -> impl Iterator<Item = &ZoneKey> {
    let own = (kind == Type::DNSKEY).then(|| keys.iter());
    let others = (kind != Type::DNSKEY).then(|| keys.signing());
    own.into_iter().flatten().chain(others.into_iter().flatten())
}

impl Plan<'_> {
    /// How many signatures are to be made.
    pub fn count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.wanted.is_some()).count()
    }

    /// Has `sign` make what is missing, and says what is to be kept.
    ///
    /// # Errors
    /// What `sign` says.
    pub fn sign<E>(&self, mut sign: impl FnMut(&ZoneKey, &[u8]) -> Result<[u8; SIGNATURE], E>) -> Result<Change, E> {
        let made = self.slots.iter().map(|slot| match &slot.wanted {
            Some((key, message)) => sign(key, message),
            None => Ok(*slot.entry.signature),
        });
        let made: Vec<_> = made.collect::<Result<_, E>>()?;
        let entries = self.slots.iter().zip(&made).map(|(slot, signature)| Entry { signature, ..slot.entry });
        Ok(Change::Sign { unit: self.unit.clone(), signatures: Arc::new(Signatures::new(entries)) })
    }
}

/// A name, in two parts.
#[derive(Clone, Copy)]
struct Owner<'n> {
    left: &'n str,
    zone: &'n DnsName,
}

impl Owner<'_> {
    /// The records of `set` as they are signed (RFC 4034 §6): whole names, in order, none twice.
    fn canonical(self, set: &Rrset<'_>, scratch: &mut Vec<u8>) -> Result<Vec<u8>, Full> {
        let suffix = Suffix { name: self.zone, at: None };
        let mut data: Vec<Vec<u8>> = Vec::new();
        rdata::each(&set.data, suffix, &mut |fill| {
            data.push(rdata::written(scratch, fill)?);
            Ok(())
        })?;
        data.sort();
        data.dedup();
        let head = rdata::written(scratch, &|writer| {
            writer.left_of(self.left, suffix)?;
            [set.data.kind().0, CLASS_IN].into_iter().try_for_each(|number| writer.u16(number))?;
            writer.u32(set.ttl)
        })?;
        let records = data.iter().map(|data| [&head[..], &(data.len() as u16).to_be_bytes(), data].concat());
        Ok(records.collect::<Vec<_>>().concat())
    }

    /// The signature that `set` must have, as far as it is known before it is made.
    fn entry<'a>(self, spot: Spot<'a>, set: &Rrset<'_>, key: &ZoneKey, records: &[u8], now: u32) -> Entry<'a> {
        let left = self.left.split('.').filter(|label| !matches!(*label, "" | "*")).count();
        Entry {
            spot,
            kind: set.data.kind(),
            algorithm: key.algorithm.number(),
            labels: left.saturating_add(self.zone.labels().count()) as u8,
            ttl: set.ttl,
            inception: now.saturating_sub(EARLIER),
            expiration: now.saturating_add(LIFE),
            key_tag: key.tag(),
            hash: hash(key, records),
            signature: BLANK,
        }
    }

    /// What is signed (RFC 4034 §3.1.8.1).
    fn message(self, entry: &Entry<'_>, records: &[u8], scratch: &mut Vec<u8>) -> Result<Vec<u8>, Full> {
        let mut message = rdata::written(scratch, &|writer| rdata::signature_head(writer, entry, self.zone))?;
        message.extend_from_slice(records);
        Ok(message)
    }
}

impl Entry<'_> {
    /// Whether it covers the same with the same key.
    fn is_like(&self, other: &Entry<'_>) -> bool {
        (self.hash, self.key_tag, self.algorithm, self.labels, self.ttl)
            == (other.hash, other.key_tag, other.algorithm, other.labels, other.ttl)
    }
}

/// Says whether something changed, no more: whoever finds two sets of records with the same hash spoils nobody's name but their own.
fn hash(key: &ZoneKey, records: &[u8]) -> [u8; 8] {
    let mut hasher = SipHasher24::new();
    hasher.write(&key.public);
    hasher.write(records);
    hasher.finish().to_be_bytes()
}

#[cfg(test)]
pub(crate) mod tests;
