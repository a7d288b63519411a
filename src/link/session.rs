//! One connection of an agent: it registers once, or it links and proves where it is.
//!
//! The task of a link is the only one that writes to its stream and the only one that starts leases for its epoch. It ends
//! with the connection, when a newer link takes over, or when the server goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fourward_core::host::{AddressFrom, Digest};
use fourward_core::lease::{ECHO_TIMEOUT, Echo, LEASE, Prover, Verdict};
use fourward_core::link::{FromAgent, FromGateway};
use fourward_core::name::{DnsName, HostName};
use fourward_core::state::{Change, Refused, State};
use jiff::Timestamp;
use quinn::{Connection, Incoming, VarInt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Links;
use crate::crypto;
use crate::leases::{Lease, Presence};
use crate::quic::{self, ChannelError, Receiver, Sender};
use crate::store::CommitError;

/// How long a stranger may take to shake hands and to say what it wants, each.
const PATIENCE: Duration = Duration::from_secs(5);

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
}

/// Serves one connection; `permit` is given back as soon as it has said who it is.
pub(super) async fn serve(links: &Arc<Links>, incoming: Incoming, permit: OwnedSemaphorePermit) -> Result<(), SessionError> {
    let connection = timeout(PATIENCE, incoming.accept().map_err(SessionError::Handshake)?).await??;
    let key = quic::shown_key(&connection).ok_or(SessionError::NoKey)?;
    let (sender, receiver) = timeout(PATIENCE, connection.accept_bi()).await??;
    let (mut sender, mut receiver) = (Sender::new(sender), Receiver::new(receiver));
    let first = timeout(PATIENCE, receiver.receive::<FromAgent>()).await??;
    drop(permit);
    let answer = match first {
        FromAgent::Register { host, secret } => register(links, &host, crypto::sha256(secret.reveal()), key).await?,
        FromAgent::Hello { version, instance, services: _ } => match welcome(links, key, instance, &connection).await {
            Ok((host, presence)) => {
                info!(%host, remote = %connection.remote_address().ip(), %version, epoch = presence.epoch, "linked");
                let ended = Session::new(links, host.clone(), Arc::clone(&presence), connection, sender).run(receiver).await;
                links.leases.leave(&host, presence.epoch);
                info!(%host, epoch = presence.epoch, "link ended");
                return ended;
            }
            Err(refusal) => refusal,
        },
        _ => return Err(SessionError::OutOfTurn),
    };
    sender.send(&answer).await?;
    sender.finish().await;
    Ok(())
}

async fn register(links: &Links, host: &DnsName, secret: Digest, key: Digest) -> Result<FromGateway, SessionError> {
    let refusal = |reason: String| Ok(FromGateway::Refused { reason, again: false });
    let Some(name) = host_by_dual_name(&links.store.snapshot(), host) else {
        return refusal(format!("there is no host {host} here; `fourward host list` on the server shows those that are"));
    };
    let change = Change::Register { host: name.clone(), secret, key, at: Timestamp::now() };
    match links.store.commit(change).await {
        Ok(_) => {
            info!(host = %name, "joined");
            Ok(FromGateway::Registered { dual: name.dual(), twin: name.twin() })
        }
        Err(CommitError::Refused(refused)) => {
            debug!(host = %name, reason = %refused, "join refused");
            refusal(refused.to_string())
        }
        Err(stopped) => Err(stopped.into()),
    }
}

fn host_by_dual_name(state: &State, name: &DnsName) -> Option<HostName> {
    state.host_of(name).filter(|host| state.host(host).is_some())
}

/// Lets the holder of `key` in as the newest link of its host, or says why not.
async fn welcome(links: &Links, key: Digest, instance: u64, connection: &Connection) -> Result<(HostName, Arc<Presence>), FromGateway> {
    let refused = |reason: String, again| Err(FromGateway::Refused { reason, again });
    let Some(host) = links.store.snapshot().agent(&key).cloned() else {
        let reason = "this gateway does not know the key: the host was removed, or its agent joined elsewhere since; \
                      make a new join string with `fourward host token` and join again";
        return refused(reason.into(), false);
    };
    if let Some(other) = links.leases.presence(&host).filter(|other| other.instance != instance)
        && answers(&other).await
    {
        other.conflict.store(true, Ordering::Relaxed);
        warn!(%host, remote = %connection.remote_address().ip(), "a second agent with the same key was turned away");
        let reason = format!("another agent with this key is linked for {host}; stop one of them");
        return refused(reason, true);
    }
    let presence = links.leases.arrive(&host, instance, key, connection.remote_address().ip(), Timestamp::now());
    Ok((host, presence))
}

/// Whether the agent behind `presence` is really there: an old run of the same agent is not.
async fn answers(presence: &Presence) -> bool {
    let since = Instant::now();
    let mut alive = presence.heard.subscribe();
    presence.ask.notify_one();
    let echoed = alive.wait_for(|heard| heard.is_some_and(|heard| heard >= since));
    timeout(ECHO_TIMEOUT, echoed).await.is_ok_and(|echoed| echoed.is_ok())
}

struct Session<'a> {
    links: &'a Arc<Links>,
    host: HostName,
    presence: Arc<Presence>,
    connection: Connection,
    sender: Sender,
    prover: Prover,
    /// What was said last of a claim that could not be proven, so that it is said once.
    unproven: Option<FromGateway>,
}

impl<'a> Session<'a> {
    fn new(links: &'a Arc<Links>, host: HostName, presence: Arc<Presence>, connection: Connection, sender: Sender) -> Self {
        Self { links, host, presence, connection, sender, prover: Prover::default(), unproven: None }
    }

    async fn run(mut self, mut receiver: Receiver) -> Result<(), SessionError> {
        let welcome = FromGateway::Welcome { dual: self.host.dual(), epoch: self.presence.epoch };
        self.say(&welcome).await?;
        loop {
            let silent_at = self.prover.silent_at().filter(|_| !*self.presence.silent.borrow());
            tokio::select! {
                message = receiver.receive::<FromAgent>() => {
                    if !self.hear(message?).await? {
                        self.sender.finish().await;
                        return Ok(());
                    }
                }
                () = self.presence.ask.notified() => self.probe().await?,
                () = sleep_until(self.prover.due(Instant::now()).into()) => self.probe().await?,
                () = sleep_until(silent_at.unwrap_or_else(Instant::now).into()), if silent_at.is_some() => {
                    debug!(host = %self.host, "the link is silent");
                    self.presence.silent.send_replace(true);
                }
                () = self.presence.ousted.cancelled() => {
                    self.connection.close(VarInt::from_u32(1), b"ousted");
                    return Err(SessionError::Ousted);
                }
                () = self.links.cancel.cancelled() => {
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
        self.prover.sent(nonce, self.connection.remote_address().ip(), now);
        self.presence.note_asked(now);
        self.say(&FromGateway::Nonce { nonce }).await
    }

    /// Acts on a message. Tells whether the link goes on.
    async fn hear(&mut self, message: FromAgent) -> Result<bool, SessionError> {
        let remote = self.connection.remote_address().ip();
        self.presence.note_remote(remote);
        match message {
            FromAgent::Echo { nonce, claim } => {
                let verdict = self.prover.echoed(nonce, claim, remote, Instant::now());
                self.judge(verdict).await?;
            }
            FromAgent::Moved { .. } => self.probe().await?,
            FromAgent::Lost => self.void().await,
            FromAgent::Goodbye => {
                self.void().await;
                return Ok(false);
            }
            FromAgent::Register { .. } | FromAgent::Hello { .. } => return Err(SessionError::OutOfTurn),
        }
        Ok(true)
    }

    async fn judge(&mut self, verdict: Verdict) -> Result<(), SessionError> {
        match verdict {
            Verdict::UnknownNonce => Ok(()),
            Verdict::NoClaim => {
                self.alive();
                Ok(())
            }
            Verdict::OtherAddress { claim, seen } => {
                self.alive();
                self.say_once(FromGateway::Unproven { claim, seen }).await
            }
            Verdict::Proven(echo) => {
                self.alive();
                self.proven(echo).await
            }
        }
    }

    /// Notes that the agent answers, whatever its answer is worth.
    fn alive(&self) {
        self.presence.heard.send_replace(Some(Instant::now()));
        self.presence.silent.send_if_modified(std::mem::take);
    }

    async fn proven(&mut self, echo: Echo) -> Result<(), SessionError> {
        let state = self.links.store.snapshot();
        let Some(host) = state.host(&self.host) else { return Err(SessionError::Ousted) };
        if host.settings.address_from != AddressFrom::Link {
            return Ok(());
        }
        if let Err(reason) = self.links.store.policy().addresses.check(echo.address) {
            return self.forbid(echo, reason.to_string()).await;
        }
        if !self.links.leases.is_newest(&self.host, self.presence.epoch) {
            return Err(SessionError::Ousted);
        }
        let proven_at = Timestamp::now();
        self.presence.echo.send_replace(Some(echo));
        if self.links.leases.renew(&self.host, Lease { address: echo.address, until: echo.came + LEASE, proven_at }) {
            self.links.attend_lease(self.host.clone());
        }
        if host.home() == Some(echo.address) {
            return Ok(());
        }
        let old = host.home();
        let change = Change::Move { host: self.host.clone(), address: echo.address, at: proven_at };
        match self.links.store.commit(change).await {
            Ok(_) => {
                let took = echo.came.elapsed();
                info!(host = %self.host, ?old, new = %echo.address, ?took, "address changed");
                self.unproven = None;
                self.say(&FromGateway::Proven { address: echo.address }).await
            }
            Err(CommitError::Refused(Refused::NotByLink(_))) => Ok(()),
            Err(CommitError::Refused(reason)) => self.forbid(echo, reason.to_string()).await,
            Err(stopped) => Err(stopped.into()),
        }
    }

    async fn forbid(&mut self, echo: Echo, reason: String) -> Result<(), SessionError> {
        self.void().await;
        self.say_once(FromGateway::Forbidden { claim: echo.address, reason }).await
    }

    async fn say_once(&mut self, message: FromGateway) -> Result<(), SessionError> {
        if self.unproven.as_ref() == Some(&message) {
            return Ok(());
        }
        warn!(host = %self.host, ?message, "the address could not be proven");
        self.unproven = Some(message.clone());
        self.say(&message).await
    }

    /// What was proven counts no longer.
    async fn void(&mut self) {
        self.presence.echo.send_replace(None);
        if !self.links.leases.is_newest(&self.host, self.presence.epoch) {
            return;
        }
        self.links.leases.end(&self.host);
        let state = self.links.store.snapshot();
        if let Some(proven) = state.host(&self.host).and_then(|host| host.proven) {
            self.links.withdraw(&self.host, proven.address).await;
        }
    }
}
