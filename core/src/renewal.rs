//! When a certificate is ordered: a third of its life before its end, or when the authority says; and not in a hurry after a failure.
//!
//! Authorities count what fails and what is ordered again and again, so a defect of ours or of the owner's DNS must not become a loop. What
//! is jittered is so by entropy that is given: the same question has the same answer. How one orders is not here.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The first wait after an authority said no. Let's Encrypt permits five failed validations an hour for a name.
const FIRST_REFUSED: SignedDuration = SignedDuration::from_mins(5);

/// The longest: once a day is often enough for what nobody repairs.
const LAST_REFUSED: SignedDuration = SignedDuration::from_hours(24);

/// The first wait after the authority was not reached, which costs it nothing: at boot, the network may come a moment later.
const FIRST_UNREACHED: SignedDuration = SignedDuration::from_secs(15);

/// The longest of those.
const LAST_UNREACHED: SignedDuration = SignedDuration::from_hours(1);

/// The least wait where the authority counts: its word is "too many", and it did not say until when.
const RATE_LIMITED: SignedDuration = SignedDuration::from_hours(1);

/// The longest wait that an authority may ask for: beyond that its clock or ours is wrong.
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// After a start the wait counts from the failure and is at most this: whoever repaired the cause may restart, and no
/// loop of restarts outruns the authority's limit, of which one try comes back in 12 minutes.
const AFTER_RESTART: SignedDuration = SignedDuration::from_mins(15);

/// The least time between a certificate and the next, where its life is long: no word of the authority makes a loop.
const LEAST_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// From when until when: of a certificate, that it is good; of renewal information (RFC 9773 §4.2), that it be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub until: Timestamp,
}

impl Span {
    fn length(self) -> SignedDuration {
        self.until.duration_since(self.from).max(SignedDuration::ZERO)
    }

    /// The moment after `share` of `whole` parts of it.
    fn at(self, share: i32, whole: i32) -> Timestamp {
        // Divided first: the longest span times a share does not fit.
        later(self.from, self.length() / whole * share)
    }
}

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The authority was not reached; it knows nothing of the try.
    Unreached,
    /// It said no, or something went wrong under way.
    Refused,
    /// It said "too many".
    RateLimited,
}

/// What is remembered of tries that failed in a row, also by the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setback {
    /// How many that the authority knows of.
    pub refused: u32,
    /// How many since then that did not reach it: its limits are not touched by those.
    pub unreached: u32,
    /// When the last one was.
    pub at: Timestamp,
    /// When to try again.
    pub next: Timestamp,
    /// Whether the authority named that time.
    pub asked: bool,
}

impl Setback {
    /// The setback after a `failure` at `now`, with those `before`; `asked` is how long the authority asks to wait.
    #[must_use]
    pub fn after(before: Option<Self>, failure: Failure, asked: Option<SignedDuration>, now: Timestamp, entropy: u32) -> Self {
        let (refused, unreached) = before.map_or((0, 0), |before| (before.refused, before.unreached));
        let (refused, unreached) = match failure {
            Failure::Unreached => (refused, unreached.saturating_add(1)),
            Failure::Refused | Failure::RateLimited => (refused.saturating_add(1), 0),
        };
        let (first, last, count) = match failure {
            Failure::Unreached => (FIRST_UNREACHED, LAST_UNREACHED, unreached),
            Failure::Refused => (FIRST_REFUSED, LAST_REFUSED, refused),
            Failure::RateLimited => (RATE_LIMITED, LAST_REFUSED, refused),
        };
        let doubled = (1..count.min(16)).fold(first, |wait, _| (wait * 2).min(last));
        // Up to a quarter more: those who failed together do not come back together.
        let wait = doubled + part(doubled / 4, entropy);
        match asked.map(|asked| asked.min(LONGEST_ASKED)).filter(|asked| *asked > wait) {
            Some(asked) => Self { refused, unreached, at: now, next: later(now, asked), asked: true },
            None => Self { refused, unreached, at: now, next: later(now, wait), asked: false },
        }
    }

    /// When to try again, seen by the process that failed.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Timestamp {
        // The clock was set back since: waiting until it is there again could take years.
        let wait = self.next.duration_since(self.at);
        if now < self.at { later(now, wait) } else { self.next }
    }

    /// When to try again, seen by a process that starts at `now`.
    #[must_use]
    pub fn next_after_restart(&self, now: Timestamp) -> Timestamp {
        let next = self.next(now);
        if self.asked { next } else { next.min(later(self.at.min(now), AFTER_RESTART)) }
    }
}

/// When to renew a certificate that is `good` and came at `came`; `window` is when the authority wishes it.
#[must_use]
pub fn renewal(good: Span, came: Timestamp, window: Option<Span>, entropy: u32) -> Timestamp {
    let wished = match window.filter(|window| window.from <= window.until && window.until < good.until) {
        Some(window) => later(window.from, part(window.length(), entropy)),
        // Within a thirtieth before two thirds: of 90 days, the three before day 60.
        None => earlier(good.at(2, 3), part(good.length() / 30, entropy)),
    };
    let least = (good.length() / 3).min(LEAST_LIFE);
    wished.max(later(came.max(good.from), least))
}

/// A part of `whole`, as `entropy` has it.
fn part(whole: SignedDuration, entropy: u32) -> SignedDuration {
    SignedDuration::from_secs_f64(whole.as_secs_f64() * (f64::from(entropy) / f64::from(u32::MAX)))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn earlier(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);
    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn now() -> Timestamp {
        at("2026-01-01T00:00:00Z")
    }

    fn span(from: Timestamp, length: SignedDuration) -> Span {
        Span { from, until: from + length }
    }

    fn refused(times: u32, entropy: u32) -> Setback {
        let failed = |before: Option<Setback>| Setback::after(before, Failure::Refused, None, now(), entropy);
        (1..times).fold(failed(None), |before, _| failed(Some(before)))
    }

    #[test]
    fn a_certificate_is_renewed_before_two_thirds_of_its_life() {
        let good = span(now(), DAY * 90);
        assert_eq!(renewal(good, now(), None, 0), now() + DAY * 60);
        assert_eq!(renewal(good, now(), None, u32::MAX), now() + DAY * 57);
        let short = span(now(), DAY * 6);
        assert!(renewal(short, now(), None, 0) == now() + DAY * 4 && renewal(short, now(), None, u32::MAX) > now() + DAY * 3);
    }

    #[test]
    fn the_same_entropy_has_the_same_answer() {
        let good = span(now(), DAY * 90);
        let answer = renewal(good, now(), None, 77_777_777);
        assert_eq!(answer, renewal(good, now(), None, 77_777_777));
        assert_ne!(answer, renewal(good, now(), None, 3_777_777_777));
    }

    #[test]
    fn the_authority_s_window_wins_and_is_used_evenly() {
        let (good, window) = (span(now(), DAY * 90), span(now() + DAY * 70, DAY * 2));
        assert_eq!(renewal(good, now(), Some(window), 0), window.from);
        assert_eq!(renewal(good, now(), Some(window), u32::MAX), window.until);
        let backwards = Span { from: window.until, until: window.from };
        assert_eq!(renewal(good, now(), Some(backwards), 0), now() + DAY * 60, "a window that makes no sense is none");
    }

    #[test]
    fn a_window_in_the_past_means_soon_and_makes_no_loop() {
        let past = span(now() - DAY * 30, DAY);
        assert_eq!(renewal(span(now(), DAY * 90), now(), Some(past), 0), now() + DAY);
        assert_eq!(renewal(span(now(), DAY * 90), now() - DAY * 9, Some(past), 0), now() + DAY, "it came when it became good");
        assert_eq!(renewal(span(now() - DAY * 9, DAY * 90), now() - DAY * 9, Some(past), 0), now() - DAY * 8, "long due");
        assert_eq!(renewal(span(now(), MINUTE * 3), now(), Some(past), 0), now() + MINUTE, "of a short life, a third");
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_a_day() {
        let waits: Vec<_> = (1..=12).map(|times| refused(times, 0).next.duration_since(now()).as_mins()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
        assert_eq!(refused(1, u32::MAX).next, now() + FIRST_REFUSED + FIRST_REFUSED / 4);
        assert_eq!(refused(4_000, 0).next, now() + LAST_REFUSED);
    }

    #[test]
    fn no_hour_has_more_failures_than_let_s_encrypt_permits() {
        let mut tries = vec![now()];
        let mut setback = None;
        while let Some(last) = tries.last().copied().filter(|last| *last < now() + DAY) {
            let next = Setback::after(setback, Failure::Refused, None, last, 0);
            tries.push(next.next);
            setback = Some(next);
        }
        assert!(tries.windows(6).all(|six| six[5].duration_since(six[0]) > SignedDuration::from_hours(1)), "{tries:?}");
    }

    #[test]
    fn who_is_not_reached_is_asked_again_soon() {
        let setback = Setback::after(None, Failure::Unreached, None, now(), 0);
        assert_eq!(setback.next, now() + FIRST_UNREACHED);
        let many = (0..40).fold(setback, |before, _| Setback::after(Some(before), Failure::Unreached, None, now(), 0));
        assert_eq!(many.next, now() + LAST_UNREACHED);
    }

    #[test]
    fn a_long_silence_is_not_held_against_the_first_refusal() {
        let fail = |before, failure| Some(Setback::after(before, failure, None, now(), 0));
        let silent = (0..40).fold(None, |before, _| fail(before, Failure::Unreached));
        let refused = fail(silent, Failure::Refused);
        assert_eq!(refused.map(|setback| setback.next), Some(now() + FIRST_REFUSED));
        let again = fail(fail(refused, Failure::Unreached), Failure::Refused);
        assert_eq!(again.map(|setback| setback.next), Some(now() + FIRST_REFUSED * 2), "nor is a silence a fresh start");
    }

    #[test]
    fn the_authority_s_word_on_when_to_come_back_is_kept() {
        let asked = |wait| Setback::after(None, Failure::RateLimited, Some(wait), now(), 0);
        assert_eq!(asked(DAY * 2).next, now() + DAY * 2);
        assert_eq!(asked(DAY * 2).next_after_restart(now() + MINUTE), now() + DAY * 2, "also after a restart");
        assert_eq!(asked(MINUTE).next, now() + RATE_LIMITED, "a shorter one is no reason to hurry");
        assert_eq!(asked(DAY * 9_999).next, now() + DAY * 7);
        assert_eq!(Setback::after(None, Failure::RateLimited, None, now(), 0).next, now() + RATE_LIMITED);
    }

    #[test]
    fn a_restart_may_shorten_the_wait_but_is_no_way_around_it() {
        let setback = refused(9, 0);
        assert_eq!(setback.next(now()), now() + SignedDuration::from_mins(1280));
        assert_eq!(setback.next_after_restart(now() + MINUTE), now() + AFTER_RESTART);
        assert_eq!(setback.next_after_restart(now() + DAY * 3), now() + AFTER_RESTART, "long over");
        assert_eq!(refused(1, 0).next_after_restart(now()), now() + FIRST_REFUSED);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_for_years() {
        let setback = refused(3, 0);
        let before = now() - DAY * 3_650;
        assert_eq!(setback.next(before), before + SignedDuration::from_mins(20));
        assert_eq!(setback.next_after_restart(before), before + AFTER_RESTART);
    }

    #[test]
    fn no_date_is_too_far() {
        let forever = Span { from: Timestamp::MIN, until: Timestamp::MAX };
        for entropy in [0, 1, u32::MAX] {
            let _ = renewal(forever, Timestamp::MAX, Some(forever), entropy);
            let _ = renewal(forever, Timestamp::MIN, None, entropy);
            let _ = Setback::after(None, Failure::Refused, Some(SignedDuration::MAX), Timestamp::MAX, entropy);
        }
    }
}
