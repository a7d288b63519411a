//! One link, from its welcome to its end: what the agent says, and what its echoes prove.
//!
//! The task of a link is the only one that writes to its stream and the only one that starts leases for its epoch. It ends
//! with the connection, when a newer link takes over, or when the server goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward_core::change::Refused;
use fourward_core::facts::{Dial, EXAMINES, HomeFacts, HostFacts};
use fourward_core::lease::{Echo, LEASE, Path, Prover, Verdict, echo_patience};
use fourward_core::link::{FromAgent, FromGateway};
use fourward_core::name::HostName;
use jiff::Timestamp;
use quinn::{Connection, VarInt};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Links;
use super::pace::Pace;
use crate::crypto;
use crate::examination;
use crate::leases::{Examined, Lease, Presence};
use crate::quic::{ChannelError, Receiver, Sender};
use crate::store::CommitError;

/// How long a stranger may take to shake hands and to say what it wants, each.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What an examination costs the agent that asks for it: more than one every two seconds slows it down.
const EXAMINATION_CHARGES: usize = 4;

/// Why a connection ended otherwise than by its agent's wish.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("no handshake: {0}")]
    Handshake(#[from] quinn::ConnectionError),
    #[error("nothing heard for {} s", PATIENCE.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("no key was shown")]
    NoKey,
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("the first message is neither register nor hello")]
    OutOfTurn,
    #[error("the store stopped: {0}")]
    Store(#[from] CommitError),
    #[error(transparent)]
    Random(#[from] crypto::KeyError),
    #[error("a newer link took over, or the key is good no longer")]
    Ousted,
    #[error("had not said who it is, and others wanted in")]
    GaveWay,
}

/// Being the link of a host; ends with the session, however that ends.
pub(super) struct Stay<'a> {
    pub(super) links: &'a Links,
    pub(super) host: HostName,
    pub(super) presence: Arc<Presence>,
    pub(super) pace: Pace,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.links.leases.leave(&self.host, self.presence.epoch);
        self.links.paces.keep(&self.host, self.pace, Instant::now());
    }
}

pub(super) struct Session<'a> {
    stay: Stay<'a>,
    connection: Connection,
    sender: Sender,
    prover: Prover,
    /// What the last echo proved instead of the claim. One may be a move in between; two alike are a fact.
    doubt: Option<FromGateway>,
    /// What was said last of a claim that could not be proven, so that it is said once.
    unproven: Option<FromGateway>,
    /// Connects to the home that the agent asked for: one burst at a time.
    probing: Option<JoinHandle<Option<HostFacts>>>,
    /// What came of the last ones.
    dials: Vec<Dial>,
}

impl<'a> Session<'a> {
    pub(super) fn new(stay: Stay<'a>, connection: Connection, sender: Sender) -> Self {
        Self { stay, connection, sender, prover: Prover::default(), doubt: None, unproven: None, probing: None, dials: Vec::new() }
    }

    pub(super) async fn run(mut self, mut receiver: Receiver) -> Result<(), SessionError> {
        let presence = Arc::clone(&self.stay.presence);
        let cancel = &self.stay.links.cancel;
        self.say(&FromGateway::Welcome { dual: self.stay.host.dual(), epoch: presence.epoch, can: vec![EXAMINES.into()] }).await?;
        loop {
            let now = Instant::now();
            let silent_at = self.prover.silent_at(self.connection.rtt()).filter(|_| !*presence.silent.borrow());
            let pause = self.stay.pace.pause(now);
            tokio::select! {
                message = receiver.receive::<FromAgent>(), if pause.is_none() => {
                    if !self.hear(message?).await? {
                        self.sender.finish().await;
                        return Ok(());
                    }
                }
                () = sleep_until(pause.unwrap_or(now).into()), if pause.is_some() => {}
                () = presence.ask.notified() => self.probe().await?,
                () = presence.examine.notified() => self.say(&FromGateway::Examine).await?,
                probed = finished(&mut self.probing) => self.probed(probed).await?,
                () = sleep_until(self.prover.due(now).into()) => self.probe().await?,
                () = sleep_until(silent_at.unwrap_or(now).into()), if silent_at.is_some() => {
                    debug!(host = %self.stay.host, "the link is silent");
                    presence.silent.send_replace(true);
                }
                () = presence.ousted.cancelled() => {
                    self.connection.close(VarInt::from_u32(1), b"ousted");
                    return Err(SessionError::Ousted);
                }
                () = cancel.cancelled() => {
                    self.connection.close(VarInt::from_u32(0), b"restart");
                    return Ok(());
                }
            }
        }
    }

    async fn say(&mut self, message: &FromGateway) -> Result<(), SessionError> {
        Ok(timeout(PATIENCE, self.sender.send(message)).await??)
    }

    async fn probe(&mut self) -> Result<(), SessionError> {
        let nonce = u64::from_ne_bytes(crypto::random()?);
        let now = Instant::now();
        self.prover.sent(nonce, self.path(), now);
        self.stay.presence.note_asked(now, echo_patience(self.connection.rtt()));
        self.say(&FromGateway::Nonce { nonce }).await
    }

    /// Where the link is. Each path that it turns to is challenged (RFC 9000 §9.3), before anything else is sent there.
    fn path(&self) -> Path {
        Path { remote: self.connection.remote_address().ip(), turns: self.connection.stats().frame_tx.path_challenge }
    }

    /// Acts on a message. Tells whether the link goes on.
    async fn hear(&mut self, message: FromAgent) -> Result<bool, SessionError> {
        let path = self.path();
        self.stay.presence.note_remote(path.remote);
        match message {
            FromAgent::Echo { nonce, claim } => {
                let verdict = self.prover.echoed(nonce, claim, path, Instant::now());
                self.judge(verdict).await?;
            }
            FromAgent::Moved { .. } => self.probe_out_of_turn().await?,
            FromAgent::Lost => self.void().await,
            FromAgent::Probe => self.connect(),
            FromAgent::Examined(home) => self.examined(*home),
            FromAgent::Goodbye => {
                self.void().await;
                return Ok(false);
            }
            FromAgent::Unknown => {
                // Not read any faster than what makes us work, however many there are.
                self.stay.pace.charge(Instant::now());
                debug!(host = %self.stay.host, "the agent said something that only a later version knows");
            }
            FromAgent::Register { .. } | FromAgent::Hello { .. } => return Err(SessionError::OutOfTurn),
        }
        Ok(true)
    }

    /// Begins to connect to the home, unless that is under way.
    fn connect(&mut self) {
        (0..EXAMINATION_CHARGES).for_each(|_| self.stay.pace.charge(Instant::now()));
        if self.probing.is_some() {
            return;
        }
        let Stay { links, host, presence, .. } = &self.stay;
        let (leases, presence) = (Arc::clone(&links.leases), Arc::clone(presence));
        let facts = examination::host_facts(&links.store, &leases, host);
        // Only to what the link has proven: else whoever has the update password could have any address connected to.
        let proven = facts.as_ref().is_some_and(|facts| facts.lease.is_some());
        self.probing = Some(tokio::spawn(async move {
            let facts = facts?;
            Some(if proven { examination::dial(facts, &leases, Some(&presence)).await } else { facts })
        }));
    }

    async fn probed(&mut self, probed: Option<HostFacts>) -> Result<(), SessionError> {
        let Some(facts) = probed else { return Ok(()) };
        self.dials.clone_from(&facts.dials);
        self.say(&FromGateway::Probed(Box::new(facts))).await
    }

    fn examined(&mut self, home: HomeFacts) {
        let examined = Examined { at: Instant::now(), home: examination::taken(home), dials: std::mem::take(&mut self.dials) };
        self.stay.presence.examined.send_replace(Some(examined));
    }

    async fn judge(&mut self, verdict: Verdict) -> Result<(), SessionError> {
        if verdict == Verdict::UnknownNonce {
            return Ok(());
        }
        self.stay.presence.note_heard(Instant::now());
        self.stay.links.leases.note_echo();
        match verdict {
            Verdict::UnknownNonce | Verdict::NoClaim => Ok(()),
            Verdict::Turned => self.probe_out_of_turn().await,
            Verdict::OtherAddress { claim, seen } => self.doubt(FromGateway::Unproven { claim, seen }).await,
            Verdict::Proven(echo) => self.proven(echo).await,
        }
    }

    async fn probe_out_of_turn(&mut self) -> Result<(), SessionError> {
        self.stay.pace.charge(Instant::now());
        self.probe().await
    }

    async fn doubt(&mut self, doubt: FromGateway) -> Result<(), SessionError> {
        if self.doubt.as_ref() == Some(&doubt) {
            return self.say_once(doubt).await;
        }
        self.doubt = Some(doubt);
        self.probe_out_of_turn().await
    }

    async fn proven(&mut self, echo: Echo) -> Result<(), SessionError> {
        let Stay { links, host, presence, .. } = &self.stay;
        let state = links.store.snapshot();
        let known = state.host(host).filter(|host| host.credentials.agent == Some(presence.key)).ok_or(SessionError::Ousted)?;
        self.doubt = None;
        if !known.by_link() {
            return self.take_back(echo).await;
        }
        if let Err(reason) = links.store.policy().addresses.check(echo.address) {
            return self.forbid(echo, reason.to_string()).await;
        }
        let lease = Lease { address: echo.address, until: echo.came + LEASE, proven_at: Timestamp::now() };
        if !links.leases.renew(host, presence.epoch, lease) {
            return Err(SessionError::Ousted);
        }
        presence.echo.send_replace(Some(echo));
        match links.publish(host).await {
            Ok(false) => self.take_back(echo).await,
            Ok(true) => {
                info!(%host, old = ?known.home(), new = %echo.address, took = ?echo.came.elapsed(), "address changed");
                self.unproven = None;
                self.stay.pace.charge(Instant::now());
                self.say(&FromGateway::Proven { address: echo.address }).await
            }
            Err(CommitError::Refused(Refused::NotByLink(_))) => Ok(()),
            Err(CommitError::Refused(reason)) => self.forbid(echo, reason.to_string()).await,
            Err(stopped) => Err(stopped.into()),
        }
    }

    /// Tells the agent that nothing is in the way any more, if it was told otherwise.
    async fn take_back(&mut self, echo: Echo) -> Result<(), SessionError> {
        if self.unproven.take().is_none() {
            return Ok(());
        }
        self.stay.pace.charge(Instant::now());
        self.say(&FromGateway::Proven { address: echo.address }).await
    }

    async fn forbid(&mut self, echo: Echo, reason: String) -> Result<(), SessionError> {
        self.void().await;
        self.say_once(FromGateway::Forbidden { claim: echo.address, reason }).await
    }

    async fn say_once(&mut self, message: FromGateway) -> Result<(), SessionError> {
        if self.unproven.as_ref() == Some(&message) {
            return Ok(());
        }
        warn!(host = %self.stay.host, ?message, "the address could not be proven");
        self.unproven = Some(message.clone());
        self.stay.pace.charge(Instant::now());
        self.say(&message).await
    }

    /// What was proven counts no longer.
    async fn void(&mut self) {
        let Stay { links, host, presence, .. } = &self.stay;
        presence.echo.send_replace(None);
        if links.leases.end(host, presence.epoch) {
            links.withdraw(host).await;
        }
        self.stay.pace.charge(Instant::now());
    }
}

/// What the task in `running` found, and never where there is none.
async fn finished(running: &mut Option<JoinHandle<Option<HostFacts>>>) -> Option<HostFacts> {
    let Some(task) = running else { return std::future::pending().await };
    let found = task.await.ok().flatten();
    *running = None;
    found
}
