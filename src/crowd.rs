//! Who is inside, by client network, and who of them has not said yet where it wants to go.
//!
//! A good client says it within a round trip, so where there is no room for more who have not, one gives way: the oldest of the greediest
//! network, so that an attacker drives out its own first, and where none is greedy the oldest of all. A newcomer always has its chance. What a network holds for long, relays for one, is
//! bounded too; beyond it, it is refused. No more is remembered than who is inside.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::listener::network_of;

/// The share of a network's connections that may be undecided: [`Limits::undecided_of_one`].
const UNDECIDED_SHARE: usize = 4;

/// A network with more undecided ones than this is greedy: a household's browsers open so many at once, each for a moment.
const HANDFUL: usize = 16;

/// A site, an IPv6 /48, has as many connections as so many networks: it is 256 of them, which whoever has it could play one after the other.
const NETWORKS_OF_SITE: usize = 4;

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Undecided ones of all networks.
    pub(crate) undecided: usize,
    /// Connections of one network.
    pub(crate) of_one: usize,
}

/// Who is inside.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    limits: Limits,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    last: u64,
    undecided: usize,
    networks: BTreeMap<IpAddr, Network>,
    /// Connections of sites.
    sites: BTreeMap<Ipv6Addr, usize>,
    /// The networks with undecided connections; the last gives way first.
    greed: BTreeSet<Greed>,
}

#[derive(Debug, Default)]
struct Network {
    connections: usize,
    /// By their numbers, the oldest first.
    undecided: BTreeMap<u64, Arc<Bell>>,
}

/// Rung when a connection has to give way.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Notify,
    /// What becomes of the connection is counted already.
    counted: AtomicBool,
}

/// How many are undecided, beyond a handful; then how long the first of them has been; then who.
type Greed = (usize, Reverse<u64>, IpAddr);

/// One connection of a network; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Crowd,
    network: IpAddr,
}

/// A connection that has not said where it wants to go; dropped once it has.
#[derive(Debug)]
pub(crate) struct Undecided {
    crowd: Crowd,
    network: IpAddr,
    number: u64,
    bell: Arc<Bell>,
}

impl Limits {
    /// A client has a handful undecided at once, so one network needs few; the others are to be had for those who hold connections.
    fn undecided_of_one(self) -> usize {
        (self.of_one / UNDECIDED_SHARE).max(1)
    }
}

impl Crowd {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, inside: Arc::default() }
    }

    /// Whether the network of `client` has as many as it may.
    pub(crate) fn is_full(&self, client: IpAddr) -> bool {
        self.lock().is_full(network_of(client), self.limits)
    }

    /// Lets one of `client` in, unless its network has as many as it may. Undecided ones may give way to it.
    pub(crate) fn admit(&self, client: IpAddr) -> Option<(Place, Undecided)> {
        self.admit_with(client, Arc::default())
    }

    /// The same for a connection that has a bell already, from another crowd.
    pub(crate) fn admit_with(&self, client: IpAddr, bell: Arc<Bell>) -> Option<(Place, Undecided)> {
        let network = network_of(client);
        let mut inside = self.lock();
        if inside.is_full(network, self.limits) {
            return None;
        }
        let undecided = inside.networks.get(&network).map_or(0, |of| of.undecided.len());
        if undecided >= self.limits.undecided_of_one() {
            inside.oldest_gives_way(network);
        }
        let number = inside.enter(network, Arc::clone(&bell));
        while inside.undecided > self.limits.undecided && inside.greediest_gives_way() {}
        drop(inside);
        let place = Place { crowd: self.clone(), network };
        Some((place, Undecided { crowd: self.clone(), network, number, bell }))
    }

    /// Has an undecided one give way, if there is any.
    pub(crate) fn make_room(&self) {
        self.lock().greediest_gives_way();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Each critical section leaves the maps whole.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn is_full(&self, network: IpAddr, limits: Limits) -> bool {
        let here = self.networks.get(&network).map_or(0, |of| of.connections);
        let site = site_of(network).and_then(|site| self.sites.get(&site)).copied().unwrap_or(0);
        here >= limits.of_one || site >= limits.of_one.saturating_mul(NETWORKS_OF_SITE)
    }

    fn enter(&mut self, network: IpAddr, bell: Arc<Bell>) -> u64 {
        self.last = self.last.wrapping_add(1);
        let number = self.last;
        self.change(network, |of| {
            of.connections = of.connections.saturating_add(1);
            of.undecided.insert(number, bell);
        });
        if let Some(site) = site_of(network) {
            let here = self.sites.entry(site).or_default();
            *here = here.saturating_add(1);
        }
        number
    }

    fn leave(&mut self, network: IpAddr) {
        self.change(network, |of| of.connections = of.connections.saturating_sub(1));
        let Some(site) = site_of(network) else { return };
        match self.sites.get_mut(&site) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(self.sites.remove(&site)),
        }
    }

    fn greediest_gives_way(&mut self) -> bool {
        let Some((_, _, network)) = self.greed.last().copied() else { return false };
        self.oldest_gives_way(network);
        true
    }

    fn oldest_gives_way(&mut self, network: IpAddr) {
        self.change(network, |of| {
            if let Some((_, oldest)) = of.undecided.pop_first() {
                oldest.rung.notify_one();
            }
        });
    }

    /// The one way in which a network's numbers change, so that `undecided` and `greed` follow.
    fn change(&mut self, network: IpAddr, change: impl FnOnce(&mut Network)) {
        let of = self.networks.entry(network).or_default();
        let before = of.undecided.len();
        if let Some(greed) = of.greed(network) {
            self.greed.remove(&greed);
        }
        change(of);
        self.greed.extend(of.greed(network));
        self.undecided = self.undecided.saturating_sub(before).saturating_add(of.undecided.len());
        if of.connections == 0 && of.undecided.is_empty() {
            self.networks.remove(&network);
        }
    }
}

impl Network {
    fn greed(&self, network: IpAddr) -> Option<Greed> {
        let excess = self.undecided.len().saturating_sub(HANDFUL);
        self.undecided.first_key_value().map(|(oldest, _)| (excess, Reverse(*oldest), network))
    }
}

impl Bell {
    /// Returns when the connection has to give way.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Says that it is counted what becomes of the connection; whether it was not before.
    pub(crate) fn count(&self) -> bool {
        !self.counted.swap(true, Ordering::Relaxed)
    }
}

impl Undecided {
    /// Rung when the connection has to give way.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.crowd.lock().change(self.network, |of| drop(of.undecided.remove(&self.number)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().leave(self.network);
    }
}

/// The site that an IPv6 network is of.
pub(crate) fn site_of(network: IpAddr) -> Option<Ipv6Addr> {
    match network {
        IpAddr::V6(network) => Some((network.to_bits() >> 80 << 80).into()),
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn crowd(undecided: usize, of_one: usize) -> Crowd {
        Crowd::new(Limits { undecided, of_one })
    }

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn gave_way(undecided: &Undecided) -> bool {
        undecided.bell.rung().now_or_never().is_some()
    }

    #[test]
    fn a_network_has_so_many_and_others_have_theirs() {
        let crowd = crowd(100, 8);
        let held: Vec<_> = (0..8).map(|_| crowd.admit(v4(1)).expect("room").0).collect();
        assert!(crowd.admit(v4(1)).is_none() && crowd.admit(v4(2)).is_some());
        drop(held);
        assert!(crowd.admit(v4(1)).is_some());
        let home = |host: u128| IpAddr::V6((0x2001_0db8_0001_0000_0000_0000_0000_0000_u128 + host).into());
        let _held: Vec<_> = (0..8).map(|host| crowd.admit(home(host << 64)).expect("room").0).collect();
        assert!(crowd.admit(home(255 << 64)).is_none(), "a /56 is one customer's");
        assert!(crowd.admit(home(256 << 64)).is_some());
    }

    #[test]
    fn a_site_has_as_many_as_a_few_networks() {
        let crowd = crowd(100, 2);
        let from = |network: u128| IpAddr::V6((0x2001_0db8_0001_0000_0000_0000_0000_0000_u128 + (network << 72)).into());
        let mut held: Vec<_> = (0..8).map(|network| crowd.admit(from(network)).expect("room").0).collect();
        assert!(crowd.is_full(from(9)) && crowd.admit(from(9)).is_none());
        assert!(!crowd.is_full(from(256)), "another site");
        drop(held.pop());
        assert!(crowd.admit(from(9)).is_some());
        drop(held);
        assert!(crowd.lock().sites.is_empty());
    }

    #[test]
    fn of_one_network_the_oldest_undecided_gives_way() {
        let crowd = crowd(100, 16);
        let inside: Vec<_> = (0..6).map(|_| crowd.admit(v4(1)).expect("room")).collect();
        let gone: Vec<_> = inside.iter().map(|(_, undecided)| gave_way(undecided)).collect();
        assert_eq!(gone, [true, true, false, false, false, false]);
    }

    #[test]
    fn of_all_the_greediest_networks_oldest_gives_way() {
        let crowd = crowd(40, 400);
        let alone = crowd.admit(v4(9)).expect("room");
        let greedy: Vec<_> = (0..39).map(|_| crowd.admit(v4(1)).expect("room")).collect();
        let many: Vec<_> = (10..33).map(|number| crowd.admit(v4(number)).expect("room")).collect();
        let gone: Vec<_> = greedy.iter().map(|(_, undecided)| gave_way(undecided)).collect();
        assert_eq!(gone, [[true; 23].as_slice(), &[false; 16]].concat(), "until it has a handful");
        assert!(!gave_way(&alone.1) && many.iter().all(|(_, undecided)| !gave_way(undecided)));
        let _newcomer = crowd.admit(v4(2)).expect("room");
        assert!(gave_way(&alone.1), "where none is greedy it is the oldest");
    }

    #[test]
    fn who_has_decided_stays_and_counts_for_its_network() {
        let crowd = crowd(2, 4);
        let (first, undecided) = crowd.admit(v4(1)).expect("room");
        drop(undecided);
        let _others: Vec<_> = (2..9).map(|number| crowd.admit(v4(number)).expect("room")).collect();
        assert_eq!(crowd.lock().networks[&v4(1)].connections, 1);
        drop(first);
        assert!(!crowd.lock().networks.contains_key(&v4(1)));
    }

    #[test]
    fn nothing_is_remembered_of_who_left() {
        let crowd = crowd(64, 16);
        let inside: Vec<_> = (0..10_000).map(|number| crowd.admit(v4(number / 3)).expect("room")).collect();
        assert_eq!(crowd.lock().undecided, 64);
        assert!(crowd.lock().greed.len() <= 64);
        crowd.make_room();
        assert_eq!(crowd.lock().undecided, 63);
        drop(inside);
        let inside = crowd.lock();
        assert!(inside.networks.is_empty() && inside.greed.is_empty() && inside.undecided == 0);
    }
}
