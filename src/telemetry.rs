//! Logs: to standard error, values plus a fixed sentence.
//!
//! `FOURWARD_LOG` sets the level (`debug`, or `fourward::link=trace`, …). Under systemd the journal has its own clock, so lines have
//! none. Secrets never get here: their types do not print.

use std::env;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts logging. Later calls do nothing, so that tests may all call it.
pub fn start() {
    let filter = EnvFilter::try_from_env("FOURWARD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(false);
    let _ = if env::var_os("JOURNAL_STREAM").is_some() { lines.without_time().try_init() } else { lines.try_init() };
}
