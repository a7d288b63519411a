//! Keys of `[gateway]` that are more than a number: whom it asks, and where it sends from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fourward_core::policy::AddressPolicy;
use fourward_core::source::SourcePrefix;

use super::raw::{unique, value};
use super::{ConfigError, Public};

/// As many as resolv.conf may have: a client's patience does not last for more.
const RESOLVERS: usize = 3;

/// The name servers in `texts`, each an address, or an address and a port.
pub(super) fn resolvers(texts: &[String], own_dns: &[SocketAddr]) -> Result<Vec<SocketAddr>, ConfigError> {
    const KEY: &str = "gateway.resolver";
    let one = |text: &String| {
        let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        let refused = |reason: &str| Err(value(KEY, &format!("\"{text}\" {reason}")));
        let Ok(address) = address.or_else(|_| text.parse::<SocketAddr>()) else {
            return refused("is neither an address nor an address with a port, like \"192.0.2.53\" or \"[2001:db8::53]:5353\"");
        };
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return refused("is no address of one server");
        }
        if address.port() == 0 {
            return refused("has the port 0, at which nobody listens");
        }
        // A wildcard is every address of this machine; the loopback ones are known without asking the kernel.
        let covers = |own: &SocketAddr| own.ip() == ip || own.ip().is_unspecified() && own.is_ipv4() == ip.is_ipv4() && ip.is_loopback();
        if own_dns.iter().any(|own| own.port() == address.port() && covers(own)) {
            return refused("is this server's own name server, which knows its own zones and asks nobody; name another");
        }
        Ok(address)
    };
    let resolvers = texts.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    unique(KEY, &resolvers)?;
    if resolvers.len() > RESOLVERS {
        return Err(value(KEY, &format!("{} of them; {RESOLVERS} is the most", resolvers.len())));
    }
    Ok(resolvers)
}

/// The prefix in `text`: routed to this machine, and none of its own networks.
pub(super) fn source_prefix(text: &str, public: &Public) -> Result<SourcePrefix, ConfigError> {
    const KEY: &str = "gateway.source-prefix";
    let prefix: SourcePrefix = text.parse().map_err(|reason: String| value(KEY, &reason))?;
    if let Err(reason) = AddressPolicy::default().check(prefix.net().addr()) {
        return Err(value(KEY, &format!("{reason}; expected a prefix that the provider routes to this server")));
    }
    match public.ipv6.iter().find(|own| prefix.net().contains(*own)) {
        Some(own) => {
            Err(value(KEY, &format!("{prefix} contains {own}, this server's own address; take another /96 out of what is routed here")))
        }
        None => Ok(prefix),
    }
}
