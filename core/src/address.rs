//! Which of a machine's addresses is the home address.
//!
//! Global, stable and alive; of several prefixes the newest, since a router that redials often leaves the old one "preferred".
//! The kernel's facts come from the root package; whether the choice is reachable is proven by the link, not here.

use std::net::Ipv6Addr;

use crate::policy::AddressPolicy;

/// An IPv6 address as the kernel tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub address: Ipv6Addr,
    /// The name of its interface.
    pub interface: String,
    /// A privacy address (RFC 8981): it changes by itself.
    pub temporary: bool,
    /// No longer for new connections (RFC 4862 §5.5.4).
    pub deprecated: bool,
    /// Not yet known to be unique, or known not to be (RFC 4862 §5.4).
    pub tentative: bool,
    /// Seconds that it stays preferred; `u32::MAX` is for ever.
    pub preferred: u32,
    /// When it came, in the kernel's hundredths of a second since boot; only compared.
    pub created: u32,
}

/// What the owner fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// This very address.
    pub target: Option<Ipv6Addr>,
    /// An address of this interface.
    pub interface: Option<String>,
    /// An address with the lower 64 bits of this one.
    pub suffix: Option<Ipv6Addr>,
}

/// The home address among `candidates`, all of which `policy` has to permit; `current` is the one so far.
///
/// Of the addresses that may be published, those of the prefix that came last; of these the one with the interface identifier
/// that `current` has (firewalls are keyed on it), then the longest preferred, then the lowest.
pub fn choose(candidates: &[Candidate], wish: &Wish, policy: &AddressPolicy, current: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
    let eligible = candidates.iter().filter(|candidate| is_eligible(candidate, wish, policy));
    let kept =
        |candidate: &Candidate| current.is_some_and(|current| interface_identifier(current) == interface_identifier(candidate.address));
    let rank = |candidate: &&Candidate| {
        let arrived = prefix_arrival(candidates, candidate.address);
        (arrived, kept(candidate), candidate.preferred, std::cmp::Reverse(candidate.address))
    };
    eligible.max_by_key(rank).map(|candidate| candidate.address)
}

fn is_eligible(candidate: &Candidate, wish: &Wish, policy: &AddressPolicy) -> bool {
    let alive = !candidate.temporary && !candidate.deprecated && !candidate.tentative;
    let on_interface = wish.interface.as_ref().is_none_or(|wanted| *wanted == candidate.interface);
    let suffix = wish.suffix.is_none_or(|suffix| interface_identifier(suffix) == interface_identifier(candidate.address));
    let target = wish.target.is_none_or(|target| target == candidate.address);
    alive && on_interface && suffix && target && policy.check(candidate.address).is_ok()
}

/// When the /64 of `address` came: with its first address, since privacy addresses are renewed in old prefixes too.
fn prefix_arrival(candidates: &[Candidate], address: Ipv6Addr) -> u32 {
    let same = candidates.iter().filter(|candidate| network(candidate.address) == network(address));
    same.map(|candidate| candidate.created).min().unwrap_or(0)
}

fn network(address: Ipv6Addr) -> u128 {
    address.to_bits() >> 64
}

fn interface_identifier(address: Ipv6Addr) -> u128 {
    address.to_bits() & u128::from(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Ipv6Addr {
        text.parse().expect("v6")
    }

    fn candidate(text: &str, created: u32) -> Candidate {
        Candidate {
            address: address(text),
            interface: "eth0".into(),
            temporary: false,
            deprecated: false,
            tentative: false,
            preferred: 3_600,
            created,
        }
    }

    fn chosen(candidates: &[Candidate]) -> Option<Ipv6Addr> {
        choose(candidates, &Wish::default(), &AddressPolicy::default(), None)
    }

    #[test]
    fn the_newest_prefix_wins_though_the_old_one_is_preferred() {
        let old = candidate("2001:db8:1::11", 10);
        let new = candidate("2001:db8:2::11", 900);
        assert_eq!(chosen(&[old.clone(), new.clone()]), Some(new.address));
        assert_eq!(chosen(&[new.clone(), old]), Some(new.address));
    }

    #[test]
    fn a_renewed_privacy_address_does_not_make_an_old_prefix_new() {
        let old = candidate("2001:db8:1::11", 10);
        let renewed = Candidate { temporary: true, ..candidate("2001:db8:1::abcd", 2_000) };
        let new = candidate("2001:db8:2::11", 900);
        assert_eq!(chosen(&[old, renewed, new.clone()]), Some(new.address));
    }

    #[test]
    fn what_is_temporary_deprecated_tentative_or_local_is_no_home() {
        let none = [
            Candidate { temporary: true, ..candidate("2001:db8:1::1", 1) },
            Candidate { deprecated: true, ..candidate("2001:db8:1::2", 1) },
            Candidate { tentative: true, ..candidate("2001:db8:1::3", 1) },
            candidate("fe80::1", 1),
            candidate("fd00::1", 1),
            candidate("::1", 1),
        ];
        assert_eq!(chosen(&none), None);
    }

    #[test]
    fn within_a_prefix_the_interface_identifier_stays() {
        let candidates = [candidate("2001:db8:2::99", 900), candidate("2001:db8:2::11", 901)];
        let current = Some(address("2001:db8:1::99"));
        assert_eq!(choose(&candidates, &Wish::default(), &AddressPolicy::default(), current), Some(address("2001:db8:2::99")));
        let current = Some(address("2001:db8:1::11"));
        assert_eq!(choose(&candidates, &Wish::default(), &AddressPolicy::default(), current), Some(address("2001:db8:2::11")));
    }

    #[test]
    fn what_the_owner_fixed_is_obeyed() {
        let mut other = candidate("2001:db8:3::7", 950);
        other.interface = "eth1".into();
        let candidates = [candidate("2001:db8:2::11", 900), candidate("2001:db8:2::12", 900), other];
        let wish = |wish: Wish| choose(&candidates, &wish, &AddressPolicy::default(), None);
        assert_eq!(wish(Wish { interface: Some("eth0".into()), ..Wish::default() }), Some(address("2001:db8:2::11")));
        assert_eq!(wish(Wish { suffix: Some(address("::12")), ..Wish::default() }), Some(address("2001:db8:2::12")));
        assert_eq!(wish(Wish { target: Some(address("2001:db8:2::12")), ..Wish::default() }), Some(address("2001:db8:2::12")));
        assert_eq!(wish(Wish { target: Some(address("2001:db8:9::1")), ..Wish::default() }), None);
    }
}
