//! Signed zones as those see them who verify: Debian's unbound, delv, ldns-verify-zone, dnssec-verify and dnsviz, against the real binary.
//!
//! Needs root and Debian's packages bind9-dnsutils, faketime, iproute2, nsd and unbound. It fails, never skips, where they are missing.
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

mod renewal;
mod rollover;
mod validity;
mod verifiers;
