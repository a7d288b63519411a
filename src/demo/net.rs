//! The network of one machine of the figure: interfaces, addresses, routes, counters.
//!
//! What `ip` would do, by netlink, so that the demo needs no other program. Removing whole machines is not here: the kernel
//! does it when the last descriptor closes.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use netlink_packet_route::route::RouteMessage;
use rtnetlink::{AddressMessageBuilder, Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::namespace::Place;

/// A netlink socket of one machine. Its task ends with it.
#[derive(Debug)]
pub(super) struct Net {
    handle: Handle,
    task: tokio::task::AbortHandle,
}

/// Why a network could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct NetError {
    what: String,
    reason: String,
}

impl Net {
    /// Opens a netlink socket at `place`. Needs a runtime.
    ///
    /// # Errors
    /// The kernel grants none.
    pub(super) fn open(place: &Place) -> Result<Self, NetError> {
        let opened = place.visit(|| {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            Ok((tokio::spawn(connection).abort_handle(), handle))
        });
        let (task, handle) = opened.map_err(|error: io::Error| failed("a netlink socket", error))?;
        Ok(Self { handle, task })
    }

    /// Lays a cable from the new interface `end` here to the new interface `far_end` of the machine `there`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn cable(&self, end: &str, far_end: &str, there: BorrowedFd<'_>) -> Result<(), NetError> {
        let peer = LinkUnspec::new_with_name(far_end).setns_by_fd(there.as_raw_fd()).build();
        let pair = LinkVeth::new(end, far_end).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        self.handle.link().add(pair).execute().await.map_err(|error| failed(&format!("a cable from {end}"), error))
    }

    /// A switch named `bridge` that joins the interfaces `ports`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn bridge(&self, bridge: &str, ports: &[&str]) -> Result<(), NetError> {
        let what = format!("the bridge {bridge}");
        self.handle.link().add(LinkBridge::new(bridge).build()).execute().await.map_err(|error| failed(&what, error))?;
        let index = self.link(bridge).await?.header.index;
        for port in ports {
            let joined = LinkUnspec::new_with_name(port).controller(index).build();
            self.handle.link().set(joined).execute().await.map_err(|error| failed(&what, error))?;
        }
        Ok(())
    }

    /// Switches `interface` on.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn up(&self, interface: &str) -> Result<(), NetError> {
        let up = LinkUnspec::new_with_name(interface).up().build();
        self.handle.link().set(up).execute().await.map_err(|error| failed(&format!("switching {interface} on"), error))
    }

    /// Gives `interface` the address and prefix length `net`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn add_address(&self, interface: &str, net: IpNet) -> Result<(), NetError> {
        let index = self.link(interface).await?.header.index;
        let added = self.handle.address().add(index, net.addr(), net.prefix_len()).execute().await;
        added.map_err(|error| failed(&format!("the address {net} on {interface}"), error))
    }

    /// Takes the address `net` from `interface`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn remove_address(&self, interface: &str, net: IpNet) -> Result<(), NetError> {
        let index = self.link(interface).await?.header.index;
        let message = match net {
            IpNet::V4(net) => AddressMessageBuilder::<std::net::Ipv4Addr>::new().index(index).address(net.addr(), net.prefix_len()).build(),
            IpNet::V6(net) => AddressMessageBuilder::<std::net::Ipv6Addr>::new().index(index).address(net.addr(), net.prefix_len()).build(),
        };
        let removed = self.handle.address().del(message).execute().await;
        removed.map_err(|error| failed(&format!("taking {net} from {interface}"), error))
    }

    /// Sends packets for `net` to the router `via` behind `interface`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn add_route(&self, net: IpNet, via: IpAddr, interface: &str) -> Result<(), NetError> {
        let route = self.route(net, via, interface).await?;
        self.handle.route().add(route).execute().await.map_err(|error| failed(&format!("the route {net} via {via}"), error))
    }

    /// Takes back what `add_route` did.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) async fn remove_route(&self, net: IpNet, via: IpAddr, interface: &str) -> Result<(), NetError> {
        let route = self.route(net, via, interface).await?;
        self.handle.route().del(route).execute().await.map_err(|error| failed(&format!("taking the route {net} back"), error))
    }

    /// The bytes that crossed `interface`, both ways together.
    ///
    /// # Errors
    /// There is no such interface, or it does not count.
    pub(super) async fn bytes(&self, interface: &str) -> Result<u64, NetError> {
        let link = self.link(interface).await?;
        let counted = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(stats.rx_bytes.saturating_add(stats.tx_bytes)),
            _ => None,
        });
        counted.ok_or_else(|| failed(interface, "it counts no bytes"))
    }

    async fn link(&self, interface: &str) -> Result<LinkMessage, NetError> {
        let found = self.handle.link().get().match_name(interface.to_owned()).execute().try_next().await;
        found.map_err(|error| failed(interface, error))?.ok_or_else(|| failed(interface, "there is no such interface"))
    }

    async fn route(&self, net: IpNet, via: IpAddr, interface: &str) -> Result<RouteMessage, NetError> {
        let what = || format!("the route {net} via {via}");
        let index = self.link(interface).await?.header.index;
        let route = RouteMessageBuilder::<IpAddr>::new().output_interface(index);
        let route = route.destination_prefix(net.addr(), net.prefix_len()).map_err(|error| failed(&what(), error))?;
        Ok(route.gateway(via).map_err(|error| failed(&what(), error))?.build())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn failed(what: &str, reason: impl std::fmt::Display) -> NetError {
    NetError { what: what.into(), reason: reason.to_string() }
}
