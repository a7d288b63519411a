//! The resolvers of this machine, or those that the configuration gives, asked in turn.
//!
//! `/etc/resolv.conf` is read anew for each question: a DHCP client may have changed it, and the page is in memory. Of it, the
//! `nameserver` lines count; the search list and the options are for names that people type.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fourward_core::name::DnsName;
use fourward_core::reply::{Question, Reply};
use fourward_core::wire::{Rcode, Type};
use rustix::net::netdevice::name_to_index;
use tokio::time::Instant;
use tracing::warn;

use super::{AskError, Over, ask};
use crate::listener;

/// Where the system says whom to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// As the C library has it (MAXNS).
const MOST: usize = 3;

/// Where name servers listen.
const PORT: u16 = 53;

/// Whom to ask.
#[derive(Debug)]
pub struct Resolvers {
    source: Source,
    ourselves: Vec<SocketAddr>,
    told: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Given(Vec<SocketAddr>),
    System(PathBuf),
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The system's list cannot be read.
    #[error("{path}: {source}; name a resolver in gateway.resolver")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nobody to ask.
    #[error("{path} has no nameserver line that leads to another server; name a resolver in gateway.resolver")]
    NoServer {
        /// The file.
        path: PathBuf,
    },
    /// Nobody answered.
    #[error("no resolver answered: {}", list(.0))]
    Nobody(Vec<AskError>),
}

impl Resolvers {
    /// Asks `servers`, whatever the system says.
    pub fn given(servers: Vec<SocketAddr>) -> Self {
        Self { source: Source::Given(servers), ourselves: Vec::new(), told: AtomicBool::new(false) }
    }

    /// Asks whom the system asks, but never `ourselves`: that server knows its own zones and would be asked for others' for ever.
    /// A wildcard among them stands for all addresses of this machine.
    pub fn system(ourselves: Vec<SocketAddr>) -> Self {
        Self { source: Source::System(RESOLV_CONF.into()), ourselves, told: AtomicBool::new(false) }
    }

    /// Whom to ask now.
    ///
    /// # Errors
    /// There is nobody.
    pub fn servers(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        match &self.source {
            Source::Given(servers) => Ok(servers.clone()),
            Source::System(path) => self.system_servers(path),
        }
    }

    /// What the first of them says that is neither silent nor unable, until `deadline`. Each has an equal share of the time that is
    /// left. Where all are unable (SERVFAIL, REFUSED…), it is what the last one said.
    ///
    /// # Errors
    /// None answered, or there is nobody to ask.
    pub async fn ask(&self, name: &DnsName, kind: Type, deadline: Instant) -> Result<Reply, ResolveError> {
        let servers = self.servers()?;
        let question = Question { name: name.clone(), kind, recursion: true };
        let (mut unable, mut failures) = (None, Vec::new());
        for (at, server) in servers.iter().enumerate() {
            match ask(*server, &question, Over::Either, share(deadline, servers.len().saturating_sub(at))).await {
                Ok(reply) if matches!(reply.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) => return Ok(reply),
                Ok(reply) => unable = Some(reply),
                Err(error) => failures.push(error),
            }
        }
        unable.ok_or(ResolveError::Nobody(failures))
    }

    fn system_servers(&self, path: &Path) -> Result<Vec<SocketAddr>, ResolveError> {
        let text = std::fs::read_to_string(path).map_err(|source| ResolveError::Read { path: path.into(), source })?;
        let (own, others): (Vec<_>, Vec<_>) = nameservers(&text).into_iter().partition(|server| self.is_ourselves(*server));
        if let (Some(server), false) = (own.first(), self.told.load(Ordering::Relaxed)) {
            self.told.store(true, Ordering::Relaxed);
            warn!(%server, path = %path.display(), "this server's own name server is no resolver and is not asked as one; name another");
        }
        if others.is_empty() {
            return Err(ResolveError::NoServer { path: path.into() });
        }
        Ok(others)
    }

    fn is_ourselves(&self, server: SocketAddr) -> bool {
        let covers = |own: &SocketAddr| own.ip() == server.ip() || own.ip().is_unspecified() && listener::is_local(server.ip());
        self.ourselves.iter().any(|own| own.port() == server.port() && own.is_ipv4() == server.is_ipv4() && covers(own))
    }
}

/// The moment until which one of `count` may take, so that each has as long.
fn share(deadline: Instant, count: usize) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    Instant::now() + left.checked_div(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or(Duration::ZERO)
}

/// The first [`MOST`] addresses of `nameserver` lines (resolv.conf(5)).
fn nameservers(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    lines.filter(|rest| rest.starts_with([' ', '\t'])).filter_map(|rest| address(rest.split_whitespace().next()?)).take(MOST).collect()
}

fn address(text: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT));
    };
    let scope = scope.parse().ok().or_else(|| index_of(scope))?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
}

/// The number of the interface called `name`.
fn index_of(name: &str) -> Option<u32> {
    // The kernel wants a socket to tell it, any will do.
    name_to_index(UdpSocket::bind("[::]:0").ok()?, name).ok()
}

fn list(errors: &[AskError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_first_three_name_servers_count() {
        let text = "# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1\nnameserver\t2001:db8::53 # ours\n\
                    nameservers 192.0.2.8\nnameserver nonsense\n nameserver 192.0.2.7\nnameserver fe80::1%lo\nnameserver 192.0.2.4\n";
        assert_eq!(nameservers(text), [at("192.0.2.1:53"), at("[2001:db8::53]:53"), at("[fe80::1%1]:53")]);
        assert_eq!(nameservers("nameserver fe80::1%7\n"), [at("[fe80::1%7]:53")]);
        assert_eq!(nameservers("nameserver fe80::1%no such\nnameserver 192.0.2.1%1\n"), []);
    }

    #[test]
    fn we_never_ask_ourselves() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let servers = |text: &str, ourselves: &[&str]| {
            std::fs::write(file.path(), text).expect("written");
            let ourselves = ourselves.iter().map(|own| at(own)).collect();
            Resolvers { source: Source::System(file.path().into()), ..Resolvers::system(ourselves) }
                .servers()
                .map_err(|error| error.to_string())
        };
        let text = "nameserver 127.0.0.1\nnameserver 192.0.2.1\n";
        assert_eq!(servers(text, &[]), Ok(vec![at("127.0.0.1:53"), at("192.0.2.1:53")]));
        assert_eq!(servers(text, &["127.0.0.1:53"]), Ok(vec![at("192.0.2.1:53")]));
        assert_eq!(servers(text, &["0.0.0.0:53", "[::]:53"]), Ok(vec![at("192.0.2.1:53")]));
        assert_eq!(servers(text, &["0.0.0.0:5353", "[::]:53"]).map(|all| all.len()), Ok(2), "another port, another family");
        let nobody = servers("nameserver 192.0.2.1\n", &["192.0.2.1:53"]).expect_err("nobody else");
        assert!(nobody.contains("gateway.resolver") && nobody.contains(&file.path().display().to_string()), "{nobody}");
    }
}
