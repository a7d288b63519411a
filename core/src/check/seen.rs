//! What an examination saw: facts, none of them judged.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::CertificateStatus;
use crate::dnssec::Ds;
use crate::facts::{Connect, HomeFacts, HostFacts};
use crate::name::DnsName;
use crate::wire::Rcode;

/// By which the gateway turns away a name that it does not know (RFC 8446 §6.2).
pub(super) const UNRECOGNIZED_NAME: u8 = 112;

/// Where clients find TLS.
const HTTPS: u16 = 443;

/// From where it was looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// On the server: its state is known too.
    Server,
    /// At home: the agent is asked too, and the server through its link.
    Home,
    /// Anywhere else: names and connections only.
    Outside,
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The name that was given.
    pub name: DnsName,
    /// From where it was looked.
    pub view: View,
    /// When.
    pub now: Timestamp,
    /// Whether this machine has a way to IPv4 addresses.
    pub ipv4: bool,
    /// Whether this machine has a way to IPv6 addresses.
    pub ipv6: bool,
    /// Where the gateway is.
    pub gateway: Gateway,
    /// What the server's or the agent's socket said.
    pub asked: Asked,
    /// What the server knows of the host.
    pub host: Option<HostFacts>,
    /// What the agent knows of itself.
    pub home: Option<HomeFacts>,
    /// What the names say.
    pub names: Names,
    /// What connections to both addresses found.
    pub paths: Vec<Path>,
    /// What TLS shows for the gateway's own name.
    pub own_name: OwnName,
    /// Whether the link's UDP port of each of the gateway's addresses answers, where that was tried.
    pub link_port: Vec<(IpAddr, bool)>,
}

/// Where the gateway is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Its own name, if it is known.
    pub name: Option<DnsName>,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether a configuration says so, and not only DNS.
    pub configured: bool,
    /// The port of TLS (TCP) and of the link (UDP).
    pub tls: u16,
}

/// What the server's or the agent's socket said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// There is none to ask.
    Nobody,
    /// It answered.
    Answered,
    /// Nobody answers there. The ports that the server wants and others hold.
    NotRunning(Vec<Held>),
    /// Somebody is there and says nothing.
    Hangs,
    /// This user may not ask.
    NotPermitted,
    /// It is of another version and does not understand the question, or we not the answer.
    OtherVersion,
    /// It refuses, for people.
    Refused(String),
}

/// A port that somebody else holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `UDP 0.0.0.0:53`.
    pub port: String,
    /// Who.
    pub by: String,
}

/// What the names say.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The name for everyone, as far as it is known.
    pub dual: Option<DnsName>,
    /// The name with the AAAA alone.
    pub twin: Option<DnsName>,
    /// The zone that they are in.
    pub zone: Option<DnsName>,
    /// The zone above it.
    pub parent: Option<Parent>,
    /// The name servers that the zone itself has.
    pub nameservers: BTreeSet<DnsName>,
    /// Each address at which the zone should be served.
    pub servers: Vec<NameServer>,
    /// What the first of them says that answers.
    pub own: Option<Answers>,
    /// What the zone above and the zone itself say of its keys, where both were heard.
    pub dnssec: Option<Dnssec>,
    /// What this machine's resolver says of the name that was given, or why it says nothing.
    pub resolved: Option<Result<Resolved, String>>,
}

/// How a zone is vouched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dnssec {
    /// What the name servers of the zone above say of its keys.
    pub above: BTreeSet<Ds>,
    /// Tag and algorithm of each key that it shows.
    pub keys: BTreeSet<(u16, u8)>,
}

/// The zone above, and what each of its name servers that was asked says of ours.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Its name; `None` is the root.
    pub zone: Option<DnsName>,
    /// Who was asked, and what it said.
    pub asked: Vec<(IpAddr, Referral)>,
}

/// What a name server of the zone above says of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referral {
    /// Nothing.
    Silent,
    /// That there is no such zone.
    None,
    /// Who serves it.
    To {
        /// The name servers.
        servers: BTreeSet<DnsName>,
        /// Their addresses, as far as they are told.
        glue: BTreeSet<(DnsName, IpAddr)>,
    },
}

/// What came of a question to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It speaks for the zone.
    Authority,
    /// It does not, for people.
    Else(String),
    /// Nobody listens.
    Closed,
    /// Nothing came back.
    Silent,
    /// This machine has no way there.
    NoRoute,
}

/// One address of a name server of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// The address.
    pub address: IpAddr,
    /// What it says by UDP.
    pub udp: Said,
    /// What it says by TCP.
    pub tcp: Said,
    /// Whether the machine is there at all: its port for TLS.
    pub machine: Connect,
}

/// What the zone's own name server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Which one.
    pub server: Option<IpAddr>,
    /// Whether there is the name for everyone.
    pub exists: bool,
    /// Its A.
    pub a: BTreeSet<Ipv4Addr>,
    /// Its AAAA.
    pub aaaa: BTreeSet<Ipv6Addr>,
    /// For how many seconds these may be kept.
    pub ttl: u32,
    /// Whether there is the twin.
    pub twin_exists: bool,
    /// The A of the twin, which should have none.
    pub twin_a: BTreeSet<Ipv4Addr>,
    /// The AAAA of the twin.
    pub twin_aaaa: BTreeSet<Ipv6Addr>,
    /// The addresses of the name servers that are in the zone.
    pub servers: BTreeSet<(DnsName, IpAddr)>,
}

/// What the resolver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// How it went.
    pub rcode: Rcode,
    /// Where the CNAMEs lead; `None` where they lead in a circle.
    pub end: Option<DnsName>,
    /// The A.
    pub a: BTreeSet<Ipv4Addr>,
    /// The AAAA.
    pub aaaa: BTreeSet<Ipv6Addr>,
    /// For how many seconds the AAAA may still be kept.
    pub ttl: u32,
}

/// What a connection to one address found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The address.
    pub address: IpAddr,
    /// What came of TLS with the name that was given.
    pub tls: Tls,
    /// What came of a connect to port 80.
    pub http: Connect,
}

/// What came of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There was no connection.
    No(Connect),
    /// The other end ended it with an alert (RFC 8446 §6).
    Alert(u8),
    /// It is no TLS, or broken, for people.
    Broken(String),
    /// It stands.
    Stands(Certificate),
}

/// What TLS shows for the gateway's own name, or one beside it, and what the server knows of its certificate.
#[derive(Clone, Debug, Default)]
pub struct OwnName {
    /// At the gateway.
    pub gateway: Option<Tls>,
    /// At the home, which should know nothing of it.
    pub home: Option<Tls>,
    /// At the home, for a name in the zone that nobody has.
    pub nobody: Option<Tls>,
    /// What the server says of the certificate.
    pub status: Option<CertificateStatus>,
}

/// The certificate that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its SHA-256, which tells one from another.
    pub digest: String,
    /// From when it is valid.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Whether it is for the name that was given.
    pub fits: bool,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Whether this machine trusts who signed it.
    pub trusted: bool,
}

impl OwnName {
    /// Whether the home answers as the gateway does: with the same certificate for the gateway's name, and by turning away a name that nobody has.
    /// The certificate alone may be on both machines.
    pub fn is_shown_at_home(&self) -> bool {
        match (&self.gateway, &self.home, &self.nobody) {
            (Some(Tls::Stands(one)), Some(Tls::Stands(other)), Some(Tls::Alert(UNRECOGNIZED_NAME))) => one.digest == other.digest,
            _ => false,
        }
    }
}

impl Seen {
    /// The gateway's IPv4 addresses.
    pub fn gateway4(&self) -> BTreeSet<Ipv4Addr> {
        self.gateway.addresses.iter().filter_map(|address| if let IpAddr::V4(v4) = address { Some(*v4) } else { None }).collect()
    }

    /// The gateway's IPv6 addresses.
    pub fn gateway6(&self) -> BTreeSet<Ipv6Addr> {
        self.gateway.addresses.iter().filter_map(|address| if let IpAddr::V6(v6) = address { Some(*v6) } else { None }).collect()
    }

    /// The port of the home whose connections come back to the gateway.
    pub fn returns(&self) -> Option<u16> {
        let dial = self.host.iter().flat_map(|host| &host.dials).find(|dial| dial.returned);
        dial.map(|dial| dial.port).or_else(|| self.own_name.is_shown_at_home().then_some(HTTPS))
    }

    /// The path to an address of this family.
    pub fn path(&self, ipv6: bool) -> Option<&Path> {
        self.paths.iter().find(|path| path.address.is_ipv6() == ipv6)
    }

    /// Whether this machine has a way to addresses of the family of `address`.
    pub fn reaches(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}
