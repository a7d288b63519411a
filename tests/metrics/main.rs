//! Metrics of the real binary: what is scraped, what moves it, and who may not hold it up. In network namespaces.
//!
//! What is scraped is read by the reference parser of OpenMetrics, Prometheus' own in Python, which refuses what is not to the letter.
//!
//! Needs root and Debian's packages bind9-dnsutils, curl, iproute2, python3-prometheus-client and util-linux. It fails, never skips, where
//! they are missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy's own exemption covers only the #[test] functions"
)]

#[path = "../machines/mod.rs"]
mod machines;
use machines::{clock, netns, outcome};

mod listener;
mod moving;
mod scrape;
