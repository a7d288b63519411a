//! TXT records by HE's parameter: an order's proof that a name is ours.
//!
//! Clients of HE send one value at a time and never take one away, and an order for a name and its wildcard needs two at once. So a value joins those
//! that came shortly before, and takes the place of older ones.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use fourward_core::name::HostName;

/// An order is proven within it, and the next comes weeks later.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Values that stand at once: an order's, and another's beside it.
const VALUES: usize = 4;

/// Hosts that are remembered; beyond, all that came before are older values.
const HOSTS: usize = 1024;

/// What came lately.
#[derive(Debug, Default)]
pub(super) struct Lately(HashMap<HostName, Vec<(String, Instant)>>);

impl Lately {
    /// All values that `host` is to have, where `said` comes at `now`: one joins the latest, several are all.
    pub(super) fn with(&self, host: &HostName, said: &[String], now: Instant) -> BTreeSet<String> {
        self.joined(host, said, now).into_iter().map(|(value, _)| value).collect()
    }

    /// Remembers what `host` has from now on: only what was accepted is joined by what comes next.
    pub(super) fn remember(&mut self, host: &HostName, said: &[String], now: Instant) {
        let values = self.joined(host, said, now);
        self.0.retain(|_, values| values.iter().any(|(_, at)| now.saturating_duration_since(*at) < LIFE));
        if self.0.len() >= HOSTS && !self.0.contains_key(host) {
            self.0.clear();
        }
        self.0.insert(host.clone(), values);
    }

    fn joined(&self, host: &HostName, said: &[String], now: Instant) -> Vec<(String, Instant)> {
        let mut values = self.0.get(host).cloned().unwrap_or_default();
        values.retain(|(value, at)| said.len() == 1 && now.saturating_duration_since(*at) < LIFE && !said.contains(value));
        values.extend(said.iter().map(|value| (value.clone(), now)));
        if said.len() == 1 {
            values.drain(..values.len().saturating_sub(VALUES));
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_joins_the_latest_and_several_are_all() {
        let host = |label: &str| HostName::new(label, "dyn.example.org".parse().expect("zone")).expect("host");
        let (mut lately, now) = (Lately::default(), Instant::now());
        let mut at = |label: &str, said: &[&str], second: u64| {
            let said: Vec<String> = said.iter().map(|value| (*value).to_owned()).collect();
            let at = now + Duration::from_secs(second);
            let refused = lately.with(&host(label), &["refused".to_owned()], at);
            let all = lately.with(&host(label), &said, at).into_iter().collect::<Vec<_>>().join(",");
            assert!(refused.contains("refused") && !all.contains("refused"), "what was not accepted is not there later");
            lately.remember(&host(label), &said, at);
            all
        };
        assert_eq!(at("a", &["x"], 0), "x");
        assert_eq!(at("a", &["y"], 60), "x,y", "a name and its wildcard");
        assert_eq!(at("a", &["x"], 61), "x,y", "a repetition");
        assert_eq!(at("b", &["z"], 62), "z", "another host's are its own");
        assert_eq!(at("a", &["z"], 3_660), "x,z", "what is old goes");
        assert_eq!(at("a", &["p", "q", "r"], 3_661), "p,q,r");
        assert_eq!(at("a", &["s"], 3_662), "p,q,r,s");
        assert_eq!(at("a", &["t"], 3_663), "q,r,s,t", "and no more than so many");
        assert_eq!(at("a", &[], 3_664), "");
    }
}
