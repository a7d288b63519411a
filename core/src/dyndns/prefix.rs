//! Addresses and prefixes as they stand in the parameters of updates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// The shortest prefix that anybody gives to a home, with much room. Shorter ones are slips, and would be read as half of a run-together one.
const SHORTEST: u8 = 16;

/// The network of one LAN.
const LONGEST: u8 = 64;

/// An address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Prefix(Ipv6Net),
}

/// Why a text says no place in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// No address, and nothing like one.
    #[error("is no address of that kind")]
    Other,
    /// No prefix of a home.
    #[error("is no prefix of a home: that is an IPv6 network with its length, /{SHORTEST} to /{LONGEST}, and nothing after it")]
    Length,
    /// A prefix and something else, run together.
    #[error(
        "is a prefix and the rest of an address run together, and can be read in more ways than one: send the whole of the rest (four groups, or \
         beginning with ::), or the prefix alone as ip6lanprefix=…"
    )]
    RunTogether,
}

impl Place {
    /// Reads `text`: an address, perhaps in brackets as in a URL, a prefix, an address with its prefix length, or a prefix with the rest of
    /// the address run together.
    pub(super) fn parse(text: &str) -> Result<Self, NoPlace> {
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let Some((address, length)) = text.split_once('/') else {
            return match text.parse() {
                Ok(IpAddr::V4(address)) => Ok(Self::V4(address)),
                Ok(IpAddr::V6(address)) => Ok(Self::V6(address)),
                Err(_) => Err(NoPlace::Other),
            };
        };
        if let Ok(address) = address.parse::<Ipv4Addr>() {
            return if length == "32" { Ok(Self::V4(address)) } else { Err(NoPlace::Other) };
        }
        let address: Ipv6Addr = address.parse().map_err(|_| NoPlace::Other)?;
        match length.parse::<u8>() {
            Ok(length) => Self::of(address, length),
            Err(_) => run_together(address, length).map(|net| Self::V6(net.addr())),
        }
    }

    /// `address/length`: a prefix, or the address where it says more than its prefix.
    fn of(address: Ipv6Addr, length: u8) -> Result<Self, NoPlace> {
        let net = Ipv6Net::new(address, length).map_err(|_| NoPlace::Length)?;
        if length == 128 || net.network() != address {
            return Ok(Self::V6(address));
        }
        if (SHORTEST..=LONGEST).contains(&length) { Ok(Self::Prefix(net)) } else { Err(NoPlace::Length) }
    }
}

/// A text that can only be a prefix. What it says beyond its length is ignored, unless it is run together with it: then it is the address of a
/// machine at home, by the prefix that the router filled in and what its owner wrote after it.
pub(super) fn home_prefix(text: &str) -> Result<Ipv6Net, NoPlace> {
    let (address, length) = text.split_once('/').ok_or(NoPlace::Length)?;
    let address: Ipv6Addr = address.parse().map_err(|_| NoPlace::Other)?;
    match length.parse::<u8>() {
        Ok(length @ SHORTEST..=LONGEST) => Ipv6Net::new(address, length).map(|net| net.trunc()).map_err(|_| NoPlace::Length),
        Ok(_) => Err(NoPlace::Length),
        Err(_) => run_together(address, length),
    }
}

/// `prefix/64rest`, what comes of `<ip6lanprefix>REST` in a URL: the length is the first two digits, since no home has a shorter one. The
/// rest is whole if it has four groups, or says by `::` that the others are zero.
fn run_together(prefix: Ipv6Addr, rest: &str) -> Result<Ipv6Net, NoPlace> {
    let (length, rest) = rest.split_at_checked(2).ok_or(NoPlace::Other)?;
    let length: u8 = length.parse().map_err(|_| NoPlace::Other)?;
    let net = Ipv6Net::new(prefix, length).map_err(|_| NoPlace::Length)?.trunc();
    if !(SHORTEST..=LONGEST).contains(&length) || net.addr() != prefix {
        return Err(NoPlace::RunTogether);
    }
    let groups = rest.strip_prefix(':').filter(|rest| !rest.starts_with(':')).unwrap_or(rest);
    let whole = match groups.starts_with("::") {
        true => groups.to_owned(),
        false if groups.split(':').count() == 4 && !groups.contains("::") => format!("::{groups}"),
        false => {
            return Err(if groups.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':') {
                NoPlace::RunTogether
            } else {
                NoPlace::Other
            });
        }
    };
    let rest: Ipv6Addr = whole.parse().map_err(|_| NoPlace::Other)?;
    if rest.to_bits() & !net.hostmask().to_bits() != 0 || rest.is_unspecified() {
        return Err(NoPlace::RunTogether);
    }
    Ipv6Net::new(Ipv6Addr::from_bits(prefix.to_bits() | rest.to_bits()), length).map_err(|_| NoPlace::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_prefixes_and_what_is_run_together_are_told_apart() {
        let v6 = |text: &str| Ok(Place::V6(text.parse().expect("v6")));
        let prefix = |text: &str| Ok(Place::Prefix(text.parse().expect("prefix")));
        let table = [
            ("192.0.2.1", Ok(Place::V4(Ipv4Addr::new(192, 0, 2, 1)))),
            ("192.0.2.1/32", Ok(Place::V4(Ipv4Addr::new(192, 0, 2, 1)))),
            ("192.0.2.1/24", Err(NoPlace::Other)),
            ("[2001:db8::1]", v6("2001:db8::1")),
            ("2001:db8::1/64", v6("2001:db8::1")),
            ("2001:db8::/128", v6("2001:db8::")),
            ("2001:db8:1:2::/64", prefix("2001:db8:1:2::/64")),
            ("2a02:908:1200:1220::/59", prefix("2a02:908:1200:1220::/59")),
            ("2001:db8::/96", Err(NoPlace::Length)),
            ("2001:db8::/129", Err(NoPlace::Length)),
            ("::/0", Err(NoPlace::Length)),
            ("2000::/3", Err(NoPlace::Length)),
            // What a FRITZ!Box makes of `<ip6lanprefix>7656:11ff:fe22:3344` and the like.
            ("2a02:908:1200:1234::/647656:11ff:fe22:3344", v6("2a02:908:1200:1234:7656:11ff:fe22:3344")),
            ("2a02:908:1200:1234::/64:7656:11ff:fe22:3344", v6("2a02:908:1200:1234:7656:11ff:fe22:3344")),
            ("2a02:908:1200:1234::/64::22", v6("2a02:908:1200:1234::22")),
            ("2a02:908:1200:1200::/56::7:0:0:0:22", v6("2a02:908:1200:1207::22")),
            ("2a02:908:1200:1200::/567656:11ff:fe22:3344", v6("2a02:908:1200:1200:7656:11ff:fe22:3344")),
            // Which groups are missing?
            ("2a02:908:1200:1234::/6411ff:fe22:3344", Err(NoPlace::RunTogether)),
            ("2a02:908:1200:1234::/6422", Err(NoPlace::RunTogether)),
            ("2a02:908:1200:1234::/64::", Err(NoPlace::RunTogether)),
            ("2a02:908:1200:1234::/64::1:0:0:0:22", Err(NoPlace::RunTogether)),
            ("2a02:908:1200:1234::1/647656:11ff:fe22:3344", Err(NoPlace::RunTogether)),
            ("2a02:908:1200:1234::/067656:11ff:fe22:3344", Err(NoPlace::RunTogether)),
            ("2001:db8::/", Err(NoPlace::Other)),
            ("2001:db8::/x", Err(NoPlace::Other)),
            ("2001:db8::/64x", Err(NoPlace::Other)),
            ("2001:db8::/64/64", Err(NoPlace::Other)),
            ("", Err(NoPlace::Other)),
            ("-", Err(NoPlace::Other)),
        ];
        for (text, place) in table {
            assert_eq!(Place::parse(text), place, "{text}");
        }
    }
}
