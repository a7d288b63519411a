//! Faults under the real binary: killed under load, a disk that fails at any call, a disk that is full.
//!
//! What was acknowledged is never lost, what was not stored is never acknowledged, and a server that cannot store says so and ends.
//! Torn writes are replayed at the store's own seam, in `src/store/tests/replay.rs`.
//!
//! Needs root and Debian's packages iproute2, mount and strace. It fails, never skips, where they are missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy's own exemption covers only the #[test] functions"
)]

mod disk;
mod full;
mod joining;
mod keys;
mod kills;
mod server;
#[path = "../dyndns/signed.rs"]
mod signed;
