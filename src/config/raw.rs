//! The configuration as written: every key that any version knows, so that a later one is named and not mistaken.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use fourward_core::address::Wish;
use fourward_core::join::Peer;
use fourward_core::link::{Service, parse_services};
use fourward_core::name::DnsName;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::gateway;
use super::keys::{self, RawKey};
use super::secondaries::{self, RawSecondary};
use super::{
    Acme, Agent, Config, ConfigError, Control, DEFAULT_DIRECTORY, DEFAULT_STATE, Dns, Gateway, HomePorts, Public, Server, Timeouts,
};
use crate::certificate::Files;

/// RFC 2308 §5 caps negative answers by the SOA minimum, which is the same 60 s: a move is known everywhere after a minute.
const TTL: u32 = 60;

/// As nsd has it: no resolver asks for one name so often, and a forged source gets little.
const RATE_LIMIT: u32 = 200;

/// Enough for a few hundred homes; each costs two descriptors, and a pipe while bytes flow. `gateway::descriptors` lowers it where the process may not have so many.
const CONNECTIONS: usize = 16_384;

/// Each waits for its hello for a round trip, or is slow on purpose. No more than a quarter of all connections.
const HALF_OPEN: usize = 4_096;

/// One network may be a whole company or provider behind one IPv4 address; it must not be able to take all connections.
const PER_NETWORK: usize = 1_024;

/// No client needs longer for a ClientHello; a stranger who does holds a slot.
const HELLO_SECONDS: u64 = 5;

/// One second SYN and a third (1 s, 3 s) still fit.
const DIAL_SECONDS: u64 = 5;

/// An open web page with nothing to say; keep-alives find dead peers long before.
const IDLE_SECONDS: u64 = 3_600;

/// One direction closed: the other has something to say or is forgotten.
const HALF_CLOSED_SECONDS: u64 = 300;

/// A week: longer waits are mistakes of the keyboard.
const LONGEST_SECONDS: u64 = 7 * 86_400;

/// What systemd waits by itself is 90 s.
const DRAIN_SECONDS: u64 = 30;

/// Twice what a host may forward; more would not fit into the link's hello.
const SERVICES: usize = 512;

/// Loopback and a private network, in both families.
const METRICS: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    state: Option<PathBuf>,
    public: Option<RawPublic>,
    store: Option<RawStore>,
    dns: Option<RawDns>,
    gateway: Option<RawGateway>,
    control: Option<RawControl>,
    acme: Option<RawAcme>,
    agent: Option<RawAgent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPublic {
    #[serde(default)]
    ipv4: Vec<Ipv4Addr>,
    #[serde(default)]
    ipv6: Vec<Ipv6Addr>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStore {
    etcd: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawDns {
    zones: Vec<String>,
    #[serde(default)]
    listen: Vec<SocketAddr>,
    ttl: Option<u32>,
    rate_limit: Option<u32>,
    #[serde(default)]
    nameservers: Vec<String>,
    #[serde(default)]
    secondaries: Vec<RawSecondary>,
    #[serde(default)]
    keys: Vec<RawKey>,
    dnssec: Option<bool>,
    dnssec_algorithm: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawGateway {
    tls: Option<u16>,
    http: Option<u16>,
    #[serde(default)]
    resolver: Vec<String>,
    source_prefix: Option<String>,
    limits: Option<RawLimits>,
    timeouts: Option<RawTimeouts>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLimits {
    connections: Option<usize>,
    half_open: Option<usize>,
    per_network: Option<usize>,
}

struct Limits {
    connections: usize,
    half_open: usize,
    per_network: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawTimeouts {
    hello: Option<u64>,
    dial: Option<u64>,
    idle: Option<u64>,
    half_closed: Option<u64>,
    drain: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawControl {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    http_updates: Option<bool>,
    metrics: Option<OneOrMore>,
    sessions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an address with its port, like \"127.0.0.1:9153\", or a list of these")]
enum OneOrMore {
    One(SocketAddr),
    More(Vec<SocketAddr>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAcme {
    email: Option<String>,
    directory: Option<String>,
    root: Option<PathBuf>,
    external_account: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAgent {
    host: String,
    gateways: Vec<Peer>,
    services: Option<Vec<String>>,
    target: Option<Ipv6Addr>,
    interface: Option<String>,
    suffix: Option<Ipv6Addr>,
    pinhole: Option<IgnoredAny>,
    certificates: Option<IgnoredAny>,
}

impl TryFrom<Raw> for Config {
    type Error = ConfigError;

    fn try_from(raw: Raw) -> Result<Self, ConfigError> {
        raw.refuse_later_keys()?;
        let files = raw.control.as_ref().is_some_and(|control| control.certificate.is_some());
        for (key, given) in [("[acme]", raw.acme.is_some()), ("control.certificate", files)] {
            if given && raw.gateway.is_none() {
                return Err(value(key, "a certificate is shown by the gateway, and there is no [gateway]; add it, or take this out"));
            }
        }
        let server = match (raw.dns, raw.gateway) {
            (None, None) if raw.control.as_ref().is_some_and(|control| control.metrics.is_some()) => {
                return Err(value("control.metrics", "there is nothing to count without [dns] or [gateway]; take the line out"));
            }
            (None, None) => None,
            (dns, gateway) => Some(server(raw.public, dns, gateway, raw.control, raw.acme)?),
        };
        let agent = raw.agent.map(agent).transpose()?;
        if server.is_none() && agent.is_none() {
            return Err(value("[dns], [gateway], [agent]", "none of these tables is there, so there is no role to start"));
        }
        Ok(Self { state: raw.state.unwrap_or_else(|| DEFAULT_STATE.into()), server, agent })
    }
}

impl Raw {
    fn refuse_later_keys(&self) -> Result<(), ConfigError> {
        let store = self.store.as_ref();
        let control = self.control.as_ref();
        let acme = self.acme.as_ref();
        let agent = self.agent.as_ref();
        let later = [
            ("store.etcd", store.is_some_and(|t| t.etcd.is_some())),
            ("control.sessions", control.is_some_and(|t| t.sessions.is_some())),
            ("acme.external-account", acme.is_some_and(|t| t.external_account.is_some())),
            ("agent.pinhole", agent.is_some_and(|t| t.pinhole.is_some())),
            ("agent.certificates", agent.is_some_and(|t| t.certificates.is_some())),
        ];
        match later.iter().find(|(_, present)| *present) {
            Some((key, _)) => Err(ConfigError::NotYet { key: (*key).into() }),
            None => Ok(()),
        }
    }
}

fn server(
    public: Option<RawPublic>,
    dns: Option<RawDns>,
    gateway: Option<RawGateway>,
    control: Option<RawControl>,
    acme: Option<RawAcme>,
) -> Result<Server, ConfigError> {
    let Some(public) = public else {
        return Err(value("[public]", "missing: [dns] and [gateway] need the addresses that the world is told"));
    };
    let zones = dns.as_ref().map_or(&[][..], |dns| &dns.zones);
    let zones = zones.iter().map(|zone| name("dns.zones", zone)).collect::<Result<Vec<_>, _>>()?;
    // Before the own name is taken from the first of them: that there is none is what is wrong.
    if dns.is_some() && zones.is_empty() {
        return Err(value("dns.zones", "empty: name the zone that was delegated to this server"));
    }
    let public = public.parse(zones.first())?;
    let dns = dns.map(|dns| dns.parse(zones, &public)).transpose()?;
    let own_dns = dns.as_ref().map_or_else(Vec::new, |dns| dns.addresses(&public));
    let gateway = gateway.map(|gateway| gateway.parse(&own_dns, &public)).transpose()?;
    let control = control.map(RawControl::parse).transpose()?.unwrap_or_default();
    let acme = acme.map(RawAcme::parse).transpose()?;
    Ok(Server { public, dns, gateway, control, acme })
}

impl RawAcme {
    fn parse(self) -> Result<Acme, ConfigError> {
        let directory = self.directory.unwrap_or_else(|| DEFAULT_DIRECTORY.into());
        // The account's key signs what is sent there, and what is fetched there is trusted.
        if !directory.parse::<hyper::Uri>().is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some()) {
            return Err(value("acme.directory", &format!("{directory} is no URL of an ACME directory; expected https://…")));
        }
        if let Some(email) = self.email.as_ref().filter(|email| !is_address(email)) {
            return Err(value("acme.email", &format!("{email} is no mail address; expected one, like me@example.org, or nothing")));
        }
        Ok(Acme { email: self.email, directory, root: self.root })
    }
}

/// Whether `text` can stand behind `mailto:` as one address (RFC 8555 §7.3 permits no more).
fn is_address(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '%' | '&' | ':' | '<' | '>' | '"'));
    plain && text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.parse::<DnsName>().is_ok())
}

impl RawPublic {
    fn parse(self, first_zone: Option<&DnsName>) -> Result<Public, ConfigError> {
        if self.ipv4.is_empty() {
            return Err(value("public.ipv4", "missing: without it no IPv4 client can come; give this server's public IPv4 address"));
        }
        if self.ipv6.is_empty() {
            return Err(value("public.ipv6", "missing: homes are reached over IPv6; give this server's own IPv6 address"));
        }
        if let Some(address) = self.ipv4.iter().find(|a| a.is_unspecified() || a.is_multicast() || a.is_broadcast()) {
            return Err(value("public.ipv4", &format!("{address} is no address that a client could come to")));
        }
        if let Some(address) = self.ipv6.iter().find(|a| a.is_unspecified() || a.is_multicast() || a.is_unicast_link_local()) {
            return Err(value("public.ipv6", &format!("{address} is no address that a home could come to")));
        }
        unique("public.ipv4", &self.ipv4)?;
        unique("public.ipv6", &self.ipv6)?;
        let name = match (self.name, first_zone) {
            (Some(text), _) => name("public.name", &text)?,
            (None, Some(zone)) => zone.child("gw").map_err(|source| ConfigError::Name { key: "public.name".into(), source })?,
            (None, None) => return Err(value("public.name", "missing: without [dns] there is no zone to take it from")),
        };
        Ok(Public { ipv4: self.ipv4, ipv6: self.ipv6, name })
    }
}

impl RawDns {
    fn parse(self, zones: Vec<DnsName>, public: &Public) -> Result<Dns, ConfigError> {
        unique("dns.zones", &zones)?;
        unique("dns.listen", &self.listen)?;
        if let Some(address) = self.listen.iter().find(|address| address.port() == 0) {
            return Err(value("dns.listen", &format!("{address}: 0 is no port that a resolver could ask")));
        }
        if let Some((inner, outer)) = nested(&zones) {
            return Err(value("dns.zones", &format!("{inner} is inside {outer}: its hosts would be in two zones; keep one of them")));
        }
        let nameservers = self.nameservers.iter().map(|server| name("dns.nameservers", server)).collect::<Result<Vec<_>, _>>()?;
        unique("dns.nameservers", &nameservers)?;
        let unknown = |server: &&DnsName| **server != public.name && zones.iter().any(|zone| server.within(zone).is_some());
        if let Some(server) = nameservers.iter().find(unknown) {
            let reason = format!("{server} is in a zone served here, which has no address for it; only {} is known here", public.name);
            return Err(value("dns.nameservers", &reason));
        }
        for zone in &zones {
            // The SOA's mailbox is a name below the zone.
            zone.child("hostmaster").map_err(|source| ConfigError::Name { key: "dns.zones".into(), source })?;
        }
        let nameservers = if nameservers.is_empty() { vec![public.name.clone()] } else { nameservers };
        let ttl = self.ttl.unwrap_or(TTL);
        if !(1..=86_400).contains(&ttl) {
            return Err(value("dns.ttl", "expected seconds from 1 to 86400"));
        }
        let keys = keys::parse(self.keys, &zones)?;
        let dnssec = keys::dnssec(self.dnssec, self.dnssec_algorithm.as_deref())?;
        let secondaries = secondaries::parse(self.secondaries, &keys, dnssec.is_some())?;
        Ok(Dns {
            zones,
            listen: self.listen,
            ttl,
            nameservers,
            rate_limit: self.rate_limit.unwrap_or(RATE_LIMIT),
            keys,
            secondaries,
            dnssec,
        })
    }
}

impl RawControl {
    fn parse(self) -> Result<Control, ConfigError> {
        let metrics = match self.metrics {
            None => Vec::new(),
            Some(OneOrMore::One(address)) => vec![address],
            Some(OneOrMore::More(addresses)) => addresses,
        };
        unique("control.metrics", &metrics)?;
        if let Some(address) = metrics.iter().find(|address| address.port() == 0) {
            return Err(value("control.metrics", &format!("{address}: 0 is no port that anybody could ask")));
        }
        if metrics.len() > METRICS {
            return Err(value("control.metrics", &format!("{} addresses; {METRICS} is the most", metrics.len())));
        }
        let certificate = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(Files { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(value("control.key", "missing: control.certificate is there, and is of no use without its key")),
            (None, Some(_)) => {
                return Err(value("control.certificate", "missing: control.key is there; name the certificate that it is for"));
            }
        };
        Ok(Control { certificate, http_updates: self.http_updates.unwrap_or(false), metrics })
    }
}

impl RawGateway {
    fn parse(self, own_dns: &[SocketAddr], public: &Public) -> Result<Gateway, ConfigError> {
        let (tls, http) = (self.tls.unwrap_or(443), self.http.unwrap_or(80));
        if tls == 0 || http == 0 {
            return Err(value("gateway.tls, gateway.http", "0 is no port that a client could come to"));
        }
        if tls == http {
            return Err(value("gateway.http", &format!("port {http} is gateway.tls already")));
        }
        let Limits { connections, half_open, per_network } = self.limits.unwrap_or_default().parse()?;
        let timeouts = self.timeouts.unwrap_or_default().parse()?;
        let resolver = gateway::resolvers(&self.resolver, own_dns)?;
        let source_prefix = self.source_prefix.as_deref().map(|text| gateway::source_prefix(text, public)).transpose()?;
        let home_ports = HomePorts { tls: 443, http: 80 };
        Ok(Gateway { tls, http, connections, half_open, per_network, timeouts, resolver, source_prefix, home_ports })
    }
}

impl RawLimits {
    /// What is not given fits what is.
    fn parse(self) -> Result<Limits, ConfigError> {
        let connections = self.connections.unwrap_or(CONNECTIONS);
        let half_open = self.half_open.unwrap_or_else(|| HALF_OPEN.min(connections / 4).max(1));
        let per_network = self.per_network.unwrap_or_else(|| PER_NETWORK.min(connections));
        for (key, given) in [("connections", connections), ("half-open", half_open), ("per-network", per_network)] {
            let key = format!("gateway.limits.{key}");
            if given == 0 {
                return Err(value(&key, "0 would serve nobody; give at least 1"));
            }
            if given > connections {
                return Err(value(
                    &key,
                    &format!("{given} is more than gateway.limits.connections, {connections}, which hold for all together"),
                ));
            }
        }
        Ok(Limits { connections, half_open, per_network })
    }
}

impl RawTimeouts {
    fn parse(self) -> Result<Timeouts, ConfigError> {
        let seconds = |key: &str, given: Option<u64>, default: u64| match given.unwrap_or(default) {
            seconds @ 1..=LONGEST_SECONDS => Ok(Duration::from_secs(seconds)),
            _ => Err(value(&format!("gateway.timeouts.{key}"), &format!("expected seconds from 1 to {LONGEST_SECONDS}"))),
        };
        Ok(Timeouts {
            hello: seconds("hello", self.hello, HELLO_SECONDS)?,
            dial: seconds("dial", self.dial, DIAL_SECONDS)?,
            idle: seconds("idle", self.idle, IDLE_SECONDS)?,
            half_closed: seconds("half-closed", self.half_closed, HALF_CLOSED_SECONDS)?,
            drain: seconds("drain", self.drain, DRAIN_SECONDS)?,
        })
    }
}

fn agent(raw: RawAgent) -> Result<Agent, ConfigError> {
    if raw.gateways.is_empty() {
        return Err(value("agent.gateways", "empty: `fourward join -` writes it from the join string"));
    }
    if let Some(peer) = raw.gateways.iter().find(|peer| peer.addresses.is_empty() || peer.pins.is_empty()) {
        return Err(value("agent.gateways", &format!("{} has no addresses or no pins; `fourward join -` writes both", peer.name)));
    }
    let host = name("agent.host", &raw.host)?;
    let named = |text: &String| parse_services(text).map_err(|error| value("agent.services", &error.to_string()));
    let services = match raw.services {
        Some(texts) => texts.iter().map(named).collect::<Result<Vec<_>, _>>()?.concat(),
        None => Service::defaults(),
    };
    unique("agent.services", &services)?;
    if services.len() > SERVICES {
        return Err(value("agent.services", &format!("{} services; {SERVICES} is the most", services.len())));
    }
    let wish = Wish { target: raw.target, interface: raw.interface, suffix: raw.suffix };
    Ok(Agent { host, gateways: raw.gateways, services, wish })
}

fn name(key: &str, text: &str) -> Result<DnsName, ConfigError> {
    text.parse().map_err(|source| ConfigError::Name { key: key.into(), source })
}

pub(super) fn value(key: &str, reason: &str) -> ConfigError {
    ConfigError::Value { key: key.into(), reason: reason.into() }
}

pub(super) fn unique<T: PartialEq + std::fmt::Display>(key: &str, values: &[T]) -> Result<(), ConfigError> {
    for (at, one) in values.iter().enumerate() {
        if values.iter().take(at).any(|before| before == one) {
            return Err(value(key, &format!("{one} stands there twice; take one out")));
        }
    }
    Ok(())
}

fn nested(zones: &[DnsName]) -> Option<(&DnsName, &DnsName)> {
    zones
        .iter()
        .flat_map(|inner| zones.iter().map(move |outer| (inner, outer)))
        .find(|(inner, outer)| inner != outer && inner.within(outer).is_some())
}
