//! Messages that were accepted before, so that nobody who overheard one can have it done again.
//!
//! Of each key the time of the newest is kept: what is older is refused (RFC 8945 §5.2.3), and of that second each MAC, with what was answered,
//! for a client whose answer was lost sends the same bytes again. Kept in memory: on disk it would be a write for each update, also for those
//! that change nothing. So a server that starts takes nothing that was signed before its start; what a client whose clock is ahead had signed
//! before can come again for as long as that clock is ahead, and no longer than the fudge.

use std::collections::HashMap;

use super::FUDGE;
use crate::name::DnsName;

/// More messages of one key within one second are held back: they are not refused, and may come again.
const OF_A_SECOND: usize = 4096;

/// What was accepted.
#[derive(Debug)]
pub struct Replays {
    since: u64,
    /// No more than there are keys: only good signatures come here.
    keys: HashMap<DnsName, Newest>,
}

#[derive(Debug)]
struct Newest {
    time: u64,
    answers: HashMap<Box<[u8]>, Option<Box<[u8]>>>,
}

/// Whether a message was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No. From now on it was.
    New,
    /// It is older than one that was accepted.
    Older,
    /// It is the same again, and what was answered then; nothing so far where that is still being done.
    Again(Option<Box<[u8]>>),
    /// There were too many in that second to remember this one, too.
    TooMany,
}

impl Replays {
    /// For a server that starts at `now`, in seconds since 1970.
    pub fn new(now: u64) -> Self {
        Self { since: now, keys: HashMap::new() }
    }

    /// Notes a message with a good signature by `key`, at `now`.
    pub fn note(&mut self, key: &DnsName, time: u64, mac: &[u8], now: u64) -> Seen {
        // Else a clock that was far ahead at the start, and was put right, would shut everybody out.
        let since = self.since.min(now);
        self.since = since;
        let newest = self.keys.entry(key.clone()).or_insert_with(|| Newest { time: since, answers: HashMap::new() });
        if newest.time > now.saturating_add(FUDGE.into()) {
            *newest = Newest { time: since, answers: HashMap::new() };
        }
        if time < newest.time {
            return Seen::Older;
        }
        if time > newest.time {
            *newest = Newest { time, answers: HashMap::new() };
        }
        if let Some(answer) = newest.answers.get(mac) {
            return Seen::Again(answer.clone());
        }
        if newest.answers.len() >= OF_A_SECOND {
            return Seen::TooMany;
        }
        newest.answers.insert(mac.into(), None);
        Seen::New
    }

    /// Forgets a message that was noted so and came to nothing, so that it may come again.
    pub fn forget(&mut self, key: &DnsName, time: u64, mac: &[u8]) {
        if let Some(newest) = self.keys.get_mut(key).filter(|newest| newest.time == time) {
            newest.answers.remove(mac);
        }
    }

    /// Keeps what was answered to the message that was noted so.
    pub fn answered(&mut self, key: &DnsName, time: u64, mac: &[u8], answer: &[u8]) {
        let newest = self.keys.get_mut(key).filter(|newest| newest.time == time);
        if let Some(kept) = newest.and_then(|newest| newest.answers.get_mut(mac)) {
            *kept = Some(answer.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    #[test]
    fn what_is_older_is_refused_and_the_same_again_is_answered_as_before() {
        let (mut replays, a, b) = (Replays::new(100), key("a"), key("b"));
        assert_eq!(replays.note(&a, 99, b"0", 110), Seen::Older, "signed before the start");
        assert_eq!(replays.note(&a, 100, b"1", 110), Seen::New);
        assert_eq!(replays.note(&a, 100, b"1", 110), Seen::Again(None), "not done yet");
        replays.forget(&a, 100, b"1");
        assert_eq!(replays.note(&a, 100, b"1", 110), Seen::New, "it came to nothing");
        replays.answered(&a, 100, b"1", b"done");
        assert_eq!(replays.note(&a, 100, b"1", 110), Seen::Again(Some(b"done"[..].into())));
        assert_eq!(replays.note(&a, 100, b"2", 110), Seen::New, "another one in the same second");
        assert_eq!(replays.note(&b, 100, b"1", 110), Seen::New, "another key's");
        assert_eq!(replays.note(&a, 103, b"3", 110), Seen::New);
        for (time, mac) in [(100, b"1"), (100, b"2"), (102, b"4")] {
            assert_eq!(replays.note(&a, time, mac, 110), Seen::Older);
        }
        replays.answered(&a, 100, b"1", b"late");
        assert_eq!(replays.note(&a, 103, b"3", 110), Seen::Again(None));
        assert_eq!(replays.note(&b, 101, b"4", 110), Seen::New, "the other key has its own time");
    }

    #[test]
    fn a_clock_that_is_put_back_shuts_nobody_out() {
        let (mut replays, a, b) = (Replays::new(5000), key("a"), key("b"));
        assert_eq!(replays.note(&a, 5001, b"1", 5001), Seen::New);
        assert_eq!(replays.note(&a, 5000, b"2", 4800), Seen::Older, "within the fudge it is a client's clock");
        assert_eq!(replays.note(&a, 1000, b"3", 1000), Seen::New);
        assert_eq!(replays.note(&b, 1000, b"3", 1000), Seen::New);
        assert_eq!(replays.note(&b, 999, b"4", 1000), Seen::Older);
    }

    #[test]
    fn a_second_has_an_end() {
        let (mut replays, a) = (Replays::new(0), key("a"));
        for number in 0..OF_A_SECOND {
            assert_eq!(replays.note(&a, 7, &number.to_be_bytes(), 110), Seen::New);
        }
        assert_eq!(replays.note(&a, 7, b"one more", 110), Seen::TooMany);
        assert_eq!(replays.note(&a, 7, &0_usize.to_be_bytes(), 110), Seen::Again(None));
        assert_eq!(replays.note(&a, 8, b"one more", 110), Seen::New);
    }
}
