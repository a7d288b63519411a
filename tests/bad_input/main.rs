//! Bad input against the real binary: what strangers send, what owners mistype, what a machine lacks.
//!
//! Each is answered by a clear error (the thing, the cause, the remedy, the right exit code) or a silent close; nothing is lost, and
//! nobody else is disturbed: while strangers are at it, `clients::Good` goes on fetching and asking, and afterwards the server holds
//! no more descriptors than before. `machines` has the two network namespaces and the roles in them.
//!
//! Needs root and Debian's packages bind9-dnsutils, curl, faketime, iproute2, perl-base and util-linux. It fails, never skips, where
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

mod clients;
mod configs;
mod garbage;
mod hello;
mod hosts;
mod join_strings;
mod no_ipv6;
mod permissions;
mod ports;
mod slow_hellos;
mod stores;
