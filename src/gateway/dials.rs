//! What dials to homes came to, in numbers, for metrics.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::dial::DialError;
use crate::tally::Tally;

/// Why dials fail, by the names that metrics have for it.
const FAILURES: [&str; 9] = ["no-address", "no-link", "not-offered", "not-admitted", "forbidden", "refused", "local", "late", "restless"];

/// Seconds: a home on the same continent is within the first few, a SYN sent anew within the last.
const SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Dials since the start.
#[derive(Debug)]
pub struct Dials {
    took: Histogram,
    failed: Tally<{ FAILURES.len() }>,
}

impl Default for Dials {
    fn default() -> Self {
        Self { took: Histogram::new(SECONDS), failed: Tally::new(&FAILURES) }
    }
}

impl Dials {
    /// How long those took that found the home.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    /// How many failed, and why.
    pub fn failed(&self) -> [(&'static str, u64); FAILURES.len()] {
        self.failed.counts()
    }

    /// Notes how a dial ended that took so long.
    pub(super) fn note<T>(&self, ended: &Result<T, DialError>, took: Duration) {
        let Err(error) = ended else { return self.took.observe(took.as_secs_f64()) };
        self.failed.note(match error {
            DialError::NoAddress(_) => "no-address",
            DialError::NoLink(_) => "no-link",
            DialError::NotOffered { .. } => "not-offered",
            DialError::NotAdmitted(_) => "not-admitted",
            DialError::Forbidden(_) => "forbidden",
            DialError::Connect { .. } => "refused",
            DialError::Local { .. } => "local",
            DialError::Late(_) => "late",
            DialError::Restless(_) => "restless",
        });
    }
}
