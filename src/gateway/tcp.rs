//! The way of one TCP connection: its first bytes, the name in them, a home or an answer, and the relay.
//!
//! Every step has its limit in bytes and time. What is refused is refused in the client's own protocol, where it has shown that
//! it speaks one.

use std::net::SocketAddr;
use std::sync::Arc;

use fourward_core::client_hello::{self, ClientHello};
use fourward_core::dyndns;
use fourward_core::http_head::{self, HttpHead};
use fourward_core::link::Service;
use fourward_core::name::{DnsName, HostName};
use fourward_core::peek::{Asked, Refusal};
use fourward_core::route;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::debug;

use super::dial::Home;
use super::first::{First, PEEKED, first};
use super::proxy_protocol;
use super::refuse::{self, Alert};
use super::relays::{Place, Seat};
use super::rules::Led;
use super::splice::Relay;
use super::{Door, Held, OwnConnection, Protocol, Reason, Shared};
use crate::certificate::is_challenge;
use crate::crowd::{Bell, Undecided};

/// A connection, and what it counts for.
pub(super) struct Visitor {
    pub(super) stream: TcpStream,
    pub(super) door: Door,
    pub(super) peer: SocketAddr,
    pub(super) held: Held,
    /// Until it is clear that it goes home, and so as long as it is being refused.
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
    first: First,
    place: Place,
    _seat: Seat,
    _held: Held,
}

/// Serves one connection to its end, or until it is a home's.
pub(super) async fn serve(shared: &Shared, visitor: Box<Visitor>) -> Option<Carried> {
    match visitor.door.clone() {
        Door::Named(Protocol::Tls) => tls(shared, visitor).await,
        Door::Named(Protocol::Http) => http(shared, visitor).await,
        Door::Forward { host, service } => forward(shared, visitor, host, service).await,
    }
}

/// By its port it is clear where it goes, so nothing is read: the server may be who speaks first. Who is refused gets a reset.
async fn forward(shared: &Shared, visitor: Box<Visitor>, host: HostName, service: Service) -> Option<Carried> {
    let Visitor { stream, peer, held, undecided, .. } = *visitor;
    let (bell, mut undecided) = (undecided.bell(), Some(undecided));
    match shared.lead_to(&host, peer.ip(), service, &mut undecided).await {
        Ok(led) => shared.carried(host, (stream, peer), led, First::default(), held),
        Err(refusal) => {
            shared.count(&bell, refusal.reason());
            None
        }
    }
}

async fn tls(shared: &Shared, visitor: Box<Visitor>) -> Option<Carried> {
    let until = shared.hello_ends();
    let Visitor { stream, peer, held, undecided, .. } = *visitor;
    let (bell, mut undecided) = (undecided.bell(), Some(undecided));
    let (ClientHello { name, .. }, first) = match first(shared, &stream, peer.ip(), &bell, client_hello::read).await {
        Ok(said) => said,
        Err(reason) => {
            shared.count(&bell, Some(reason));
            return None;
        }
    };
    let target = match &name {
        Asked::Name(name) if shared.leases.returns.meets(name.as_str()) => Target::Unknown,
        Asked::Name(name) => shared.target(peer, name, until).await,
        Asked::Nothing | Asked::Refused(_) => Target::Unknown,
    };
    match target {
        Target::Host(host) => match shared.lead(&host, peer.ip(), Protocol::Tls, None, &mut undecided).await {
            Ok(led) => return shared.carried(host, (stream, peer), led, first, held),
            Err(refusal) => {
                shared.count(&bell, refusal.reason());
                refuse::say(stream, &refusal.alert().record()).await;
            }
        },
        Target::Direct(_) => {
            shared.count(&bell, Some(Reason::Direct));
            refuse::say(stream, &Alert::InternalError.record()).await;
        }
        Target::Own => shared.own_connection(OwnConnection { stream, protocol: Protocol::Tls, peer, read: first.into_bytes(), held }),
        Target::Unknown => {
            // Not which: whoever mixed things up may have put a password there.
            debug!(%peer, "unknown name");
            shared.count(&bell, Some(Reason::Unknown));
            refuse::say(stream, &Alert::UnrecognizedName.record()).await;
        }
    }
    None
}

async fn http(shared: &Shared, visitor: Box<Visitor>) -> Option<Carried> {
    let until = shared.hello_ends();
    let Visitor { stream, peer, held, undecided, .. } = *visitor;
    let (bell, mut undecided) = (undecided.bell(), Some(undecided));
    let (head, first) = match first(shared, &stream, peer.ip(), &bell, http_head::read).await {
        Ok(said) => said,
        Err(reason) => {
            shared.count(&bell, Some(reason));
            return None;
        }
    };
    let answer = match usable(&head) {
        Err(reason) => {
            debug!(%peer, "no usable name");
            shared.count(&bell, Some(Reason::Unknown));
            refuse::bad_request(&head, &reason)
        }
        Ok(name) if shared.leases.returns.meets(&head.path) => refuse::not_found(&head, name),
        Ok(name) => match shared.target(peer, name, until).await {
            Target::Host(host) => match shared.lead(&host, peer.ip(), Protocol::Http, Some(&head.path), &mut undecided).await {
                Ok(led) => return shared.carried(host, (stream, peer), led, first, held),
                Err(refusal) => {
                    shared.count(&bell, refusal.reason());
                    refusal.page(&head, &host, name, shared.config.tls)
                }
            },
            Target::Direct(host) => {
                shared.count(&bell, Some(Reason::Direct));
                refuse::misdirected(&head, &host)
            }
            // Not redirected: the password is in the clear already, and the answer says so; and an authority asks here and nowhere else.
            Target::Own if dyndns::is_update(&head.path) || is_challenge(&head.path) => {
                shared.own_connection(OwnConnection { stream, protocol: Protocol::Http, peer, read: first.into_bytes(), held });
                return None;
            }
            Target::Own => {
                shared.count(&bell, None);
                refuse::redirect(&head, name, shared.config.tls)
            }
            Target::Unknown => {
                debug!(%peer, "unknown name");
                shared.count(&bell, Some(Reason::Unknown));
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

impl Shared {
    /// Until when a client that comes now must have said what it wants, and be answered if it is unknown.
    fn hello_ends(&self) -> Instant {
        Instant::now() + self.config.timeouts.hello
    }

    /// Where a client at `peer` goes that asks for `name`. Over IPv6 only to ourselves: a home's AAAA is the home's, unless its owner
    /// wants it otherwise.
    async fn target(&self, peer: SocketAddr, name: &DnsName, until: Instant) -> Target {
        let over_v6 = peer.ip().to_canonical().is_ipv6();
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

    /// Counts what becomes of a connection; a second word about it does not count.
    pub(super) fn count(&self, bell: &Bell, refused: Option<Reason>) {
        if bell.count()
            && let Some(reason) = refused
        {
            self.traffic.refuse(reason);
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

    /// A relay of the two that is yet to start; the home knows whose it is, if it is to know. `None` where it has gone since it was dialled.
    fn carried(&self, host: HostName, (client, peer): (TcpStream, SocketAddr), led: Led, first: First, held: Held) -> Option<Carried> {
        let Led { home: Home { stream, place }, seat, proxy_protocol: version } = led;
        let relay = Relay::new(client, stream, &self.config.timeouts);
        if let Err(error) = proxy_protocol::tell(version, &relay, peer, &self.own_ipv4) {
            debug!(%host, %error, "gone before its first byte");
            return None;
        }
        Some(Carried { host, relay, first, place, _seat: seat, _held: held })
    }
}

impl Carried {
    /// Relays until both sides are done, or the home has moved.
    pub(super) async fn run(&mut self, shared: &Shared) {
        let first = std::mem::take(&mut self.first);
        let bell = first.bell();
        let ended = tokio::select! {
            biased;
            () = self.place.over() => return,
            () = rung(bell) => {
                shared.traffic.refuse(Reason::Crowded);
                return;
            }
            ended = self.relay.run(first, &shared.means, &shared.traffic) => ended,
        };
        if let Err(error) = ended {
            debug!(host = %self.host, %error, "relay broke");
        }
    }
}

/// Returns when a long beginning that its home does not take has to give way.
async fn rung(bell: Option<Arc<Bell>>) {
    match bell {
        Some(bell) => Box::pin(bell.rung()).await,
        None => std::future::pending().await,
    }
}
