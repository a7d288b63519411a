//! How fast an agent may make its server work out of turn.
//!
//! A change of address is a write to disk and a new version of the zone, which all hosts share. A home moves a few times a day; an agent that
//! says so all the time is read more slowly, so that it harms its own host only. Echoes that change nothing are free.

use std::time::{Duration, Instant};

/// What each charge costs in the long run: two a second are borne for ever.
const COST: Duration = Duration::from_millis(500);

/// How much may be saved up: thirty moves at once, of two charges each, are a router gone mad, or a test.
const SAVINGS: Duration = Duration::from_secs(30);

/// The account of one link.
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
