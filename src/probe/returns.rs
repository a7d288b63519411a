//! What the gateway sent itself and meets again at its own door: something at home sends its connections back.
//!
//! A probe carries a token, in the name that it asks TLS for or in the path that it asks HTTP for. Whoever passes bytes on, or requests, passes the
//! token on with them. Who ends TLS and begins it anew does not; but he comes once more for each time that he is led home, and so again and again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fourward_core::name::{DnsName, HostName};

use crate::crypto::{self, KeyError};
use crate::listener::network_of;

/// Networks that are counted for one probe: who sends back is one of the first.
const NETWORKS: usize = 64;

/// The probes under way.
#[derive(Debug, Default)]
pub struct Returns {
    under_way: Mutex<HashMap<String, Met>>,
    /// As many: with none, and that is mostly, a connection costs no lock.
    count: AtomicUsize,
}

/// What was met of one probe.
#[derive(Debug)]
struct Met {
    host: DnsName,
    itself: bool,
    arrivals: HashMap<IpAddr, u32>,
}

/// One probe; dropped, it is forgotten.
#[derive(Debug)]
pub struct Watch {
    returns: Arc<Returns>,
    token: String,
}

impl Returns {
    /// A new probe of the home that is called `host`.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn watch(self: &Arc<Self>, host: &DnsName) -> Result<Watch, KeyError> {
        let token = crypto::random_text::<12>()?;
        let met = Met { host: host.clone(), itself: false, arrivals: HashMap::new() };
        let mut under_way = self.lock();
        under_way.insert(token.clone(), met);
        self.count.store(under_way.len(), Ordering::Relaxed);
        drop(under_way);
        Ok(Watch { returns: Arc::clone(self), token })
    }

    /// Whether `text`, a name or a path that somebody asks the gateway for, has a token in it; notes that.
    pub fn meets(&self, text: &str) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut under_way = self.lock();
        for part in text.split(['.', '/', '?']) {
            if let Some(met) = under_way.get_mut(part) {
                met.itself = true;
                return true;
            }
        }
        false
    }

    /// Notes that a client at `from` is led to `host`.
    pub fn arrives(&self, host: &HostName, from: IpAddr) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (dual, network) = (host.dual(), network_of(from));
        for met in self.lock().values_mut().filter(|met| met.host == dual) {
            if met.arrivals.len() < NETWORKS || met.arrivals.contains_key(&network) {
                let count = met.arrivals.entry(network).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Met>> {
        // Each critical section leaves it whole.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// What the probe carries.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether the gateway met the probe itself.
    pub fn came_back(&self) -> bool {
        self.returns.lock().get(&self.token).is_some_and(|met| met.itself)
    }

    /// How often one network came to be led to the home since then, the one that came most often.
    pub fn most_of_one(&self) -> u32 {
        self.returns.lock().get(&self.token).and_then(|met| met.arrivals.values().max().copied()).unwrap_or(0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut under_way = self.returns.lock();
        under_way.remove(&self.token);
        self.returns.count.store(under_way.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_met_as_long_as_it_is_watched_for() {
        let returns = Arc::new(Returns::default());
        let host = HostName::new("cloud", "dyn.example.org".parse().expect("a zone")).expect("a host");
        let watch = returns.watch(&host.dual()).expect("randomness");
        let (name, path) = (format!("{}.cloud.dyn.example.org", watch.token()), format!("/.well-known/{}", watch.token()));
        assert!(!returns.meets("cloud.dyn.example.org") && !watch.came_back());
        assert!(returns.meets(&path) && returns.meets(&name) && watch.came_back());

        let other = HostName::new("nas", "dyn.example.org".parse().expect("a zone")).expect("a host");
        for (host, from) in [(&host, "192.0.2.1"), (&host, "192.0.2.1"), (&host, "192.0.2.2"), (&other, "192.0.2.2"), (&other, "192.0.2.2")]
        {
            returns.arrives(host, from.parse().expect("an address"));
        }
        assert_eq!(watch.most_of_one(), 2);
        drop(watch);
        assert!(!returns.meets(&name) && returns.lock().is_empty());
    }
}
