//! How many questions strangers may cause: so many from one network, so many from all.
//!
//! Two accounts that fill up by themselves: a page with a new domain costs one question in an hour, a flood of made-up names
//! empties its own network's account first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// From one network: twenty at once, then two a second. A provider's whole NAT may be behind one address.
const NETWORK: Account = Account { each: Duration::from_millis(500), burst: 20 };

/// From all: what any resolver answers without noticing.
const ALL: Account = Account { each: Duration::from_millis(20), burst: 200 };

/// With so many networks the full accounts are forgotten, which are as good as none. Those that are not cannot be more than [`ALL`]
/// has paid for while one of them fills: 200 + 50 × 10.
const NETWORKS: usize = 1_024;

struct Account {
    each: Duration,
    burst: u32,
}

/// The accounts, each as the moment at which it is full again.
#[derive(Debug, Default)]
pub(super) struct Budget {
    all: Option<Instant>,
    networks: HashMap<IpAddr, Instant>,
}

impl Account {
    /// When it is full again after one more, if it has one more.
    fn after(&self, full: Option<Instant>, now: Instant) -> Option<Instant> {
        let full = full.map_or(now, |full| full.max(now)) + self.each;
        (full.duration_since(now) <= self.each.saturating_mul(self.burst)).then_some(full)
    }
}

impl Budget {
    /// Takes one question for `network`, if both have one.
    pub(super) fn take(&mut self, network: IpAddr, now: Instant) -> bool {
        let (own, all) = (NETWORK.after(self.networks.get(&network).copied(), now), ALL.after(self.all, now));
        let (Some(own), Some(all)) = (own, all) else { return false };
        if self.networks.len() >= NETWORKS {
            self.networks.retain(|_, full| *full > now);
        }
        self.networks.insert(network, own);
        self.all = Some(all);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn taken(budget: &mut Budget, networks: impl Iterator<Item = u32>, now: Instant) -> usize {
        networks.filter(|n| budget.take(network(*n), now)).count()
    }

    #[test]
    fn a_network_empties_its_own_account() {
        let (mut budget, t0) = (Budget::default(), Instant::now());
        assert_eq!(taken(&mut budget, std::iter::repeat_n(1, 500), t0), 20);
        assert!(budget.take(network(2), t0), "another network has its own");
        assert!(!budget.take(network(1), t0 + Duration::from_millis(499)));
        assert!(budget.take(network(1), t0 + Duration::from_millis(500)));
        assert_eq!(taken(&mut budget, std::iter::repeat_n(1, 500), t0 + Duration::from_secs(3600)), 20, "no more than full");
    }

    #[test]
    fn all_networks_together_have_one_too_and_few_are_kept() {
        let (mut budget, t0) = (Budget::default(), Instant::now());
        assert_eq!(taken(&mut budget, 0..5_000, t0), 200);
        let mut count = 200;
        for second in 1..=60 {
            count += taken(&mut budget, (0..5_000).map(|n| second * 10_000 + n), t0 + Duration::from_secs(second.into()));
            assert!(budget.networks.len() <= NETWORKS, "{} networks", budget.networks.len());
        }
        assert_eq!(count, 200 + 60 * 50);
    }

    #[test]
    fn who_has_asked_too_much_costs_the_others_nothing() {
        let (mut budget, t0) = (Budget::default(), Instant::now());
        for tenth in 0..100 {
            taken(&mut budget, std::iter::repeat_n(1, 1_000), t0 + Duration::from_millis(tenth * 100));
            assert!(budget.take(network(2 + u32::try_from(tenth).expect("few")), t0 + Duration::from_millis(tenth * 100)));
        }
    }
}
