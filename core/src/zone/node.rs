//! What a name holds: its records, type by type.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::change::Serial;
use crate::dnssec::{KEY_TTL, Signatures, Spot, ZoneKeys};
use crate::host::{Alpn, Caa, HostRecord, RecordData, RecordKind, Reported};
use crate::name::{DnsName, HostName};
use crate::order::Left;
use crate::wire::{Type, TypeSet};

/// A name that exists, and all that is there. It may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node<'a> {
    /// Whose name it is; nobody's where it exists only because another one is below it (RFC 8020).
    pub place: Option<Place<'a>>,
    pub(super) apex: Option<Apex<'a>>,
    pub(super) ipv4: &'a [Ipv4Addr],
    pub(super) ipv6: &'a [Ipv6Addr],
    pub(super) home: Option<Ipv6Addr>,
    pub(super) router: Option<&'a Reported>,
    pub(super) challenge: Option<&'a BTreeSet<String>>,
    pub(super) records: Option<Owned<'a>>,
    pub(super) caa: Option<&'a BTreeSet<Caa>>,
    pub(super) alpn: Option<&'a BTreeSet<Alpn>>,
    pub(super) ttl: u32,
}

/// Whose name it is, and which of its names.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The host; the zone itself where there is none.
    pub host: Option<&'a HostName>,
    /// Which of its names.
    pub spot: Spot<'a>,
    /// The host's signatures.
    pub(super) signatures: Option<&'a Signatures>,
}

/// The records that a host's owner set at one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned<'a> {
    pub(super) host: &'a HostName,
    pub(super) list: &'a BTreeSet<HostRecord>,
    pub(super) owner: Option<&'a DnsName>,
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
pub(super) struct Apex<'a> {
    pub(super) soa: Soa<'a>,
    pub(super) nameservers: &'a [DnsName],
    pub(super) keys: Option<&'a ZoneKeys>,
    pub(super) ttl: u32,
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
    /// The keys that sign the zone.
    Dnskey(&'n ZoneKeys),
    /// Digests of the keys that its parent should trust.
    Cds(&'n ZoneKeys),
    /// The keys that its parent should trust.
    Cdnskey(&'n ZoneKeys),
    /// What is there, and what comes next.
    Nsec(&'n Nsec),
}

/// The proof that nothing else is at a name, and nothing between it and the next (RFC 4034 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nsec {
    /// What stands left of the zone in the next name.
    pub next: Left,
    /// The types that the name has.
    pub types: TypeSet,
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

/// All types that a name can have, in their order, but those of the signatures' own.
const KINDS: [Type; 12] = [
    Type::A,
    Type::NS,
    Type::SOA,
    Type::MX,
    Type::TXT,
    Type::AAAA,
    Type::SRV,
    Type::DNSKEY,
    Type::CDS,
    Type::CDNSKEY,
    Type::HTTPS,
    Type::CAA,
];

impl Node<'_> {
    /// All records that are there, type by type.
    pub fn sets(&self) -> impl Iterator<Item = Rrset<'_>> {
        KINDS.into_iter().filter_map(|kind| self.rrset(kind))
    }

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
        if let Type::DNSKEY | Type::CDS | Type::CDNSKEY = kind {
            let keys = self.apex?.keys?;
            let data = match kind {
                Type::DNSKEY => Data::Dnskey(keys),
                Type::CDS => Data::Cds(keys),
                _ => Data::Cdnskey(keys),
            };
            return Some(Rrset { ttl: KEY_TTL, data });
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
            Self::Dnskey(_) => Type::DNSKEY,
            Self::Cds(_) => Type::CDS,
            Self::Cdnskey(_) => Type::CDNSKEY,
            Self::Nsec(_) => Type::NSEC,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Soa(_) | Self::Dnskey(_) | Self::Cds(_) | Self::Cdnskey(_) | Self::Nsec(_) => false,
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
