//! Forwards: which ports listen, as the store says it, from one moment to the next.
//!
//! A port that cannot be had is told of, shown with its host, and tried again: it never holds anything else up. A connection that comes to one is led by
//! `tcp`, a datagram by `udp`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use fourward_core::change::Key;
use fourward_core::host::Via;
use fourward_core::link::{Protocol, Service};
use fourward_core::name::HostName;
use fourward_core::state::State;
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::udp::{Engine, Entrance};
use super::{Acceptor, Crew, Door};
use crate::listener;
use crate::store::Committed;

/// The setting that an error names.
const KEY: &str = "forward";

/// Whoever has a port that is wanted here may leave, and an address may come.
const AGAIN: Duration = Duration::from_secs(10);

/// The share of what may be open that listeners may be.
const SHARE: usize = 4;

/// One port of one host's, on one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    host: HostName,
    protocol: Protocol,
    address: SocketAddr,
    /// Where it leads.
    home: u16,
}

/// What is done at a spot.
enum Listening {
    Tcp {
        accepting: AbortOnDropHandle<()>,
        cut: CancellationToken,
        _held: OwnedSemaphorePermit,
    },
    Udp {
        number: u32,
        _held: OwnedSemaphorePermit,
    },
    /// Nothing, and why.
    Not(String),
}

/// All ports that shall listen.
pub(super) struct Forwards {
    crew: Crew,
    engine: Arc<Engine>,
    public: Vec<IpAddr>,
    spots: BTreeMap<Spot, Listening>,
}

impl Forwards {
    pub(super) fn new(crew: Crew, engine: Arc<Engine>, public: Vec<IpAddr>) -> Self {
        Self { crew, engine, public, spots: BTreeMap::new() }
    }

    /// Follows the store's `changes`. Dropped, nothing listens any more; connections that are there go on, flows end.
    pub(super) async fn run(mut self, mut changes: Receiver<Committed>) {
        self.look_at_all().await;
        let mut again = Instant::now() + AGAIN;
        loop {
            let failing = self.spots.values().any(|listening| matches!(listening, Listening::Not(_)));
            tokio::select! {
                changed = changes.recv() => match changed {
                    Ok(committed) => {
                        for key in committed.touched.iter() {
                            if let Key::Host(host) = key {
                                self.look_at(host, &self.crew.shared.store.snapshot()).await;
                            }
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        self.look_at_all().await;
                        // Homes whose clients come by name, too.
                        self.engine.all_changed();
                    }
                    // The process is ending.
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                () = sleep_until(again), if failing => {
                    self.try_again().await;
                    again = Instant::now() + AGAIN;
                }
            }
        }
    }

    async fn look_at_all(&mut self) {
        let state = self.crew.shared.store.snapshot();
        let forwarding = state.forwards().map(|(_, host)| host.clone());
        let mut hosts: Vec<_> = forwarding.chain(self.spots.keys().map(|spot| spot.host.clone())).collect();
        hosts.sort();
        hosts.dedup();
        for host in hosts {
            self.look_at(&host, &state).await;
        }
    }

    /// Opens and closes what is wanted of `host` now, and tells of it.
    async fn look_at(&mut self, host: &HostName, state: &State) {
        let wanted = self.wanted(host, state);
        let there: Vec<Spot> = self.of(host).map(|(spot, _)| spot.clone()).collect();
        if wanted.is_empty() && there.is_empty() {
            // QUIC needs no forward.
            return self.engine.changed(host.clone());
        }
        let gone: Vec<_> = there.iter().filter(|spot| !wanted.contains(spot)).collect();
        // First, and to the end: one of these ports may lead elsewhere from now on.
        for spot in &gone {
            self.close(spot).await;
        }
        let (mut new, mut deaf) = (0_usize, 0_usize);
        for spot in wanted.into_iter().filter(|spot| !there.contains(spot)) {
            let listening = self.open(&spot);
            if let Listening::Not(reason) = &listening {
                warn!(%host, %reason, "a forward does not listen; it is tried again");
                deaf += 1;
            }
            new += 1;
            self.spots.insert(spot, listening);
        }
        if new > 0 || !gone.is_empty() {
            info!(%host, new, deaf, gone = gone.len(), "forwards changed");
        }
        self.note(host);
        self.engine.changed(host.clone());
    }

    fn of(&self, host: &HostName) -> impl Iterator<Item = (&Spot, &Listening)> {
        let first = Spot { host: host.clone(), protocol: Protocol::Tcp, address: SocketAddr::from(([0, 0, 0, 0], 0)), home: 0 };
        let host = host.clone();
        self.spots.range((Bound::Included(first), Bound::Unbounded)).take_while(move |(spot, _)| spot.host == host)
    }

    /// Has it shown with the host what does not listen.
    fn note(&self, host: &HostName) {
        let reason = |listening: &Listening| if let Listening::Not(reason) = listening { Some(reason.clone()) } else { None };
        self.crew.shared.traffic.note_deaf(host, self.of(host).filter_map(|(_, listening)| reason(listening)).collect());
    }

    fn wanted(&self, host: &HostName, state: &State) -> Vec<Spot> {
        let known = state.host(host).filter(|known| !known.settings.forward.is_empty() && state.zone(host.zone()).is_some());
        let Some(known) = known else { return Vec::new() };
        // Whose AAAA is its own is reached there.
        let both = known.settings.via == Via::Gateway;
        let addresses = listener::addresses(self.public.iter().copied().filter(|address| both || address.is_ipv4()), 0);
        let mut wanted = Vec::new();
        for forward in &known.settings.forward {
            for (port, home) in forward.ports() {
                for address in &addresses {
                    let address = SocketAddr::new(address.ip(), port);
                    wanted.push(Spot { host: host.clone(), protocol: forward.protocol(), address, home });
                }
            }
        }
        wanted
    }

    fn open(&self, spot: &Spot) -> Listening {
        let most = self.crew.shared.config.connections / SHARE;
        let open = self.spots.values().filter(|listening| !matches!(listening, Listening::Not(_))).count();
        let held = Arc::clone(&self.crew.permits).try_acquire_owned().ok().filter(|_| open < most);
        let Some(held) = held else {
            let (protocol, address) = (spot.protocol.word(), spot.address);
            return Listening::Not(format!(
                "forward {protocol} {address}: this process may not have so many sockets open; raise LimitNOFILE"
            ));
        };
        let opened = match spot.protocol {
            Protocol::Tcp => self.open_tcp(spot, held),
            Protocol::Udp => self.open_udp(spot, held),
        };
        opened.unwrap_or_else(Listening::Not)
    }

    fn open_tcp(&self, spot: &Spot, held: OwnedSemaphorePermit) -> Result<Listening, String> {
        let socket = listener::bind_tcp(KEY, spot.address).map_err(|error| error.to_string())?;
        super::prepare(&socket);
        let listener = TcpListener::from_std(socket).map_err(|error| format!("forward {}: {error}", spot.address))?;
        let cut = self.crew.abort.child_token();
        let door = Door::Forward { host: spot.host.clone(), service: Service { protocol: Protocol::Tcp, port: spot.home } };
        let acceptor = Acceptor { door, listener, crew: Crew { abort: cut.clone(), ..self.crew.clone() } };
        Ok(Listening::Tcp { accepting: AbortOnDropHandle::new(tokio::spawn(acceptor.run())), cut, _held: held })
    }

    fn open_udp(&self, spot: &Spot, held: OwnedSemaphorePermit) -> Result<Listening, String> {
        let sockets = listener::bind_udp(KEY, spot.address, 1).map_err(|error| error.to_string())?;
        let Some(socket) = sockets.into_iter().next() else { return Err(format!("forward {}: no socket", spot.address)) };
        let service = Service { protocol: Protocol::Udp, port: spot.home };
        let entrance = Entrance::Port { host: spot.host.clone(), service, socket };
        let number = self.engine.open(entrance).map_err(|error| format!("forward {}: {error}", spot.address))?;
        Ok(Listening::Udp { number, _held: held })
    }

    async fn close(&mut self, spot: &Spot) {
        match self.spots.remove(spot) {
            Some(Listening::Tcp { accepting, cut, .. }) => {
                cut.cancel();
                accepting.abort();
                // Its listener is closed then.
                let _ = accepting.await;
            }
            Some(Listening::Udp { number, .. }) => self.engine.close(number).await,
            Some(Listening::Not(_)) | None => {}
        }
    }

    async fn try_again(&mut self) {
        let failing = self.spots.iter().filter(|(_, listening)| matches!(listening, Listening::Not(_)));
        let failing: Vec<Spot> = failing.map(|(spot, _)| spot.clone()).collect();
        for spot in failing {
            let listening = self.open(&spot);
            if !matches!(listening, Listening::Not(_)) {
                info!(host = %spot.host, protocol = spot.protocol.word(), address = %spot.address, "forwarding now");
            }
            self.spots.insert(spot.clone(), listening);
            self.note(&spot.host);
        }
        // An address may be this machine's only now, or no longer.
        self.look_at_all().await;
    }
}
