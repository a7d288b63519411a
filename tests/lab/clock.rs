//! Waiting with a deadline, and telling what was measured.
//!
//! Nothing in the lab sleeps for a fixed time and hopes: it asks again until the answer comes or the
//! deadline has passed.

use std::fmt::Display;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks: short against what is measured by looking, long against the cost of a look.
const PAUSE: Duration = Duration::from_millis(10);

/// Between two looks at what must not change.
const GLANCE: Duration = Duration::from_millis(200);

/// Asks until the answer is yes, or says no at the deadline.
pub(crate) fn try_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
}

/// Asks until the answer is yes and returns how long that took; fails at the deadline.
pub(crate) fn wait_for(what: &str, limit: Duration, condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    assert!(try_until(limit, condition), "not within {limit:?}: {what}");
    began.elapsed()
}

/// Like `wait_for`, for questions with an answer.
pub(crate) fn wait_for_some<T>(what: &str, limit: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let mut answer = None;
    wait_for(what, limit, || {
        answer = question();
        answer.is_some()
    });
    answer.expect("the wait ended with an answer")
}

/// Lets time go by that the test is about, a lease or a TTL, looking now and then whether all is as it must be.
pub(crate) fn throughout(end: Instant, mut look: impl FnMut()) {
    while Instant::now() < end {
        look();
        thread::sleep(GLANCE.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Prints a figure past the test runner's capture, so that a passing run shows it too.
pub(crate) fn figure(name: &str, value: impl Display) {
    let _ = writeln!(std::io::stderr(), "figure: {name}: {value}");
}

/// The middle and the worst of some times.
pub(crate) fn median_and_worst(times: &[Duration]) -> (Duration, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    (sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
