//! Connects to a home, and makes sure that it is the home.
//!
//! Addresses change hands: whoever inherits one may get a handshake from us, never a client's byte. So a linked home is asked
//! for an echo with each SYN, and the connection is given out only when the echo has come from the address that was dialled. A
//! move restarts the dial at the new address at once, since the old one may swallow packets in silence. IPv4 is never dialled.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fourward_core::link::Service;
use fourward_core::name::HostName;
use fourward_core::policy::Forbidden;
use fourward_core::state::{State, Whereabouts};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};

use super::dials::Dials;
use super::relays::{Place, Relays};
use super::upstreams::Upstreams;
use crate::leases::{Admission, Leases};
use crate::probe;
use crate::store::Store;

/// Addresses tried for one client: a home that moves on while it is dialled, more often than this, is in trouble.
const TRIES: usize = 8;

/// A connect that takes longer goes to nobody, mostly: the kernel sends the SYN a second time after a second.
const DOUBT: Duration = Duration::from_millis(800);

/// What a dial needs to know.
pub(super) struct Dialer<'a> {
    pub(super) store: &'a Store,
    pub(super) leases: &'a Leases,
    pub(super) relays: &'a Arc<Relays>,
    /// Who looks up where homes are that DNS knows of.
    pub(super) upstreams: &'a Upstreams,
    /// Where its end is counted.
    pub(super) dials: &'a Dials,
    /// For all tries together.
    pub(super) patience: Duration,
}

/// A connection to a home that was found there.
pub(super) struct Home {
    pub(super) stream: TcpStream,
    pub(super) place: Place,
}

/// Why a home cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// It was removed, or nobody vouches for an address of it.
    #[error("{0} has no live address; is its agent running?")]
    NoAddress(HostName),
    /// Its link is down or silent.
    #[error("{0} does not answer on its link; is its line up?")]
    NoLink(HostName),
    /// Its agent does not permit it.
    #[error("{host} does not offer {service}: add it to services under [agent] in the configuration at home, and restart the agent")]
    NotOffered { host: HostName, service: Service },
    /// Its address may not be dialled.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// It is there, and takes no connection.
    #[error("cannot connect to {address}: {source}; is the service running, and does the home's router let it through?")]
    Connect { address: SocketAddrV6, source: io::Error },
    /// Not even the first packet left this machine.
    #[error(
        "this machine cannot connect to {address}: {source}; see that `ip -6 route get {}` finds a way, and raise LimitNOFILE where files are too many",
        .address.ip()
    )]
    Local { address: SocketAddrV6, source: io::Error },
    /// Nothing came back in time.
    #[error("no answer from {0} in time; does the home's router let the connection through?")]
    Late(HostName),
    /// Its owner shut the client out meanwhile.
    #[error("{0} no longer admits the client's address")]
    NotAdmitted(HostName),
    /// It moved again and again.
    #[error("{0} moved {TRIES} times while it was dialled")]
    Restless(HostName),
}

/// How a try ended that did not fail.
enum Try {
    Stands(Home),
    Moved(Whereabouts),
}

impl Dialer<'_> {
    /// A connection to `port` of `host`'s home, for `service` and a client at `client`. No byte was written on it.
    pub(super) async fn dial(&self, host: &HostName, client: IpAddr, service: Service, port: u16) -> Result<Home, DialError> {
        let began = Instant::now();
        let ended = self.tries(host, client, service, port).await;
        self.dials.note(&ended, began.elapsed());
        ended
    }

    async fn tries(&self, host: &HostName, client: IpAddr, service: Service, port: u16) -> Result<Home, DialError> {
        self.check_offer(host, service)?;
        let deadline = Instant::now() + self.patience;
        let mut view = View::new(host, self.store.watch());
        let mut aim = view.seen.clone().ok_or_else(|| DialError::NoAddress(host.clone()))?;
        for _ in 0..TRIES {
            let tried = timeout_at(deadline.into(), self.attempt(&aim, client, port, &mut view, deadline)).await;
            match tried.map_err(|_| DialError::Late(host.clone()))? {
                Ok(Try::Stands(home)) => {
                    // A link that came up meanwhile has not been asked yet.
                    self.check_offer(host, service)?;
                    return Ok(home);
                }
                Ok(Try::Moved(to)) => aim = to,
                // DNS may know more by now.
                Err(error @ (DialError::Connect { .. } | DialError::Local { .. })) => {
                    let _ = timeout_at(deadline.into(), self.upstreams.again(host)).await;
                    aim = self.store.snapshot().whereabouts(host).filter(|now| *now != aim).ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(DialError::Restless(host.clone()))
    }

    fn check_offer(&self, host: &HostName, service: Service) -> Result<(), DialError> {
        match self.leases.presence(host) {
            Some(presence) if !presence.services.contains(&service) => Err(DialError::NotOffered { host: host.clone(), service }),
            _ => Ok(()),
        }
    }

    async fn attempt(
        &self,
        aim: &Whereabouts,
        client: IpAddr,
        port: u16,
        view: &mut View<'_>,
        deadline: Instant,
    ) -> Result<Try, DialError> {
        let host = view.host;
        self.store.policy().addresses.check(aim.address)?;
        let address = SocketAddrV6::new(aim.address, port, 0, 0);
        let source = self.store.policy().addresses.source().and_then(|prefix| prefix.of(client));
        let stream = tokio::select! {
            biased;
            to = view.leaves(aim) => return moved(to, host),
            found = self.connect(host, aim, (source, address), deadline) => match found? {
                Found::Home(stream) => stream,
                Found::Elsewhere(to) => return moved(self.store.snapshot().whereabouts_after(host, aim, to), host),
            },
            never = self.doubt(host, aim) => match never {},
            // A home that cannot answer is not waited for.
            () = self.lost(aim) => return Err(DialError::NoLink(host.clone())),
        };
        // The link may tell of a move a moment before the store.
        while view.seen.as_ref() != Some(aim) {
            let to = view.changes().await;
            if to.as_ref() != Some(aim) {
                return moved(to, host);
            }
        }
        let place = self.relays.enter(host, aim.address, client);
        let state = self.store.snapshot();
        if state.host(host).is_some_and(|host| !host.settings.admits(client)) {
            return Err(DialError::NotAdmitted(host.clone()));
        }
        match state.whereabouts(host) {
            Some(still) if still == *aim => Ok(Try::Stands(Home { stream, place })),
            to => moved(to, host),
        }
    }

    /// Notes that the SYN has `left`, asks the link that vouches for `aim` for an echo, and never ends.
    async fn ask(&self, aim: &Whereabouts, left: &AtomicBool) -> Infallible {
        left.store(true, Ordering::Relaxed);
        if let Some(proof) = &aim.proof {
            self.leases.ask(&proof.host);
        }
        std::future::pending().await
    }

    /// Returns once no link vouches for `aim`, if one should.
    async fn lost(&self, aim: &Whereabouts) {
        match &aim.proof {
            Some(proof) => self.leases.lost(&proof.host).await,
            None => std::future::pending().await,
        }
    }

    /// Has DNS asked anew where `host` is, if that is who knows, once a connect takes longer than any home does; what it says moves the dial. Never ends.
    async fn doubt(&self, host: &HostName, aim: &Whereabouts) -> Infallible {
        // Where a link vouches for the home, it tells of a move itself.
        if aim.proof.is_none() {
            sleep(DOUBT).await;
            self.upstreams.again(host).await;
        }
        std::future::pending().await
    }

    /// Connects and hears the link's word on who that is.
    async fn connect(
        &self,
        host: &HostName,
        aim: &Whereabouts,
        (source, address): (Option<Ipv6Addr>, SocketAddrV6),
        deadline: Instant,
    ) -> Result<Found, DialError> {
        let began = Instant::now();
        let connecting = probe::connected(source, address.into());
        let left = AtomicBool::new(false);
        let stream = tokio::select! {
            // In this order: the SYN leaves before the nonce. On one path it then comes to the home first, so that an echo from
            // the address says that the SYN found the home there too.
            biased;
            stream = connecting => stream,
            never = self.ask(aim, &left) => match never {},
        };
        let stream = match stream {
            // A refusal may be there at once, by a home on this very machine.
            Err(source) if !left.load(Ordering::Relaxed) && source.kind() != io::ErrorKind::ConnectionRefused => {
                return Err(DialError::Local { address, source });
            }
            stream => stream,
        };
        let connected = Instant::now();
        if let Some(proof) = &aim.proof {
            // Also where the connect failed: the home may just have left. A follower has no link: its leader's says that the network is still theirs.
            match self.leases.admit(&proof.host, proof.address, began, connected, deadline).await {
                Admission::Granted => {}
                Admission::Moved(to) => return Ok(Found::Elsewhere(to)),
                Admission::Away => return Err(DialError::NoLink(host.clone())),
            }
        }
        stream.map(Found::Home).map_err(|source| DialError::Connect { address, source })
    }
}

/// Who answered a connect.
enum Found {
    Home(TcpStream),
    Elsewhere(Ipv6Addr),
}

fn moved(to: Option<Whereabouts>, host: &HostName) -> Result<Try, DialError> {
    to.map(Try::Moved).ok_or_else(|| DialError::NoAddress(host.clone()))
}

/// Where the store says that a host is, as it changes.
struct View<'a> {
    host: &'a HostName,
    states: watch::Receiver<Arc<State>>,
    seen: Option<Whereabouts>,
}

impl<'a> View<'a> {
    fn new(host: &'a HostName, mut states: watch::Receiver<Arc<State>>) -> Self {
        let seen = states.borrow_and_update().whereabouts(host);
        Self { host, states, seen }
    }

    /// The next place that differs from the one seen last.
    async fn changes(&mut self) -> Option<Whereabouts> {
        while self.states.changed().await.is_ok() {
            let now = self.states.borrow_and_update().whereabouts(self.host);
            if now != self.seen {
                self.seen.clone_from(&now);
                return now;
            }
        }
        // No store any more: this process is ending.
        None
    }

    /// The next place that is not `aim`.
    async fn leaves(&mut self, aim: &Whereabouts) -> Option<Whereabouts> {
        loop {
            let to = self.changes().await;
            if to.as_ref() != Some(aim) {
                return to;
            }
        }
    }
}
