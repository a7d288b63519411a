//! What is wrong with what DNS says of hosts' upstreams: the gateway asks, status and examinations show it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fourward_core::name::HostName;

/// The troubles there are, by host.
#[derive(Debug, Default)]
pub struct Resolved(Mutex<HashMap<HostName, String>>);

impl Resolved {
    /// What is wrong with what DNS says of the upstream of `host`; `None` where all is well, or there is none.
    pub fn trouble(&self, host: &HostName) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// Notes it; whether it is another trouble than before.
    pub fn note(&self, host: &HostName, trouble: Option<String>) -> bool {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match trouble.clone() {
            Some(now) => troubles.insert(host.clone(), now),
            None => troubles.remove(host),
        };
        before != trouble
    }
}
