//! Updates by dyndns2 against the real binary: what routers and update clients send, from another machine, in network namespaces.
//!
//! Debian's own ddclient and inadyn run with the very settings that `host add` prints, and verify TLS. `machines` has the two machines.
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

#[allow(dead_code, reason = "shared with the lab, which needs more of it")]
#[path = "../lab/clock.rs"]
mod clock;
#[allow(dead_code, reason = "shared with the lab, which needs more of it")]
#[path = "../lab/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of bad input, which need more of it")]
#[path = "../bad_input/machines.rs"]
mod machines;
#[allow(dead_code, reason = "shared with the lab, which needs more of it")]
#[path = "../lab/netns.rs"]
mod netns;
#[allow(dead_code, reason = "shared with the tests of bad input, which need more of it")]
#[path = "../bad_input/outcome.rs"]
mod outcome;
mod rig;

mod clients;
mod dialect;
mod strangers;
