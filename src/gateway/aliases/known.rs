//! What is known of unlisted names, what is being asked, and whether one more may be.
//!
//! No socket and no clock. Answers are kept as long as DNS says, within bounds; that there is nothing, too. A name that led here
//! and cannot be looked up now is believed a while longer. Room is shared out as the questions are: a network that fills its part
//! loses its own, and names that lead nowhere go first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fourward_core::name::DnsName;
use tokio::sync::watch;

use super::budget::Budget;

/// Some 500 bytes each.
const ENTRIES: usize = 4_096;

/// Of one network: sixteen of them fill the room.
const NETWORK_ENTRIES: usize = 256;

/// Questions under way, each with a socket; a resolver that works answers within milliseconds.
pub(in crate::gateway) const ASKED: usize = 64;

/// Of one network. A stranger can own names whose servers never answer.
const NETWORK_ASKED: usize = 8;

/// However short DNS says: one connection's second name must not ask again.
const SHORTEST: Duration = Duration::from_secs(1);

/// A CNAME that was taken away works no longer than this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Whoever has just entered the CNAME waits no longer than this.
const LONGEST_NOTHING: Duration = Duration::from_secs(300);

/// The resolver did not find out; it may a moment later.
const FAILED: Duration = Duration::from_secs(5);

/// For so long after its time a name that led here is believed, if DNS cannot be asked (RFC 8767).
const STALE: Duration = Duration::from_secs(3_600);

/// What DNS says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name of ours that it leads to.
    pub(super) end: Option<DnsName>,
    /// For how many seconds.
    pub(super) ttl: u32,
}

/// What to do about a name.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing: it is known, or may not be asked for, which is then the same.
    Known(Option<DnsName>),
    /// Wait: it is being asked for. `last` holds if no answer comes.
    Asked { answer: Answer, last: Option<DnsName> },
    /// Ask, say it to `done`, and call [`Known::over`].
    Ask { done: watch::Sender<Option<Option<DnsName>>>, answer: Answer, last: Option<DnsName> },
}

/// Where the answer comes.
pub(super) type Answer = watch::Receiver<Option<Option<DnsName>>>;

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: HashMap<DnsName, Entry>,
    asked: HashMap<DnsName, (IpAddr, Answer)>,
    budget: Budget,
    warned: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    end: Option<DnsName>,
    /// Who caused it.
    network: IpAddr,
    stored: Instant,
    /// Not asked for before.
    fresh: Instant,
    /// When it was to end by DNS's word.
    valid: Instant,
}

impl Known {
    /// What to do about `name`, which somebody in `network` asks for.
    pub(super) fn verdict(&mut self, name: &DnsName, network: IpAddr, now: Instant) -> Verdict {
        if let Some(entry) = self.entries.get(name).filter(|entry| now < entry.fresh) {
            return Verdict::Known(entry.end.clone());
        }
        let last = self.last(name, now);
        if let Some((_, answer)) = self.asked.get(name) {
            return Verdict::Asked { answer: answer.clone(), last };
        }
        let of_network = self.asked.values().filter(|(asking, _)| *asking == network).count();
        if self.asked.len() >= ASKED || of_network >= NETWORK_ASKED || !self.budget.take(network, now) {
            return Verdict::Known(last);
        }
        let (done, answer) = watch::channel(None);
        self.asked.insert(name.clone(), (network, answer.clone()));
        Verdict::Ask { done, answer, last }
    }

    /// Takes what was found of `name`, `None` where DNS could not say, and returns what counts from now on.
    pub(super) fn settle(&mut self, name: &DnsName, network: IpAddr, found: Option<Found>, now: Instant) -> Option<DnsName> {
        let entry = match found {
            Some(Found { end, ttl }) => {
                let longest = if end.is_some() { LONGEST } else { LONGEST_NOTHING };
                let valid = now + Duration::from_secs(ttl.into()).clamp(SHORTEST, longest);
                Entry { end, network, stored: now, fresh: valid, valid }
            }
            None => {
                let end = self.last(name, now);
                let valid = self.entries.get(name).map_or(now, |entry| entry.valid);
                Entry { end, network, stored: now, fresh: now + FAILED, valid }
            }
        };
        let end = entry.end.clone();
        self.entries.remove(name);
        self.make_room(network);
        self.entries.insert(name.clone(), entry);
        end
    }

    /// `name` is not being asked for any more.
    pub(super) fn over(&mut self, name: &DnsName) {
        self.asked.remove(name);
    }

    /// Whether `every` has passed since this was last true.
    pub(super) fn may_warn(&mut self, every: Duration, now: Instant) -> bool {
        let may = self.warned.is_none_or(|warned| now.saturating_duration_since(warned) >= every);
        if may {
            self.warned = Some(now);
        }
        may
    }

    /// Where `name` led, if that is not too long ago.
    fn last(&self, name: &DnsName, now: Instant) -> Option<DnsName> {
        self.entries.get(name).filter(|entry| now < entry.valid + STALE).and_then(|entry| entry.end.clone())
    }

    fn make_room(&mut self, network: IpAddr) {
        if self.entries.values().filter(|entry| entry.network == network).count() >= NETWORK_ENTRIES {
            self.forget(|entry| entry.network == network);
        } else if self.entries.len() >= ENTRIES {
            self.forget(|_| true);
        }
    }

    /// Forgets one `among` them: the oldest that leads nowhere, else the oldest.
    fn forget(&mut self, among: impl Fn(&Entry) -> bool) {
        let candidates = self.entries.iter().filter(|(_, entry)| among(entry));
        let oldest = candidates.min_by_key(|(_, entry)| (entry.end.is_some(), entry.stored)).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn network(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn found(ttl: u32) -> Option<Found> {
        Some(Found { end: Some(name("cloud.dyn.example.org")), ttl })
    }

    fn nothing(ttl: u32) -> Option<Found> {
        Some(Found { end: None, ttl })
    }

    fn is_known(known: &mut Known, text: &str, now: Instant) -> Option<bool> {
        match known.verdict(&name(text), network(1), now) {
            Verdict::Known(end) => Some(end.is_some()),
            Verdict::Asked { .. } => None,
            Verdict::Ask { .. } => {
                known.over(&name(text));
                None
            }
        }
    }

    #[test]
    fn an_answer_is_kept_as_long_as_dns_says_within_bounds() {
        for (said, kept, leads) in [
            (found(60), 60, true),
            (found(0), 1, true),
            (found(u32::MAX), 3_600, true),
            (nothing(60), 60, false),
            (nothing(u32::MAX), 300, false),
            (None, 5, false),
        ] {
            let (mut known, t0) = (Known::default(), Instant::now());
            known.settle(&name("a.org"), network(1), said.clone(), t0);
            assert_eq!(is_known(&mut known, "a.org", t0 + SECOND * kept - SECOND / 2), Some(leads), "{said:?}");
            assert_eq!(is_known(&mut known, "a.org", t0 + SECOND * kept), None, "{said:?}");
        }
    }

    #[test]
    fn what_led_here_is_believed_while_dns_cannot_be_asked() {
        let (mut known, t0) = (Known::default(), Instant::now());
        known.settle(&name("a.org"), network(1), found(60), t0);
        for minute in 1..=60 {
            let now = t0 + SECOND * 60 * minute;
            let Verdict::Ask { last, .. } = known.verdict(&name("a.org"), network(1), now) else { panic!("not asked again") };
            assert!(last.is_some());
            assert!(known.settle(&name("a.org"), network(1), None, now).is_some(), "minute {minute}");
            known.over(&name("a.org"));
            assert_eq!(is_known(&mut known, "a.org", now + SECOND), Some(true));
        }
        assert_eq!(known.settle(&name("a.org"), network(1), None, t0 + SECOND * 3_660), None, "an hour is enough");
        known.settle(&name("a.org"), network(1), found(60), t0 + SECOND * 3_700);
        assert_eq!(known.settle(&name("a.org"), network(1), nothing(60), t0 + SECOND * 3_760), None, "but DNS's word counts");
    }

    #[test]
    fn who_asks_for_the_same_name_waits_for_the_same_answer() {
        let (mut known, now) = (Known::default(), Instant::now());
        let Verdict::Ask { done, .. } = known.verdict(&name("a.org"), network(1), now) else { panic!("not asked") };
        for n in 1..1_000 {
            let Verdict::Asked { answer, .. } = known.verdict(&name("a.org"), network(n), now) else { panic!("asked again") };
            assert_eq!(*answer.borrow(), None);
        }
        done.send_replace(Some(None));
        let Verdict::Asked { answer, .. } = known.verdict(&name("a.org"), network(1), now) else { panic!("asked again") };
        assert_eq!(*answer.borrow(), Some(None));
    }

    #[test]
    fn a_network_has_a_few_questions_under_way_and_all_have_some_more() {
        let (mut known, now) = (Known::default(), Instant::now());
        let mut under_way = |networks: std::ops::Range<u32>| {
            let names = networks.flat_map(|n| (0..20).map(move |at| (n, name(&format!("n{n}-{at}.org")))));
            names.filter(|(n, name)| matches!(known.verdict(name, network(*n), now), Verdict::Ask { .. })).count()
        };
        assert_eq!(under_way(1..2), NETWORK_ASKED);
        assert_eq!(under_way(2..100), ASKED - NETWORK_ASKED);
        known.over(&name("n1-0.org"));
        assert_eq!(is_known(&mut known, "another.org", now), None, "one place is free again");
    }

    #[test]
    fn a_network_that_fills_its_part_loses_its_own() {
        let (mut known, t0) = (Known::default(), Instant::now());
        known.settle(&name("kept.org"), network(2), found(3_600), t0);
        known.settle(&name("nothing.org"), network(2), nothing(300), t0);
        for at in 0..5_000 {
            known.settle(&name(&format!("r{at}.org")), network(1), found(3_600), t0 + Duration::from_millis(at));
        }
        assert_eq!(known.entries.len(), NETWORK_ENTRIES + 2);
        assert!(known.entries.contains_key(&name("kept.org")) && known.entries.contains_key(&name("nothing.org")));
        assert!(known.entries.contains_key(&name("r4999.org")) && !known.entries.contains_key(&name("r0.org")));
    }

    #[test]
    fn names_that_lead_nowhere_go_first() {
        let (mut known, t0) = (Known::default(), Instant::now());
        known.settle(&name("kept.org"), network(0), found(3_600), t0);
        for at in 0..6_000_u32 {
            known.settle(&name(&format!("r{at}.org")), network(1 + at / 100), nothing(300), t0 + Duration::from_millis(at.into()));
        }
        assert_eq!(known.entries.len(), ENTRIES);
        assert!(known.entries.contains_key(&name("kept.org")), "made-up names flushed a real one");
    }

    #[test]
    fn the_log_is_not_flooded() {
        let (mut known, t0) = (Known::default(), Instant::now());
        let warned = (0..3_600).filter(|at| known.may_warn(SECOND * 600, t0 + SECOND * *at)).count();
        assert_eq!(warned, 6);
    }
}
