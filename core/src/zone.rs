//! What a zone holds: for a name, its records.
//!
//! Nothing is stored as records. They follow from the state (hosts, where they are, challenges) and from the configuration
//! (addresses, name servers, TTL) the moment they are asked for, so there is nothing that could be out of date. What a wildcard puts
//! where nothing is follows RFC 4592, as a secondary that knows only the records would have it.
//! How records look on the wire is `answer`'s.

mod chain;
mod node;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::change::Serial;
use crate::dnssec::{Signatures, Spot, Unit, ZoneKeys};
use crate::host::{Host, Via};
use crate::name::{APEX, DnsName, Form, HostName, form_of};
use crate::state::State;

pub use chain::Chain;
use node::{Apex, Owned};
pub use node::{Data, Node, Nsec, Place, Records, Rrset, Soa};

/// The version of the rules in this file: a change of what follows from the same state is a new version of every zone.
const RULES: u32 = 4;

/// Seconds for which a challenge may be remembered: the next order's is another one.
const CHALLENGE_TTL: u32 = 1;

/// What the configuration gives to the zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneParams {
    /// The zones that are served; none is inside another.
    pub zones: Vec<DnsName>,
    /// The NS of every zone, the primary first.
    pub nameservers: Vec<DnsName>,
    /// The gateway's own name.
    pub own_name: DnsName,
    /// The gateway's public IPv4 addresses: the A of every host.
    pub ipv4: Vec<Ipv4Addr>,
    /// The gateway's public IPv6 addresses.
    pub ipv6: Vec<Ipv6Addr>,
    /// Seconds, of every record without its own.
    pub ttl: u32,
    /// Whether zones that have keys are signed by them.
    pub dnssec: bool,
}

/// One zone of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ZoneView<'a> {
    /// Its name.
    pub name: &'a DnsName,
    serial: Serial,
    state: &'a State,
    params: &'a ZoneParams,
}

impl ZoneParams {
    /// All that the configuration gives to `zone`, as text: its digest says whether the zone needs a new version.
    pub fn digest_input(&self, zone: &DnsName) -> Vec<u8> {
        let mut text = format!("fourward zone {RULES}\nttl {}\n", self.ttl);
        let mut line = |key: &str, value: &dyn std::fmt::Display| text.push_str(&format!("{key} {value}\n"));
        self.nameservers.iter().for_each(|server| line("ns", server));
        self.ipv4.iter().for_each(|address| line("a", address));
        if self.own_name.within(zone).is_some() {
            line("own", &self.own_name);
        }
        // Also where the own name is elsewhere: no twin may show one of them.
        self.ipv6.iter().for_each(|address| line("aaaa", address));
        line("dnssec", &self.dnssec);
        text.into_bytes()
    }
}

impl<'a> ZoneView<'a> {
    /// The zone `name` as `state` has it; `None` before it is served for the first time.
    pub fn new(name: &'a DnsName, state: &'a State, params: &'a ZoneParams) -> Option<Self> {
        let serial = state.zone(name)?.serial;
        Some(Self { name, serial, state, params })
    }

    /// What is answered for the name with `left` in front of the zone: what is there, or what a wildcard puts there (RFC 4592 §3.3.1).
    /// `None`: no such name.
    pub fn find(&self, left: &str) -> Option<Node<'a>> {
        self.node(left).or_else(|| self.by_wildcard(left).map(|(node, _)| node))
    }

    /// What a wildcard puts at the name with `left` in front of the zone, where nothing else is; and what stands in front of the zone in the
    /// name that the wildcard is below.
    pub fn by_wildcard<'n>(&self, left: &'n str) -> Option<(Node<'a>, &'n str)> {
        // A wildcard further up does not reach below the closest encloser.
        let above = self.closest_encloser(left)?;
        self.wildcard(above).map(|node| (node, above))
    }

    /// The nearest name that exists above the one with `left` in front of the zone (RFC 4592 §3.3.1).
    pub fn closest_encloser<'l>(&self, left: &'l str) -> Option<&'l str> {
        let mut above = left;
        while !above.is_empty() {
            above = above.split_once('.').map_or("", |(_, above)| above);
            if self.node(above).is_some() {
                return Some(above);
            }
        }
        None
    }

    /// What is at the name with `left` in front of the zone (lower-case, `""` for the zone itself), `*` meaning a wildcard itself. `None`:
    /// no such name, and nothing below it either.
    pub fn node(&self, left: &str) -> Option<Node<'a>> {
        if let Some(below) = left.strip_prefix('*') {
            return below.strip_prefix('.').or(Some(below).filter(|below| below.is_empty())).and_then(|above| self.wildcard(above));
        }
        let own = self.params.own_name.within(self.name);
        if own == Some(left) {
            return Some(self.own(left));
        }
        if let Some(challenge) = self.own_challenge(left) {
            let place = Some(Place::of_zone(Spot::OwnChallenge));
            return Some(Node { place, challenge: Some(challenge), ttl: CHALLENGE_TTL, ..Node::default() });
        }
        // A name with nothing of its own exists if another one is below it (RFC 8020).
        let above_own = || own?.strip_suffix(left)?.ends_with('.').then(Node::default);
        self.node_of_host(left).or_else(|| self.below_host(left)).or_else(above_own)
    }

    /// What `name` has, if it is in this zone.
    pub fn node_of(&self, name: &DnsName) -> Option<Node<'a>> {
        self.node(name.within(self.name)?)
    }

    /// The zone's start of authority, as a negative answer has it (RFC 2308 §3).
    pub fn negative(&self) -> Rrset<'a> {
        Rrset { ttl: self.params.ttl.min(Soa::MINIMUM), data: Data::Soa(self.soa()) }
    }

    /// What stands at `*` below `above`, where that is a host's dual name and not our own.
    fn wildcard(&self, above: &str) -> Option<Node<'a>> {
        let label = if above.is_empty() { APEX } else { above };
        let found = self.host(label).filter(|found| found.host.settings.wildcard)?;
        (self.params.own_name.within(self.name) != Some(above)).then(|| self.everyones(found, Spot::Wildcard))
    }

    fn own(&self, left: &str) -> Node<'a> {
        let apex = left.is_empty().then(|| self.apex());
        let place = Some(Place::of_zone(if left.is_empty() { Spot::Main } else { Spot::Own }));
        Node { place, apex, ipv4: &self.params.ipv4, ipv6: &self.params.ipv6, ttl: self.params.ttl, ..Node::default() }
    }

    /// The challenge of our own name, which is at no host's.
    fn own_challenge(&self, left: &str) -> Option<&'a BTreeSet<String>> {
        let own = self.params.own_name.within(self.name)?;
        let below = if own.is_empty() { left == "_acme-challenge" } else { left.strip_prefix("_acme-challenge.") == Some(own) };
        below.then(|| self.state.challenge(&self.params.own_name))?
    }

    fn node_of_host(&self, left: &str) -> Option<Node<'a>> {
        let node = |found: Found<'a>, spot| Node { place: Some(found.place(spot)), ttl: self.ttl(found.host), ..Node::default() };
        match form_of(left) {
            Form::Apex => {
                let host = self.dual(APEX).unwrap_or_default();
                Some(Node { place: Some(Place::of_zone(Spot::Main)), apex: Some(self.apex()), ..host })
            }
            Form::Dual(label) => self.dual(label),
            Form::Twin(label) => self.host(label).map(|found| {
                // Whoever asks for the twin must not be led back to the gateway.
                let home = self.home(found.host).filter(|home| !self.params.ipv6.contains(home));
                Node { home, ..node(found, Spot::Twin) }
            }),
            Form::Router(label) => {
                let found = self.host(label)?;
                let router = found.host.router.as_ref().filter(|said| said.is_said())?;
                Some(Node { router: Some(router), ..node(found, Spot::Router) })
            }
            Form::Challenge(label) => {
                let found = self.host(label).filter(|found| !found.host.challenge.is_empty())?;
                Some(Node { challenge: Some(&found.host.challenge), ttl: CHALLENGE_TTL, ..node(found, Spot::Challenge) })
            }
            Form::Other => None,
        }
    }

    /// What its owner put below a host, and the names on the way there, which exist too (RFC 8020).
    fn below_host(&self, left: &str) -> Option<Node<'a>> {
        let (above, top) = left.rsplit_once('.').map_or((None, left), |(above, top)| (Some(above), top));
        let of_host = above.and_then(|above| Some((self.host(top)?, above)));
        // Below the zone itself, what has no underscore is for hosts.
        let of_apex = || top.starts_with('_').then(|| self.host(APEX)).flatten().map(|host| (host, left));
        let (found, below) = of_host.or_else(of_apex)?;
        let list = &found.host.settings.record;
        let owners = || list.iter().filter_map(|record| record.owner.as_ref());
        let ttl = self.ttl(found.host);
        if let Some(owner) = owners().find(|owner| owner.as_str() == below) {
            let place = Some(found.place(Spot::Below(owner.as_str())));
            return Some(Node { place, records: Some(Owned { host: found.name, list, owner: Some(owner) }), ttl, ..Node::default() });
        }
        let is_above = |owner: &DnsName| owner.as_str().strip_suffix(below).is_some_and(|rest| rest.ends_with('.'));
        owners().any(is_above).then_some(Node { ttl, ..Node::default() })
    }

    /// All that stands at the name for everyone.
    fn dual(&self, label: &str) -> Option<Node<'a>> {
        let found = self.host(label)?;
        let settings = &found.host.settings;
        let records = Owned { host: found.name, list: &settings.record, owner: None };
        Some(Node { records: Some(records), caa: Some(&settings.caa), ..self.everyones(found, Spot::Main) })
    }

    /// What of it stands at the names below too, with a wildcard: how to get there. The rest is about the one name.
    fn everyones(&self, found: Found<'a>, spot: Spot<'a>) -> Node<'a> {
        let host = found.host;
        let (home, ipv6) = match host.settings.via {
            Via::Gateway => (None, self.params.ipv6.as_slice()),
            Via::Auto | Via::Home => (self.home(host), [].as_slice()),
        };
        let (place, alpn) = (Some(found.place(spot)), Some(&host.settings.alpn));
        Node { place, ipv4: &self.params.ipv4, ipv6, home, alpn, ttl: self.ttl(host), ..Node::default() }
    }

    fn apex(&self) -> Apex<'a> {
        Apex { soa: self.soa(), nameservers: &self.params.nameservers, keys: self.keys(), ttl: self.params.ttl }
    }

    fn soa(&self) -> Soa<'a> {
        let primary = self.params.nameservers.first().unwrap_or(&self.params.own_name);
        Soa { primary, serial: self.serial }
    }

    fn host(&self, label: &str) -> Option<Found<'a>> {
        let (name, known) = self.state.known_by(self.name, label)?;
        Some(Found { name, host: &known.host, signatures: known.signatures.as_deref() })
    }

    fn home(&self, host: &Host) -> Option<Ipv6Addr> {
        self.state.home_of(self.name, host)
    }

    fn ttl(&self, host: &Host) -> u32 {
        host.settings.ttl.unwrap_or(self.params.ttl)
    }
}

/// A host that was looked up.
#[derive(Clone, Copy)]
struct Found<'a> {
    name: &'a HostName,
    host: &'a Host,
    signatures: Option<&'a Signatures>,
}

impl<'a> Found<'a> {
    fn place(self, spot: Spot<'a>) -> Place<'a> {
        Place { host: Some(self.name), spot, signatures: self.signatures }
    }
}

impl<'a> Place<'a> {
    fn of_zone(spot: Spot<'a>) -> Self {
        Self { host: None, spot, signatures: None }
    }
}

#[cfg(test)]
pub(crate) mod tests;
