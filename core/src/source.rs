//! The client's IPv4 address as the end of an IPv6 address that the gateway sends from: a home then sees by whom it is called, whatever it speaks.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// What an IPv4 address leaves of an IPv6 one.
const LENGTH: u8 = 96;

/// A prefix that is routed to the gateway, with room for one IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourcePrefix(Ipv6Net);

impl SourcePrefix {
    /// Where the gateway sends from for a client at `client`. `None` for one of IPv6: its own address is not ours to send from.
    pub fn of(self, client: IpAddr) -> Option<Ipv6Addr> {
        match client.to_canonical() {
            IpAddr::V4(v4) => Some(Ipv6Addr::from_bits(self.0.addr().to_bits() | u128::from(v4.to_bits()))),
            IpAddr::V6(_) => None,
        }
    }

    /// The prefix.
    pub fn net(self) -> Ipv6Net {
        self.0
    }
}

impl FromStr for SourcePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net: Ipv6Net = text.parse().map_err(|_| format!("\"{text}\" is no prefix; expected one like 2001:db8:f::/96"))?;
        if net.prefix_len() != LENGTH {
            return Err(format!("{net} has {} bits; expected {LENGTH}, which leave 32 for the client's IPv4 address", net.prefix_len()));
        }
        if net != net.trunc() {
            return Err(format!("{net} has bits beyond its length; that prefix is {}", net.trunc()));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for SourcePrefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SourcePrefix> for String {
    fn from(prefix: SourcePrefix) -> String {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_is_the_end_of_the_address_and_an_ipv6_one_is_not() {
        let prefix: SourcePrefix = "2001:db8:f::/96".parse().expect("a prefix");
        let of = |client: &str| prefix.of(client.parse().expect("an address")).map(|address| address.to_string());
        assert_eq!(of("203.0.113.5").as_deref(), Some("2001:db8:f::cb00:7105"));
        assert_eq!(of("::ffff:203.0.113.5").as_deref(), Some("2001:db8:f::cb00:7105"));
        assert_eq!(of("255.255.255.255").as_deref(), Some("2001:db8:f::ffff:ffff"));
        assert_eq!(of("2001:db8:6::6"), None);
    }

    #[test]
    fn only_96_bits_leave_room_for_it() {
        for (text, why) in [("2001:db8:f::/64", "96"), ("2001:db8:f::/128", "96"), ("2001:db8:f::1/96", "beyond"), ("x", "no prefix")] {
            let refused = text.parse::<SourcePrefix>().expect_err(text);
            assert!(refused.contains(why), "{refused}");
        }
    }
}
