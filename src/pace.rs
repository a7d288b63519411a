//! How often hosts may change by updates, each for itself, in whatever way they come, and all of a network together.
//!
//! Only what would be written counts: a repetition is free, at any rate. A burst passes, such as both families and a few hosts of a router that
//! has just dialled in; what goes on for minutes does not.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fourward_core::name::HostName;

/// A home moves a few times a day; a router that has lost its mind does so all the time.
const HOST: Rate = Rate { burst: 30, each: Duration::from_secs(2) };

/// A village behind one address (carrier-grade NAT) whose provider gives all of it new prefixes at four in the morning.
const NETWORK: Rate = Rate { burst: 1024, each: Duration::from_millis(30) };

/// Remembered at once, of each kind; beyond, who has most of a burst left is forgotten first.
const KNOWN: usize = 4096;

/// So many at once, and then one each so often.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    each: Duration,
}

/// Who changed something lately, for all ways together.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Limits>);

/// The measures of hosts and networks.
#[derive(Debug)]
struct Limits {
    hosts: Buckets<HostName>,
    networks: Buckets<IpAddr>,
}

#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    /// Until when one has nothing left to pay for.
    paid: HashMap<K, Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hosts: Buckets::new(HOST), networks: Buckets::new(NETWORK) }
    }
}

impl Pace {
    /// Counts a change of `host` at `now`, and for its `network` where one is given.
    ///
    /// # Errors
    /// It is one too many, and counts for nothing: how long to wait.
    pub fn admit(&self, host: &HostName, network: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(host, network, now)
    }
}

impl Limits {
    fn admit(&mut self, host: &HostName, network: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let of_network = network.map_or(Duration::ZERO, |network| self.networks.wait(&network, now));
        let wait = self.hosts.wait(host, now).max(of_network);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.hosts.take(host.clone(), now);
        if let Some(network) = network {
            self.networks.take(network, now);
        }
        Ok(())
    }
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, paid: HashMap::new() }
    }

    /// How long until `key` may take one.
    fn wait(&self, key: &K, now: Instant) -> Duration {
        let owed = self.paid.get(key).map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        owed.saturating_sub(self.rate.each * (self.rate.burst - 1))
    }

    fn take(&mut self, key: K, now: Instant) {
        if self.paid.len() >= KNOWN && !self.paid.contains_key(&key) {
            self.paid.retain(|_, paid| *paid > now);
            let least = self.paid.iter().min_by_key(|(_, paid)| **paid).map(|(key, _)| key.clone());
            if let Some(least) = least.filter(|_| self.paid.len() >= KNOWN) {
                self.paid.remove(&least);
            }
        }
        let paid = self.paid.entry(key).or_insert(now);
        *paid = (*paid).max(now) + self.rate.each;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(label: &str) -> HostName {
        HostName::new(label, "dyn.example.org".parse().expect("zone")).expect("host")
    }

    fn network(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    #[test]
    fn a_burst_passes_and_what_goes_on_is_told_how_long_to_wait() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for _ in 0..HOST.burst {
            assert_eq!(limits.admit(&host("a"), network(1), now), Ok(()));
        }
        assert_eq!(limits.admit(&host("a"), network(1), now), Err(HOST.each));
        assert_eq!(limits.admit(&host("a"), network(2), now), Err(HOST.each), "wherever it comes from");
        assert_eq!(limits.admit(&host("b"), network(1), now), Ok(()), "another host has a burst of its own");
        assert_eq!(limits.admit(&host("a"), network(1), now + Duration::from_millis(500)), Err(Duration::from_millis(1500)));
        assert_eq!(limits.admit(&host("a"), network(1), now + HOST.each), Ok(()));
        assert_eq!(limits.admit(&host("a"), network(1), now + HOST.each), Err(HOST.each), "one at a time");
        let later = now + HOST.each * (HOST.burst + 2);
        for _ in 0..HOST.burst {
            assert_eq!(limits.admit(&host("a"), network(1), later), Ok(()), "a rest brings the burst back");
        }
    }

    #[test]
    fn a_network_has_one_measure_for_all_of_its_hosts() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for number in 0..NETWORK.burst {
            assert_eq!(limits.admit(&host(&format!("h{number}")), network(1), now), Ok(()));
        }
        assert_eq!(limits.admit(&host("one-more"), network(1), now), Err(NETWORK.each));
        assert_eq!(limits.admit(&host("one-more"), network(2), now), Ok(()));
    }

    #[test]
    fn a_crowd_costs_no_more_than_its_bound_and_the_busiest_are_remembered() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for _ in 0..HOST.burst {
            assert_eq!(limits.admit(&host("busy"), network(0), now), Ok(()));
        }
        for number in 0..10_000 {
            assert_eq!(limits.admit(&host(&format!("h{number}")), network(number), now), Ok(()));
        }
        assert_eq!((limits.hosts.paid.len(), limits.networks.paid.len()), (KNOWN, KNOWN));
        assert_eq!(limits.admit(&host("busy"), network(0), now), Err(HOST.each));
    }
}
