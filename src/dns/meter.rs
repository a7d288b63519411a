//! What secondaries had and were told, in numbers, for metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::tally::Tally;

/// What was given, by what it was.
const KINDS: [&str; 3] = ["whole", "steps", "current"];

/// What a transfer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Steps,
    Current,
}

/// Counts of transfers, and of each secondary.
#[derive(Debug)]
pub struct Meter {
    given: Tally<{ KINDS.len() }>,
    broken: AtomicU64,
    bytes: AtomicU64,
    secondaries: Box<[Told]>,
}

/// What one secondary was told.
#[derive(Debug, Default)]
pub struct Told {
    answered: AtomicU64,
    unanswered: AtomicU64,
    silent: AtomicBool,
}

impl Meter {
    pub(super) fn new(secondaries: usize) -> Self {
        let secondaries = (0..secondaries).map(|_| Told::default()).collect();
        Self { given: Tally::new(&KINDS), broken: AtomicU64::new(0), bytes: AtomicU64::new(0), secondaries }
    }

    pub(super) fn transferred(&self, kind: Kind, bytes: u64, whole: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if whole {
            self.given.note_at(kind as usize);
        } else {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Transfers that came to their end, by what they were.
    pub fn given(&self) -> [(&'static str, u64); KINDS.len()] {
        self.given.counts()
    }

    /// Transfers that did not.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Each secondary, in the order of the configuration.
    pub fn secondaries(&self) -> impl Iterator<Item = &Told> {
        self.secondaries.iter()
    }

    pub(super) fn secondary(&self, at: usize) -> Option<&Told> {
        self.secondaries.get(at)
    }
}

impl Told {
    /// Messages that it answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Messages that it did not answer.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Whether it has not answered for a while.
    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, answered: bool) {
        let counter = if answered { &self.answered } else { &self.unanswered };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes whether it is silent; whether that is news.
    pub(super) fn set_silent(&self, silent: bool) -> bool {
        self.silent.swap(silent, Ordering::Relaxed) != silent
    }
}
