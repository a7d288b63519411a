//! One link of the agent, from hello to its end: echoes, moves, goodbye.

use std::future::Future;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward_core::facts::{EXAMINES, HomeFacts, HostFacts};
use fourward_core::link::{FromAgent, FromGateway};
use quinn::{Connection, Endpoint, VarInt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::condition::Probes;
use super::dial::{self, Dialled};
use super::{Agent, Ended, Outage};
use crate::quic::{ChannelError, Receiver, Sender};

/// How often to look whether anything was heard.
const TICK: Duration = Duration::from_millis(500);

/// Every second something is asked that must be answered; three in a row are no accident.
const SILENCE: Duration = Duration::from_secs(3);

/// A line that is full of its own upload answers late.
const ROUND_TRIPS: u32 = 4;

/// An address that cannot be bound (yet) is tried again so soon.
const REBIND_PAUSE: Duration = Duration::from_millis(50);

/// One link.
pub(super) struct Session<'a> {
    agent: &'a mut Agent,
    endpoint: Endpoint,
    connection: Connection,
    sender: Sender,
    /// The address that is claimed: the one that the socket is bound to.
    claim: Option<Ipv6Addr>,
    /// Who waits for the gateway's word on this home.
    asking: Option<oneshot::Sender<HostFacts>>,
    /// What the gateway wants to know is being found out.
    examining: Option<JoinHandle<()>>,
    /// Where it comes from then.
    found: (mpsc::Sender<HomeFacts>, mpsc::Receiver<HomeFacts>),
    /// Who wants the gateway's word.
    questions: (Probes, mpsc::Receiver<oneshot::Sender<HostFacts>>),
}

impl From<ChannelError> for Ended {
    fn from(error: ChannelError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl<'a> Session<'a> {
    /// Speaks on the new connection until it ends. `current` is the address that the agent has chosen, and follows it.
    pub(super) async fn run(agent: &'a mut Agent, dialled: Dialled, current: &mut Option<Ipv6Addr>, outage: &mut Outage) -> Ended {
        let Dialled { endpoint, connection, source } = dialled;
        let opened = connection.open_bi().await.map_err(ChannelError::from);
        let (sender, receiver) = match opened {
            Ok((sender, receiver)) => (Sender::new(sender), Receiver::new(receiver)),
            Err(error) => return error.into(),
        };
        let mut session = Self {
            agent,
            endpoint,
            connection,
            sender,
            claim: source,
            asking: None,
            examining: None,
            found: mpsc::channel(1),
            questions: mpsc::channel(1),
        };
        let ended = match session.speak(receiver, outage).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        *current = session.claim;
        session.close(&ended).await;
        ended
    }

    async fn speak(&mut self, mut receiver: Receiver, outage: &mut Outage) -> Result<std::convert::Infallible, Ended> {
        self.greet().await?;
        let mut silence = Silence::new(&self.connection);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ipv6 = pin!(self.find_ipv6());
        // It may have changed while the connection was made.
        let mut rebind = !self.follow().await?;
        loop {
            tokio::select! {
                message = receiver.receive::<FromGateway>() => self.hear(message?, outage).await?,
                changed = self.agent.addresses.changed() => {
                    changed.map_err(|_| Ended::Lost("addresses cannot be read".into()))?;
                    rebind = !self.follow().await?;
                }
                Some(asking) = self.questions.1.recv() => {
                    self.asking = Some(asking);
                    self.sender.send(&FromAgent::Probe).await?;
                }
                Some(home) = self.found.1.recv() => self.sender.send(&FromAgent::Examined(Box::new(home))).await?,
                () = sleep(REBIND_PAUSE), if rebind => rebind = !self.follow().await?,
                dialled = &mut ipv6 => return Err(Ended::Better(dialled)),
                _ = tick.tick() => silence.check(&self.connection)?,
                () = self.agent.cancel.cancelled() => {
                    self.sender.send(&FromAgent::Goodbye).await?;
                    return Err(Ended::Stopped);
                }
            }
        }
    }

    /// A link over IPv4 proves nothing: if there is an address to claim, the gateway is sought over IPv6 meanwhile.
    fn find_ipv6(&self) -> impl Future<Output = Dialled> + use<> {
        let over_ipv4 = self.connection.remote_address().is_ipv4();
        let search = self.claim.filter(|_| over_ipv4).map(|claim| {
            let (gateways, key) = (self.agent.config.gateways.clone(), self.agent.key.clone());
            dial::dial_ipv6(gateways, key, claim)
        });
        async {
            match search {
                Some(search) => search.await,
                None => std::future::pending().await,
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Ended> {
        let hello = FromAgent::Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            instance: self.agent.instance,
            services: self.agent.config.services.clone(),
            can: vec![EXAMINES.into()],
        };
        self.sender.send(&hello).await?;
        if self.claim.is_none() {
            warn!("this machine has no global IPv6 address that could be published; the host is shown as away");
            self.sender.send(&FromAgent::Lost).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: FromGateway, outage: &mut Outage) -> Result<(), Ended> {
        match message {
            FromGateway::Nonce { nonce } => {
                self.sender.send(&FromAgent::Echo { nonce, claim: self.claim }).await?;
            }
            FromGateway::Welcome { dual, epoch, can } => {
                outage.over();
                let examines = can.iter().any(|ability| ability == EXAMINES);
                self.agent.condition.note_linked(examines.then(|| self.questions.0.clone()));
                info!(%dual, epoch, gateway = %self.connection.remote_address(), claim = ?self.claim, "linked");
            }
            FromGateway::Proven { address } => {
                info!(%address, "proven");
                self.agent.condition.note_trouble(None);
            }
            FromGateway::Unproven { claim, seen } => {
                self.agent.condition.note_trouble(Some(&format!("it claims {claim}, and the gateway sees {seen}")));
                warn!(%claim, %seen, "the gateway sees another address than this machine has: something on the way translates, or IPv6 fails");
            }
            FromGateway::Forbidden { claim, reason } => {
                warn!(%claim, %reason, "the gateway does not publish this address");
                self.agent.condition.note_trouble(Some(&reason));
            }
            FromGateway::Probed(host) => {
                if let Some(asking) = self.asking.take() {
                    // Who asked may have given up.
                    let _ = asking.send(*host);
                }
            }
            FromGateway::Examine => self.examine(),
            FromGateway::Refused { reason, again } => return Err(Ended::Refused { reason, again }),
            FromGateway::Unknown => debug!("the gateway said something that only a later version knows"),
            FromGateway::Registered { .. } => return Err(Ended::Lost("the gateway answered out of turn".into())),
        }
        Ok(())
    }

    /// Finds out what the gateway wants to know; echoes go on meanwhile.
    fn examine(&mut self) {
        if self.examining.as_ref().is_some_and(|examining| !examining.is_finished()) {
            return;
        }
        let (condition, found) = (Arc::clone(&self.agent.condition), self.found.0.clone());
        self.examining = Some(tokio::spawn(async move {
            if let Some(home) = condition.examine().await.home {
                let _ = found.send(home).await;
            }
        }));
    }

    /// Follows the addresses of this machine. Tells whether the link is where it should be now.
    async fn follow(&mut self) -> Result<bool, Ended> {
        let chosen = self.agent.choose(self.claim);
        if chosen == self.claim {
            return Ok(true);
        }
        let over_v6 = self.connection.remote_address().is_ipv6();
        let Some(address) = chosen.filter(|_| over_v6 && self.claim.is_some()) else {
            return Err(Ended::Elsewhere);
        };
        if let Err(error) = self.rebind(address) {
            debug!(%address, %error, "cannot be bound yet");
            return Ok(false);
        }
        info!(old = ?self.claim, new = %address, "address changed");
        self.claim = Some(address);
        self.agent.condition.note_claim(self.claim);
        self.sender.send(&FromAgent::Moved { claim: address }).await?;
        Ok(true)
    }

    fn rebind(&self, address: Ipv6Addr) -> io::Result<()> {
        self.endpoint.rebind(UdpSocket::bind(SocketAddr::new(address.into(), 0))?)
    }

    async fn close(self, ended: &Ended) {
        if matches!(ended, Ended::Stopped) {
            self.sender.finish().await;
        }
        self.connection.close(VarInt::from_u32(0), b"");
        if matches!(ended, Ended::Stopped) {
            let _ = tokio::time::timeout(Duration::from_millis(300), self.endpoint.wait_idle()).await;
        }
    }
}

/// Since when nothing was heard.
struct Silence {
    datagrams: u64,
    since: Instant,
}

impl Silence {
    fn new(connection: &Connection) -> Self {
        Self { datagrams: connection.stats().udp_rx.datagrams, since: Instant::now() }
    }

    fn check(&mut self, connection: &Connection) -> Result<(), Ended> {
        let datagrams = connection.stats().udp_rx.datagrams;
        if datagrams != self.datagrams {
            *self = Self { datagrams, since: Instant::now() };
        }
        let patience = SILENCE.max(connection.rtt() * ROUND_TRIPS);
        if self.since.elapsed() > patience {
            return Err(Ended::Lost(format!("the gateway was silent for {} s", patience.as_secs())));
        }
        Ok(())
    }
}
