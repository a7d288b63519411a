//! The state, and the one function that changes it.
//!
//! Everything that must survive lives here: zones with their serials, hosts, tombstones, keys. What is
//! true for seconds only (links, leases) does not; it is the lease table's. A clone shares its structure with
//! the original, so that a snapshot costs nothing and a change O(log n). The disk is the store's.

mod bulk;
mod follow;
mod forwards;
mod names;
mod own;
mod signed;
mod update;
mod upstream;
mod visible;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;

use jiff::Timestamp;
use rpds::{RedBlackTreeMapSync as OrdMap, RedBlackTreeSetSync as OrdSet};

use crate::change::{Account, Certificate, Change, Identity, Key, Record, Refused, Serial, Zone};
use crate::dnssec::{Signatures, Unit, ZoneKeys};
use crate::host::{AddressFrom, Credentials, Digest, Edit, Forward, Host, Proven, RecordData, Settings, Target};
use crate::index::Index;
use crate::name::{APEX, DnsName, HostKey, HostName};
use crate::order::Order;
use crate::policy::Policy;
use crate::service::Protocol;

pub use follow::{Proof, Whereabouts};
pub(crate) use names::host_names;

/// All that must survive. A clone is a snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    zones: OrdMap<DnsName, Zone>,
    hosts: OrdMap<HostName, Arc<Host>>,
    tombstones: OrdMap<HostName, Timestamp>,
    challenges: OrdMap<DnsName, Arc<BTreeSet<String>>>,
    accounts: OrdMap<String, Arc<Account>>,
    certificates: OrdMap<DnsName, Arc<Certificate>>,
    identity: Option<Arc<Identity>>,
    zone_keys: OrdMap<DnsName, Arc<ZoneKeys>>,
    /// Of what is the zones' own. The hosts' are in `by_name`.
    zone_signatures: OrdMap<DnsName, Arc<Signatures>>,
    /// Derived from `hosts`, which has their order, but for the signatures: the way of a query to its host.
    by_name: Index<HostName, Known>,
    /// Derived from `hosts`: their names by zone.
    orders: OrdMap<DnsName, Order>,
    /// Derived from `hosts`: whose alias a name is.
    aliases: OrdMap<DnsName, HostName>,
    /// Derived from `hosts`: whose agent has a key.
    agents: OrdMap<Digest, HostName>,
    /// Derived from `hosts`: who follows a host.
    followers: OrdMap<HostName, OrdSet<HostName>>,
    /// Derived from `hosts`: where a port of the gateway's leads, by protocol and first port.
    forwards: OrdMap<(Protocol, u16), (Forward, HostName)>,
}

/// A host, and what a query for it needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) host: Arc<Host>,
    /// Of its records; none as long as the zone is not signed.
    pub(crate) signatures: Option<Arc<Signatures>>,
}

impl State {
    /// All zones, by name.
    pub fn zones(&self) -> impl Iterator<Item = (&DnsName, &Zone)> {
        self.zones.iter()
    }

    /// The zone called `name`.
    pub fn zone(&self, name: &DnsName) -> Option<&Zone> {
        self.zones.get(name)
    }

    /// The host called `name`.
    pub fn host(&self, name: &HostName) -> Option<&Arc<Host>> {
        self.hosts.get(name)
    }

    /// The host with `label` (lower-case, `@` at the apex) in `zone`, for those who have no whole name at hand.
    pub fn host_by(&self, zone: &DnsName, label: &str) -> Option<&Arc<Host>> {
        self.named_host_by(zone, label).map(|(_, host)| host)
    }

    /// Like [`State::host_by`], with the host's whole name.
    pub fn named_host_by(&self, zone: &DnsName, label: &str) -> Option<(&HostName, &Arc<Host>)> {
        self.known_by(zone, label).map(|(name, known)| (name, &known.host))
    }

    pub(crate) fn known_by(&self, zone: &DnsName, label: &str) -> Option<(&HostName, &Known)> {
        self.by_name.get_key_value(&(zone, label) as &dyn HostKey)
    }

    /// All hosts, by zone and label.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostName, &Arc<Host>)> {
        self.hosts.iter()
    }

    /// How many there are.
    pub fn host_count(&self) -> usize {
        self.hosts.size()
    }

    /// The host, existing or not, whose dual name is `name`.
    pub fn host_of(&self, name: &DnsName) -> Option<HostName> {
        let mut zones = self.zones.keys().filter(|zone| name.within(zone).is_some());
        let zone = zones.next()?;
        HostName::new(Some(name.within(zone)?).filter(|label| !label.is_empty()).unwrap_or(APEX), zone.clone()).ok()
    }

    /// The host that lists `name` as its alias.
    pub fn alias(&self, name: &DnsName) -> Option<&HostName> {
        self.aliases.get(name)
    }

    /// The host whose agent has the key with this digest.
    pub fn agent(&self, key: &Digest) -> Option<&HostName> {
        self.agents.get(key)
    }

    /// What is kept under `key`; `None` once it is gone.
    pub fn record(&self, key: &Key) -> Option<Record> {
        match key {
            Key::Zone(name) => self.zones.get(name).map(|zone| Record::Zone(name.clone(), *zone)),
            Key::Host(name) => self.hosts.get(name).map(|host| Record::Host(name.clone(), Arc::clone(host))),
            Key::Tombstone(name) => self.tombstones.get(name).map(|at| Record::Tombstone(name.clone(), *at)),
            Key::Challenge(name) => self.challenges.get(name).map(|values| Record::Challenge(name.clone(), Arc::clone(values))),
            Key::Account(url) => self.accounts.get(url).map(|account| Record::Account(url.clone(), Arc::clone(account))),
            Key::Certificate(name) => self.certificates.get(name).map(|kept| Record::Certificate(name.clone(), Arc::clone(kept))),
            Key::Identity => self.identity.clone().map(Record::Identity),
            Key::ZoneKeys(name) => self.zone_keys.get(name).map(|keys| Record::ZoneKeys(name.clone(), Arc::clone(keys))),
            Key::Signatures(unit) => self.signatures(unit).map(|kept| Record::Signatures(unit.clone(), Arc::clone(kept))),
        }
    }

    /// Puts back a record as the store kept it: a host before its signatures.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Zone(name, zone) => self.zones.insert_mut(name, zone),
            Record::Tombstone(name, at) => self.tombstones.insert_mut(name, at),
            Record::Challenge(name, values) => self.challenges.insert_mut(name, values),
            Record::Account(url, account) => self.accounts.insert_mut(url, account),
            Record::Certificate(name, certificate) => self.certificates.insert_mut(name, certificate),
            Record::Identity(identity) => self.identity = Some(identity),
            Record::Host(name, host) => self.replace(&name, Some(host)),
            Record::ZoneKeys(name, keys) => self.zone_keys.insert_mut(name, keys),
            Record::Signatures(unit, signatures) => self.put_signatures(&unit, Some(signatures)),
        }
    }

    /// Carries out `change`: the only way in which a state changes. Returns what it touched, nothing if all was so already.
    ///
    /// # Errors
    /// The reason why not; the state is then as it was.
    pub fn apply(&mut self, change: &Change, policy: &Policy) -> Result<Vec<Key>, Refused> {
        match change {
            Change::Serve { zone, apex, at } => Ok(self.serve(zone, *apex, *at)),
            Change::Retire { zone } => {
                let served = self.zones.remove_mut(zone);
                Ok(if served { vec![Key::Zone(zone.clone())] } else { Vec::new() })
            }
            Change::Add { host, edits, join, update, reuse } => {
                let credentials = Credentials { join: *join, agent: None, update: *update, proof: None };
                self.add(host, edits, credentials, *reuse, policy)
            }
            Change::Set { host, edits } => {
                let old = self.known(host)?;
                let new = self.edited(host, old, edits, policy)?;
                self.check_leader(host, &new, old, policy)?;
                Ok(self.publish(host, Some(new), policy))
            }
            Change::Import { entries, replace, reuse } => self.import(entries, bulk::Consent { replace: *replace, reuse: *reuse }, policy),
            Change::Remove { host, at } => {
                self.known(host)?;
                self.check_unfollowed(host)?;
                let mut touched = self.publish(host, None, policy);
                self.tombstones.insert_mut(host.clone(), *at);
                touched.push(Key::Tombstone(host.clone()));
                Ok(touched)
            }
            Change::Token { host, join, update } => self.with_host(host, policy, |new| {
                new.credentials.join = *join;
                new.credentials.update = *update;
            }),
            Change::ProofKey { host, .. } if host.label() == APEX => Err(Refused::ApexChallenge(host.zone().clone())),
            Change::ProofKey { host, key } => self.with_host(host, policy, |new| new.credentials.proof = Some(*key)),
            Change::Register { host, secret, key, at } => self.register(host, *secret, *key, *at, policy),
            Change::Move { host, address, at } => self.move_to(host, *address, *at, policy),
            Change::Withdraw { host, address } => {
                if self.known(host)?.proven.is_none_or(|proven| proven.address != *address) {
                    return Ok(Vec::new());
                }
                self.with_host(host, policy, |new| {
                    new.proven = None;
                    new.before = new.before.or(Some(*address));
                })
            }
            Change::Update { host, said, at } => {
                let new = update::told(host, self.known(host)?, *said, *at, policy)?;
                Ok(self.publish(host, Some(new), policy))
            }
            Change::Resolved { host, upstream, address, at } => self.resolved(host, upstream, *address, *at, policy),
            Change::Rewrite(rewrite) => self.rewrite(rewrite, policy),
            Change::Challenge { host, .. } if host.label() == APEX => Err(Refused::ApexChallenge(host.zone().clone())),
            Change::Challenge { host, before, .. } if self.known(host)?.challenge != *before => Err(Refused::Overtaken(host.clone())),
            Change::Challenge { host, values, .. } => self.with_host(host, policy, |new| new.challenge.clone_from(values)),
            Change::OwnChallenge { name, values } => Ok(self.own_challenge(name, values)),
            Change::Account { directory, account } => Ok(self.keep_account(directory, account)),
            Change::Certificate { name, certificate } => Ok(self.keep_certificate(name, certificate)),
            Change::Identify(identity) => self.identify(identity),
            Change::ZoneKeys { zone, keys } => self.set_zone_keys(zone, keys.as_ref()),
            Change::Refresh { zone } => self.refresh(zone),
            Change::Sign { unit, signatures } => self.sign(unit, signatures),
        }
    }

    fn serve(&mut self, name: &DnsName, apex: Digest, at: Timestamp) -> Vec<Key> {
        let serial = match self.zones.get(name) {
            Some(zone) if zone.apex == apex => return Vec::new(),
            Some(zone) => zone.serial.next(),
            None => Serial(u32::try_from(at.as_second()).unwrap_or(1)),
        };
        self.zones.insert_mut(name.clone(), Zone { serial, apex });
        vec![Key::Zone(name.clone())]
    }

    fn add(
        &mut self,
        host: &HostName,
        edits: &[Edit],
        credentials: Credentials,
        reuse: bool,
        policy: &Policy,
    ) -> Result<Vec<Key>, Refused> {
        if self.hosts.contains_key(host) {
            return Err(Refused::Exists(host.clone()));
        }
        self.check_name(host, reuse, policy)?;
        let settings = Settings::default();
        let (proven, before, updated, barred, router) = (None, None, None, None, None);
        let blank = Host { settings, credentials, proven, before, updated, barred, router, challenge: BTreeSet::new() };
        let new = self.edited(host, &blank, edits, policy)?;
        self.check_leader(host, &new, &blank, policy)?;
        let mut touched = self.publish(host, Some(new), policy);
        if self.tombstones.remove_mut(host) {
            touched.push(Key::Tombstone(host.clone()));
        }
        Ok(touched)
    }

    /// Whether a host may be called so.
    fn check_name(&self, host: &HostName, reuse: bool, policy: &Policy) -> Result<(), Refused> {
        if let Some(own) = policy.own_names.iter().find(|own| **own == host.dual() || **own == host.twin()) {
            return Err(Refused::OwnName(own.clone()));
        }
        match self.tombstones.get(host) {
            Some(removed) if !reuse => Err(Refused::Tombstone { host: host.clone(), removed: *removed }),
            _ => Ok(()),
        }
    }

    fn register(&mut self, host: &HostName, secret: Digest, key: Digest, at: Timestamp, policy: &Policy) -> Result<Vec<Key>, Refused> {
        let join = self.known(host)?.credentials.join;
        if join.secret != secret {
            return Err(Refused::WrongSecret(host.clone()));
        }
        match join.spent_by {
            // The answer to the first try may have been lost on the way.
            Some(spent_by) if spent_by == key => return Ok(Vec::new()),
            Some(_) => return Err(Refused::SpentSecret(host.clone())),
            None => {}
        }
        if at >= join.expires {
            return Err(Refused::ExpiredSecret { host: host.clone(), expired: join.expires });
        }
        if let Some(other) = self.agents.get(&key).filter(|other| *other != host) {
            return Err(Refused::KeyTaken(other.clone()));
        }
        self.with_host(host, policy, |new| {
            new.credentials.join.spent_by = Some(key);
            new.credentials.agent = Some(key);
            // A home that can prove where it is has no need of what somebody says.
            if new.settings.address_from == AddressFrom::Update {
                new.settings.address_from = AddressFrom::Link;
                new.updated = None;
            }
        })
    }

    fn move_to(&mut self, host: &HostName, address: Ipv6Addr, at: Timestamp, policy: &Policy) -> Result<Vec<Key>, Refused> {
        let old = self.known(host)?;
        if !old.by_link() {
            return Err(Refused::NotByLink(host.clone()));
        }
        policy.addresses.check(address)?;
        if old.proven.is_some_and(|proven| proven.address == address) {
            return Ok(Vec::new());
        }
        self.with_host(host, policy, |new| {
            let moved = new.proven.map(|proven| proven.address).filter(|old| network(*old) != network(address));
            new.before = moved.or(new.before);
            new.proven = Some(Proven { address, since: at });
        })
    }

    fn known(&self, host: &HostName) -> Result<&Arc<Host>, Refused> {
        self.hosts.get(host).ok_or_else(|| Refused::UnknownHost(host.clone()))
    }

    fn with_host(&mut self, host: &HostName, policy: &Policy, alter: impl FnOnce(&mut Host)) -> Result<Vec<Key>, Refused> {
        let mut new = Host::clone(self.known(host)?);
        alter(&mut new);
        Ok(self.publish(host, Some(new), policy))
    }

    /// `host` as it would be after `edits`, checked against everything else in the state.
    fn edited(&self, name: &HostName, host: &Host, edits: &[Edit], policy: &Policy) -> Result<Host, Refused> {
        if !self.zones.contains_key(name.zone()) {
            return Err(Refused::UnknownZone(name.zone().clone()));
        }
        let mut new = host.clone();
        for edit in edits {
            new.settings.edit(edit)?;
        }
        let settings = &new.settings;
        if (settings.address_from == AddressFrom::Static) != settings.address.is_some() {
            return Err(Refused::StaticAddress(name.clone()));
        }
        if let Some(address) = settings.address {
            policy.addresses.check(address)?;
            // What the link proved is void from here on; when the link is the authority again it proves anew.
            new.proven = None;
        }
        match settings.address_from {
            AddressFrom::Update => new.proven = None,
            // What DNS said counts as long as the same name is asked.
            AddressFrom::Link if upstream::stays(host, settings) => new.proven = None,
            // What an update said counts while updates are the authority, and anew when they are it again.
            AddressFrom::Link | AddressFrom::Static => new.updated = None,
        }
        for alias in &new.settings.alias {
            self.check_alias(name, alias, policy)?;
        }
        self.check_forwards(name, &new, policy)?;
        self.check_upstream(name, &new.settings, policy)?;
        self.check_following(name, &mut new)?;
        check_records(name, &new.settings, policy)?;
        Ok(new)
    }

    fn check_alias(&self, host: &HostName, alias: &DnsName, policy: &Policy) -> Result<(), Refused> {
        if policy.own_names.contains(alias) {
            return Err(Refused::AliasOwn(alias.clone()));
        }
        if let Some(zone) = self.zones.keys().find(|zone| alias.within(zone).is_some()) {
            return Err(Refused::AliasInZone { alias: alias.clone(), zone: zone.clone() });
        }
        match self.aliases.get(alias) {
            Some(other) if other != host => Err(Refused::AliasTaken { alias: alias.clone(), host: other.clone() }),
            _ => Ok(()),
        }
    }

    /// Puts `new` in the place of `host`; the zone gets a new version if the world can see the difference.
    fn publish(&mut self, name: &HostName, mut new: Option<Host>, policy: &Policy) -> Vec<Key> {
        let zone = self.zones.get(name.zone()).copied();
        if let Some(new) = &mut new {
            new.barred = self.barred(name, new, policy);
        }
        let old = self.hosts.get(name);
        if old.map(Arc::as_ref) == new.as_ref() {
            return Vec::new();
        }
        let shows = old.map(|host| self.visible(name, host)) != new.as_ref().map(|host| self.visible(name, host));
        let (was, is) = (old.and_then(|host| host.home()), new.as_ref().and_then(Host::home));
        let unit = Unit::Host(name.clone());
        let unsigned = new.is_none() && self.signatures(&unit).is_some();
        self.replace(name, new.map(Arc::new));
        let mut touched = vec![Key::Host(name.clone())];
        touched.extend(self.carry_along(name, was, is, policy));
        if let Some(zone) = zone.filter(|_| shows) {
            self.zones.insert_mut(name.zone().clone(), Zone { serial: zone.serial.next(), ..zone });
            touched.push(Key::Zone(name.zone().clone()));
        }
        touched.extend(unsigned.then_some(Key::Signatures(unit)));
        touched
    }

    /// Puts `new` in the place of the host called `name`. What was signed of it stays.
    fn replace(&mut self, name: &HostName, new: Option<Arc<Host>>) {
        let old = self.hosts.get(name).cloned();
        self.reorder(name, old.as_deref(), new.as_deref());
        self.forget(name);
        match new {
            Some(new) => self.put(name, new),
            None => self.by_name.remove(name),
        }
    }

    fn put(&mut self, name: &HostName, host: Arc<Host>) {
        for alias in &host.settings.alias {
            self.aliases.insert_mut(alias.clone(), name.clone());
        }
        if let Some(key) = host.credentials.agent {
            self.agents.insert_mut(key, name.clone());
        }
        let signatures = self.by_name.get_key_value(name).and_then(|(_, known)| known.signatures.clone());
        self.by_name.insert(name.clone(), Known { host: Arc::clone(&host), signatures });
        self.note_follower(name, &host);
        self.note_forwards(name, &host);
        self.hosts.insert_mut(name.clone(), host);
    }

    fn forget(&mut self, name: &HostName) {
        let Some(host) = self.hosts.get(name).cloned() else { return };
        self.hosts.remove_mut(name);
        for alias in &host.settings.alias {
            self.aliases.remove_mut(alias);
        }
        if let Some(key) = host.credentials.agent {
            self.agents.remove_mut(&key);
        }
        self.forget_follower(name, &host);
        self.forget_forwards(&host);
    }
}

/// The /64 that an address is in.
fn network(address: Ipv6Addr) -> u128 {
    address.to_bits() >> 64
}

/// Whether the records of `host` may stand where they would.
fn check_records(host: &HostName, settings: &Settings, policy: &Policy) -> Result<(), Refused> {
    let mut seen = BTreeSet::new();
    for record in &settings.record {
        let refuse = |reason: String| Refused::Record { record: record.to_string(), reason };
        let place = |below: &DnsName| host.dual().child(below.as_str()).map_err(|error| refuse(error.to_string()));
        let mut whole = record.clone();
        if let RecordData::Srv { target, .. } | RecordData::Mx { exchange: target, .. } = &mut whole.data
            && let Target::Host(below) = &*target
        {
            *target = Target::Name(below.as_ref().map_or(Ok(host.dual()), place)?);
        }
        if !seen.insert(whole) {
            return Err(refuse(
                "another record says the same with the name written in another way: leave one of them out (RFC 2181 §5)".into(),
            ));
        }
        let Some(owner) = &record.owner else { continue };
        let name = place(owner)?;
        // Every other name beside the apex is some host's, now or one day.
        if host.label() == APEX && owner.labels().next_back().is_some_and(|label| !label.starts_with('_')) {
            return Err(refuse(format!(
                "{name} would be a host's: at the zone itself, a record's name ends in a part with an underscore, like _dmarc"
            )));
        }
        if policy.own_names.contains(&name) {
            return Err(Refused::OwnName(name));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
