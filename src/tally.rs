//! Counters with the names of a closed set, for metrics.
//!
//! Each is right by itself, and two read after one another may be a moment apart.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts by name.
#[derive(Debug)]
pub struct Tally<const N: usize> {
    names: &'static [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Tally<N> {
    /// Nothing counted yet under any of `names`.
    pub fn new(names: &'static [&'static str; N]) -> Self {
        Self { names, counts: [const { AtomicU64::new(0) }; N] }
    }

    /// Counts one of `name`; another name than the set's is not counted.
    pub fn note(&self, name: &str) {
        if let Some(at) = self.names.iter().position(|known| *known == name) {
            self.note_at(at);
        }
    }

    /// Counts one of the name in this place; beyond the set nothing is counted.
    pub fn note_at(&self, at: usize) {
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts now, in the order of the names.
    pub fn counts(&self) -> [(&'static str, u64); N] {
        std::array::from_fn(|at| {
            let count = self.counts.get(at).map_or(0, |count| count.load(Ordering::Relaxed));
            (self.names.get(at).copied().unwrap_or_default(), count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_count_and_strangers_have_none() {
        let tally = Tally::new(&["good", "bad"]);
        tally.note("bad");
        tally.note("bad");
        tally.note_at(0);
        tally.note("ugly");
        tally.note_at(2);
        assert_eq!(tally.counts(), [("good", 1), ("bad", 2)]);
    }
}
