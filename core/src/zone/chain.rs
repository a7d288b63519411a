//! The names of a zone one after another: what follows a name, whose it is, and the proof that nothing is between.
//!
//! The hosts' names are in the state's order; our own name and its challenge, which the configuration says, and the zone itself are put in
//! on the way. A name that exists only because another one is below it is no member.

use super::{Data, Nsec, Place, Rrset, Soa, Unit, ZoneKeys, ZoneView};
use crate::dnssec::{Signatures, Spot};
use crate::order::{Left, Order, OrderKey};
use crate::state::host_names;
use crate::wire::{Type, TypeSet};
use crate::zone::Node;

/// The names of a zone one after another. Made once for all steps of an answer, or of a unit.
pub struct Chain<'v, 'a> {
    view: &'v ZoneView<'a>,
    order: Option<&'a Order>,
    /// The names that no host has, the zone's aside.
    own: [Option<OrderKey>; 2],
}

impl<'a> ZoneView<'a> {
    /// Its names one after another.
    pub fn chain(&self) -> Chain<'_, 'a> {
        let own = self.own_names().map(|own| own.map(|own| OrderKey::of(own.as_str())));
        Chain { view: self, order: self.state.order(self.name), own }
    }

    /// The keys that sign it, if it is signed.
    pub fn keys(&self) -> Option<&'a ZoneKeys> {
        self.state.zone_keys(self.name).filter(|_| self.params.dnssec).map(AsRef::as_ref)
    }

    /// Where the zone's own records are, above all its start of authority.
    pub fn own_place(&self) -> Place<'a> {
        Place::of_zone(Spot::Main)
    }

    /// The signatures of `unit`.
    pub fn signatures_of(&self, unit: &Unit) -> Option<&'a Signatures> {
        self.state.signatures(unit).map(AsRef::as_ref)
    }

    /// What is kept of the signatures of a name; none where the zone is signed no longer, since nobody makes them anew.
    pub fn signatures(&self, place: Place<'a>) -> Option<&'a Signatures> {
        let kept = match place.host {
            Some(_) => place.signatures,
            None => self.state.zone_signatures(self.name).map(AsRef::as_ref),
        };
        kept.filter(|_| self.params.dnssec)
    }

    /// The names of `unit`, and what is there.
    pub fn records_of(&self, unit: &Unit) -> Vec<(Left, Node<'a>)> {
        let candidates: Vec<Left> = match unit {
            Unit::Zone(_) => std::iter::once(Left::default()).chain(self.own_names().into_iter().flatten()).collect(),
            Unit::Host(name) => {
                let host = self.state.host(name).filter(|_| name.zone() == self.name);
                host.into_iter().flat_map(|host| host_names(name, host)).map(|left| Left::below("", &left)).collect()
            }
        };
        let whose = |node: &Node<'a>| node.place.is_some_and(|place| self.unit_of(place) == *unit);
        let mut all: Vec<_> = candidates.into_iter().filter_map(|left| Some((left, self.node(left.as_str())?))).collect();
        all.retain(|(_, node)| whose(node));
        all.dedup_by(|(one, _), (other, _)| one == other);
        all
    }

    /// To whom a name belongs.
    pub fn unit_of(&self, place: Place<'a>) -> Unit {
        place.host.map_or_else(|| Unit::Zone(self.name.clone()), |host| Unit::Host(host.clone()))
    }

    /// `nsec` as records: they are remembered as long as it may be that something is not there (RFC 9077).
    pub fn nsec_set<'n>(&self, nsec: &'n Nsec) -> Rrset<'n> {
        Rrset { ttl: self.params.ttl.min(Soa::MINIMUM), data: Data::Nsec(nsec) }
    }

    /// Our own name and its challenge, as far as they are in this zone and not the zone itself.
    fn own_names(&self) -> [Option<Left>; 2] {
        let Some(own) = self.params.own_name.within(self.name) else { return [None, None] };
        let challenge = Left::below("_acme-challenge", own);
        let is_there = self.own_challenge(challenge.as_str()).is_some();
        [Some(Left::below("", own)).filter(|_| !own.is_empty()), Some(challenge).filter(|_| is_there)]
    }
}

impl<'a> Chain<'_, 'a> {
    /// All names with records of their own, in canonical order, the zone itself first.
    pub fn names(&self) -> impl Iterator<Item = Left> {
        std::iter::successors(Some(Left::default()), |left| {
            Some(self.after(OrderKey::of(left.as_str()).as_bytes())).filter(|next| *next != Left::default())
        })
    }

    /// The last name that is at `key` or before it.
    pub fn at_or_before(&self, key: &[u8]) -> Left {
        self.last(key, |order, key| order.at_or_before(key), |own, key| own <= key)
    }

    /// The last name before `key`; for the zone itself, itself.
    pub fn before(&self, key: &[u8]) -> Left {
        self.last(key, |order, key| order.before(key), |own, key| own < key)
    }

    /// The first name behind `key`; behind the last one the zone itself (RFC 4034 §4.1.1).
    pub fn after(&self, key: &[u8]) -> Left {
        let mut next = self.order.and_then(|order| order.after(key));
        while let Some(hidden) = next.filter(|key| self.is_hidden(key)) {
            next = self.order.and_then(|order| order.after(hidden));
        }
        let own = self.own.iter().flatten().map(OrderKey::as_bytes).filter(|own| *own > key);
        next.into_iter().chain(own).min().map_or_else(Left::default, Left::of)
    }

    /// What proves that `node`, at the name with `left` in front of the zone, has nothing else, and nothing is between it and the next.
    pub fn nsec(&self, left: &str, node: &Node<'_>) -> Nsec {
        let all = node.sets().map(|set| set.data.kind()).chain([Type::RRSIG, Type::NSEC]);
        Nsec { next: self.after(OrderKey::of(left).as_bytes()), types: all.fold(TypeSet::default(), TypeSet::with) }
    }

    fn last(&self, key: &[u8], last: impl Fn(&'a Order, &[u8]) -> Option<&'a [u8]>, fits: impl Fn(&[u8], &[u8]) -> bool) -> Left {
        let mut found = self.order.and_then(|order| last(order, key));
        while let Some(hidden) = found.filter(|key| self.is_hidden(key)) {
            found = self.order.and_then(|order| order.before(hidden));
        }
        let own = self.own.iter().flatten().map(OrderKey::as_bytes).filter(|own| fits(own, key));
        found.into_iter().chain(own).max().map_or_else(Left::default, Left::of)
    }

    /// Whether the key is of a host's wildcard that does not count, since the host's name is our own.
    fn is_hidden(&self, key: &[u8]) -> bool {
        let own = || self.view.params.own_name.within(self.view.name);
        key.last() == Some(&b'*') && own().is_some_and(|own| Left::below("*", own) == Left::of(key))
    }
}
