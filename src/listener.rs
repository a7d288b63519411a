//! Listening sockets: where, with which options, and what to say when they are not to be had.
//!
//! What the name server and the gateway share. Ports are taken and privileges missing on the first day of every
//! installation, so an error here names the setting, the address, who sits there, and what to do. What is said on the
//! sockets is the roles' own.

mod holder;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tracing::{info, warn};

use holder::RESOLVED;
pub use holder::{Holder, holder_of, listening};

use crate::telemetry::Seldom;

/// Connections that may wait between two accepts; the kernel caps it by net.core.somaxconn.
const BACKLOG: i32 = 1024;

/// Ports of services that answer whatever comes, and of none that asks: the sender is forged, and an answer there could go round for
/// ever (CVE-2024-2169). Nobody listens on port 0 at all.
const ECHOES: [u16; 7] = [0, 7, 13, 17, 19, 37, 69];

/// Out of descriptors or memory: long enough not to spin, short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is short is short for all listeners of the process.
static FAILURES: Seldom = Seldom::every(Duration::from_secs(60));

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Why a socket is not to be had. `key` is the setting that says where it shall listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{key}: {protocol} {address} is taken by {}; {}", name_of(.holder.as_ref()), remedy_for(.holder.as_ref(), .address, .key))]
    Taken {
        /// The setting.
        key: &'static str,
        /// TCP or UDP.
        protocol: Protocol,
        /// Where.
        address: SocketAddr,
        /// Who, if it can be seen from here.
        holder: Option<Holder>,
    },
    /// A low port, and no privilege.
    #[error(
        "{key}: no permission for {protocol} {address}: ports below 1024 want a privilege; start it by its systemd unit \
         (AmbientCapabilities=CAP_NET_BIND_SERVICE), or as root, or run `setcap cap_net_bind_service=+ep` on the binary"
    )]
    NotPermitted {
        /// The setting.
        key: &'static str,
        /// TCP or UDP.
        protocol: Protocol,
        /// Where.
        address: SocketAddr,
    },
    /// The address is another machine's.
    #[error("{key}: {address} is no address of this machine; `ip address` shows those that are")]
    NotHere {
        /// The setting.
        key: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// The kernel lacks the family.
    #[error("{key}: {address}: this machine has no {}; take such addresses out of the configuration, or enable it", family_of(.address))]
    NoFamily {
        /// The setting.
        key: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// Anything else that the kernel says.
    #[error("{key}: cannot listen on {protocol} {address}: {source}")]
    Other {
        /// The setting.
        key: &'static str,
        /// TCP or UDP.
        protocol: Protocol,
        /// Where.
        address: SocketAddr,
        /// What it says.
        source: io::Error,
    },
}

impl BindError {
    /// Whether it cannot be had on this machine, or not by this user, whatever the configuration says.
    pub fn is_not_possible_here(&self) -> bool {
        matches!(self, Self::NotPermitted { .. } | Self::NoFamily { .. })
    }
}

/// Where to listen for what comes to `public`, port `port`: the addresses that are this machine's, and the wildcard of a family
/// one of whose addresses is not (a provider that translates 1:1 gives the machine another address than the world sees).
pub fn addresses(public: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<SocketAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = public.into_iter().partition(IpAddr::is_ipv4);
    let mut all = Vec::new();
    for (family, wildcard) in [(v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), (v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED))] {
        if family.iter().all(|address| is_local(*address)) {
            all.extend(family.into_iter().map(|address| SocketAddr::new(address, port)));
        } else {
            all.push(SocketAddr::new(wildcard, port));
        }
    }
    all
}

/// What one sender can easily have, for limits by sender: an IPv4 address, or the /56 of an IPv6 one, which providers give to
/// every customer and within which nobody counts addresses.
pub fn network_of(sender: IpAddr) -> IpAddr {
    match sender.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 72 << 72).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether a datagram from such a port is from nobody who wants an answer.
pub(crate) fn is_echo(port: u16) -> bool {
    ECHOES.contains(&port)
}

/// A TCP listener on `address`, ready for tokio.
///
/// # Errors
/// The address is not to be had; the error says why and what to do.
pub fn bind_tcp(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = open(address, Type::STREAM)?;
        // A restart must not wait for the last run's connections to time out; a live listener still conflicts.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    listen().map_err(|source| explain(key, Protocol::Tcp, address, source))
}

/// `count` UDP sockets on `address`, ready for tokio, among which the kernel shares the datagrams out by sender. Port 0 is one
/// port for all.
///
/// # Errors
/// The address is not to be had; the error says why and what to do.
pub fn bind_udp(key: &'static str, address: SocketAddr, count: usize) -> Result<Vec<UdpSocket>, BindError> {
    let failed = |source| explain(key, Protocol::Udp, address, source);
    // The first one takes the port for itself alone: a second server of the same user must meet an error, not
    // get half of the datagrams. Only then is the port opened to the others.
    let first = open(address, Type::DGRAM).map_err(failed)?;
    first.bind(&address.into()).map_err(failed)?;
    first.set_reuse_port(true).map_err(failed)?;
    let first = UdpSocket::from(first);
    let bound = first.local_addr().map_err(failed)?;
    let another = |_| {
        let socket = open(bound, Type::DGRAM)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        Ok(UdpSocket::from(socket))
    };
    let others = (1..count).map(another).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    Ok(std::iter::once(first).chain(others).collect())
}

/// The next connection. Errors cost a pause, never the listener; they are told of once, however long they last, and however often they
/// come: at the edge of the limit on open files one connection in two may fail.
pub async fn accept(listener: &tokio::net::TcpListener) -> (TcpStream, SocketAddr) {
    let mut failing: Option<Failing> = None;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if let Some(Failing { since, told: true }) = failing {
                    info!(after = ?since.elapsed(), "accepting again");
                }
                return accepted;
            }
            // That one client gave up; the next may be waiting.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if failing.is_none() {
                    let since = Instant::now();
                    let told = FAILURES.may(since);
                    failing = Some(Failing { since, told });
                    if told {
                        let address = listener.local_addr().ok();
                        warn!(?address, %error, "no connection can be accepted; trying on (too many open files: raise LimitNOFILE)");
                    }
                }
                tokio::time::sleep(ACCEPT_PAUSE).await; // out of descriptors: do not spin
            }
        }
    }
}

/// Since when no connection can be accepted, and whether that was said.
struct Failing {
    since: Instant,
    told: bool,
}

fn open(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        // Else [::] would take 0.0.0.0 too, and every IPv4 client would look like an IPv6 one.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether `address` is one of this machine.
pub(crate) fn is_local(address: IpAddr) -> bool {
    // Any other error is for the real bind to explain.
    UdpSocket::bind(SocketAddr::new(address, 0)).err().and_then(|error| Errno::from_io_error(&error)) != Some(Errno::ADDRNOTAVAIL)
}

fn explain(key: &'static str, protocol: Protocol, address: SocketAddr, source: io::Error) -> BindError {
    match Errno::from_io_error(&source) {
        Some(Errno::ADDRINUSE) => BindError::Taken { key, protocol, address, holder: holder_of(protocol, address) },
        Some(Errno::ACCESS | Errno::PERM) => BindError::NotPermitted { key, protocol, address },
        Some(Errno::ADDRNOTAVAIL) => BindError::NotHere { key, address },
        Some(Errno::AFNOSUPPORT) => BindError::NoFamily { key, address },
        _ => BindError::Other { key, protocol, address, source },
    }
}

fn name_of(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid: Some(pid), program }) => format!("{program} (process {pid})"),
        Some(Holder { pid: None, program }) => program.clone(),
        None => "another program (as root it can be named)".into(),
    }
}

fn remedy_for(holder: Option<&Holder>, address: &SocketAddr, key: &str) -> String {
    match holder {
        Some(holder) if holder.program == RESOLVED => format!(
            "write DNSStubListener=no under [Resolve] in /etc/systemd/resolved.conf and run `systemctl restart systemd-resolved`, \
             or let {key} name this machine's own address instead of the wildcard"
        ),
        Some(holder) => format!("stop {}, or give another address or port in {key}", holder.program),
        None => format!("`ss -lnptu sport = {}` as root shows it; stop it, or give another address or port in {key}", address.port()),
    }
}

fn family_of(address: &SocketAddr) -> &'static str {
    if address.is_ipv6() { "IPv6" } else { "IPv4" }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dns.listen";

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
    }

    #[test]
    fn a_taken_port_names_this_very_process() {
        let tcp = bind_tcp(KEY, loopback(0)).expect("a free port");
        let taken = bind_tcp(KEY, tcp.local_addr().expect("bound")).expect_err("taken");
        let BindError::Taken { holder: Some(holder), .. } = &taken else { panic!("{taken:?}") };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(taken.to_string().contains(KEY), "{taken}");
    }

    #[test]
    fn sockets_that_share_a_port_do_not_share_it_with_a_second_server() {
        let shared = bind_udp(KEY, loopback(0), 3).expect("a free port");
        let at = shared[0].local_addr().expect("bound");
        assert!(shared.iter().all(|socket| socket.local_addr().expect("bound") == at));
        let taken = bind_udp(KEY, at, 3).expect_err("taken");
        let BindError::Taken { holder: Some(holder), .. } = &taken else { panic!("{taken:?}") };
        assert_eq!(holder.pid, Some(std::process::id()));
    }

    #[test]
    fn the_kernel_shares_datagrams_out_among_all_sockets() {
        let shared = bind_udp(KEY, loopback(0), 2).expect("a free port");
        let at = shared[0].local_addr().expect("bound");
        let heard = |socket: &UdpSocket| socket.recv_from(&mut [0; 8]).is_ok();
        let mut seen = [false; 2];
        for _ in 0..200 {
            UdpSocket::bind(loopback(0)).expect("client").send_to(b"x", at).expect("sent");
            seen = [seen[0] | heard(&shared[0]), seen[1] | heard(&shared[1])];
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn resolved_has_a_remedy_of_its_own() {
        let holder = Some(Holder { pid: Some(7), program: RESOLVED.into() });
        let error = BindError::Taken { key: KEY, protocol: Protocol::Udp, address: loopback(53), holder };
        assert!(error.to_string().contains("DNSStubListener=no"), "{error}");
    }

    #[test]
    fn a_missing_privilege_has_its_remedies() {
        let error = explain(KEY, Protocol::Udp, loopback(53), Errno::ACCESS.into());
        assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let foreign = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 11).into(), 0);
        assert!(matches!(bind_tcp(KEY, foreign), Err(BindError::NotHere { .. })));
        assert!(matches!(bind_udp(KEY, foreign, 1), Err(BindError::NotHere { .. })));
    }

    #[test]
    fn a_translated_address_is_listened_for_on_its_familys_wildcard() {
        let (local, foreign) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)));
        assert_eq!(addresses([local], 53), [SocketAddr::new(local, 53)]);
        assert_eq!(addresses([local, foreign], 53), [SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 53)]);
        let v6 = IpAddr::V6("2001:db8:a::11".parse().expect("v6"));
        assert_eq!(addresses([local, v6], 53), [SocketAddr::new(local, 53), SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 53)]);
    }
}
