//! Values of TXT records that come one by one: an order's proof that a name is ours.
//!
//! Clients of HE and of acme-dns send one value at a time and rarely take one away, and an order for a name, its wildcard and its aliases needs
//! several at once. So a value joins those that came shortly before, and takes the place of older ones.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use fourward_core::name::HostName;

/// An order is proven within it, and the next comes weeks later.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Values that stand at once: a name and its wildcard, the same of an alias, and another client's order beside it.
const VALUES: usize = 8;

/// Hosts that are remembered; beyond, all that came before are older values.
const HOSTS: usize = 1024;

/// What came lately.
#[derive(Debug)]
pub(super) struct Lately {
    since: Instant,
    hosts: HashMap<HostName, Vec<(String, Instant)>>,
}

impl Lately {
    /// Nothing has come since `now`, when the server started: what a host has by then may belong to an order that is on its way.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, hosts: HashMap::new() }
    }

    /// All values that `host` is to have, which `has` these, where `said` comes at `now`: one joins the latest, several are all.
    pub(super) fn with(&self, host: &HostName, has: &BTreeSet<String>, said: &[String], now: Instant) -> BTreeSet<String> {
        self.joined(host, has, said, now).into_iter().map(|(value, _)| value).collect()
    }

    /// Remembers what `host` has from now on: only what was accepted is joined by what comes next.
    pub(super) fn remember(&mut self, host: &HostName, has: &BTreeSet<String>, said: &[String], now: Instant) {
        let values = self.joined(host, has, said, now);
        self.hosts.retain(|_, values| values.iter().any(|(_, at)| is_fresh(*at, now)));
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(host) {
            self.hosts.clear();
        }
        self.hosts.insert(host.clone(), values);
    }

    fn joined(&self, host: &HostName, has: &BTreeSet<String>, said: &[String], now: Instant) -> Vec<(String, Instant)> {
        let before = || has.iter().map(|value| (value.clone(), self.since)).collect();
        let mut values = self.hosts.get(host).cloned().unwrap_or_else(before);
        values.retain(|(value, at)| said.len() == 1 && is_fresh(*at, now) && !said.contains(value));
        values.extend(said.iter().map(|value| (value.clone(), now)));
        if said.len() == 1 {
            values.drain(..values.len().saturating_sub(VALUES));
        }
        values
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < LIFE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(label: &str) -> HostName {
        HostName::new(label, "dyn.example.org".parse().expect("zone")).expect("host")
    }

    fn values(text: &str) -> Vec<String> {
        text.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn one_joins_the_latest_and_several_are_all() {
        let start = Instant::now();
        let (mut lately, nothing) = (Lately::new(start), BTreeSet::new());
        let mut at = |label: &str, said: &str, second: u64| {
            let (said, at) = (values(said), start + Duration::from_secs(second));
            let refused = lately.with(&host(label), &nothing, &values("refused"), at);
            let all = lately.with(&host(label), &nothing, &said, at).into_iter().collect::<Vec<_>>().join(",");
            assert!(refused.contains("refused") && !all.contains("refused"), "what was not accepted is not there later");
            lately.remember(&host(label), &nothing, &said, at);
            all
        };
        assert_eq!(at("a", "x", 0), "x");
        assert_eq!(at("a", "y", 60), "x,y", "a name and its wildcard");
        assert_eq!(at("a", "x", 61), "x,y", "a repetition");
        assert_eq!(at("b", "z", 62), "z", "another host's are its own");
        assert_eq!(at("a", "z", 3_660), "x,z", "what is old goes");
        assert_eq!(at("a", "j,k,l,m,n,o,p", 3_661), "j,k,l,m,n,o,p");
        assert_eq!(at("a", "q", 3_662), "j,k,l,m,n,o,p,q");
        assert_eq!(at("a", "r", 3_663), "k,l,m,n,o,p,q,r", "and no more than so many");
        assert_eq!(at("a", "", 3_664), "");
    }

    #[test]
    fn what_a_host_had_when_the_server_started_is_joined_for_as_long() {
        let start = Instant::now();
        let (mut lately, had) = (Lately::new(start), values("x,y").into_iter().collect());
        let with = |lately: &Lately, second: u64| lately.with(&host("a"), &had, &values("z"), start + Duration::from_secs(second));
        assert_eq!(with(&lately, 3_599), values("x,y,z").into_iter().collect());
        assert_eq!(with(&lately, 3_600), values("z").into_iter().collect());
        lately.remember(&host("a"), &had, &values("w"), start + Duration::from_secs(3_600));
        assert_eq!(with(&lately, 3_601), values("w,z").into_iter().collect());
    }
}
