//! The configuration as the roles understand it: parsed once, correct from then on.
//!
//! `raw` has it as written. A table's presence starts its role. Keys of later versions are refused by name, never
//! ignored. All structures of the configuration live here, so that no role knows another's.

mod gateway;
mod keys;
mod raw;
mod secondaries;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fourward_core::dnssec::Algorithm;
use fourward_core::link::Protocol::{Tcp, Udp};
use fourward_core::link::Service;
use fourward_core::name::{DnsName, NameError};
use fourward_core::source::SourcePrefix;
use fourward_core::transfer::Secondary;

use crate::certificate::Files;
use crate::redact;

pub use keys::Key;

/// Where certificates are ordered if nobody says otherwise: Let's Encrypt.
pub const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where the configuration is if nobody says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/fourward/fourward.toml";

/// Where the state is if nobody says otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/fourward";

/// The agent's private key, in the state directory.
pub const AGENT_KEY: &str = "agent.key";

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Store, keys and control socket are in here.
    pub state: PathBuf,
    /// The server's side; absent at home.
    pub server: Option<Server>,
    /// The home's side.
    pub agent: Option<Agent>,
}

/// What runs on the VPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What the world is told.
    pub public: Public,
    /// The name server, if it runs.
    pub dns: Option<Dns>,
    /// The gateway, if it runs.
    pub gateway: Option<Gateway>,
    /// What answers on our own name.
    pub control: Control,
    /// Where a certificate for our own name is ordered, if one is.
    pub acme: Option<Acme>,
}

/// What answers on our own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The owner's own certificate, if there is one.
    pub certificate: Option<Files>,
    /// Whether routers' updates are taken over plain HTTP too, where everyone on the way reads the password.
    pub http_updates: bool,
    /// Where metrics are read, by everyone who can reach it.
    pub metrics: Vec<SocketAddr>,
}

/// Where a certificate for our own name is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Where the authority may write to.
    pub email: Option<String>,
    /// URL of the directory of its ACME server (RFC 8555 §7.1.1).
    pub directory: String,
    /// The certificate of the authority behind that server's own TLS, where that is a private one.
    pub root: Option<PathBuf>,
}

/// What the world is told about this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// Its IPv4 addresses: the A of every host.
    pub ipv4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub ipv6: Vec<Ipv6Addr>,
    /// Its own name.
    pub name: DnsName,
}

/// The name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The zones, at least one.
    pub zones: Vec<DnsName>,
    /// Where it listens; empty: on the public addresses, port 53.
    pub listen: Vec<SocketAddr>,
    /// Seconds, of every record without its own.
    pub ttl: u32,
    /// Answers of a kind that one network may have a second by UDP; 0 is without end.
    pub rate_limit: u32,
    /// The NS of every zone.
    pub nameservers: Vec<DnsName>,
    /// Who may change records by DNS itself, and by what secondaries are known.
    pub keys: Vec<Key>,
    /// Who has the zones from this server.
    pub secondaries: Vec<Secondary>,
    /// How a new key signs; none: the zones are not signed.
    pub dnssec: Option<Algorithm>,
}

/// The gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The port of TLS and QUIC.
    pub tls: u16,
    /// The port of HTTP.
    pub http: u16,
    /// The most connections at once.
    pub connections: usize,
    /// The most of them that have not said yet where they want to go.
    pub half_open: usize,
    /// The most connections of one client network: an IPv4 address or an IPv6 /56.
    pub per_network: usize,
    /// How long it waits for what.
    pub timeouts: Timeouts,
    /// Whom it asks for names that are not listed; empty: whom the system asks.
    pub resolver: Vec<SocketAddr>,
    /// What it sends from on behalf of IPv4 clients; none: its own address.
    pub source_prefix: Option<SourcePrefix>,
    /// The ports it dials at home: the same as its own, but for the demo on loopback.
    pub home_ports: HomePorts,
}

/// The ports that the gateway dials at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomePorts {
    /// For TLS.
    pub tls: u16,
    /// For HTTP.
    pub http: u16,
}

/// How long the gateway waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole ClientHello or HTTP head.
    pub hello: Duration,
    /// For a home to take the connection, all tries together.
    pub dial: Duration,
    /// For a byte in either direction.
    pub idle: Duration,
    /// For a byte once one direction is closed.
    pub half_closed: Duration,
    /// For relays to end after SIGTERM.
    pub drain: Duration,
}

/// The agent at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The dual name of the host that it speaks for.
    pub host: DnsName,
    /// Where its gateways are, and how to know them.
    pub gateways: Vec<fourward_core::join::Peer>,
    /// What the gateway may open here.
    pub services: Vec<Service>,
    /// Which of its addresses to publish, as far as fixed.
    pub wish: fourward_core::address::Wish,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; `fourward init` (on the VPS) or `fourward join -` (at home) writes it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is there and not for this user.
    #[error("{path}: permission denied; run this as root, or as the user that the file belongs to")]
    NotPermitted {
        /// The file.
        path: PathBuf,
    },
    /// It is no TOML (words that are long enough for a secret are cut), or has a key that no version knows, or a value of the wrong kind.
    #[error("{path}: {message}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What, where (line and column, with the line itself).
        message: String,
    },
    /// A key of a later version.
    #[error("{key}: not yet: this version does not serve it; take the line out")]
    NotYet {
        /// The key, with its table.
        key: String,
    },
    /// A name that is none.
    #[error("{key}: {source}")]
    Name {
        /// The key, with its table.
        key: String,
        /// What is wrong with the name.
        source: NameError,
    },
    /// A value that does not fit.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with its table.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl Config {
    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or its text is refused.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::PermissionDenied => ConfigError::NotPermitted { path: path.into() },
            _ => ConfigError::Read { path: path.into(), source },
        })?;
        Self::parse(&text, path)
    }

    /// Parses `text`, which stood in `path`.
    ///
    /// # Errors
    /// The text is refused; the error names the key, and the line where there is one.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Raw = toml::from_str(text)
            .map_err(|error| ConfigError::Form { path: path.into(), message: redact::long_words(error.to_string().trim_end()) })?;
        raw.try_into()
    }

    /// The control socket of the server with this configuration.
    pub fn control_socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }
}

impl Server {
    /// The public addresses of both families.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.public.ipv4.iter().copied().map(IpAddr::V4);
        v4.chain(self.public.ipv6.iter().copied().map(IpAddr::V6))
    }

    /// The ports that its roles listen on: of no use to a forward, on whatever address.
    pub fn own_ports(&self) -> Vec<Service> {
        let dns = self.dns.iter().flat_map(|dns| dns.addresses(&self.public)).map(|address| address.port());
        let both = dns.chain(self.gateway.iter().map(|gateway| gateway.tls)).flat_map(|port| [(Tcp, port), (Udp, port)]);
        let tcp = self.gateway.iter().map(|gateway| gateway.http).chain(self.control.metrics.iter().map(SocketAddr::port));
        let own: BTreeSet<_> = both.chain(tcp.map(|port| (Tcp, port))).collect();
        own.into_iter().map(|(protocol, port)| Service { protocol, port }).collect()
    }

    /// The zones, none if no name server runs here.
    pub fn zones(&self) -> &[DnsName] {
        self.dns.as_ref().map_or(&[], |dns| &dns.zones)
    }
}

impl Dns {
    /// Where it is asked: where it listens, and the public addresses with those ports, behind which it may sit.
    pub fn addresses(&self, public: &Public) -> Vec<SocketAddr> {
        let ports = if self.listen.is_empty() { vec![53] } else { self.listen.iter().map(SocketAddr::port).collect() };
        let at = |address: IpAddr| ports.iter().map(move |port| SocketAddr::new(address, *port)).collect::<Vec<_>>();
        let v4 = public.ipv4.iter().flat_map(|address| at((*address).into()));
        let v6 = public.ipv6.iter().flat_map(|address| at((*address).into()));
        self.listen.iter().copied().chain(v4).chain(v6).collect()
    }
}

#[cfg(test)]
mod tests;
