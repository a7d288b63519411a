//! No secret in any output: the real server, agent and commands, fed with known secrets in right and wrong places, and all that they say
//! at their most verbose searched for each, plain and encoded.
//!
//! What is meant to show secrets (`host add`, `host token`) is searched too, and there they must be found: so the search can fail.
//! An answer to somebody who put a secret into `Host` or `myip` may repeat what that client just said, to that client alone.
//!
//! Needs root and Debian's packages curl, dnsutils, iproute2, pebble and util-linux. It fails, never skips, where they are missing.
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

mod authority;
mod damage;
mod search;
mod story;
