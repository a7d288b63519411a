//! The way of one TCP connection: its first bytes, the name in them, a home or an answer, and the relay.
//!
//! Every step has its limit in bytes and time. What is refused is refused in the client's own protocol, where it has shown that
//! it speaks one.

use std::io;
use std::net::SocketAddr;

use fourward_core::client_hello::{self, ClientHello};
use fourward_core::dyndns;
use fourward_core::http_head::{self, HttpHead};
use fourward_core::name::{DnsName, HostName};
use fourward_core::peek::{Asked, Peek, Refusal};
use fourward_core::route;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::dial::Home;
use super::refuse::{self, Alert};
use super::relays::{Place, Seat};
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
    seat: Seat,
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
    let until = shared.hello_ends();
    let (ClientHello { name, .. }, read) = first(shared, &stream, client_hello::read).await?;
    let target = match &name {
        Asked::Name(name) => shared.target(&stream, peer, name, until).await,
        Asked::Nothing | Asked::Refused(_) => Target::Unknown,
    };
    match target {
        Target::Host(host) => match shared.lead(&host, peer.ip(), Protocol::Tls, None).await {
            Ok(led) => return Some(shared.carried(host, stream, led, read)),
            Err(refusal) => refuse::say(stream, &refusal.alert().record()).await,
        },
        Target::Direct(_) => {
            shared.traffic.refuse(Reason::Direct);
            refuse::say(stream, &Alert::InternalError.record()).await;
        }
        Target::Own => shared.own_connection(OwnConnection { stream, protocol: Protocol::Tls, peer, read }),
        Target::Unknown => {
            // Not which: whoever mixed things up may have put a password there.
            debug!(%peer, "unknown name");
            shared.traffic.refuse(Reason::Unknown);
            refuse::say(stream, &Alert::UnrecognizedName.record()).await;
        }
    }
    None
}

async fn http(shared: &Shared, stream: TcpStream, peer: SocketAddr) -> Option<Carried> {
    let until = shared.hello_ends();
    let (head, read) = first(shared, &stream, http_head::read).await?;
    let answer = match usable(&head) {
        Err(reason) => {
            debug!(%peer, "no usable name");
            shared.traffic.refuse(Reason::Unknown);
            refuse::bad_request(&head, &reason)
        }
        Ok(name) => match shared.target(&stream, peer, name, until).await {
            Target::Host(host) => match shared.lead(&host, peer.ip(), Protocol::Http, Some(&head.path)).await {
                Ok(led) => return Some(shared.carried(host, stream, led, read)),
                Err(refusal) => refusal.page(&head, &host, name, shared.config.tls),
            },
            Target::Direct(host) => {
                shared.traffic.refuse(Reason::Direct);
                refuse::misdirected(&head, &host)
            }
            // Not redirected: the password is in the clear already, and the answer says so.
            Target::Own if dyndns::is_update(&head.path) => {
                shared.own_connection(OwnConnection { stream, protocol: Protocol::Http, peer, read });
                return None;
            }
            Target::Own => refuse::redirect(&head, name, shared.config.tls),
            Target::Unknown => {
                debug!(%peer, "unknown name");
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
    /// Until when a client that comes now must have said what it wants, and be answered if it is unknown.
    fn hello_ends(&self) -> Instant {
        Instant::now() + self.config.timeouts.hello
    }

    /// Where a client of `stream` goes that asks for `name`. Over IPv6 only to ourselves: a home's AAAA is the home's, unless its owner
    /// wants it otherwise.
    async fn target(&self, stream: &TcpStream, peer: SocketAddr, name: &DnsName, until: Instant) -> Target {
        let over_v6 = stream.local_addr().is_ok_and(|local| local.is_ipv6());
        let mut found = route::route(&self.store.snapshot(), &self.own_names, name);
        if found == route::Target::Elsewhere
            && let Some(end) = self.aliases.end_of(name, peer.ip(), until).await
        {
            // The state of now: it may have changed while DNS was asked.
            found = route::led_to(&self.store.snapshot(), &self.own_names, &end);
        }
        match found {
            route::Target::Host(host) if over_v6 && !self.takes_ipv6(&host) => Target::Direct(host),
            route::Target::Host(host) => Target::Host(host),
            route::Target::Own => Target::Own,
            route::Target::Unknown | route::Target::Elsewhere => Target::Unknown,
        }
    }

    fn own_connection(&self, connection: OwnConnection) {
        if self.own.try_send(connection).is_err() {
            self.traffic.refuse(Reason::Busy);
        }
    }

    fn carried(&self, host: HostName, client: TcpStream, (home, seat): (Home, Seat), read: Vec<u8>) -> Carried {
        Carried { host, relay: Relay::new(client, home.stream, &self.config.timeouts), read, place: home.place, seat }
    }
}

impl Carried {
    /// Relays until both sides are done, or the home has moved.
    pub(super) async fn run(self, shared: &Shared) {
        let Self { host, relay, read, place, seat: _seat } = self;
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
