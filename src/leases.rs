//! Which homes are linked right now, and what their links proved.
//!
//! Lives beside the store because the same parties need it: the link writes it, the gateway asks it before it passes a client's
//! bytes on, status reads it. It holds only what is true for seconds; that an address moved or was withdrawn is a change
//! to the store, made by the link. Nothing here touches a socket.

mod resolved;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fourward_core::facts::{Dial, HomeFacts};
use fourward_core::host::Digest;
use fourward_core::lease::{ECHO_TIMEOUT, Echo, LEASE, admits, asked_from};
use fourward_core::link::Service;
use fourward_core::name::HostName;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::probe::Returns;
pub use resolved::Resolved;

/// How long a second agent with the same key is remembered: it is turned away again at least so often.
const CONFLICT: Duration = Duration::from_secs(60);

/// The links that are up, and the leases that run, by host.
///
/// Whoever needs both maps locks `links` first.
pub struct Leases {
    links: Mutex<HashMap<HostName, Arc<Presence>>>,
    running: Mutex<HashMap<HostName, Lease>>,
    epochs: AtomicU64,
    /// When leases that nobody here saw begin end.
    settled: watch::Sender<Instant>,
    /// Counts links that came up or went, so that dials can wait for it.
    comings: watch::Sender<u64>,
    /// For metrics.
    echoes: AtomicU64,
    histories: Mutex<HashMap<HostName, History>>,
    /// What the gateway sent home and meets again.
    pub returns: Arc<Returns>,
    /// What DNS last said of upstreams.
    pub resolved: Resolved,
}

/// What happened to a host since the start, in numbers, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Addresses that were published because they were proven.
    pub moves: u64,
    /// Addresses that were withdrawn because nobody vouched for them any more.
    pub losses: u64,
}

/// One link that is up, or was up until a lease ago.
pub struct Presence {
    /// Only the newest epoch of a host renews or revokes.
    pub epoch: u64,
    /// Which run of the agent this is: another one with the same key is a conflict.
    pub instance: u64,
    /// The key that it has shown.
    pub key: Digest,
    /// All that may be opened at home, whatever is asked.
    pub services: Vec<Service>,
    /// Ends the link: a newer one came, or its key is good no longer.
    pub ousted: CancellationToken,
    /// Where the link comes from.
    remote: Mutex<IpAddr>,
    /// When it came up.
    pub since: Timestamp,
    /// When a second agent with this host's key was last turned away.
    conflict: Mutex<Option<Instant>>,
    /// Rung when somebody needs an echo now. The nonce must leave, and be dated, after the ring was heard.
    pub ask: Notify,
    asked: Mutex<Option<Instant>>,
    /// How long an answer may take on this line.
    patience: Mutex<Duration>,
    /// When the agent last answered a nonce, whatever the answer was worth.
    pub heard: watch::Sender<Option<Instant>>,
    /// The last proof.
    pub echo: watch::Sender<Option<Echo>>,
    /// Whether it was said in the log that the agent does not offer something that was asked for.
    told: AtomicBool,
    /// Whether the last nonce is overdue; a silent link is not waited for.
    pub silent: watch::Sender<bool>,
    /// Whether the agent can say what it knows of itself.
    examines: AtomicBool,
    /// Rung when somebody wants to know that.
    pub examine: Notify,
    /// What it said last.
    pub examined: watch::Sender<Option<Examined>>,
}

/// What an agent said of itself, and what came of connects to its home meanwhile.
#[derive(Clone, Debug)]
pub struct Examined {
    /// When.
    pub at: Instant,
    /// What it said.
    pub home: HomeFacts,
    /// What came of the connects.
    pub dials: Vec<Dial>,
}

/// How long an address counts as proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The home address.
    pub address: Ipv6Addr,
    /// The end, unless another echo comes.
    pub until: Instant,
    /// When the last echo came, by the clock on the wall.
    pub proven_at: Timestamp,
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
        // From the clock, so that epochs grow over restarts too.
        let first = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(1);
        Self {
            links: Mutex::default(),
            running: Mutex::default(),
            epochs: AtomicU64::new(first),
            settled: watch::Sender::new(now + LEASE),
            comings: watch::Sender::new(0),
            echoes: AtomicU64::new(0),
            histories: Mutex::default(),
            returns: Arc::default(),
            resolved: Resolved::default(),
        }
    }

    /// The newest link of `host`.
    pub fn presence(&self, host: &HostName) -> Option<Arc<Presence>> {
        lock(&self.links).get(host).cloned()
    }

    /// Makes a link of `instance` the newest of `host`. Whether the one before it may be ousted is the link's to judge.
    pub fn arrive(
        &self,
        host: &HostName,
        instance: u64,
        key: Digest,
        services: Vec<Service>,
        remote: IpAddr,
        since: Timestamp,
    ) -> Arc<Presence> {
        let presence = Arc::new(Presence {
            epoch: self.epochs.fetch_add(1, Ordering::Relaxed),
            instance,
            key,
            services,
            ousted: CancellationToken::new(),
            remote: Mutex::new(remote),
            since,
            conflict: Mutex::new(None),
            ask: Notify::new(),
            asked: Mutex::new(None),
            patience: Mutex::new(ECHO_TIMEOUT),
            heard: watch::Sender::new(None),
            echo: watch::Sender::new(None),
            told: AtomicBool::new(false),
            silent: watch::Sender::new(false),
            examines: AtomicBool::new(false),
            examine: Notify::new(),
            examined: watch::Sender::new(None),
        });
        if let Some(before) = lock(&self.links).insert(host.clone(), Arc::clone(&presence)) {
            before.ousted.cancel();
        }
        self.comings.send_modify(|count| *count = count.wrapping_add(1));
        presence
    }

    /// Takes the link of `epoch` off, unless a newer one stands there. Tells whether it did.
    pub fn leave(&self, host: &HostName, epoch: u64) -> bool {
        let mut links = lock(&self.links);
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

    /// All links that are up.
    pub fn presences(&self) -> Vec<(HostName, Arc<Presence>)> {
        lock(&self.links).iter().map(|(host, presence)| (host.clone(), Arc::clone(presence))).collect()
    }

    /// Whether `epoch` is the newest of `host`.
    pub fn is_newest(&self, host: &HostName, epoch: u64) -> bool {
        lock(&self.links).get(host).is_some_and(|presence| presence.epoch == epoch)
    }

    /// The lease of `host`, if one runs.
    pub fn lease(&self, host: &HostName) -> Option<Lease> {
        lock(&self.running).get(host).copied()
    }

    /// Starts or renews the lease of `host` in the name of its link of `epoch`. Tells whether that is the newest, which alone may.
    pub fn renew(&self, host: &HostName, epoch: u64, lease: Lease) -> bool {
        self.as_newest(host, epoch, |running| running.insert(host.clone(), lease)).is_some()
    }

    /// Ends the lease of `host` now, in the name of its link of `epoch`: the agent said goodbye, or holds no address any more. Tells whether
    /// that link is the newest, which alone may.
    pub fn end(&self, host: &HostName, epoch: u64) -> bool {
        self.as_newest(host, epoch, |running| running.remove(host)).is_some()
    }

    /// Carries `act` out, unless there is a newer link than that of `epoch`; none comes meanwhile.
    fn as_newest<T>(&self, host: &HostName, epoch: u64, act: impl FnOnce(&mut HashMap<HostName, Lease>) -> T) -> Option<T> {
        let links = lock(&self.links);
        links.get(host).filter(|presence| presence.epoch == epoch)?;
        Some(act(&mut lock(&self.running)))
    }

    /// Ends the leases that are due at `now`: their hosts, and when the next one is due.
    pub fn end_due(&self, now: Instant) -> (Vec<HostName>, Option<Instant>) {
        let mut running = lock(&self.running);
        let due: Vec<_> = running.iter().filter(|(_, lease)| lease.until <= now).map(|(host, _)| host.clone()).collect();
        running.retain(|_, lease| lease.until > now);
        (due, running.values().map(|lease| lease.until).min())
    }

    /// When leases that this server did not see begin end: those of before its start, and of hosts that were imported.
    pub fn settled_at(&self) -> Instant {
        *self.settled.borrow()
    }

    /// Honours addresses that come from elsewhere for one lease from `now` on.
    pub fn honour(&self, now: Instant) {
        self.settled.send_replace(now + LEASE);
    }

    /// [`Leases::settled_at`], and whenever it is put off.
    pub fn settling(&self) -> watch::Receiver<Instant> {
        self.settled.subscribe()
    }

    /// Notes that an agent answered a nonce.
    pub fn note_echo(&self) {
        self.echoes.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers to nonces since the start.
    pub fn echoes(&self) -> u64 {
        self.echoes.load(Ordering::Relaxed)
    }

    /// Notes that a proven address of `host` was published.
    pub fn note_move(&self, host: &HostName) {
        lock(&self.histories).entry(host.clone()).or_default().moves += 1;
    }

    /// Notes that the address of `host` was withdrawn.
    pub fn note_loss(&self, host: &HostName) {
        lock(&self.histories).entry(host.clone()).or_default().losses += 1;
    }

    /// What happened to `host` since the start.
    pub fn history(&self, host: &HostName) -> History {
        lock(&self.histories).get(host).copied().unwrap_or_default()
    }

    /// Forgets what happened to all but the hosts that are `known`, so that there are never more histories than hosts.
    pub fn forget_unless(&self, known: impl Fn(&HostName) -> bool) {
        lock(&self.histories).retain(|host, _| known(host));
    }

    /// Forgets what happened to `host`, which was removed.
    pub fn forget(&self, host: &HostName) {
        lock(&self.histories).remove(host);
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
}

impl Presence {
    /// Whether what this agent does not offer is to be said in the log: once.
    pub fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    /// Notes that a second agent with the same key is turned away now.
    pub fn note_conflict(&self, now: Instant) {
        *lock(&self.conflict) = Some(now);
    }

    /// Whether a second agent with the same key was there lately.
    pub fn in_conflict(&self, now: Instant) -> bool {
        lock(&self.conflict).is_some_and(|last| now.saturating_duration_since(last) < CONFLICT)
    }

    /// Notes that the agent can say what it knows of itself.
    pub fn note_examines(&self) {
        self.examines.store(true, Ordering::Relaxed);
    }

    /// Whether the agent can say what it knows of itself.
    pub fn examines(&self) -> bool {
        self.examines.load(Ordering::Relaxed)
    }

    /// When the last nonce left.
    pub fn asked(&self) -> Option<Instant> {
        *lock(&self.asked)
    }

    /// Notes that a nonce leaves now, the answer to which may take as long as `patience`.
    pub fn note_asked(&self, now: Instant, patience: Duration) {
        *lock(&self.asked) = Some(now);
        *lock(&self.patience) = patience;
    }

    /// How long an answer may take on this line.
    pub fn patience(&self) -> Duration {
        *lock(&self.patience)
    }

    /// Notes that the agent answers, whatever its answer is worth.
    pub fn note_heard(&self, now: Instant) {
        self.heard.send_replace(Some(now));
        self.silent.send_if_modified(|silent| std::mem::replace(silent, false));
    }

    /// Where the link comes from now.
    pub fn remote(&self) -> IpAddr {
        *lock(&self.remote)
    }

    /// Notes where the link comes from now.
    pub fn note_remote(&self, remote: IpAddr) {
        *lock(&self.remote) = remote;
    }

    /// The first echo that says whether a dial to `address` may go on; `None` once the link is silent.
    async fn proves(&self, address: Ipv6Addr, began: Instant, connected: Instant) -> Option<Echo> {
        let mut echo = self.echo.subscribe();
        let mut silent = self.silent.subscribe();
        let fits = |echo: &Option<Echo>| echo.filter(|e| e.address != address && e.sent >= began || admits(e, address, began, connected));
        // The nonce of the dial's beginning is mostly still under way; another would prove no more.
        let under_way = self.asked().is_some_and(|asked| asked >= asked_from(began, connected));
        if fits(&echo.borrow()).is_none() && !under_way {
            self.ask.notify_one();
        }
        tokio::select! {
            biased;
            proven = echo.wait_for(|echo| fits(echo).is_some()) => proven.ok().and_then(|echo| *echo),
            _ = silent.wait_for(|silent| *silent) => None,
        }
    }
}

/// Each critical section leaves the map whole, so a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
