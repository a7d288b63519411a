//! What the writer did, in numbers, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Seconds: a fast disk syncs within the first, one that is in trouble takes the last.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

/// Changes and commits since the start.
#[derive(Debug)]
pub struct Meter {
    committed: AtomicU64,
    refused: AtomicU64,
    took: Histogram,
}

impl Default for Meter {
    fn default() -> Self {
        Self { committed: AtomicU64::new(0), refused: AtomicU64::new(0), took: Histogram::new(SECONDS) }
    }
}

impl Meter {
    /// Changes that are on disk.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Changes that did not fit the state or the policy.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How long commits took until they were on disk; one has all the changes that waited.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    pub(super) fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_commit(&self, changes: usize, took: Duration) {
        self.committed.fetch_add(u64::try_from(changes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.took.observe(took.as_secs_f64());
    }
}
