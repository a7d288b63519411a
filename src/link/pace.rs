//! How fast an agent may make its server work out of turn.
//!
//! A change of address is a write to disk and a new version of the zone, which all hosts share. A home moves a few times a day; an agent that
//! says so all the time is read more slowly, so that it harms its own host only. Echoes that change nothing are free.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fourward_core::name::HostName;

/// What each charge costs in the long run: two a second are borne for ever.
const COST: Duration = Duration::from_millis(500);

/// How much may be saved up: thirty moves at once, of two charges each, are a router gone mad, or a test.
const SAVINGS: Duration = Duration::from_secs(30);

/// The accounts of hosts that owe something and are not linked just now: an agent that comes again and again has one account.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<HostName, Pace>>);

impl Paces {
    /// The account of `host`, for its link.
    pub(super) fn take(&self, host: &HostName, now: Instant) -> Pace {
        self.accounts().remove(host).unwrap_or(Pace::new(now))
    }

    /// Keeps the account of `host`, whose link ends.
    pub(super) fn keep(&self, host: &HostName, pace: Pace, now: Instant) {
        let mut accounts = self.accounts();
        accounts.retain(|_, pace| pace.paid_until > now);
        // A newer link may have ended before this one did.
        let owed = accounts.entry(host.clone()).or_insert(pace);
        owed.paid_until = owed.paid_until.max(pace.paid_until);
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<HostName, Pace>> {
        // Each critical section leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Until then everything is paid for by what was saved.
    paid_until: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { paid_until: now }
    }

    /// Notes that the agent made us work.
    pub(super) fn charge(&mut self, now: Instant) {
        self.paid_until = self.paid_until.max(now) + COST;
    }

    /// When the agent is to be read again, if not at `now`.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        self.paid_until.checked_sub(SAVINGS).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_again_has_the_same_account() {
        let (paces, t0) = (Paces::default(), Instant::now());
        let host = HostName::new("cloud", "dyn.example.org".parse().expect("zone")).expect("host");
        for _ in 0..61 {
            let mut pace = paces.take(&host, t0);
            pace.charge(t0);
            paces.keep(&host, pace, t0);
        }
        assert_eq!(paces.take(&host, t0).pause(t0), Some(t0 + COST));
        assert_eq!(paces.take(&host, t0).pause(t0), None, "it is taken, not copied");
        paces.keep(&host, Pace::new(t0), t0);
        let other = HostName::new("nas", "dyn.example.org".parse().expect("zone")).expect("host");
        paces.keep(&other, Pace::new(t0), t0 + COST);
        assert_eq!(paces.accounts().len(), 1, "who owes nothing is forgotten");
    }

    #[test]
    fn a_burst_is_free_and_what_never_ends_is_slowed() {
        let t0 = Instant::now();
        let mut pace = Pace::new(t0);
        (0..60).for_each(|_| pace.charge(t0));
        assert_eq!(pace.pause(t0), None);
        pace.charge(t0);
        assert_eq!(pace.pause(t0), Some(t0 + COST));
        assert_eq!(pace.pause(t0 + COST), None);
        (0..100_u32).for_each(|n| pace.charge(t0 + Duration::from_secs(600) + COST * n));
        assert_eq!(pace.pause(t0 + Duration::from_secs(600) + COST * 100), None, "two a second");
    }
}
