//! What a zone holds: for a name, its records.
//!
//! Nothing is stored as records. They follow from the state (hosts, where they are, challenges) and from the configuration
//! (addresses, name servers, TTL) the moment they are asked for, so there is nothing that could be out of date. What a wildcard puts
//! where nothing is follows RFC 4592, as a secondary that knows only the records would have it.
//! How records look on the wire is `answer`'s.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::change::Serial;
use crate::host::{Alpn, Caa, Host, HostRecord, RecordData, RecordKind, Reported, Via};
use crate::name::{APEX, DnsName, Form, HostName, form_of};
use crate::state::State;
use crate::wire::Type;

/// The version of the rules in this file: a change of what follows from the same state is a new version of every zone.
const RULES: u32 = 3;

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

/// A name that exists, and all that is there. It may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node<'a> {
    apex: Option<Apex<'a>>,
    ipv4: &'a [Ipv4Addr],
    ipv6: &'a [Ipv6Addr],
    home: Option<Ipv6Addr>,
    router: Option<&'a Reported>,
    challenge: Option<&'a BTreeSet<String>>,
    records: Option<Owned<'a>>,
    caa: Option<&'a BTreeSet<Caa>>,
    alpn: Option<&'a BTreeSet<Alpn>>,
    ttl: u32,
}

/// The records that a host's owner set at one name.
#[derive(Clone, Copy, Debug)]
struct Owned<'a> {
    host: &'a HostName,
    list: &'a BTreeSet<HostRecord>,
    owner: Option<&'a DnsName>,
}

impl<'a> Owned<'a> {
    fn of(self, kind: RecordKind) -> Records<'a> {
        let Self { host, list, owner } = self;
        Records { host, list, owner, kind }
    }
}

/// Those of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records<'a> {
    /// Whose they are: names in them are relative to it.
    pub host: &'a HostName,
    list: &'a BTreeSet<HostRecord>,
    owner: Option<&'a DnsName>,
    kind: RecordKind,
}

impl<'a> Records<'a> {
    /// What they say.
    pub fn iter(self) -> impl Iterator<Item = &'a RecordData> {
        let fits = move |record: &&HostRecord| record.owner.as_ref() == self.owner && record.data.kind() == self.kind;
        self.list.iter().filter(fits).map(|record| &record.data)
    }
}

#[derive(Clone, Copy, Debug)]
struct Apex<'a> {
    soa: Soa<'a>,
    nameservers: &'a [DnsName],
    ttl: u32,
}

/// All records of one name and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rrset<'n> {
    /// Seconds.
    pub ttl: u32,
    /// What they say.
    pub data: Data<'n>,
}

/// The contents of records of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'n> {
    /// The zone's version and primary server.
    Soa(Soa<'n>),
    /// Name servers.
    Ns(&'n [DnsName]),
    /// IPv4 addresses.
    A(&'n [Ipv4Addr]),
    /// IPv6 addresses.
    Aaaa(&'n [Ipv6Addr]),
    /// Values of an ACME challenge.
    Txt(&'n BTreeSet<String>),
    /// What a host's owner set.
    Records(Records<'n>),
    /// Who may issue certificates.
    Caa(&'n BTreeSet<Caa>),
    /// What a host speaks, at its own name.
    Https(&'n BTreeSet<Alpn>),
}

/// Start of authority (RFC 1035 §3.3.13); the responsible mailbox is hostmaster at the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa<'a> {
    /// The first name server.
    pub primary: &'a DnsName,
    /// The zone's version.
    pub serial: Serial,
}

impl Soa<'_> {
    /// Seconds between two questions of a secondary. NOTIFY is what tells it; this is for when that is lost.
    pub const REFRESH: u32 = 14_400;
    /// Seconds until a secondary asks again after a failure.
    pub const RETRY: u32 = 3_600;
    /// Seconds for which a secondary serves a zone whose primary is silent.
    pub const EXPIRE: u32 = 604_800;
    /// Seconds for which it may be remembered that something is not there (RFC 2308 §4): a home that comes back is
    /// seen after a minute.
    pub const MINIMUM: u32 = 60;
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
        // Up to the nearest name that exists, the closest encloser: a wildcard further up does not reach below it.
        let mut above = left;
        while !above.is_empty() {
            above = above.split_once('.').map_or("", |(_, above)| above);
            if self.node(above).is_some() {
                return self.wildcard(above).map(|node| (node, above));
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
            return Some(Node { challenge: Some(challenge), ttl: CHALLENGE_TTL, ..Node::default() });
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
        let host = self.host(label).filter(|host| host.settings.wildcard)?;
        (self.params.own_name.within(self.name) != Some(above)).then(|| self.everyones(host))
    }

    fn own(&self, left: &str) -> Node<'a> {
        let apex = left.is_empty().then(|| self.apex());
        Node { apex, ipv4: &self.params.ipv4, ipv6: &self.params.ipv6, ttl: self.params.ttl, ..Node::default() }
    }

    /// The challenge of our own name, which is at no host's.
    fn own_challenge(&self, left: &str) -> Option<&'a BTreeSet<String>> {
        let own = self.params.own_name.within(self.name)?;
        let below = if own.is_empty() { left == "_acme-challenge" } else { left.strip_prefix("_acme-challenge.") == Some(own) };
        below.then(|| self.state.challenge(&self.params.own_name))?
    }

    fn node_of_host(&self, left: &str) -> Option<Node<'a>> {
        match form_of(left) {
            Form::Apex => {
                let host = self.dual(APEX).unwrap_or_default();
                Some(Node { apex: Some(self.apex()), ..host })
            }
            Form::Dual(label) => self.dual(label),
            Form::Twin(label) => self.host(label).map(|host| {
                // Whoever asks for the twin must not be led back to the gateway.
                let home = self.home(host).filter(|home| !self.params.ipv6.contains(home));
                Node { home, ttl: self.ttl(host), ..Node::default() }
            }),
            Form::Router(label) => {
                let host = self.host(label)?;
                let router = host.router.as_ref().filter(|said| said.v4.is_some() || said.v6.is_some())?;
                Some(Node { router: Some(router), ttl: self.ttl(host), ..Node::default() })
            }
            Form::Challenge(label) => {
                let host = self.host(label).filter(|host| !host.challenge.is_empty())?;
                Some(Node { challenge: Some(&host.challenge), ttl: CHALLENGE_TTL, ..Node::default() })
            }
            Form::Other => None,
        }
    }

    /// What its owner put below a host, and the names on the way there, which exist too (RFC 8020).
    fn below_host(&self, left: &str) -> Option<Node<'a>> {
        let (above, top) = left.rsplit_once('.').map_or((None, left), |(above, top)| (Some(above), top));
        let of_host = above.and_then(|above| Some((self.named_host(top)?, above)));
        // Below the zone itself, what has no underscore is for hosts.
        let of_apex = || top.starts_with('_').then(|| self.named_host(APEX)).flatten().map(|host| (host, left));
        let ((name, host), below) = of_host.or_else(of_apex)?;
        let list = &host.settings.record;
        let owners = || list.iter().filter_map(|record| record.owner.as_ref());
        let ttl = self.ttl(host);
        if let Some(owner) = owners().find(|owner| owner.as_str() == below) {
            return Some(Node { records: Some(Owned { host: name, list, owner: Some(owner) }), ttl, ..Node::default() });
        }
        let is_above = |owner: &DnsName| owner.as_str().strip_suffix(below).is_some_and(|rest| rest.ends_with('.'));
        owners().any(is_above).then_some(Node { ttl, ..Node::default() })
    }

    /// All that stands at the name for everyone.
    fn dual(&self, label: &str) -> Option<Node<'a>> {
        let (name, host) = self.named_host(label)?;
        let settings = &host.settings;
        let records = Owned { host: name, list: &settings.record, owner: None };
        Some(Node { records: Some(records), caa: Some(&settings.caa), ..self.everyones(host) })
    }

    /// What of it stands at the names below too, with a wildcard: how to get there. The rest is about the one name.
    fn everyones(&self, host: &'a Host) -> Node<'a> {
        let (home, ipv6) = match host.settings.via {
            Via::Gateway => (None, self.params.ipv6.as_slice()),
            Via::Auto | Via::Home => (self.home(host), [].as_slice()),
        };
        Node { ipv4: &self.params.ipv4, ipv6, home, alpn: Some(&host.settings.alpn), ttl: self.ttl(host), ..Node::default() }
    }

    fn apex(&self) -> Apex<'a> {
        Apex { soa: self.soa(), nameservers: &self.params.nameservers, ttl: self.params.ttl }
    }

    fn soa(&self) -> Soa<'a> {
        let primary = self.params.nameservers.first().unwrap_or(&self.params.own_name);
        Soa { primary, serial: self.serial }
    }

    fn host(&self, label: &str) -> Option<&'a Host> {
        self.state.host_by(self.name, label).map(AsRef::as_ref)
    }

    fn named_host(&self, label: &str) -> Option<(&'a HostName, &'a Host)> {
        self.state.named_host_by(self.name, label).map(|(name, host)| (name, host.as_ref()))
    }

    fn home(&self, host: &Host) -> Option<Ipv6Addr> {
        self.state.home_of(self.name, host)
    }

    fn ttl(&self, host: &Host) -> u32 {
        host.settings.ttl.unwrap_or(self.params.ttl)
    }
}

impl Node<'_> {
    /// The records of type `kind`, if there are any. For ANY the first that there are: one set of records is an answer
    /// (RFC 8482 §4.1), and nobody can be flooded with all of them.
    pub fn rrset(&self, kind: Type) -> Option<Rrset<'_>> {
        if kind == Type::ANY {
            let kinds = [Type::SOA, Type::A, Type::AAAA, Type::TXT, Type::SRV, Type::MX];
            return kinds.into_iter().find_map(|kind| self.rrset(kind));
        }
        if let (Type::SOA | Type::NS, Some(apex)) = (kind, &self.apex) {
            let data = if kind == Type::SOA { Data::Soa(apex.soa) } else { Data::Ns(apex.nameservers) };
            return Some(Rrset { ttl: apex.ttl, data }).filter(|set| !set.data.is_empty());
        }
        let data = match kind {
            Type::A => Data::A(self.router.map_or(self.ipv4, |router| router.v4.as_slice())),
            Type::AAAA => Data::Aaaa(self.aaaa()),
            Type::TXT if self.challenge.is_some() => Data::Txt(self.challenge?),
            Type::TXT => Data::Records(self.records?.of(RecordKind::Txt)),
            Type::SRV => Data::Records(self.records?.of(RecordKind::Srv)),
            Type::MX => Data::Records(self.records?.of(RecordKind::Mx)),
            Type::CAA => Data::Caa(self.caa?),
            Type::HTTPS => Data::Https(self.alpn?),
            _ => return None,
        };
        (!data.is_empty()).then_some(Rrset { ttl: self.ttl, data })
    }

    fn aaaa(&self) -> &[Ipv6Addr] {
        match (&self.router, &self.home) {
            (Some(router), _) => router.v6.as_slice(),
            (None, Some(home)) => std::slice::from_ref(home),
            (None, None) => self.ipv6,
        }
    }
}

impl Data<'_> {
    /// The type of the records.
    pub fn kind(&self) -> Type {
        match self {
            Self::Soa(_) => Type::SOA,
            Self::Ns(_) => Type::NS,
            Self::A(_) => Type::A,
            Self::Aaaa(_) => Type::AAAA,
            Self::Txt(_) | Self::Records(Records { kind: RecordKind::Txt, .. }) => Type::TXT,
            Self::Records(Records { kind: RecordKind::Srv, .. }) => Type::SRV,
            Self::Records(Records { kind: RecordKind::Mx, .. }) => Type::MX,
            Self::Caa(_) => Type::CAA,
            Self::Https(_) => Type::HTTPS,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Soa(_) => false,
            Self::Ns(servers) => servers.is_empty(),
            Self::A(addresses) => addresses.is_empty(),
            Self::Aaaa(addresses) => addresses.is_empty(),
            Self::Txt(values) => values.is_empty(),
            Self::Records(records) => records.iter().next().is_none(),
            Self::Caa(values) => values.is_empty(),
            Self::Https(protocols) => protocols.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests;
