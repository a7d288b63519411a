//! What the gateway carries and refuses, in numbers, for status and metrics.
//!
//! Plain counters: each is right by itself, and two read after one another may be a moment apart.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fourward_core::name::HostName;

use super::dials::Dials;

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    open: AtomicU64,
    total: AtomicU64,
    to_homes: AtomicU64,
    to_clients: AtomicU64,
    silent: AtomicU64,
    foreign: AtomicU64,
    unknown: AtomicU64,
    direct: AtomicU64,
    away: AtomicU64,
    busy: AtomicU64,
    dials: Dials,
    denied: AtomicU64,
    full: AtomicU64,
    crowded: AtomicU64,
    flows: AtomicU64,
    withheld: AtomicU64,
    lost: AtomicU64,
    /// Forwards that do not listen, and why.
    deaf: Mutex<HashMap<HostName, Vec<String>>>,
}

/// Why a connection was not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It did not say in time what it wants, or left before.
    Silent,
    /// It speaks another protocol, or a broken one.
    Foreign,
    /// Nobody is called so here, or no name was given.
    Unknown,
    /// It came over IPv6, where a home is reached at its own address.
    Direct,
    /// The home is away, or this machine cannot connect to it.
    Away,
    /// It is for ourselves, who have too much to do.
    Busy,
    /// The host's owner does not admit its address.
    Denied,
    /// As many as the host's owner permits were there.
    Full,
    /// Its network has as many as it may, or it had not said what it wants when there was no more room for such.
    Crowded,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open.
    pub open: u64,
    /// Connections that were ever taken.
    pub total: u64,
    /// Bytes from clients to homes.
    pub to_homes: u64,
    /// Bytes from homes to clients.
    pub to_clients: u64,
    /// Refused: [`Reason::Silent`].
    pub silent: u64,
    /// Refused: [`Reason::Foreign`].
    pub foreign: u64,
    /// Refused: [`Reason::Unknown`].
    pub unknown: u64,
    /// Refused: [`Reason::Direct`].
    pub direct: u64,
    /// Refused: [`Reason::Away`].
    pub away: u64,
    /// Refused: [`Reason::Busy`].
    pub busy: u64,
    /// Refused: [`Reason::Denied`].
    pub denied: u64,
    /// Refused: [`Reason::Full`].
    pub full: u64,
    /// Refused: [`Reason::Crowded`].
    pub crowded: u64,
    /// Flows of UDP that are alive.
    pub flows: u64,
    /// Datagrams to clients that had not shown yet that they are there, beyond what they may get.
    pub withheld: u64,
    /// Datagrams that were dropped: their home was away or not found yet, or the kernel did not take them.
    pub lost: u64,
}

impl Traffic {
    /// The counters now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            open: read(&self.open),
            total: read(&self.total),
            to_homes: read(&self.to_homes),
            to_clients: read(&self.to_clients),
            silent: read(&self.silent),
            foreign: read(&self.foreign),
            unknown: read(&self.unknown),
            direct: read(&self.direct),
            away: read(&self.away),
            busy: read(&self.busy),
            denied: read(&self.denied),
            full: read(&self.full),
            crowded: read(&self.crowded),
            flows: read(&self.flows),
            withheld: read(&self.withheld),
            lost: read(&self.lost),
        }
    }

    /// What dials to homes came to.
    pub fn dials(&self) -> &Dials {
        &self.dials
    }

    /// Why forwards of `host` do not listen.
    pub fn deaf(&self, host: &HostName) -> Vec<String> {
        self.deafs().get(host).cloned().unwrap_or_default()
    }

    pub(super) fn note_deaf(&self, host: &HostName, reasons: Vec<String>) {
        if reasons.is_empty() {
            self.deafs().remove(host);
        } else {
            self.deafs().insert(host.clone(), reasons);
        }
    }

    fn deafs(&self) -> MutexGuard<'_, HashMap<HostName, Vec<String>>> {
        // Each critical section leaves the map whole.
        self.deaf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_flows(&self, count: usize) {
        self.flows.store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn withhold(&self, datagrams: usize) {
        self.withheld.fetch_add(datagrams as u64, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, datagrams: u64) {
        self.lost.fetch_add(datagrams, Ordering::Relaxed);
    }

    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    pub(super) fn refuse(&self, reason: Reason) {
        let counter = match reason {
            Reason::Silent => &self.silent,
            Reason::Foreign => &self.foreign,
            Reason::Unknown => &self.unknown,
            Reason::Direct => &self.direct,
            Reason::Away => &self.away,
            Reason::Busy => &self.busy,
            Reason::Denied => &self.denied,
            Reason::Full => &self.full,
            Reason::Crowded => &self.crowded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn to_homes(&self) -> &AtomicU64 {
        &self.to_homes
    }

    pub(super) fn to_clients(&self) -> &AtomicU64 {
        &self.to_clients
    }
}

/// A connection that counts as open until this is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Open(Arc<Traffic>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
