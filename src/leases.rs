//! Which homes are linked right now, and what their links proved.
//!
//! Lives beside the store because the same parties need it: the link writes it, the gateway asks it before it passes a client's
//! bytes on, status reads it. It holds only what is true for seconds; that an address moved or was withdrawn is a change
//! to the store, made by the link. Nothing here touches a socket.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fourward_core::lease::{Echo, LEASE, admits};
use fourward_core::name::HostName;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::timeout_at;

/// The links that are up, by host.
pub struct Leases {
    links: Mutex<HashMap<HostName, Arc<Presence>>>,
    epochs: AtomicU64,
    started: Instant,
    /// Counts links that came up or went, so that dials can wait for it.
    comings: watch::Sender<u64>,
}

/// One link that is up, or was up until a lease ago.
pub struct Presence {
    /// Only the newest epoch of a host renews or revokes.
    pub epoch: u64,
    /// Which run of the agent this is: another one with the same key is a conflict.
    pub instance: u64,
    /// Where the link comes from.
    pub remote: Mutex<IpAddr>,
    /// When it came up.
    pub since: Timestamp,
    /// A second agent with this host's key was turned away.
    pub conflict: AtomicBool,
    /// Rung when somebody needs an echo now. The nonce must leave, and be dated, after the ring was heard.
    pub ask: Notify,
    /// The last proof.
    pub echo: watch::Sender<Option<Echo>>,
    /// Whether the last nonce is overdue; a silent link is not waited for.
    pub silent: watch::Sender<bool>,
}

/// What a dial may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The home holds the address that was dialled.
    Granted,
    /// The home is somewhere else now; the store says where, or will in a moment.
    Moved(Ipv6Addr),
    /// No link answers for the home.
    Away,
}

impl Leases {
    /// No link yet; leases of before are honoured for one lease from `now` on.
    pub fn new(now: Instant) -> Self {
        Self { links: Mutex::default(), epochs: AtomicU64::new(1), started: now, comings: watch::Sender::new(0) }
    }

    /// The newest link of `host`.
    pub fn presence(&self, host: &HostName) -> Option<Arc<Presence>> {
        self.lock().get(host).cloned()
    }

    /// Makes a link of `instance` the newest of `host`. Whether the one before it may be ousted is the link's to judge.
    pub fn arrive(&self, host: &HostName, instance: u64, remote: IpAddr, since: Timestamp) -> Arc<Presence> {
        let presence = Arc::new(Presence {
            epoch: self.epochs.fetch_add(1, Ordering::Relaxed),
            instance,
            remote: Mutex::new(remote),
            since,
            conflict: AtomicBool::new(false),
            ask: Notify::new(),
            echo: watch::Sender::new(None),
            silent: watch::Sender::new(false),
        });
        self.lock().insert(host.clone(), Arc::clone(&presence));
        self.comings.send_modify(|count| *count = count.wrapping_add(1));
        presence
    }

    /// Takes the link of `epoch` off, unless a newer one stands there. Tells whether it did.
    pub fn leave(&self, host: &HostName, epoch: u64) -> bool {
        let mut links = self.lock();
        let newest = links.get(host).is_some_and(|presence| presence.epoch == epoch);
        if newest {
            links.remove(host);
        }
        drop(links);
        if newest {
            self.comings.send_modify(|count| *count = count.wrapping_add(1));
        }
        newest
    }

    /// Whether `epoch` is the newest of `host`.
    pub fn is_newest(&self, host: &HostName, epoch: u64) -> bool {
        self.lock().get(host).is_some_and(|presence| presence.epoch == epoch)
    }

    /// Whether this server started so lately that agents may not be back yet.
    pub fn is_settling(&self, now: Instant) -> bool {
        now < self.started + LEASE
    }

    /// When leases of before this server's start end.
    pub fn settled_at(&self) -> Instant {
        self.started + LEASE
    }

    /// Asks the link of `host`, if it is up, for an echo.
    pub fn ask(&self, host: &HostName) {
        if let Some(presence) = self.presence(host) {
            presence.ask.notify_one();
        }
    }

    /// Waits until the link of `host` proves that it held `address` at a moment after `began` (when the dial's SYN left) and close to
    /// `connected` (when the connection stood), or that it does not. [`Leases::ask`] right after `began`, and the echo is on its
    /// way beside the SYN's answer. A link that goes, or is replaced, is not waited for: the one after it is asked.
    pub async fn admit(&self, host: &HostName, address: Ipv6Addr, began: Instant, connected: Instant, deadline: Instant) -> Admission {
        while let Some(presence) = self.awaited(host, deadline).await {
            let echo = tokio::select! {
                biased;
                echo = presence.proves(address, began, connected) => echo,
                () = self.ended(host, presence.epoch) => continue,
                () = tokio::time::sleep_until(deadline.into()) => None,
            };
            return match echo {
                Some(echo) if echo.address == address => Admission::Granted,
                Some(echo) => Admission::Moved(echo.address),
                None => Admission::Away,
            };
        }
        Admission::Away
    }

    /// Returns once no link answers for `host`: the newest is silent, or none is up and none can be waited for.
    pub async fn lost(&self, host: &HostName) {
        while let Some(presence) = self.awaited(host, self.settled_at()).await {
            let mut silent = presence.silent.subscribe();
            tokio::select! {
                _ = silent.wait_for(|silent| *silent) => return,
                () = self.ended(host, presence.epoch) => {}
            }
        }
    }

    /// The link of `host`; just after a start it is given time to come back.
    async fn awaited(&self, host: &HostName, deadline: Instant) -> Option<Arc<Presence>> {
        let mut comings = self.comings.subscribe();
        let until = deadline.min(self.settled_at());
        loop {
            if let Some(presence) = self.presence(host) {
                return Some(presence);
            }
            timeout_at(until.into(), comings.changed()).await.ok()?.ok()?;
        }
    }

    /// Returns once the link of `epoch` is not the newest of `host` any more.
    async fn ended(&self, host: &HostName, epoch: u64) {
        let mut comings = self.comings.subscribe();
        while self.is_newest(host, epoch) && comings.changed().await.is_ok() {}
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostName, Arc<Presence>>> {
        // Each critical section leaves the map whole, so a poisoned one is still good.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// The first echo that says whether a dial to `address` may go on; `None` once the link is silent.
    async fn proves(&self, address: Ipv6Addr, began: Instant, connected: Instant) -> Option<Echo> {
        let mut echo = self.echo.subscribe();
        let mut silent = self.silent.subscribe();
        let fits = |echo: &Option<Echo>| echo.filter(|e| e.address != address && e.sent >= began || admits(e, address, began, connected));
        if fits(&echo.borrow()).is_none() {
            self.ask.notify_one();
        }
        tokio::select! {
            biased;
            proven = echo.wait_for(|echo| fits(echo).is_some()) => proven.ok().and_then(|echo| *echo),
            _ = silent.wait_for(|silent| *silent) => None,
        }
    }
}
