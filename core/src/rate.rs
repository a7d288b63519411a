//! How often a network is told the same: response rate limiting, so that a forged source gets little more from us than was sent.
//!
//! Each network may have so many answers of a kind a second: of one name, of one wildcard, of names that are not there, of faults. What is beyond that is not
//! sent, but for every second answer, which goes out cut short: a real client comes again by TCP, where nobody can forge an address. Memory is
//! fixed; where two accounts fall into one place the newer has it. Who is known by a cookie is never counted.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::answer::{Answer, Kind};
use crate::wire::NAME_LIMIT;

/// Accounts of one thread, of 16 bytes each; memory that no account has used yet costs nothing.
const ACCOUNTS: usize = 1 << 16;

/// Seconds of answers that a network may be behind: so long after a flood it is served again.
const BEHIND: i64 = 15;

/// Every so-manyth answer beyond the limit goes out, cut short.
const SLIP: u32 = 2;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It goes out.
    Whole,
    /// It goes out cut short, so that a real client comes by TCP.
    Cut,
    /// It does not go out.
    Not,
}

/// The accounts of one thread.
pub struct Limiter {
    /// Answers a second.
    limit: u32,
    key: [u8; 16],
    /// Numbers, not a structure of them: of those the allocator knows that they are zero, and touches no page.
    accounts: Box<[[u32; 4]]>,
}

#[derive(Clone, Copy)]
struct Account {
    /// Which of those that fall into this place; 0 is nobody's.
    tag: u32,
    /// When it was looked at last, in seconds.
    at: u32,
    /// Answers that it may have at once; below zero it is behind.
    balance: i32,
    beyond: u32,
}

impl Limiter {
    /// Lets each network have `limit` answers of a kind a second; 0 is without end. `key` is nobody's to know: who did could share an account
    /// with another, and empty it.
    pub fn new(limit: u32, key: [u8; 16]) -> Self {
        let accounts = if limit == 0 { 0 } else { ACCOUNTS };
        Self { limit, key, accounts: vec![[0; 4]; accounts].into() }
    }

    /// What becomes of `message`, which is `answer`, to `address` at `now` (seconds).
    pub fn judge(&mut self, address: IpAddr, answer: Answer, message: &[u8], now: u32) -> Sent {
        self.account(address, answer.kind, answer.name(message), now)
    }

    /// What becomes of an answer that is about no name, to `address` at `now` (seconds).
    pub fn fault(&mut self, address: IpAddr, now: u32) -> Sent {
        self.account(address, Kind::Fault, &[], now)
    }

    fn account(&mut self, address: IpAddr, kind: Kind, name: &[u8], now: u32) -> Sent {
        let hash = self.hash(address, kind, name);
        let Some(last) = self.accounts.len().checked_sub(1) else { return Sent::Whole };
        let Some(place) = self.accounts.get_mut(hash as usize & last) else { return Sent::Whole };
        let mut account = Account::from(*place);
        let (tag, limit) = ((hash >> 32) as u32 | 1, i64::from(self.limit));
        if account.tag != tag {
            account = Account { tag, at: now, balance: clamped(limit), beyond: 0 };
        }
        let gained = i64::from(now.wrapping_sub(account.at).min(BEHIND as u32 + 1)).saturating_mul(limit);
        let balance = i64::from(account.balance).saturating_add(gained).min(limit).saturating_sub(1).max(limit.saturating_mul(-BEHIND));
        account.at = now;
        account.balance = clamped(balance);
        if balance < 0 {
            account.beyond = account.beyond.wrapping_add(1);
        }
        *place = account.into();
        if balance >= 0 {
            return Sent::Whole;
        }
        if account.beyond.is_multiple_of(SLIP) { Sent::Cut } else { Sent::Not }
    }

    fn hash(&self, address: IpAddr, kind: Kind, name: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match address.to_canonical() {
            IpAddr::V4(v4) => hasher.write_u32(v4.to_bits() >> 8),
            IpAddr::V6(v6) => hasher.write_u64((v6.to_bits() >> 72) as u64),
        }
        hasher.write_u8(kind as u8);
        // A name in other letters is the same name.
        let mut lower = [0; NAME_LIMIT];
        let length = name.iter().zip(&mut lower).map(|(byte, to)| *to = byte.to_ascii_lowercase()).count();
        hasher.write(lower.get(..length).unwrap_or_default());
        hasher.finish()
    }
}

impl From<[u32; 4]> for Account {
    fn from([tag, at, balance, beyond]: [u32; 4]) -> Self {
        Self { tag, at, balance: balance.cast_signed(), beyond }
    }
}

impl From<Account> for [u32; 4] {
    fn from(account: Account) -> Self {
        [account.tag, account.at, account.balance.cast_unsigned(), account.beyond]
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limiter({} a second)", self.limit)
    }
}

fn clamped(balance: i64) -> i32 {
    i32::try_from(balance).unwrap_or(if balance < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &str = "198.51.100.1";

    fn limiter(limit: u32) -> Limiter {
        Limiter::new(limit, [7; 16])
    }

    fn judge(limiter: &mut Limiter, address: &str, kind: Kind, label: &str, now: u32) -> Sent {
        limiter.account(address.parse().expect("an address"), kind, label.as_bytes(), now)
    }

    #[test]
    fn beyond_the_limit_every_second_answer_is_cut_and_the_others_stay_here() {
        let mut limiter = limiter(5);
        let sent: Vec<_> = (0..9).map(|_| judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 100)).collect();
        assert_eq!(sent[..5], [Sent::Whole; 5]);
        assert_eq!(sent[5..], [Sent::Not, Sent::Cut, Sent::Not, Sent::Cut]);
    }

    #[test]
    fn each_second_brings_as_many_again_and_a_flood_is_over_after_a_while() {
        let mut limiter = limiter(5);
        (0..8).for_each(|_| _ = judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 100));
        let next: Vec<_> = (0..3).map(|_| judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 101)).collect();
        assert_eq!(next, [Sent::Whole, Sent::Whole, Sent::Cut], "three were owed");
        (0..10_000).for_each(|_| _ = judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 101));
        assert_ne!(judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 110), Sent::Whole);
        assert_eq!(judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 127), Sent::Whole);
    }

    #[test]
    fn others_have_their_own_accounts_and_neighbours_do_not() {
        let mut limiter = limiter(1);
        assert_eq!(judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 100), Sent::Whole);
        assert_ne!(judge(&mut limiter, "198.51.100.200", Kind::OfName, "cloud", 100), Sent::Whole, "of the same /24");
        assert_ne!(judge(&mut limiter, "::ffff:198.51.100.2", Kind::OfName, "CLOUD", 100), Sent::Whole, "the same, seen by an IPv6 socket");
        for (address, kind, label) in [
            ("198.51.101.1", Kind::OfName, "cloud"),
            ("2001:db8::1", Kind::OfName, "cloud"),
            ("2001:db8:0:100::1", Kind::OfName, "cloud"),
            (NOBODY, Kind::OfName, "other"),
            (NOBODY, Kind::OfWildcard, "cloud"),
            (NOBODY, Kind::Absent, "cloud"),
            (NOBODY, Kind::Fault, "cloud"),
        ] {
            assert_eq!(judge(&mut limiter, address, kind, label, 100), Sent::Whole, "{address} {kind:?} {label}");
        }
        assert_ne!(judge(&mut limiter, "2001:db8:0:1::9", Kind::OfName, "cloud", 100), Sent::Whole, "of the same /56");
    }

    #[test]
    fn without_a_limit_all_goes_out() {
        let mut limiter = limiter(0);
        assert!((0..100_000).all(|_| judge(&mut limiter, NOBODY, Kind::OfName, "cloud", 100) == Sent::Whole));
    }

    #[test]
    fn the_greatest_limit_counts_as_the_least_does() {
        let mut limiter = limiter(u32::MAX);
        assert!((0..100).all(|at| judge(&mut limiter, NOBODY, Kind::OfName, "cloud", at) == Sent::Whole));
    }
}
