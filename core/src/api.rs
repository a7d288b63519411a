//! What commands ask the running server, or the agent at home, over its control socket, and what `--json` prints.
//!
//! A line of JSON each way. Fields may be added, never renamed: programs read them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dnssec::{Ds, Parent, Phase, Step};
use crate::facts::{HomeFacts, HostFacts};
use crate::host::{AddressFrom, Carrier, Reported, Settings};
use crate::name::{DnsName, HostName};

pub use crate::facts::LinkStatus;

/// The longest line either way. A list of 100,000 hosts fits.
pub const LINE_LIMIT: usize = 64 << 20;

/// The longest request: as many lines of an import as [`PAGE_BYTES`] let through, each quoted, and one more.
pub const REQUEST_LIMIT: u64 = 4 << 20;

/// As many lines of an export or import go in one request or answer at most…
pub const PAGE_LINES: usize = 1_000;

/// …and no more once they have so many bytes.
pub const PAGE_BYTES: usize = 1 << 20;

/// How the refusal of a request begins that is none of the server's version.
pub const NOT_UNDERSTOOD: &str = "not a request of this version";

/// How far an export has come: the name that was the last of its page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cursor {
    /// Among the hosts.
    Host(HostName),
    /// Among the removed names, which follow.
    Tombstone(HostName),
}

/// How far the export of a zone has come. All its pages are of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneCursor {
    /// Which export.
    pub export: u64,
    /// The name that the next page begins with, as it stands left of the zone.
    pub name: String,
}

/// A request: one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// `host add`.
    HostAdd {
        /// A label or a whole name.
        host: String,
        /// `KEY=VALUE`.
        edits: Vec<String>,
        /// Whether the name of a removed host may be given out again.
        reuse: bool,
    },
    /// `host set`.
    HostSet {
        /// A label or a whole name.
        host: String,
        /// `KEY=VALUE`, `KEY+=VALUE`, `KEY-=VALUE`.
        edits: Vec<String>,
    },
    /// `host list`.
    HostList,
    /// `host show`.
    HostShow {
        /// A label or a whole name.
        host: String,
    },
    /// `host remove`.
    HostRemove {
        /// A label or a whole name.
        host: String,
    },
    /// `host token`.
    HostToken {
        /// A label or a whole name.
        host: String,
    },
    /// `host token --acme-dns`.
    HostAccount {
        /// A label or a whole name.
        host: String,
    },
    /// `host export`: a page of it.
    HostExport {
        /// What the page before ended with.
        after: Option<Cursor>,
    },
    /// `host import`: a page of it, all or nothing.
    HostImport {
        /// The lines.
        lines: Vec<String>,
        /// Whether a host may take the place of one that is there.
        replace: bool,
        /// Whether the name of a removed host may be given out again.
        reuse: bool,
    },
    /// `zone ds`.
    ZoneDs {
        /// The zone.
        zone: DnsName,
    },
    /// `zone export`: a page of it.
    ZoneExport {
        /// The zone.
        zone: DnsName,
        /// What the page before ended with.
        after: Option<ZoneCursor>,
    },
    /// `zone roll`: the next step of it.
    ZoneRoll {
        /// The zone.
        zone: DnsName,
        /// What the zone above says of it.
        parent: Parent,
    },
    /// `status`.
    Status,
    /// `check`: of the server about a host, of an agent about itself.
    Check {
        /// A label, or a whole name: the one for everyone, the twin, or a listed alias.
        name: String,
    },
}

/// The answer: one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To `host add` and `host token`.
    Secrets(Secrets),
    /// To `host token --acme-dns`.
    Account(AcmeDns),
    /// To `host list`.
    Hosts(Vec<HostEntry>),
    /// To `host show`, `host set` and `host remove` (as it was).
    Host(Box<HostDetails>),
    /// To a page of `host export`.
    Exported {
        /// The lines.
        lines: Vec<String>,
        /// To be asked for next; absent at the end.
        next: Option<Cursor>,
    },
    /// To a page of `host import`.
    Imported(Imported),
    /// A page of `host import` was refused for one of its lines; nothing of it was imported.
    LineRefused {
        /// Which, from 0.
        at: usize,
        /// Whom the line is about, if that could be read.
        host: Option<String>,
        /// Why.
        reason: String,
    },
    /// To a page of `zone export`.
    ZoneLines {
        /// The lines.
        lines: Vec<String>,
        /// To be asked for next; absent at the end.
        next: Option<ZoneCursor>,
    },
    /// To `zone ds` and `zone roll`.
    ZoneKeys(SignedZone),
    /// To `status`.
    Status(Status),
    /// To `check`.
    Checked(Box<Checked>),
    /// It was refused; nothing changed.
    Refused(String),
    /// It could not be carried out.
    Failed(String),
    /// The client may not ask at all.
    NotPermitted,
}

/// A zone's keys, and what is to be done about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedZone {
    /// The zone.
    pub zone: DnsName,
    /// The keys.
    pub keys: Vec<KeyEntry>,
    /// What `zone roll` does next.
    pub next: Step,
    /// And not before when.
    pub not_before: Option<Timestamp>,
}

/// A key of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// Its tag.
    pub tag: u16,
    /// How it signs.
    pub algorithm: String,
    /// What it is there for.
    pub phase: Phase,
    /// Since when it is.
    pub since: Timestamp,
    /// What the zone above is to say of it.
    pub ds: Ds,
    /// The key, as a DNSKEY has it: flags, protocol, algorithm, public key.
    pub dnskey: String,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Hosts.
    pub hosts: u64,
    /// Names of removed hosts.
    pub removed: u64,
}

/// What the server or the agent knows of a host and of its home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checked {
    /// What the gateway knows; absent where there is no link to ask it by.
    pub host: Option<HostFacts>,
    /// What the agent knows; absent where there is no link to ask it by, or it is too old.
    pub home: Option<HomeFacts>,
    /// The certificate of the server's own name, which only the server knows of.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
}

/// The two names of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The name for everyone.
    pub dual: DnsName,
    /// The name with the AAAA alone.
    pub twin: DnsName,
}

/// What a host's owner needs, shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The host as it was asked for: its label in the first zone, its whole name elsewhere.
    pub host: String,
    /// Its names.
    pub names: Names,
    /// The join string.
    pub join: String,
    /// For routers and update clients.
    pub update: Update,
    /// What its settings do not do, though one might think so.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// The certificate that update clients meet, where a gateway shows one.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
}

/// The settings of an update client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Where to update.
    pub url: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// What a router that verifies itself by DNS shall be called: its report is published there.
    pub router: DnsName,
}

/// An account of acme-dns for a host's TXT record, shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeDns {
    /// The host's name.
    pub host: DnsName,
    /// What clients keep in a file: the account, by each name that it proves, the host's own and its aliases.
    pub accounts: BTreeMap<DnsName, AcmeDnsAccount>,
    /// The certificate that clients meet, where a gateway shows one.
    pub certificate: Option<CertificateStatus>,
}

/// An account as acme-dns would answer a registration with, and where it is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeDnsAccount {
    /// The user.
    pub username: String,
    /// The key.
    pub password: String,
    /// The name of the record, to which that of another name is a CNAME.
    pub fulldomain: DnsName,
    /// What requests say that they write.
    pub subdomain: String,
    /// The server, without a path.
    pub server_url: String,
    /// The networks that may use it: empty, which is all.
    pub allowfrom: Vec<String>,
}

/// A host in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// Its label in the first zone, its whole name elsewhere.
    pub host: String,
    /// The home address, if it is known.
    pub address: Option<Ipv6Addr>,
    /// Who is the authority on it.
    pub address_from: AddressFrom,
    /// The host in the same zone whose network it is in instead, by its label.
    #[serde(default)]
    pub follows: Option<Box<str>>,
    /// The name in somebody else's DNS that says it instead.
    #[serde(default)]
    pub upstream: Option<DnsName>,
    /// The last echo, or when the address was first proven if no lease runs.
    pub proven_at: Option<Timestamp>,
    /// When the lease ends unless it is renewed.
    pub lease_until: Option<Timestamp>,
    /// How the gateway reaches it.
    pub carrier: Carrier,
    /// The user's own domains that lead to it.
    pub aliases: BTreeSet<DnsName>,
    /// How its link is.
    pub link: LinkStatus,
}

/// A host in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDetails {
    /// As in the list.
    #[serde(flatten)]
    pub entry: HostEntry,
    /// Its names.
    pub names: Names,
    /// What its owner set.
    pub settings: Settings,
    /// Where its link comes from, if it is up.
    pub link_from: Option<std::net::IpAddr>,
    /// Since when its link is up.
    pub link_since: Option<Timestamp>,
    /// What an update client last said, if one ever did.
    #[serde(default)]
    pub router: Option<Reported>,
    /// Until when its join string is good, if it was not used.
    pub join_until: Option<Timestamp>,
    /// What its settings do not do, though one might think so, and what is in their way.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// The live state of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the server.
    pub version: String,
    /// The zones and their serials.
    pub zones: Vec<ZoneStatus>,
    /// The gateway.
    pub gateway: GatewayStatus,
    /// The hosts.
    pub hosts: Vec<HostEntry>,
    /// The certificate of the server's own name, where a gateway shows one.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
}

/// Where the certificate of the server's own name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateSource {
    /// Files of the owner's.
    Files,
    /// Ordered from an authority by ACME.
    Acme,
    /// Made here, because there is no other.
    SelfSigned,
}

impl std::fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Files => "files",
            Self::Acme => "acme",
            Self::SelfSigned => "self-signed",
        })
    }
}

/// The certificate of the server's own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Where it comes from.
    pub source: CertificateSource,
    /// When it ends.
    pub not_after: Timestamp,
    /// Whether clients take it that know only the public authorities.
    pub public: bool,
    /// When the next one is ordered, or ordering is tried again.
    pub next: Option<Timestamp>,
    /// Why it is not what it should be, or there is no newer one.
    pub last_error: Option<String>,
}

/// A zone's version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// The zone.
    pub name: DnsName,
    /// Its serial.
    pub serial: u32,
}

/// What the gateway does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Connections open now.
    pub connections: u64,
    /// Bytes relayed since the start, both directions together.
    pub bytes: u64,
}
