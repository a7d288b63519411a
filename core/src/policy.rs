//! Which addresses may be a home, and why the others may not.
//!
//! The one place that knows the forbidden ranges. The store asks before an address is published and
//! the gateway asks again before it dials, so no address gets round it. What is forbidden is a value: the
//! demo on loopback permits `::1` by it, and nothing else does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use crate::name::DnsName;
use crate::service::Service;
use crate::source::SourcePrefix;

/// The ranges that lead elsewhere than to one machine at home, each with its name. Those of NAT64 are outside global unicast anyway.
const SPECIAL: [(Ipv6Addr, u8, &str); 4] = [
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a 6to4 address (RFC 3056)"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "a Teredo address (RFC 4380)"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "a NAT64 address (RFC 6052)"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "a NAT64 address (RFC 8215)"),
];

/// Global unicast as IANA gives it out (RFC 4291 §2.4): everything else is local, mapped, multicast or unassigned.
const GLOBAL_UNICAST: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What the configuration and the machine forbid to every change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which addresses may be a home's.
    pub addresses: AddressPolicy,
    /// The gateway's own names: no host's, and no alias.
    pub own_names: Vec<DnsName>,
    /// The ports that the gateway's machine needs itself: no host's.
    pub own_ports: Vec<Service>,
}

/// Which addresses may be published and dialled as a home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    own: Vec<IpAddr>,
    on_link: Vec<Ipv6Net>,
    source: Option<SourcePrefix>,
    loopback: bool,
}

/// Why an address may not be a home's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Outside global unicast, or one of its special ranges.
    #[error("{address} is {kind}; a home is reached at a global IPv6 address of its own")]
    Special {
        /// The address that was asked for.
        address: Ipv6Addr,
        /// What kind of address it is instead.
        kind: &'static str,
    },
    /// The gateway would dial itself.
    #[error("{0} is the gateway's own address: connections would go round in a circle; give the home's address")]
    Own(Ipv6Addr),
    /// The gateway's own network is no home.
    #[error("{address} is in {net}, the gateway's own network; give the home's address")]
    OnLink {
        /// The address that was asked for.
        address: Ipv6Addr,
        /// The network of the gateway's that it is in.
        net: Ipv6Net,
    },
}

impl AddressPolicy {
    /// `own`: every address of the gateway's machine. `on_link`: the prefixes of its networks; those shorter than
    /// /48 or not global are left out, since a provider's on-link /32 would forbid half its customers.
    pub fn new(own: Vec<IpAddr>, on_link: Vec<Ipv6Net>) -> Self {
        let on_link = on_link.into_iter().filter(|net| net.prefix_len() >= 48 && is_global(net.addr())).collect();
        Self { own, on_link, source: None, loopback: false }
    }

    /// The policy of the demo where namespaces are not to be had: every role on `::1`, told apart by port.
    pub fn on_loopback() -> Self {
        Self { own: Vec::new(), on_link: Vec::new(), source: None, loopback: true }
    }

    /// The same of a gateway that sends from `source`, whose addresses are its own then.
    #[must_use]
    pub fn sending_from(self, source: Option<SourcePrefix>) -> Self {
        Self { source, ..self }
    }

    /// What the gateway sends from on behalf of IPv4 clients, if not from its own address.
    pub fn source(&self) -> Option<SourcePrefix> {
        self.source
    }

    /// Whether `address` may be a home's.
    ///
    /// # Errors
    /// The reason why not, for people.
    pub fn check(&self, address: Ipv6Addr) -> Result<(), Forbidden> {
        if self.loopback && address.is_loopback() {
            return Ok(());
        }
        if self.own.iter().any(|own| same(*own, address)) {
            return Err(Forbidden::Own(address));
        }
        if let Some(kind) = special_kind(address) {
            return Err(Forbidden::Special { address, kind });
        }
        let source = self.source.map(SourcePrefix::net);
        match self.on_link.iter().chain(&source).find(|net| net.contains(&address)) {
            Some(net) => Err(Forbidden::OnLink { address, net: net.trunc() }),
            None => Ok(()),
        }
    }
}

/// Whether `address` is global unicast and no special range of it.
fn is_global(address: Ipv6Addr) -> bool {
    special_kind(address).is_none()
}

fn same(own: IpAddr, address: Ipv6Addr) -> bool {
    match own {
        IpAddr::V6(own) => own == address,
        IpAddr::V4(own) => embedded_v4(address) == Some(own),
    }
}

/// The IPv4 address that a mapped or translated address leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    address.to_ipv4_mapped()
}

fn special_kind(address: Ipv6Addr) -> Option<&'static str> {
    let within = |net: Ipv6Addr, length: u8| prefix(address, length) == prefix(net, length);
    if address.is_unspecified() {
        return Some("no address at all");
    }
    if address.is_loopback() {
        return Some("the machine itself");
    }
    if address.to_ipv4_mapped().is_some() {
        return Some("an IPv4 address in IPv6 form");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    if address.is_unicast_link_local() {
        return Some("valid on its own link only (link-local)");
    }
    if address.is_unique_local() {
        return Some("private (unique local)");
    }
    if let Some((.., kind)) = SPECIAL.iter().find(|(net, length, _)| within(*net, *length)) {
        return Some(kind);
    }
    if !within(GLOBAL_UNICAST.0, GLOBAL_UNICAST.1) {
        return Some("not a global unicast address");
    }
    None
}

fn prefix(address: Ipv6Addr, length: u8) -> u128 {
    let shift = 128u32.saturating_sub(u32::from(length));
    address.to_bits().checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AddressPolicy {
        AddressPolicy::new(
            vec!["192.0.2.11".parse().expect("v4"), "2001:db8:a::11".parse().expect("v6")],
            vec!["2001:db8:a::11/64".parse().expect("net"), "fe80::/64".parse().expect("net"), "2001:db8::/32".parse().expect("net")],
        )
    }

    #[test]
    fn a_home_is_global_unicast() {
        assert_eq!(policy().check("2001:db8:1::11".parse().expect("v6")), Ok(()), "documentation counts as global");
        for text in [
            "::",
            "::1",
            "::ffff:198.51.100.1",
            "::ffff:192.0.2.11",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2002:c000:20b::1",
            "2001:0:1::1",
            "64:ff9b::c000:20b",
            "64:ff9b:1::1",
            "4000::1",
            "::192.0.2.11",
            "fec0::1",
        ] {
            assert!(policy().check(text.parse().expect("v6")).is_err(), "{text}");
        }
    }

    #[test]
    fn the_gateway_and_its_network_are_no_home() {
        let own = policy().check("2001:db8:a::11".parse().expect("v6"));
        assert!(matches!(own, Err(Forbidden::Own(_))), "{own:?}");
        let beside = policy().check("2001:db8:a::12".parse().expect("v6"));
        assert!(matches!(beside, Err(Forbidden::OnLink { .. })), "{beside:?}");
    }

    #[test]
    fn what_the_gateway_sends_from_is_no_home() {
        let address: Ipv6Addr = "2001:db8:f::cb00:7105".parse().expect("v6");
        let policy = AddressPolicy::new(Vec::new(), Vec::new());
        assert_eq!(policy.check(address), Ok(()));
        assert!(matches!(policy.sending_from("2001:db8:f::/96".parse().ok()).check(address), Err(Forbidden::OnLink { .. })));
    }

    #[test]
    fn loopback_is_permitted_by_its_own_policy_alone() {
        assert!(AddressPolicy::on_loopback().check(Ipv6Addr::LOCALHOST).is_ok());
        assert!(AddressPolicy::default().check(Ipv6Addr::LOCALHOST).is_err());
    }
}
