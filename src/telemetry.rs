//! Logs: to standard error, values plus a fixed sentence.
//!
//! `FOURWARD_LOG` sets the level (`debug`, or `fourward::link=trace`, …). Under systemd the journal has its own clock, so lines have
//! none. Secrets never get here: their types do not print.

use std::env;

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
