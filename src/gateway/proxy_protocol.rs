//! Tells a home whose connection it is, where its owner wants that: the header stands before the client's first byte.
//!
//! It waits in the kernel for what comes behind it, which is here already, so that both are one segment and the header costs none. Whoever sets an option of the
//! home's socket in between may send it off (tcp(7), TCP_NODELAY).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fourward_core::proxy_protocol::{Ends, ProxyProtocol};
use rustix::net::SendFlags;

use super::splice::Relay;

/// Says to the home of `relay`, to which nothing has gone yet, that this is the connection of `peer`, which has said something. `public` are the
/// addresses that the world is told.
pub(super) fn tell(version: ProxyProtocol, relay: &Relay, peer: SocketAddr, public: &[Ipv4Addr]) -> io::Result<()> {
    if version == ProxyProtocol::None {
        return Ok(());
    }
    let (client, home) = relay.ends();
    let reached = reached(client.local_addr()?, public);
    let ends = Ends::new(peer, reached).ok_or_else(|| io::Error::other("a connection between two families"))?;
    let header = version.header(ends);
    // A new connection has room for it.
    let sent = rustix::net::send(home, &header, SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    if sent == header.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Where the client went to. Behind a provider's translation (1:1 NAT) this machine has a private address of which the client knows nothing:
/// then it is the public one, the first where there are several, since nobody says which.
fn reached(local: SocketAddr, public: &[Ipv4Addr]) -> SocketAddr {
    match (local.ip().to_canonical(), public.first()) {
        (IpAddr::V4(v4), Some(first)) if !public.contains(&v4) => SocketAddr::new(IpAddr::V4(*first), local.port()),
        _ => local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_translation_it_is_the_public_address_that_was_reached() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let public = ["192.0.2.11", "192.0.2.12"].map(|text| text.parse().expect("v4"));
        assert_eq!(reached(at("10.0.0.5:443"), &public), at("192.0.2.11:443"));
        assert_eq!(reached(at("192.0.2.12:443"), &public), at("192.0.2.12:443"), "no translation: the one that was reached");
        assert_eq!(reached(at("[2001:db8:a::11]:443"), &public), at("[2001:db8:a::11]:443"));
    }
}
