//! The gateway's end of the links: who may speak for which host, where homes are, and for how long that counts.
//!
//! Listens on UDP, lets agents register and link, sees to it that a lease that ends is withdrawn. What an echo proves is decided in
//! core; the dials that wait for one are the gateway's. A link never touches a zone itself: all it does is commit changes.

mod demux;
mod session;
mod tls;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Instant;

use fourward_core::change::{Change, Identity, Key};
use fourward_core::host::AddressFrom;
use fourward_core::lease::LEASE;
use fourward_core::name::HostName;
use quinn::{Endpoint, Incoming, Runtime, TokioRuntime, VarInt};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::crypto::KeyError;
use crate::leases::{End, Leases};
use crate::store::Store;

/// Connections that have not said yet who they are; more wait in the endpoint's own queue.
const STRANGERS: usize = 512;

/// With so many strangers at the door a new one must first show that it can receive (RFC 9000 §8.1.2).
const RETRY_FROM: usize = STRANGERS - 64;

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
}

/// The link role: everything that its sessions share.
pub struct Links {
    store: Store,
    leases: Arc<Leases>,
    cancel: CancellationToken,
    sessions: TaskTracker,
}

impl Links {
    /// The links of this server.
    pub fn new(store: Store, leases: Arc<Leases>, cancel: CancellationToken) -> Arc<Self> {
        Arc::new(Self { store, leases, cancel, sessions: TaskTracker::new() })
    }

    /// Serves links on `sockets` until cancelled.
    ///
    /// # Errors
    /// A key or a socket is unusable.
    pub async fn run(self: Arc<Self>, identity: &Identity, sockets: Vec<UdpSocket>) -> Result<(), LinkError> {
        let mut tasks = JoinSet::new();
        for socket in sockets {
            let endpoint = endpoint(identity, socket)?;
            tasks.spawn(Arc::clone(&self).accept(endpoint));
        }
        tasks.spawn(Arc::clone(&self).revoke());
        tasks.spawn(Arc::clone(&self).end_leases_of_before());
        self.cancel.cancelled().await;
        self.sessions.close();
        self.sessions.wait().await;
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    async fn accept(self: Arc<Self>, endpoint: Endpoint) {
        let strangers = Arc::new(Semaphore::new(STRANGERS));
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
        endpoint.wait_idle().await;
    }

    fn greet(self: &Arc<Self>, incoming: Incoming, strangers: &Arc<Semaphore>) {
        let Ok(permit) = Arc::clone(strangers).try_acquire_owned() else {
            incoming.ignore();
            return;
        };
        if STRANGERS - strangers.available_permits() > RETRY_FROM && incoming.may_retry() {
            // It comes back with a token, or it cannot receive at all.
            let _ = incoming.retry();
            return;
        }
        let links = Arc::clone(self);
        self.sessions.spawn(async move {
            let remote = incoming.remote_address();
            if let Err(error) = session::serve(&links, incoming, permit).await {
                debug!(%remote, %error, "link ended");
            }
        });
    }

    /// Ends links whose key is good no longer: the host was removed, or its agent joined anew.
    async fn revoke(self: Arc<Self>) {
        let mut changes = self.store.changes();
        loop {
            let change = tokio::select! {
                () = self.cancel.cancelled() => return,
                change = changes.recv() => change,
            };
            match change {
                Ok(change) => change.touched.iter().for_each(|key| {
                    if let Key::Host(host) = key {
                        self.check_key(host);
                    }
                }),
                Err(RecvError::Lagged(_)) => self.leases.presences().iter().for_each(|(host, _)| self.check_key(host)),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn check_key(&self, host: &HostName) {
        let Some(presence) = self.leases.presence(host) else { return };
        let state = self.store.snapshot();
        let known = state.host(host).and_then(|host| host.credentials.agent);
        if known != Some(presence.key) {
            presence.ousted.cancel();
            self.leases.end(host);
        }
    }

    /// An address that was proven before this server started counts for one lease; whose agent is not back by then is away.
    async fn end_leases_of_before(self: Arc<Self>) {
        tokio::select! {
            () = self.cancel.cancelled() => return,
            () = tokio::time::sleep_until(self.leases.settled_at().into()) => {}
        }
        let state = self.store.snapshot();
        for (name, host) in state.hosts() {
            let Some(proven) = host.proven else { continue };
            if host.settings.address_from == AddressFrom::Link && self.leases.lease(name).is_none() {
                self.withdraw(name, proven.address).await;
            }
        }
    }

    /// Sees to the end of a lease that has just started.
    fn attend_lease(self: &Arc<Self>, host: HostName) {
        let links = Arc::clone(self);
        tokio::spawn(async move {
            let mut until = Instant::now() + LEASE;
            loop {
                tokio::select! {
                    () = links.cancel.cancelled() => return,
                    () = tokio::time::sleep_until(until.into()) => {}
                }
                match links.leases.end_if_due(&host, Instant::now()) {
                    End::Later(later) => until = later,
                    End::Due(address) => return links.withdraw(&host, address).await,
                    End::Ended => return,
                }
            }
        });
    }

    async fn withdraw(&self, host: &HostName, address: std::net::Ipv6Addr) {
        let change = Change::Withdraw { host: host.clone(), address };
        match self.store.commit(change).await {
            Ok(_) => info!(%host, %address, "withdrawn: the lease ended"),
            Err(error) => warn!(%host, %address, %error, "could not be withdrawn"),
        }
        // A proof may have come between the end of the lease and the commit; the next echo would mend it, this mends it now.
        if let Some(lease) = self.leases.lease(host) {
            let change = Change::Move { host: host.clone(), address: lease.address, at: lease.proven_at };
            if let Err(error) = self.store.commit(change).await {
                warn!(%host, %error, "could not be published again");
            }
        }
    }
}

fn endpoint(identity: &Identity, socket: UdpSocket) -> Result<Endpoint, LinkError> {
    let (endpoint, server, ids) = tls::configs(identity)?;
    let runtime = Arc::new(TokioRuntime);
    let socket = runtime.wrap_udp_socket(socket)?;
    let demux = Arc::new(demux::Demux::new(socket, ids));
    Ok(Endpoint::new_with_abstract_socket(endpoint, Some(server), demux, runtime)?)
}
