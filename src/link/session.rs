//! One connection of an agent: it registers once, or it links and proves where it is.
//!
//! The task of a link is the only one that writes to its stream and the only one that starts leases for its epoch. It ends
//! with the connection, when a newer link takes over, or when the server goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward_core::change::{Change, Refused};
use fourward_core::host::{AddressFrom, Digest};
use fourward_core::lease::{ECHO_TIMEOUT, Echo, LEASE, Path, Prover, Verdict};
use fourward_core::link::{FromAgent, FromGateway, Service};
use fourward_core::name::{DnsName, HostName};
use fourward_core::state::State;
use jiff::Timestamp;
use quinn::{Connection, Incoming, VarInt};
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Links;
use super::pace::Pace;
use super::strangers::Stranger;
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
    #[error("had not said who it is, and others wanted in")]
    GaveWay,
}

/// Serves one connection, of a stranger until it has said who it is.
pub(super) async fn serve(links: &Arc<Links>, incoming: Incoming, stranger: Stranger) -> Result<(), SessionError> {
    let introduced = tokio::select! {
        introduced = introduce(links, incoming) => introduced?,
        () = stranger.gives_way() => return Err(SessionError::GaveWay),
    };
    drop(stranger);
    let Some(Introduced { stay, connection, sender, receiver }) = introduced else { return Ok(()) };
    let (host, epoch) = (stay.host.clone(), stay.presence.epoch);
    let ended = Session::new(stay, connection, sender).run(receiver).await;
    info!(%host, epoch, "link ended");
    ended
}

/// An agent that may link.
struct Introduced<'a> {
    stay: Stay<'a>,
    connection: Connection,
    sender: Sender,
    receiver: Receiver,
}

/// Being the link of a host; ends with the session, however that ends.
struct Stay<'a> {
    links: &'a Links,
    host: HostName,
    presence: Arc<Presence>,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.links.leases.leave(&self.host, self.presence.epoch);
    }
}

/// Shakes hands and hears what the other end wants: an agent that may link is returned, all else answered.
async fn introduce(links: &Links, incoming: Incoming) -> Result<Option<Introduced<'_>>, SessionError> {
    let connection = timeout(PATIENCE, incoming.accept()?).await??;
    let key = quic::shown_key(&connection).ok_or(SessionError::NoKey)?;
    let (sender, receiver) = timeout(PATIENCE, connection.accept_bi()).await??;
    let (mut sender, mut receiver) = (Sender::new(sender), Receiver::new(receiver));
    let first = timeout(PATIENCE, receiver.receive::<FromAgent>()).await??;
    let answer = match first {
        FromAgent::Register { host, secret } => register(links, &host, crypto::sha256(secret.reveal()), key).await?,
        FromAgent::Hello { version, instance, services } => match welcome(links, key, (instance, services), &connection).await {
            Ok(stay) => {
                let remote = connection.remote_address().ip();
                info!(host = %stay.host, %remote, ?version, epoch = stay.presence.epoch, "linked");
                return Ok(Some(Introduced { stay, connection, sender, receiver }));
            }
            Err(refusal) => refusal,
        },
        _ => return Err(SessionError::OutOfTurn),
    };
    timeout(PATIENCE, sender.send(&answer)).await??;
    sender.finish().await;
    Ok(None)
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
async fn welcome<'a>(
    links: &'a Links,
    key: Digest,
    (instance, services): (u64, Vec<Service>),
    connection: &Connection,
) -> Result<Stay<'a>, FromGateway> {
    let refused = |reason: String, again| Err(FromGateway::Refused { reason, again });
    let Some(host) = links.store.snapshot().agent(&key).cloned() else {
        let reason = "this gateway does not know the key: the host was removed, or its agent joined elsewhere since; \
                      make a new join string with `fourward host token` and join again";
        return refused(reason.into(), false);
    };
    if let Some(other) = links.leases.presence(&host).filter(|other| other.instance != instance)
        && answers(&other).await
    {
        other.note_conflict(Instant::now());
        warn!(%host, remote = %connection.remote_address().ip(), "a second agent with the same key was turned away");
        let reason = format!("another agent with this key is linked for {host}; stop one of them");
        return refused(reason, true);
    }
    let presence = links.leases.arrive(&host, instance, key, services, connection.remote_address().ip(), Timestamp::now());
    let stay = Stay { links, host, presence };
    // The key may have become void while we waited: whoever made it so has not seen this link.
    links.check_key(&stay.host).await;
    Ok(stay)
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
    stay: Stay<'a>,
    connection: Connection,
    sender: Sender,
    prover: Prover,
    pace: Pace,
    /// What the last echo proved instead of the claim. One may be a move in between; two alike are a fact.
    doubt: Option<FromGateway>,
    /// What was said last of a claim that could not be proven, so that it is said once.
    unproven: Option<FromGateway>,
}

impl<'a> Session<'a> {
    fn new(stay: Stay<'a>, connection: Connection, sender: Sender) -> Self {
        let pace = Pace::new(Instant::now());
        Self { stay, connection, sender, prover: Prover::default(), pace, doubt: None, unproven: None }
    }

    async fn run(mut self, mut receiver: Receiver) -> Result<(), SessionError> {
        let presence = Arc::clone(&self.stay.presence);
        let cancel = &self.stay.links.cancel;
        self.say(&FromGateway::Welcome { dual: self.stay.host.dual(), epoch: presence.epoch }).await?;
        loop {
            let now = Instant::now();
            let silent_at = self.prover.silent_at(self.connection.rtt()).filter(|_| !*presence.silent.borrow());
            let pause = self.pace.pause(now);
            tokio::select! {
                message = receiver.receive::<FromAgent>(), if pause.is_none() => {
                    if !self.hear(message?).await? {
                        self.sender.finish().await;
                        return Ok(());
                    }
                }
                () = sleep_until(pause.unwrap_or(now).into()), if pause.is_some() => {}
                () = presence.ask.notified() => self.probe().await?,
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
        self.stay.presence.note_asked(now);
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
            FromAgent::Lost => {
                self.pace.charge(Instant::now());
                self.void().await;
            }
            FromAgent::Goodbye => {
                self.void().await;
                return Ok(false);
            }
            FromAgent::Register { .. } | FromAgent::Hello { .. } => return Err(SessionError::OutOfTurn),
        }
        Ok(true)
    }

    async fn judge(&mut self, verdict: Verdict) -> Result<(), SessionError> {
        if verdict == Verdict::UnknownNonce {
            return Ok(());
        }
        self.stay.presence.heard.send_replace(Some(Instant::now()));
        self.stay.presence.silent.send_if_modified(std::mem::take);
        match verdict {
            Verdict::UnknownNonce | Verdict::NoClaim => Ok(()),
            Verdict::Turned => self.probe_out_of_turn().await,
            Verdict::OtherAddress { claim, seen } => self.doubt(FromGateway::Unproven { claim, seen }).await,
            Verdict::Proven(echo) => self.proven(echo).await,
        }
    }

    async fn probe_out_of_turn(&mut self) -> Result<(), SessionError> {
        self.pace.charge(Instant::now());
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
        let Stay { links, host, presence } = &self.stay;
        let state = links.store.snapshot();
        let known = state.host(host).filter(|host| host.credentials.agent == Some(presence.key)).ok_or(SessionError::Ousted)?;
        self.doubt = None;
        if known.settings.address_from != AddressFrom::Link {
            return Ok(());
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
            Ok(false) => Ok(()),
            Ok(true) => {
                info!(%host, old = ?known.home(), new = %echo.address, took = ?echo.came.elapsed(), "address changed");
                self.unproven = None;
                self.pace.charge(Instant::now());
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
        warn!(host = %self.stay.host, ?message, "the address could not be proven");
        self.unproven = Some(message.clone());
        self.pace.charge(Instant::now());
        self.say(&message).await
    }

    /// What was proven counts no longer.
    async fn void(&self) {
        let Stay { links, host, presence } = &self.stay;
        presence.echo.send_replace(None);
        if links.leases.end(host, presence.epoch) {
            links.withdraw(host).await;
        }
    }
}
