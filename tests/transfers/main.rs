//! Zones given to other name servers: nsd, knotd and named from Debian follow every change and are where we are, also after they were cut off;
//! and nobody has a zone who should not (Debian: bind9, bind9-dnsutils, knot, knot-dnsutils, nsd).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail by a panic")]

mod asking;
mod following;
mod primary;
mod secondaries;
mod telling;

use std::time::{Duration, Instant};

const ZONE: &str = "dyn.example.org";

/// What both sides sign with.
const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

/// The key of secondaries.
const KEY: &str = "to-second";

/// Servers start in a second and follow in less; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what another process does.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}
