//! The gateway's end of the links: who may speak for which host, where homes are, and for how long that counts.
//!
//! Listens on UDP, lets agents register and link, sees to it that a lease that ends is withdrawn. What an echo proves is decided in
//! core; the dials that wait for one are the gateway's. A link never touches a zone itself: all it does is commit changes.

mod demux;
mod door;
mod pace;
mod session;
mod strangers;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward_core::change::{Change, Identity, Key};
use fourward_core::lease::LEASE;
use fourward_core::name::HostName;
use futures_util::StreamExt;
use quinn::{AsyncUdpSocket, Endpoint, Incoming, TokioRuntime, VarInt};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::crypto::KeyError;
use crate::leases::Leases;
use crate::store::{CommitError, Store};
use crate::tally::Tally;

use pace::Paces;
use strangers::Strangers;

/// Addresses withdrawn at once: commits that go to disk together.
const WITHDRAWALS: usize = 64;

/// Goodbyes are sent at once and need no more time than this to leave. Who forgot about its connection in the middle of the handshake
/// would be waited for much longer.
const FAREWELL: Duration = Duration::from_millis(300);

/// How requests to join ended.
pub type Joins = Tally<2>;

/// Why the links end.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The stored keys are unusable.
    #[error("the link's key in the store is unusable: {0}; restore the store from a backup")]
    Key(#[from] KeyError),
    /// The TLS library refuses the set-up.
    #[error("the link's TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library has no cipher for QUIC's first packets.
    #[error("the TLS library lacks QUIC's initial cipher suite")]
    NoInitialCipher,
    /// The socket is unusable.
    #[error("the link's UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// The QUIC endpoint gave up.
    #[error("the link's UDP socket cannot be read any more; the log says why")]
    Ended,
}

/// The link role: everything that its sessions share.
pub struct Links {
    store: Store,
    leases: Arc<Leases>,
    cancel: CancellationToken,
    sessions: TaskTracker,
    paces: Paces,
    joins: Arc<Joins>,
}

impl Links {
    /// The links of this server.
    pub fn new(store: Store, leases: Arc<Leases>, cancel: CancellationToken) -> Arc<Self> {
        // A child: the links can end by themselves, and nothing else with them.
        let cancel = cancel.child_token();
        Arc::new(Self {
            store,
            leases,
            cancel,
            sessions: TaskTracker::new(),
            paces: Paces::default(),
            joins: Arc::new(Tally::new(&["accepted", "refused"])),
        })
    }

    /// How requests to join ended so far.
    pub fn joins(&self) -> Arc<Joins> {
        Arc::clone(&self.joins)
    }

    /// Serves links on `sockets` until cancelled.
    ///
    /// # Errors
    /// A key or a socket is unusable.
    pub async fn run(self: Arc<Self>, identity: &Identity, sockets: Vec<Arc<dyn AsyncUdpSocket>>) -> Result<(), LinkError> {
        let mut accepting = JoinSet::new();
        for socket in sockets {
            let endpoint = endpoint(identity, socket)?;
            accepting.spawn(Arc::clone(&self).accept(endpoint));
        }
        let tend = async { tokio::join!(self.revoke(), self.end_leases(), self.end_leases_of_before()) };
        let ended = tokio::select! {
            () = self.cancel.cancelled() => Ok(()),
            _ = accepting.join_next() => Err(LinkError::Ended),
            _ = tend => Err(LinkError::Ended),
        };
        self.cancel.cancel();
        self.sessions.close();
        while accepting.join_next().await.is_some() {}
        ended
    }

    async fn accept(self: Arc<Self>, endpoint: Endpoint) {
        let strangers = Strangers::default();
        loop {
            let incoming = tokio::select! {
                () = self.cancel.cancelled() => break,
                incoming = endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            self.greet(incoming, &strangers);
        }
        self.sessions.wait().await;
        endpoint.close(VarInt::from_u32(0), b"restart");
        let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
    }

    fn greet(self: &Arc<Self>, incoming: Incoming, strangers: &Strangers) {
        let remote = incoming.remote_address();
        if incoming.may_retry() && strangers.crowd(remote.ip()) {
            // It comes back with a token, or it cannot receive at all.
            let _ = incoming.retry();
            return;
        }
        let (links, stranger) = (Arc::clone(self), strangers.admit(remote.ip(), &self.cancel));
        self.sessions.spawn(async move {
            if let Err(error) = door::serve(&links, incoming, stranger).await {
                debug!(%remote, %error, "link ended");
            }
        });
    }

    /// Ends links whose key is good no longer: the host was removed, or its agent joined anew.
    async fn revoke(&self) {
        let mut changes = self.store.changes();
        loop {
            match changes.recv().await {
                Ok(change) => {
                    for key in change.touched.iter() {
                        if let Key::Host(host) = key {
                            self.check_key(host).await;
                            if change.state.host(host).is_none() {
                                self.leases.forget(host);
                            }
                        }
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    let state = self.store.snapshot();
                    self.leases.forget_unless(|host| state.host(host).is_some());
                    for (host, _) in self.leases.presences() {
                        self.check_key(&host).await;
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Ends the link of `host` if its key is good no longer. What it proved counts no longer then.
    async fn check_key(&self, host: &HostName) {
        let Some(presence) = self.leases.presence(host) else { return };
        if self.store.snapshot().host(host).and_then(|host| host.credentials.agent) != Some(presence.key) {
            presence.ousted.cancel();
            self.leases.end(host, presence.epoch);
            self.withdraw(host).await;
        }
    }

    /// Sees to the end of every lease.
    async fn end_leases(&self) {
        loop {
            let now = Instant::now();
            let (due, next) = self.leases.end_due(now);
            self.withdraw_all(due).await;
            // One that starts meanwhile ends later than that.
            tokio::time::sleep_until(next.unwrap_or(now + LEASE).into()).await;
        }
    }

    /// An address that was proven before this server started, or before its host was imported, counts for one lease; whose agent is
    /// not there by then is away.
    async fn end_leases_of_before(&self) {
        let mut settling = self.leases.settling();
        loop {
            let at = *settling.borrow_and_update();
            tokio::time::sleep_until(at.into()).await;
            if settling.has_changed().unwrap_or(false) {
                continue;
            }
            let state = self.store.snapshot();
            let away = state.hosts().filter(|(name, host)| host.proven.is_some() && self.leases.lease(name).is_none());
            self.withdraw_all(away.map(|(name, _)| name.clone()).collect()).await;
            if settling.changed().await.is_err() {
                // The others go on.
                std::future::pending().await
            }
        }
    }

    async fn withdraw_all(&self, hosts: Vec<HostName>) {
        futures_util::stream::iter(hosts).for_each_concurrent(WITHDRAWALS, async |host| self.withdraw(&host).await).await;
    }

    /// Withdraws the address of `host`, unless a lease runs for it.
    async fn withdraw(&self, host: &HostName) {
        match self.publish(host).await {
            Ok(false) => {}
            Ok(true) => info!(%host, now = ?self.store.snapshot().home(host), "a lease ended"),
            Err(error) => warn!(%host, %error, "an address could not be withdrawn"),
        }
    }

    /// Makes what is published of `host` what its lease says, or nothing where none runs. Tells whether it was otherwise.
    ///
    /// Whoever changes a lease calls this afterwards, and it looks again behind each commit: whatever crosses whatever, the one that
    /// commits last leaves both the same.
    async fn publish(&self, host: &HostName) -> Result<bool, CommitError> {
        let mut changed = false;
        loop {
            let lease = self.leases.lease(host);
            let state = self.store.snapshot();
            let Some(known) = state.host(host) else { return Ok(changed) };
            let by_link = known.by_link();
            let change = match (lease.filter(|_| by_link), known.proven) {
                (Some(lease), proven) if proven.is_none_or(|proven| proven.address != lease.address) => {
                    Change::Move { host: host.clone(), address: lease.address, at: lease.proven_at }
                }
                (None, Some(proven)) => Change::Withdraw { host: host.clone(), address: proven.address },
                _ => return Ok(changed),
            };
            let moves = matches!(change, Change::Move { .. });
            self.store.commit(change).await?;
            if moves {
                self.leases.note_move(host)
            } else {
                self.leases.note_loss(host)
            }
            changed = true;
        }
    }
}

fn endpoint(identity: &Identity, socket: Arc<dyn AsyncUdpSocket>) -> Result<Endpoint, LinkError> {
    let (endpoint, server, ids) = tls::configs(identity)?;
    let demux = Arc::new(demux::Demux::new(socket, ids));
    Ok(Endpoint::new_with_abstract_socket(endpoint, Some(server), demux, Arc::new(TokioRuntime))?)
}
