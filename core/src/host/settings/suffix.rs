//! Where a follower is beside its leader: the leader's network, and bits of the follower's own.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What of an address is its network's unless it is said otherwise: that much a link proves.
const NETWORK: u8 = 64;

/// Fewer bits would lead out of what any provider delegates to one home, more would be an address and no suffix.
const KEPT: std::ops::RangeInclusive<u8> = 32..=124;

/// The follower's own bits, and how many of the leader's stand before them: `::22`, or with bits of the subnet `::1:0:0:0:22/56`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Suffix {
    bits: Ipv6Addr,
    kept: u8,
}

impl Suffix {
    /// The follower's address, where its leader's is `leader`.
    pub fn beside(self, leader: Ipv6Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(leader.to_bits() & network_mask(self.kept) | self.bits.to_bits())
    }
}

fn network_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0)
}

impl FromStr for Suffix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(bits) = interface_of(text.strip_prefix("mac:").unwrap_or(text)) {
            return Ok(Self { bits, kept: NETWORK });
        }
        let expected = || {
            format!(
                "expected the end of an address, like ::22; with its subnet ::1:0:0:0:22/56 (the first 56 bits are the leader's, {} to {}); or a MAC",
                KEPT.start(),
                KEPT.end()
            )
        };
        let (bits, kept) = text.split_once('/').map_or((text, None), |(bits, kept)| (bits, Some(kept)));
        let bits: Ipv6Addr = bits.parse().map_err(|_| expected())?;
        let kept = kept.map_or(Ok(NETWORK), |kept| kept.parse().map_err(|_| expected()))?;
        if !KEPT.contains(&kept) {
            return Err(expected());
        }
        if bits.to_bits() & network_mask(kept) != 0 {
            // Providers delegate whole groups of four.
            let free = u8::try_from(bits.to_bits().leading_zeros()).unwrap_or(0) / 4 * 4;
            let or =
                if KEPT.contains(&free) { format!(", or say how many are the leader's ({bits}/{})", free.min(56)) } else { String::new() };
            return Err(format!("it has bits in the first {kept}, which are the leader's: leave them out{or}"));
        }
        if bits.to_bits() == 0 {
            return Err("without a bit of its own it is the router's (RFC 4291 §2.6.1): give the end of the device's address".into());
        }
        Ok(Self { bits, kept })
    }
}

/// The end of the address that a device with this MAC makes for itself: modified EUI-64 (RFC 4291 Appendix A).
fn interface_of(mac: &str) -> Option<Ipv6Addr> {
    let mut octets = [0_u8; 6];
    let mut parts = mac.split([':', '-']);
    for octet in &mut octets {
        *octet = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|part| u8::from_str_radix(part, 16).ok())?;
    }
    let [a, b, c, d, e, f] = octets;
    let interface = u64::from_be_bytes([a ^ 2, b, c, 0xFF, 0xFE, d, e, f]);
    parts.next().is_none().then(|| Ipv6Addr::from_bits(interface.into()))
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bits, kept } = self;
        // In groups: the form with an IPv4 address at its end would be right, and misunderstood.
        let [a, b, c, d, e, g, h, i] = bits.segments();
        match ([a, b, c, d, e, g], h) {
            ([0, 0, 0, 0, 0, 0], 0) => write!(f, "::{i:x}")?,
            ([0, 0, 0, 0, 0, 0], _) => write!(f, "::{h:x}:{i:x}")?,
            _ => write!(f, "{bits}")?,
        }
        if *kept == NETWORK { Ok(()) } else { write!(f, "/{kept}") }
    }
}

impl TryFrom<String> for Suffix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Suffix> for String {
    fn from(suffix: Suffix) -> String {
        suffix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_follower_has_the_leaders_network_and_its_own_end() {
        let leader = "2001:db8:1:2:3:4:5:6".parse().expect("v6");
        for (text, shown, expected) in [
            ("::22", "::22", "2001:db8:1:2::22"),
            ("::1:22", "::1:22", "2001:db8:1:2::1:22"),
            ("0:0:0:0:a:b:c:d", "::a:b:c:d", "2001:db8:1:2:a:b:c:d"),
            ("::1:0:0:0:22/56", "::1:0:0:0:22/56", "2001:db8:1:1::22"),
            ("0:0:0:f::22/60", "::f:0:0:0:22/60", "2001:db8:1:f::22"),
            ("::ff/120", "::ff/120", "2001:db8:1:2:3:4:5:ff"),
            ("00:11:22:33:44:55", "::211:22ff:fe33:4455", "2001:db8:1:2:211:22ff:fe33:4455"),
            ("mac:02-11-22-33-44-FF", "::11:22ff:fe33:44ff", "2001:db8:1:2:11:22ff:fe33:44ff"),
        ] {
            let suffix: Suffix = text.parse().expect(text);
            assert_eq!((suffix.to_string(), suffix.beside(leader).to_string()), (shown.into(), expected.into()), "{text}");
            assert_eq!(shown.parse(), Ok(suffix), "what is shown can be typed");
        }
    }

    #[test]
    fn what_is_no_suffix_is_refused() {
        for text in [
            "",
            "22",
            "::",
            "::/56",
            "::22/31",
            "::22/125",
            "::22/x",
            "2001:db8::22",
            "::1:0:0:0:22",
            "::1:0:0:0:22/64",
            "0:0:5:f::22/48",
            "00:11:22:33:44",
            "00:11:22:33:44:55:66",
            "0:11:22:33:44:55",
            "00:11:22:33:44:5g",
            "+1:11:22:33:44:55",
            "mac:00-11-22-33-44-+5",
        ] {
            assert!(text.parse::<Suffix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_proposes_what_would_be_taken() {
        for (text, proposed) in [
            ("::1:0:0:0:22", Some("::1:0:0:0:22/56")),
            ("::100:0:0:0:22", Some("::100:0:0:0:22/52")),
            ("0:0:5:f::22/60", Some("0:0:5:f::22/44")),
            ("2001:db8::22", None),
        ] {
            let refusal = text.parse::<Suffix>().expect_err(text);
            assert_eq!(refusal.split_once('(').map(|(_, rest)| rest.trim_end_matches(')')), proposed, "{text}: {refusal}");
            assert!(proposed.is_none_or(|proposed| proposed.parse::<Suffix>().is_ok()), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn a_suffix_keeps_the_leaders_bits_and_is_shown_as_what_it_is(bits: u128, kept in KEPT, leader: u128) {
            let bits = Ipv6Addr::from_bits(bits & !network_mask(kept));
            if let Ok(suffix) = format!("{bits}/{kept}").parse::<Suffix>() {
                prop_assert_eq!(suffix.to_string().parse(), Ok(suffix));
                let address = suffix.beside(Ipv6Addr::from_bits(leader)).to_bits();
                prop_assert_eq!(address & network_mask(kept), leader & network_mask(kept));
                prop_assert_eq!(address & !network_mask(kept), bits.to_bits());
            }
        }
    }
}
