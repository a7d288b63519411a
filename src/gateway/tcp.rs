//! The way of one TCP connection: its first bytes, the name in them, a home or an answer, and the relay.
//!
//! Every step has its limit in bytes and time. What is refused is refused in the client's own protocol, where it has shown that
//! it speaks one.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use fourward_core::client_hello::{self, ClientHello};
use fourward_core::dyndns;
use fourward_core::http_head::{self, HttpHead};
use fourward_core::name::{DnsName, HostName};
use fourward_core::peek::{Asked, Peek, Refusal};
use fourward_core::route;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::crowd::Undecided;
use super::dial::Home;
use super::refuse::{self, Alert};
use super::relays::{Place, Seat};
use super::splice::Relay;
use super::{Held, OwnConnection, Protocol, Reason, Shared};
use crate::certificate::is_challenge;

/// So much of what a client says first stays in the kernel until it is understood: half a hello costs this process nothing. A socket
/// need not hold the 64 KiB that a hello may have, so what is longer is read.
const PEEKED: usize = 16 * 1024;

/// Of what is longer.
const READ: usize = 4 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PEEKED]);
}

/// A connection, and what it counts for.
pub(super) struct Visitor {
    pub(super) stream: TcpStream,
    pub(super) protocol: Protocol,
    pub(super) peer: SocketAddr,
    pub(super) held: Held,
    /// Until it is clear where it goes, or as long as it is being refused.
    pub(super) undecided: Undecided,
}

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
    _seat: Seat,
    _held: Held,
}

/// Serves one connection to its end, or until it is a home's.
pub(super) async fn serve(shared: &Shared, visitor: Box<Visitor>) -> Option<Carried> {
    // Answers are short, and relays want it too.
    let _ = visitor.stream.set_nodelay(true);
    match visitor.protocol {
        Protocol::Tls => tls(shared, visitor).await,
        Protocol::Http => http(shared, visitor).await,
    }
}

async fn tls(shared: &Shared, visitor: Box<Visitor>) -> Option<Carried> {
    let until = shared.hello_ends();
    let Visitor { stream, peer, held, undecided, .. } = *visitor;
    let (ClientHello { name, .. }, read) = first(shared, &stream, client_hello::read).await?;
    let target = match &name {
        Asked::Name(name) if shared.leases.returns.meets(name.as_str()) => Target::Unknown,
        Asked::Name(name) => shared.target(&stream, peer, name, until).await,
        Asked::Nothing | Asked::Refused(_) => Target::Unknown,
    };
    match target {
        Target::Host(host) => match shared.lead(&host, peer.ip(), Protocol::Tls, None, undecided).await {
            Ok(led) => return Some(shared.carried(host, stream, led, read, held)),
            Err(refusal) => refuse::say(stream, &refusal.alert().record()).await,
        },
        Target::Direct(_) => {
            shared.traffic.refuse(Reason::Direct);
            refuse::say(stream, &Alert::InternalError.record()).await;
        }
        Target::Own => shared.own_connection(OwnConnection { stream, protocol: Protocol::Tls, peer, read, held }),
        Target::Unknown => {
            // Not which: whoever mixed things up may have put a password there.
            debug!(%peer, "unknown name");
            shared.traffic.refuse(Reason::Unknown);
            refuse::say(stream, &Alert::UnrecognizedName.record()).await;
        }
    }
    None
}

async fn http(shared: &Shared, visitor: Box<Visitor>) -> Option<Carried> {
    let until = shared.hello_ends();
    let Visitor { stream, peer, held, undecided, .. } = *visitor;
    let (head, read) = first(shared, &stream, http_head::read).await?;
    let answer = match usable(&head) {
        Err(reason) => {
            debug!(%peer, "no usable name");
            shared.traffic.refuse(Reason::Unknown);
            refuse::bad_request(&head, &reason)
        }
        Ok(name) if shared.leases.returns.meets(&head.path) => refuse::not_found(&head, name),
        Ok(name) => match shared.target(&stream, peer, name, until).await {
            Target::Host(host) => match shared.lead(&host, peer.ip(), Protocol::Http, Some(&head.path), undecided).await {
                Ok(led) => return Some(shared.carried(host, stream, led, read, held)),
                Err(refusal) => refusal.page(&head, &host, name, shared.config.tls),
            },
            Target::Direct(host) => {
                shared.traffic.refuse(Reason::Direct);
                refuse::misdirected(&head, &host)
            }
            // Not redirected: the password is in the clear already, and the answer says so; and an authority asks here and nowhere else.
            Target::Own if dyndns::is_update(&head.path) || is_challenge(&head.path) => {
                shared.own_connection(OwnConnection { stream, protocol: Protocol::Http, peer, read, held });
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

/// What the first bytes say, and as many of them as had to be read; `None` if they say nothing in time, or nothing that we understand.
async fn first<T>(shared: &Shared, stream: &TcpStream, read: fn(&[u8]) -> Peek<T>) -> Option<(T, Vec<u8>)> {
    let mut bytes = Vec::new();
    let settled = async {
        let mut said = look(stream, read).await;
        loop {
            match said.map_err(|_| Reason::Silent)? {
                Peek::Known(said) => return Ok(said),
                Peek::Foreign => return Err(Reason::Foreign),
                Peek::Partial => said = more(stream, &mut bytes).await.map(|()| read(&bytes)),
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

/// What the first bytes say, without reading them; [`Peek::Partial`] once they are more than is left unread.
async fn look<T>(stream: &TcpStream, read: fn(&[u8]) -> Peek<T>) -> io::Result<Peek<T>> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let looked = stream.try_io(Interest::READABLE, || {
            BUFFER.with_borrow_mut(|buffer| {
                let (count, _) = rustix::net::recv(stream, &mut **buffer, RecvFlags::PEEK)?;
                match read(buffer.get(..count).unwrap_or_default()) {
                    // Forgets the readiness, though bytes are there: the next ones will tell of themselves (epoll(7), edge-triggered).
                    Peek::Partial if (1..PEEKED).contains(&count) => Err(io::ErrorKind::WouldBlock.into()),
                    Peek::Partial if count == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    said => Ok(said),
                }
            })
        });
        match looked {
            // All that was to come had come before we looked.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

/// Reads once more. The verdicts bound the whole: none is partial beyond its protocol's limit.
async fn more(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        bytes.reserve(READ);
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
            route::Target::Host(host) => {
                self.leases.returns.arrives(&host, peer.ip());
                Target::Host(host)
            }
            route::Target::Own => Target::Own,
            route::Target::Unknown | route::Target::Elsewhere => Target::Unknown,
        }
    }

    fn own_connection(&self, mut connection: OwnConnection) {
        let _ = SockRef::from(&connection.stream).set_linger(None);
        // What was looked at is there, so this needs no waiting.
        while connection.read.len() < PEEKED && connection.stream.try_read_buf(&mut connection.read).is_ok_and(|count| count > 0) {}
        if self.own.try_send(connection).is_err() {
            self.traffic.refuse(Reason::Busy);
        }
    }

    fn carried(&self, host: HostName, client: TcpStream, (home, seat): (Home, Seat), read: Vec<u8>, held: Held) -> Carried {
        Carried { host, relay: Relay::new(client, home.stream, &self.config.timeouts), read, place: home.place, _seat: seat, _held: held }
    }
}

impl Carried {
    /// Relays until both sides are done, or the home has moved.
    pub(super) async fn run(&mut self, shared: &Shared) {
        let read = std::mem::take(&mut self.read);
        let ended = tokio::select! {
            biased;
            () = self.place.over() => return,
            ended = self.relay.run(read, &shared.pipes, &shared.traffic) => ended,
        };
        if let Err(error) = ended {
            debug!(host = %self.host, %error, "relay broke");
        }
    }
}
