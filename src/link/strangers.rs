//! Connections that have not said yet who they are: so many at once and no more.
//!
//! A good agent says it within a few round trips, so where there is no room the oldest gives way: first of the newcomer's own network,
//! so that one sender harms its neighbours only, then of all. Whoever is let in is a stranger no longer; what links cost is theirs.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::listener::network_of;

/// Handshakes under way; each holds some 30 KB.
const LIMIT: usize = 512;

/// Of these from one network, which may be a whole provider behind one IPv4 address.
const LIMIT_PER_NETWORK: usize = 64;

/// With so many a newcomer must first show that it can receive (RFC 9000 §8.1.2): a made-up sender drives nobody out.
const CROWD: usize = LIMIT / 4;

/// The strangers at the door.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers(Arc<Mutex<Door>>);

#[derive(Debug, Default)]
struct Door {
    last: u64,
    /// The oldest first.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    network: IpAddr,
    gives_way: CancellationToken,
}

/// One stranger; dropping it makes room.
#[derive(Debug)]
pub(super) struct Stranger {
    door: Strangers,
    number: u64,
    gives_way: CancellationToken,
}

impl Strangers {
    /// Whether newcomers from `remote` must show that they can receive.
    pub(super) fn crowd(&self, remote: IpAddr) -> bool {
        let network = network_of(remote);
        let door = self.door();
        door.waiting.len() >= CROWD || door.waiting.iter().filter(|waiting| waiting.network == network).count() >= LIMIT_PER_NETWORK / 2
    }

    /// Lets one from `remote` to the door. It gives way when told, or when `end` comes.
    pub(super) fn admit(&self, remote: IpAddr, end: &CancellationToken) -> Stranger {
        let network = network_of(remote);
        let mut door = self.door();
        if door.waiting.iter().filter(|waiting| waiting.network == network).count() >= LIMIT_PER_NETWORK {
            door.oldest_gives_way(|waiting| waiting.network == network);
        } else if door.waiting.len() >= LIMIT {
            door.oldest_gives_way(|_| true);
        }
        door.last = door.last.wrapping_add(1);
        let (number, gives_way) = (door.last, end.child_token());
        door.waiting.push_back(Waiting { number, network, gives_way: gives_way.clone() });
        drop(door);
        Stranger { door: self.clone(), number, gives_way }
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        // Each critical section leaves the queue whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    fn oldest_gives_way(&mut self, among: impl Fn(&Waiting) -> bool) {
        let oldest = self.waiting.iter().position(among).and_then(|at| self.waiting.remove(at));
        if let Some(oldest) = oldest {
            oldest.gives_way.cancel();
        }
    }
}

impl Stranger {
    /// Returns once it has to give way.
    pub(super) async fn gives_way(&self) {
        self.gives_way.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.door.door().waiting.retain(|waiting| waiting.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    fn gave_way(stranger: &Stranger) -> bool {
        stranger.gives_way.is_cancelled()
    }

    #[test]
    fn a_network_drives_out_its_own_first() {
        let (door, end) = (Strangers::default(), CancellationToken::new());
        let other = door.admit(from("192.0.2.1"), &end);
        let crowd: Vec<_> = (0..600).map(|n| door.admit(from(&format!("2001:db8:1::{n:x}")), &end)).collect();
        assert!(!gave_way(&other));
        assert_eq!(crowd.iter().filter(|stranger| !gave_way(stranger)).count(), LIMIT_PER_NETWORK);
        assert!(!gave_way(&crowd[599]) && gave_way(&crowd[0]), "the oldest gave way");
        assert!(door.crowd(from("2001:db8:1::9")) && !door.crowd(from("192.0.2.1")));
    }

    #[test]
    fn of_all_the_oldest_gives_way_and_no_more_than_the_limit_stay() {
        let (door, end) = (Strangers::default(), CancellationToken::new());
        let crowd: Vec<_> = (0..600).map(|n| door.admit(from(&format!("10.0.{}.{}", n / 250, n % 250)), &end)).collect();
        assert_eq!(crowd.iter().filter(|stranger| !gave_way(stranger)).count(), LIMIT);
        assert!(door.crowd(from("192.0.2.1")));
        drop(crowd);
        assert!(door.door().waiting.is_empty() && !door.crowd(from("192.0.2.1")));
    }

    #[test]
    fn the_end_of_the_role_sends_all_away() {
        let (door, end) = (Strangers::default(), CancellationToken::new());
        let stranger = door.admit(from("192.0.2.1"), &end);
        end.cancel();
        assert!(gave_way(&stranger));
    }
}
