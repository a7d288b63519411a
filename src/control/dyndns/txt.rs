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

/// Hosts that are remembered; beyond, all that came before count as new.
const HOSTS: usize = 1024;

/// What came lately.
#[derive(Debug, Default)]
pub(super) struct Lately {
    hosts: HashMap<HostName, Vec<(String, Instant)>>,
}

impl Lately {
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
        let known = self.hosts.get(host).map_or(&[][..], Vec::as_slice);
        // What came by another way, or before the server started, may belong to an order that is on its way.
        let others = has.iter().filter(|value| !known.iter().any(|(known, _)| known == *value)).map(|value| (value.clone(), now));
        let mut values: Vec<_> = others.chain(known.iter().filter(|(value, _)| has.contains(value)).cloned()).collect();
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
        let mut lately = Lately::default();
        let mut has: HashMap<String, BTreeSet<String>> = HashMap::new();
        let mut at = |label: &str, said: &str, second: u64| {
            let (said, at) = (values(said), start + Duration::from_secs(second));
            let has = has.entry(label.to_owned()).or_default();
            let refused = lately.with(&host(label), has, &values("refused"), at);
            let all = lately.with(&host(label), has, &said, at);
            assert!(refused.contains("refused") && !all.contains("refused"), "what was not accepted is not there later");
            lately.remember(&host(label), has, &said, at);
            has.clone_from(&all);
            all.into_iter().collect::<Vec<_>>().join(",")
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
    fn what_came_by_another_way_is_joined_for_as_long_and_what_went_stays_away() {
        let start = Instant::now();
        let mut lately = Lately::default();
        let mut at = |has: &str, said: &str, second: u64| {
            let (has, said, at) = (values(has).into_iter().collect(), values(said), start + Duration::from_secs(second));
            let all = lately.with(&host("a"), &has, &said, at);
            lately.remember(&host("a"), &has, &said, at);
            all.into_iter().collect::<Vec<_>>().join(",")
        };
        assert_eq!(at("x,y", "z", 100), "x,y,z", "from before the start");
        assert_eq!(at("x,y,z,v", "w", 1_000), "v,w,x,y,z", "by DNS, in between");
        assert_eq!(at("v,w,z", "u", 1_001), "u,v,w,z", "x and y were taken away by DNS");
        assert_eq!(at("u,v,w,z", "t", 3_700), "t,u,v,w");
    }
}
