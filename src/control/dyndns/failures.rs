//! Wrong passwords, by the network that they came from.
//!
//! Bounded in number and time. What is right costs nothing, so that a burst of good updates passes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong passwords of a network in a [`WINDOW`]: a person mistypes a few, a router repeats its one every few minutes.
const LIMIT: u32 = 10;

/// From the first wrong password on; then all is forgotten.
const WINDOW: Duration = Duration::from_secs(60);

/// Networks that are remembered; beyond, the oldest is forgotten. A password is 128 random bits: guessing is hopeless even so.
const NETWORKS: usize = 4096;

/// Who gave wrong passwords lately.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, Failed>);

#[derive(Clone, Copy, Debug)]
struct Failed {
    since: Instant,
    times: u32,
}

impl Failures {
    /// Whether `network` gave too many at `now`.
    pub(super) fn bar(&mut self, network: IpAddr, now: Instant) -> bool {
        let Some(failed) = self.0.get(&network) else { return false };
        if now.saturating_duration_since(failed.since) >= WINDOW {
            self.0.remove(&network);
            return false;
        }
        failed.times >= LIMIT
    }

    /// Counts one of `network`.
    pub(super) fn note(&mut self, network: IpAddr, now: Instant) {
        if self.0.len() >= NETWORKS && !self.0.contains_key(&network) {
            self.0.retain(|_, failed| now.saturating_duration_since(failed.since) < WINDOW);
            let oldest = self.0.iter().min_by_key(|(_, failed)| failed.since).map(|(network, _)| *network);
            if let Some(oldest) = oldest.filter(|_| self.0.len() >= NETWORKS) {
                self.0.remove(&oldest);
            }
        }
        let failed = self.0.entry(network).or_insert(Failed { since: now, times: 0 });
        failed.times = failed.times.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_network_is_barred_for_the_rest_of_the_minute_and_alone() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for second in 0..10 {
            assert!(!failures.bar(network(1), now + Duration::from_secs(second)));
            failures.note(network(1), now + Duration::from_secs(second));
        }
        assert!(failures.bar(network(1), now + Duration::from_secs(59)));
        assert!(!failures.bar(network(2), now + Duration::from_secs(59)));
        assert!(!failures.bar(network(1), now + WINDOW), "it may try again");
    }

    #[test]
    fn a_crowd_costs_no_more_than_its_bound() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for number in 0..10_000 {
            failures.note(network(number), now + Duration::from_micros(number.into()));
        }
        assert_eq!(failures.0.len(), NETWORKS);
        assert!(failures.0.contains_key(&network(9_999)) && !failures.0.contains_key(&network(0)));
        failures.note(network(1), now + WINDOW * 2);
        assert_eq!(failures.0.len(), 1, "what is over is forgotten first");
    }
}
