//! Logs: to standard error, values plus a fixed sentence.
//!
//! `FOURWARD_LOG` sets the level (`debug`, or `fourward::link=trace`, …). Under systemd the journal has its own clock, so lines have
//! none. Secrets never get here: their types do not print.

use std::env;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. Later calls do nothing, so that tests may all call it.
pub fn start() {
    let wanted = env::var("FOURWARD_LOG").ok().map(|wanted| wanted.parse::<Targets>());
    let misspelt = matches!(wanted, Some(Err(_)));
    let filter = wanted.and_then(Result::ok).unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    let _ = if env::var_os("JOURNAL_STREAM").is_some() {
        tracing_subscriber::registry().with(filter).with(lines.without_time()).try_init()
    } else {
        tracing_subscriber::registry().with(filter).with(lines).try_init()
    };
    if misspelt {
        tracing::warn!("FOURWARD_LOG is no filter; write a level, like debug, or target=level, like fourward::link=trace");
    }
}

/// A line of the log that would come too often: whether it may, once in a while.
#[derive(Debug)]
pub(crate) struct Seldom {
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    /// One that may come again after this.
    pub(crate) const fn every(every: Duration) -> Self {
        Self { every, last: Mutex::new(None) }
    }

    /// Whether it may be written at `now`; if so, it was.
    pub(crate) fn may(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_seldom_is_said_at_first_and_then_once_in_a_while() {
        let (seldom, now, minute) = (Seldom::every(Duration::from_secs(60)), Instant::now(), Duration::from_secs(60));
        let said = [now, now, now + minute / 2, now + minute, now + minute, now + minute * 3].map(|at| seldom.may(at));
        assert_eq!(said, [true, false, false, true, false, true]);
    }
}
