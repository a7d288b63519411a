//! Updates by dyndns2 against the real binary: what routers and update clients send, from another machine, in network namespaces.
//!
//! Debian's own ddclient and inadyn run with the very settings that `host add` prints, and verify TLS; the requests of all other clients are in
//! `recorded`, byte by byte. `machines` has the two machines.
//!
//! Needs root and Debian's packages bind9-dnsutils, curl, ddclient, inadyn, iproute2, libio-socket-ssl-perl, openssl and util-linux. It
//! fails, never skips, where they are missing.
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

mod accounts;
mod clients;
mod dialect;
mod dialects;
mod matrix;
mod often;
mod raw;
mod recorded;
mod rig;
mod signed;
mod strangers;
