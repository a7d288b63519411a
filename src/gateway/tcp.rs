//! The way of one TCP connection: its first bytes, the name in them, a home or an answer, and the relay.
//!
//! Every step has its limit in bytes and time. What is refused is refused in the client's own protocol, where it has shown that
//! it speaks one.

use std::io;
use std::net::SocketAddr;

use fourward_core::client_hello::{self, ClientHello};
use fourward_core::dyndns;
use fourward_core::http_head::{self, HttpHead};
use fourward_core::link::Protocol::Tcp;
use fourward_core::link::Service;
use fourward_core::name::{DnsName, HostName};
use fourward_core::peek::{Asked, Peek, Refusal};
use fourward_core::route;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::certificate::is_challenge;

use super::dial::{Dialer, Home};
use super::refuse::{self, Alert};
use super::relays::Place;
use super::splice::Relay;
use super::{OwnConnection, Protocol, Reason, Shared};

/// A ClientHello of today fits in one read of this size.
const FIRST_READ: usize = 2048;

/// Where a connection goes.
enum Target {
    /// To this host's home.
    Host(HostName),
    /// Nowhere from here: it came over IPv6 and belongs to this host's own address.
    Direct(HostName),
    /// To ourselves.
    Own,
    /// Nobody here is called so.
    Unknown,
}

/// A client and its home, connected; nothing has gone to the home yet.
pub(super) struct Carried {
    host: HostName,
    relay: Relay,
    read: Vec<u8>,
    place: Place,
}

/// Serves one connection to its end, or until it is a home's.
pub(super) async fn serve(shared: &Shared, protocol: Protocol, stream: TcpStream, peer: SocketAddr) -> Option<Carried> {
    // Answers are short, and relays want it too.
    let _ = stream.set_nodelay(true);
    match protocol {
        Protocol::Tls => tls(shared, stream, peer).await,
        Protocol::Http => http(shared, stream, peer).await,
    }
}

async fn tls(shared: &Shared, stream: TcpStream, peer: SocketAddr) -> Option<Carried> {
    let (ClientHello { name, .. }, read) = first(shared, &stream, client_hello::read).await?;
    let target = match &name {
        Asked::Name(name) => shared.target(&stream, name),
        Asked::Nothing | Asked::Refused(_) => Target::Unknown,
    };
    match target {
        Target::Host(host) => match shared.home(&host, 443, shared.config.home_ports.tls).await {
            Some(home) => return Some(shared.carried(host, stream, home, read)),
            None => refuse::say(stream, &Alert::InternalError.record()).await,
        },
        Target::Direct(_) => {
            shared.traffic.refuse(Reason::Direct);
            refuse::say(stream, &Alert::InternalError.record()).await;
        }
        Target::Own => shared.own_connection(OwnConnection { stream, protocol: Protocol::Tls, peer, read }),
        Target::Unknown => {
            debug!(%peer, ?name, "unknown name");
            shared.traffic.refuse(Reason::Unknown);
            refuse::say(stream, &Alert::UnrecognizedName.record()).await;
        }
    }
    None
}

async fn http(shared: &Shared, stream: TcpStream, peer: SocketAddr) -> Option<Carried> {
    let (head, read) = first(shared, &stream, http_head::read).await?;
    let answer = match usable(&head) {
        Err(reason) => {
            debug!(%peer, %reason, "no usable name");
            shared.traffic.refuse(Reason::Unknown);
            refuse::bad_request(&head, &reason)
        }
        Ok(name) => match shared.target(&stream, name) {
            Target::Host(host) => match shared.home(&host, 80, shared.config.home_ports.http).await {
                Some(home) => return Some(shared.carried(host, stream, home, read)),
                None => refuse::away(&head, &host),
            },
            Target::Direct(host) => {
                shared.traffic.refuse(Reason::Direct);
                refuse::misdirected(&head, &host)
            }
            // Not redirected: the password is in the clear already, and the answer says so; and an authority asks here and nowhere else.
            Target::Own if dyndns::is_update(&head.path) || is_challenge(&head.path) => {
                shared.own_connection(OwnConnection { stream, protocol: Protocol::Http, peer, read });
                return None;
            }
            Target::Own => refuse::redirect(&head, name, shared.config.tls),
            Target::Unknown => {
                debug!(%peer, %name, "unknown name");
                shared.traffic.refuse(Reason::Unknown);
                refuse::not_found(&head, name)
            }
        },
    };
    refuse::say(stream, &answer).await;
    None
}

/// The one name in `head`.
fn usable(head: &HttpHead) -> Result<&DnsName, String> {
    match &head.host {
        Asked::Name(name) => Ok(name),
        Asked::Nothing => Err("there is no Host line in it".into()),
        Asked::Refused(Refusal::Repeated) => Err("there is more than one Host line in it".into()),
        Asked::Refused(refusal) => Err(refusal.to_string()),
    }
}

/// What the first bytes say, and the bytes; `None` if they say nothing in time, or nothing that we understand.
async fn first<T>(shared: &Shared, stream: &TcpStream, read: fn(&[u8]) -> Peek<T>) -> Option<(T, Vec<u8>)> {
    let mut bytes = Vec::new();
    let settled = async {
        loop {
            match read(&bytes) {
                Peek::Known(said) => return Ok(said),
                Peek::Foreign => return Err(Reason::Foreign),
                Peek::Partial => more(stream, &mut bytes).await.map_err(|_| Reason::Silent)?,
            }
        }
    };
    match timeout(shared.config.timeouts.hello, settled).await.unwrap_or(Err(Reason::Silent)) {
        Ok(said) => Some((said, bytes)),
        Err(reason) => {
            shared.traffic.refuse(reason);
            None
        }
    }
}

/// Reads once more. The verdicts bound the whole: none is partial beyond its protocol's limit.
async fn more(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        bytes.reserve(FIRST_READ);
        match stream.try_read_buf(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

impl Shared {
    /// Where a client of `stream` goes that asks for `name`. Over IPv6 only to ourselves: a home's AAAA is the home's.
    fn target(&self, stream: &TcpStream, name: &DnsName) -> Target {
        let over_v6 = stream.local_addr().is_ok_and(|local| local.is_ipv6());
        match route::route(&self.store.snapshot(), &self.own_names, name) {
            route::Target::Host(host) if over_v6 => Target::Direct(host),
            route::Target::Host(host) => Target::Host(host),
            route::Target::Own => Target::Own,
            route::Target::Unknown => Target::Unknown,
        }
    }

    fn own_connection(&self, connection: OwnConnection) {
        if self.own.try_send(connection).is_err() {
            self.traffic.refuse(Reason::Busy);
        }
    }

    /// The home of `host`, for what is called `tcp/{service}`, at `port`.
    async fn home(&self, host: &HostName, service: u16, port: u16) -> Option<Home> {
        let service = Service { protocol: Tcp, port: service };
        let dialer = Dialer { store: &self.store, leases: &self.leases, relays: &self.relays, patience: self.config.timeouts.dial };
        match dialer.dial(host, service, port).await {
            Ok(home) => Some(home),
            Err(error) => {
                debug!(%host, %error, "away");
                self.traffic.refuse(Reason::Away);
                None
            }
        }
    }

    fn carried(&self, host: HostName, client: TcpStream, home: Home, read: Vec<u8>) -> Carried {
        Carried { host, relay: Relay::new(client, home.stream, &self.config.timeouts), read, place: home.place }
    }
}

impl Carried {
    /// Relays until both sides are done, or the home has moved.
    pub(super) async fn run(self, shared: &Shared) {
        let Self { host, relay, read, place } = self;
        let ended = tokio::select! {
            biased;
            () = place.over() => return,
            ended = relay.run(read, &shared.pipes, shared.traffic.to_homes(), shared.traffic.to_clients()) => ended,
        };
        if let Err(error) = ended {
            debug!(%host, %error, "relay broke");
        }
    }
}
