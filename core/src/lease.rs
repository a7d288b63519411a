//! When an address counts as proven, and for how long.
//!
//! The gateway sends nonces on a link; the agent echoes each with the address that it claims. An echo
//! proves the claim if the link's remote address was the claimed one from when the nonce left to when the
//! echo came: a nonce that was lost on the way is sent again, and an agent with a made-up sender address could have it sent
//! to where it really is, were the path allowed to turn meanwhile. QUIC's own path validation proves nothing here: it is invisible to us and says nothing of the claim.
//! Sockets and timers are the link's; this module only judges.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How long an address counts as proven after the last echo. With a TTL of 60 s it bounds at 90 s how long a
/// client can be sent to whoever inherits the address.
pub const LEASE: Duration = Duration::from_secs(30);

/// How often a nonce goes out unasked: six chances in a lease, so that loss alone does not end it.
pub const ECHO_INTERVAL: Duration = Duration::from_secs(5);

/// A nonce that was not answered for so long makes the link silent: dials stop waiting for it. Far above the round trip to most
/// homes, far below what a client takes for a hang.
pub const ECHO_TIMEOUT: Duration = Duration::from_secs(1);

/// A line that is full of its own download answers late: so many of its round trips are waited for…
const ROUND_TRIPS: u32 = 3;

/// …but no longer than this, which is a dial's whole time.
const LONGEST_ECHO: Duration = Duration::from_secs(5);

/// When a SYN without an answer is sent again at the earliest (RFC 6298 §2.1).
const SYN_SENT_ANEW: Duration = Duration::from_secs(1);

/// More nonces than this are never under way at once. The newest gives way then, to one newer still that proves all that it would
/// have: were it the oldest, a home that is asked often enough from far enough would never prove anything.
const UNDER_WAY_LIMIT: usize = 64;

/// An address that was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The home address.
    pub address: Ipv6Addr,
    /// When the nonce left: the home held the address at some moment after this.
    pub sent: Instant,
    /// When the echo came.
    pub came: Instant,
}

/// Where a link's packets come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The other end.
    pub remote: IpAddr,
    /// How often the link turned to another path, or began to; only compared.
    pub turns: u64,
}

/// What an echo was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claim is proven.
    Proven(Echo),
    /// The nonce is not ours, too old, or was answered before.
    UnknownNonce,
    /// The agent is there, but has no address to claim.
    NoClaim,
    /// The link turned to another path meanwhile, which says nothing yet: ask again.
    Turned,
    /// The claim is not where the packets come from: something on the way translates.
    OtherAddress {
        /// What the agent claims.
        claim: Ipv6Addr,
        /// Where its packets come from.
        seen: IpAddr,
    },
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    nonce: u64,
    path: Path,
    at: Instant,
}

/// The nonces of one link.
#[derive(Debug, Default)]
pub struct Prover {
    under_way: Vec<Sent>,
    last: Option<Instant>,
}

impl Prover {
    /// Notes that `nonce` (random) leaves on `path` now.
    pub fn sent(&mut self, nonce: u64, path: Path, now: Instant) {
        self.under_way.retain(|sent| now.duration_since(sent.at) < LEASE);
        if self.under_way.len() >= UNDER_WAY_LIMIT {
            self.under_way.pop();
        }
        self.under_way.push(Sent { nonce, path, at: now });
        self.last = Some(now);
    }

    /// Judges the echo of `nonce` with the agent's `claim`, when the link's path is `path`.
    pub fn echoed(&mut self, nonce: u64, claim: Option<Ipv6Addr>, path: Path, now: Instant) -> Verdict {
        let Some(at) = self.under_way.iter().position(|sent| sent.nonce == nonce) else {
            return Verdict::UnknownNonce;
        };
        let sent = self.under_way.remove(at);
        // Older ones would say less than this one does.
        self.under_way.retain(|other| other.at > sent.at);
        let Some(claim) = claim else {
            return Verdict::NoClaim;
        };
        if sent.path != path {
            return Verdict::Turned;
        }
        if path.remote != IpAddr::V6(claim) {
            return Verdict::OtherAddress { claim, seen: path.remote };
        }
        Verdict::Proven(Echo { address: claim, sent: sent.at, came: now })
    }

    /// When the next nonce is due by itself.
    pub fn due(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| last + ECHO_INTERVAL)
    }

    /// When the link, on which a round trip takes `rtt`, becomes silent unless an echo comes: the oldest nonce under way is overdue then.
    pub fn silent_at(&self, rtt: Duration) -> Option<Instant> {
        self.under_way.iter().map(|sent| sent.at + echo_patience(rtt)).min()
    }
}

/// Whether `echo` lets a dial go on that began at `began`, to `address`, and stood at `connected`.
///
/// The nonce left no earlier than the SYN, so that the home held the address when it answered; and the connection stood within a
/// second of the SYN, before one could be sent anew that finds somebody else after the home was gone. Where it took longer, only a nonce that
/// left afterwards counts.
pub fn admits(echo: &Echo, address: Ipv6Addr, began: Instant, connected: Instant) -> bool {
    echo.address == address && echo.sent >= asked_from(began, connected)
}

/// How long an echo is waited for where a round trip takes `rtt`.
pub fn echo_patience(rtt: Duration) -> Duration {
    rtt.saturating_mul(ROUND_TRIPS).clamp(ECHO_TIMEOUT, LONGEST_ECHO)
}

/// From when on a nonce counts for a dial that began at `began` and stood at `connected`.
pub fn asked_from(began: Instant, connected: Instant) -> Instant {
    if connected.saturating_duration_since(began) < SYN_SENT_ANEW { began } else { connected }
}

#[cfg(test)]
// Each test starts a clock of its own and moves it by hand.
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);
    const NEW: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(remote: impl Into<IpAddr>) -> Path {
        Path { remote: remote.into(), turns: 0 }
    }

    #[test]
    fn an_echo_from_the_claimed_address_proves_it_once() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        prover.sent(7, at(OLD), t0);
        let proven = Verdict::Proven(Echo { address: OLD, sent: t0, came: t0 + ms(20) });
        assert_eq!(prover.echoed(7, Some(OLD), at(OLD), t0 + ms(20)), proven);
        assert_eq!(prover.echoed(7, Some(OLD), at(OLD), t0 + ms(21)), Verdict::UnknownNonce);
    }

    #[test]
    fn a_move_between_nonce_and_echo_proves_nothing() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        prover.sent(7, at(OLD), t0);
        assert_eq!(prover.echoed(7, Some(NEW), at(NEW), t0 + ms(20)), Verdict::Turned);
        prover.sent(8, at(NEW), t0 + ms(20));
        assert!(matches!(prover.echoed(8, Some(NEW), at(NEW), t0 + ms(40)), Verdict::Proven(_)));
    }

    #[test]
    fn a_nonce_that_may_have_gone_two_ways_proves_nothing() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        let there_and_back = Path { remote: NEW.into(), turns: 5 };
        prover.sent(7, Path { remote: NEW.into(), turns: 3 }, t0);
        assert_eq!(prover.echoed(7, Some(NEW), there_and_back, t0 + ms(20)), Verdict::Turned);
        prover.sent(8, there_and_back, t0 + ms(20));
        assert!(matches!(prover.echoed(8, Some(NEW), there_and_back, t0 + ms(40)), Verdict::Proven(_)));
    }

    #[test]
    fn a_claim_from_elsewhere_proves_nothing() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        let elsewhere: IpAddr = "198.51.100.1".parse().expect("v4");
        prover.sent(7, at(elsewhere), t0);
        assert_eq!(prover.echoed(7, Some(NEW), at(elsewhere), t0), Verdict::OtherAddress { claim: NEW, seen: elsewhere });
    }

    #[test]
    fn nonces_are_bounded_and_grow_old() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        (0..1_000).for_each(|nonce| prover.sent(nonce, at(OLD), t0));
        assert_eq!(prover.under_way.len(), UNDER_WAY_LIMIT);
        prover.sent(1_000, at(OLD), t0 + LEASE);
        assert_eq!(prover.under_way.len(), 1);
    }

    #[test]
    fn a_flood_of_nonces_does_not_starve_their_echoes() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        (0..1_000).for_each(|nonce| prover.sent(nonce, at(OLD), t0 + ms(nonce)));
        assert!(matches!(prover.echoed(0, Some(OLD), at(OLD), t0 + ms(1_000)), Verdict::Proven(_)), "the first");
        assert!(matches!(prover.echoed(999, Some(OLD), at(OLD), t0 + ms(1_999)), Verdict::Proven(_)), "and the last");
    }

    #[test]
    fn an_unanswered_nonce_makes_the_link_silent() {
        let (mut prover, t0) = (Prover::default(), Instant::now());
        prover.sent(7, at(OLD), t0);
        assert_eq!(prover.silent_at(ms(20)), Some(t0 + ECHO_TIMEOUT));
        assert_eq!(prover.silent_at(ms(900)), Some(t0 + ms(2_700)), "a full line is waited for");
        assert_eq!(prover.silent_at(ms(9_000)), Some(t0 + LONGEST_ECHO), "but not for ever");
        prover.sent(8, at(OLD), t0 + ms(1_100));
        prover.echoed(8, Some(OLD), at(OLD), t0 + ms(1_120));
        assert_eq!(prover.silent_at(ms(20)), None, "a newer echo answers for the older nonces");
    }

    #[test]
    fn a_dial_wants_an_echo_of_its_own_time() {
        let t0 = Instant::now();
        let echo = Echo { address: OLD, sent: t0 + ms(10), came: t0 + ms(30) };
        assert!(admits(&echo, OLD, t0 + ms(10), t0 + ms(30)));
        assert!(!admits(&echo, NEW, t0 + ms(10), t0 + ms(30)), "another address");
        assert!(!admits(&echo, OLD, t0 + ms(11), t0 + ms(30)), "the nonce left before the SYN");
        assert!(!admits(&echo, OLD, t0 + ms(10), t0 + ms(1_040)), "a second SYN may have found somebody else");
        let of_another_dial = Echo { sent: t0 + ms(500), came: t0 + ms(520), ..echo };
        assert!(!admits(&of_another_dial, OLD, t0, t0 + ms(1_020)), "whoever's nonce it was");
        let afterwards = Echo { sent: t0 + ms(1_050), came: t0 + ms(1_070), ..echo };
        assert!(admits(&afterwards, OLD, t0, t0 + ms(1_040)));
    }
}
