//! The gateway: takes connections on its own addresses and carries them to the homes they ask for.
//!
//! This file owns the listeners, the cap and the end; who gives way where there is no room is `crowd`'s. A connection's way is `tcp`, what its host's
//! owner wants `rules`, its dial `dial`, its bytes `splice`; what is sent instead of a home is `refuse`. What comes by
//! UDP is `udp`'s, the link's own datagrams included, which it hands on. TLS is not here: bytes are passed on as they are.

mod aliases;
mod descriptors;
mod dial;
mod dials;
mod first;
mod forwards;
mod pipes;
mod proxy_protocol;
mod refuse;
mod relays;
mod rules;
mod splice;
mod tails;
mod tcp;
mod traffic;
mod udp;
mod upstreams;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fourward_core::link::Service;
use fourward_core::name::{DnsName, HostName};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use crate::config;
use crate::crowd::{Crowd, Limits, Place};
use crate::leases::Leases;
use crate::listener::{self, BindError};
use crate::mmsg::options;
use crate::quic::own::Doorway;
use crate::resolver::Resolvers;
use crate::store::Store;

pub use dials::Dials;
pub use traffic::{Counts, Reason, Traffic};

/// Relays that were told to end need a turn each, nothing more.
const ABORT_TIME: Duration = Duration::from_secs(1);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TLS, port 443.
    Tls,
    /// HTTP/1, port 80.
    Http,
}

/// The gateway's listening sockets.
#[derive(Debug)]
pub struct Sockets {
    named: Vec<(Protocol, std::net::TcpListener)>,
    /// The addresses that the world is told, where forwards listen too.
    public: Vec<IpAddr>,
}

/// A connection for one of the gateway's own names: TLS, or in plain HTTP an update of a router or an authority's question.
#[derive(Debug)]
pub struct OwnConnection {
    /// The connection.
    pub stream: TcpStream,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What was read of it so far.
    pub read: Vec<u8>,
    /// To be dropped with it.
    pub held: Held,
}

/// What a connection counts for until this is dropped: one of all, one of its network, one that is open.
#[derive(Debug)]
pub struct Held {
    _permit: OwnedSemaphorePermit,
    _place: Place,
    _open: traffic::Open,
}

/// Why the gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A listening socket cannot be used.
    #[error("the gateway's listener fails: {0}")]
    Listener(#[from] io::Error),
    /// One of its own tasks ended, by a defect of this program.
    #[error("a part of the gateway stopped; this is a defect: please report it with the log")]
    Stopped,
}

/// What the gateway has of its own, and beside whom it runs.
pub struct Own {
    /// What it is called.
    pub names: Vec<DnsName>,
    /// The IPv4 addresses that the world is told.
    pub ipv4: Vec<Ipv4Addr>,
    /// Where connections for itself go; they are closed where that is full.
    pub connections: mpsc::Sender<OwnConnection>,
    /// The sockets of UDP 443, on which QUIC comes.
    pub quic: Vec<Doorway>,
    /// Descriptors that other roles of the process may have open.
    pub descriptors_beside: usize,
}

/// The gateway, ready to run.
pub struct Gateway(Shared, Vec<Doorway>);

/// What all connections share.
struct Shared {
    config: config::Gateway,
    own_names: Vec<DnsName>,
    own_ipv4: Vec<Ipv4Addr>,
    store: Store,
    leases: Arc<Leases>,
    own: mpsc::Sender<OwnConnection>,
    traffic: Arc<Traffic>,
    relays: Arc<relays::Relays>,
    means: splice::Means,
    aliases: aliases::Aliases,
    upstreams: Arc<upstreams::Upstreams>,
    crowd: Crowd,
    /// Those whose beginning is longer than the kernel holds.
    long: Crowd,
}

/// Takes the sockets, all of them or none.
///
/// # Errors
/// An address is not to be had; the error names it, the cause and the remedy.
pub fn bind(config: &config::Gateway, public: &config::Public) -> Result<Sockets, BindError> {
    let v4 = public.ipv4.iter().copied().map(Into::into);
    let addresses: Vec<_> = v4.chain(public.ipv6.iter().copied().map(Into::into)).collect();
    let mut named = Vec::new();
    for (protocol, key, port) in [(Protocol::Tls, "gateway.tls", config.tls), (Protocol::Http, "gateway.http", config.http)] {
        for address in listener::addresses(addresses.iter().copied(), port) {
            let listener = listener::bind_tcp(key, address)?;
            prepare(&listener);
            // Who says nothing is not heard of before its time for that is over.
            options::defer_accept(&listener, i32::try_from(config.timeouts.hello.as_secs()).unwrap_or(i32::MAX).max(1));
            named.push((protocol, listener));
        }
    }
    Ok(Sockets { named, public: addresses })
}

/// What connections have from their listener: answers are short, and relays want them at once too; and whatever ends without one is reset, so that no
/// close waits for its client, and there is no doubt what happened.
fn prepare(listener: &std::net::TcpListener) {
    let socket = SockRef::from(listener);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_linger(Some(Duration::ZERO));
}

impl Sockets {
    /// Where they listen; what port 0 became is seen here.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn local_addrs(&self) -> io::Result<Vec<(Protocol, SocketAddr)>> {
        self.named.iter().map(|(protocol, socket)| Ok((*protocol, socket.local_addr()?))).collect()
    }
}

impl Gateway {
    /// A gateway that is not served yet; names that are not listed are looked up with `resolvers`.
    pub fn new(config: config::Gateway, own: Own, store: Store, leases: Arc<Leases>, traffic: Arc<Traffic>, resolvers: Resolvers) -> Self {
        let budget = descriptors::budget(config.connections, own.descriptors_beside);
        // Where there is room for fewer than configured, still nobody has all of it.
        let fits = |limit: usize| if budget.connections < config.connections { limit.min(budget.connections / 2).max(1) } else { limit };
        let limits = Limits { undecided: fits(config.half_open), of_one: fits(config.per_network) };
        let config = config::Gateway { connections: budget.connections, ..config };
        let (means, crowd) = (splice::Means::new(budget.pipes), Crowd::new(limits));
        let resolvers = Arc::new(resolvers);
        let aliases = aliases::Aliases::new(Arc::clone(&resolvers), store.clone());
        let upstreams = upstreams::Upstreams::new(resolvers, store.clone(), Arc::clone(&leases));
        let Own { names: own_names, ipv4: own_ipv4, connections: own, quic, .. } = own;
        let shared = Shared {
            config,
            own_names,
            own_ipv4,
            store,
            leases,
            own,
            traffic,
            relays: Arc::default(),
            means,
            aliases,
            upstreams,
            crowd,
            long: first::room(),
        };
        Self(shared, quic)
    }

    /// Serves until `cancel`; then takes no more connections, and gives those there are `timeouts.drain` to end.
    ///
    /// # Errors
    /// A part of the gateway died. The process must not go on without it.
    pub async fn run(self, sockets: Sockets, cancel: CancellationToken) -> Result<(), GatewayError> {
        let shared = Arc::new(self.0);
        let tracker = TaskTracker::new();
        let abort = CancellationToken::new();
        // However this function ends, no connection on its way to a home outlives it. Those to our own name are the page's, and a question to DNS
        // ends by itself, within seconds.
        let _abort = abort.clone().drop_guard();
        let relays = Arc::clone(&shared.relays);
        let mut follower = AbortOnDropHandle::new(tokio::spawn(relays.follow(shared.store.changes(), shared.store.clone())));
        let mut tails = AbortOnDropHandle::new(tokio::spawn(shared.means.tails().watch()));
        let mut resolving = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&shared.upstreams).follow()));
        let permits = Arc::new(Semaphore::new(shared.config.connections));
        let crew = Crew { shared: Arc::clone(&shared), permits, tracker: tracker.clone(), abort: abort.clone() };
        let mut acceptors = JoinSet::new();
        for (protocol, socket) in sockets.named {
            let acceptor = Acceptor { door: Door::Named(protocol), listener: TcpListener::from_std(socket)?, crew: crew.clone() };
            acceptors.spawn(acceptor.run());
        }
        let (engine, mut ended) = udp::Engine::start(crew.clone())?;
        for doorway in self.1 {
            engine.open(udp::Entrance::Named(Box::new(doorway)))?;
        }
        // Before the state is looked at, so that no change falls between.
        let changes = shared.store.changes();
        acceptors.spawn(forwards::Forwards::new(crew, Arc::clone(&engine), sockets.public).run(changes));
        let ended = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            _ = acceptors.join_next() => Err(GatewayError::Stopped),
            _ = &mut follower => Err(GatewayError::Stopped),
            _ = &mut tails => Err(GatewayError::Stopped),
            _ = ended.recv() => Err(GatewayError::Stopped),
            _ = &mut resolving => Err(GatewayError::Stopped),
        };
        acceptors.shutdown().await;
        // What it reads is the link's, too, and links vouch for their homes until the last connection has ended.
        engine.drain();
        tracker.close();
        if ended.is_ok() {
            info!(connections = tracker.len(), "draining");
            if timeout(shared.config.timeouts.drain, tracker.wait()).await.is_ok() {
                return ended;
            }
            warn!(connections = tracker.len(), "aborting connections that did not end in time");
        }
        abort.cancel();
        // Whatever still hangs after this is a task that never yields; it ends with the process.
        let _ = timeout(ABORT_TIME, tracker.wait()).await;
        ended
    }
}

/// Where a connection comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Door {
    /// Where clients say whom they want.
    Named(Protocol),
    /// At a port that leads to one host, to this service at its home.
    Forward { host: HostName, service: Service },
}

/// What every listener works with.
#[derive(Clone)]
struct Crew {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    tracker: TaskTracker,
    abort: CancellationToken,
}

/// One listener at work.
struct Acceptor {
    door: Door,
    listener: TcpListener,
    crew: Crew,
}

impl Acceptor {
    async fn run(self) {
        let Crew { shared, tracker, abort, .. } = &self.crew;
        loop {
            let (stream, peer) = listener::accept(&self.listener).await;
            // Before it is asked who gives way: nobody does for one that may not come.
            if shared.crowd.is_full(peer.ip()) {
                shared.traffic.refuse(Reason::Crowded);
                continue;
            }
            let Some(permit) = self.permit().await else { return };
            // Another listener may have let one more of its network in meanwhile.
            let Some((place, undecided)) = shared.crowd.admit(peer.ip()) else {
                shared.traffic.refuse(Reason::Crowded);
                continue;
            };
            let held = Held { _permit: permit, _place: place, _open: shared.traffic.open() };
            // A task of its own: a panic costs this connection and no other.
            // Boxed: each step that hands it on keeps room for it.
            let visitor = Box::new(tcp::Visitor { stream, door: self.door.clone(), peer, held, undecided });
            tracker.spawn(serve(Arc::clone(shared), visitor, tracker.clone(), abort.clone()));
        }
    }

    /// At the cap one that is undecided gives way. Where none is, one connection waits here and the others in the kernel's queue, until
    /// someone leaves.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let Crew { shared, permits, .. } = &self.crew;
        if permits.available_permits() == 0 {
            shared.crowd.make_room();
        }
        Arc::clone(permits).acquire_owned().await.ok()
    }
}

/// Leads a connection to where it wants to go, and starts its relay.
async fn serve(shared: Arc<Shared>, visitor: Box<tcp::Visitor>, tracker: TaskTracker, abort: CancellationToken) {
    let bell = visitor.undecided.bell();
    let carried = tokio::select! {
        carried = tcp::serve(&shared, visitor) => carried,
        () = bell.rung() => {
            shared.count(&bell, Some(Reason::Crowded));
            None
        }
        () = abort.cancelled() => None,
    };
    let Some(mut carried) = carried else { return };
    // Another task for the hours that a relay may last: what led here takes more memory.
    tracker.spawn(async move {
        tokio::select! {
            () = carried.run(&shared) => {}
            () = abort.cancelled() => {}
        }
    });
}
