//! The relays that are alive, by host, so that a move ends those to the old address at once, and a new setting those that it no longer admits.
//!
//! Else a client would wait for minutes on bytes that nobody acknowledges, and the kernel would go on sending them to whoever
//! inherits the address. Relays of other hosts never notice.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fourward_core::change::Key;
use fourward_core::name::HostName;
use fourward_core::state::State;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use crate::store::{Committed, Store};

/// The relays that are alive.
#[derive(Default)]
pub(super) struct Relays(Mutex<Live>);

#[derive(Default)]
struct Live {
    by_host: HashMap<HostName, HashMap<u64, Relay>>,
    next: u64,
    /// Connections that are led to a host's home or dial it, of hosts that have any.
    seats: HashMap<HostName, u32>,
}

struct Relay {
    address: Ipv6Addr,
    client: IpAddr,
    over: Arc<Notify>,
}

/// One relay's place among the live ones; dropping it gives the place up.
pub(super) struct Place {
    relays: Arc<Relays>,
    host: HostName,
    id: u64,
    over: Arc<Notify>,
}

/// One connection of those that a host may have at once; dropping it frees it for another.
pub(super) struct Seat {
    relays: Arc<Relays>,
    host: HostName,
}

impl Relays {
    /// A seat for a connection to `host`, which may have `most` at once. All are counted, so that a limit that comes later is right.
    pub(super) fn seat(self: &Arc<Self>, host: &HostName, most: Option<u32>) -> Option<Seat> {
        let mut live = self.lock();
        let taken = live.seats.get(host).copied().unwrap_or(0);
        if most.is_some_and(|most| taken >= most) {
            return None;
        }
        live.seats.insert(host.clone(), taken.saturating_add(1));
        Some(Seat { relays: Arc::clone(self), host: host.clone() })
    }

    /// A place for a relay of `client` with `host` at `address`. Look at the store once more afterwards: a change between the last look
    /// and this call is told to nobody.
    pub(super) fn enter(self: &Arc<Self>, host: &HostName, address: Ipv6Addr, client: IpAddr) -> Place {
        let over = Arc::new(Notify::new());
        let mut live = self.lock();
        let id = live.next;
        live.next = id.wrapping_add(1);
        live.by_host.entry(host.clone()).or_default().insert(id, Relay { address, client, over: Arc::clone(&over) });
        Place { relays: Arc::clone(self), host: host.clone(), id, over }
    }

    /// Ends relays as the store's `changes` move their homes; returns when there is no store any more.
    pub(super) async fn follow(self: Arc<Self>, mut changes: Receiver<Committed>, store: Store) {
        loop {
            match changes.recv().await {
                Ok(committed) => {
                    for key in committed.touched.iter() {
                        if let Key::Host(host) = key {
                            self.judge(host, &store.snapshot());
                        }
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "changes came faster than they were followed: looking at every relay");
                    self.judge_all(&store.snapshot());
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn judge_all(&self, state: &State) {
        let hosts: Vec<_> = self.lock().by_host.keys().cloned().collect();
        for host in hosts {
            self.judge(&host, state);
        }
    }

    /// Ends the relays of `host` that are not to its home address, or whose clients it does not admit. A withdrawn address counts: nobody
    /// vouches for it.
    fn judge(&self, host: &HostName, state: &State) {
        let known = state.host(host);
        let home = state.home(host);
        let live = self.lock();
        let Some(relays) = live.by_host.get(host) else { return };
        let (mut moved, mut denied) = (0_usize, 0_usize);
        for relay in relays.values() {
            let count = match known {
                Some(known) if Some(relay.address) == home && known.settings.admits(relay.client) => continue,
                Some(_) if Some(relay.address) == home => &mut denied,
                _ => &mut moved,
            };
            *count = count.saturating_add(1);
            relay.over.notify_one();
        }
        if moved > 0 {
            info!(%host, ?home, ended = moved, "relays to the old address ended");
        }
        if denied > 0 {
            info!(%host, ended = denied, "relays of clients that are no longer admitted ended");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // Each critical section leaves the maps whole, so a poisoned one is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns when the relay must end.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.relays.lock();
        if let Some(relays) = live.by_host.get_mut(&self.host) {
            relays.remove(&self.id);
            if relays.is_empty() {
                live.by_host.remove(&self.host);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut live = self.relays.lock();
        let left = live.seats.get(&self.host).map_or(0, |taken| taken.saturating_sub(1));
        if left == 0 {
            live.seats.remove(&self.host);
        } else {
            live.seats.insert(self.host.clone(), left);
        }
    }
}
