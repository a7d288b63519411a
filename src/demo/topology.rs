//! The figure as a network: who is there, which cable goes where, who has which address, and how the home is renumbered.
//!
//! ```text
//!  phone4 ──┐               ┌── vps
//!           ├── internet ───┤
//!  phone6 ──┘               └── router ──(lan)── server, laptop
//! ```
//!
//! The home's IPv4 is what carrier-grade NAT leaves of it, seen from outside: the router holds 100.64.0.2, and nobody in the
//! Internet has a route to it. There is no way out by IPv4 either (address translation would take a packet filter), and none is needed.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::namespace::{Ground, NamespaceError, Place};
use super::net::{Net, NetError};

/// The gateway's IPv4 address, as in the figure.
pub(super) const VPS_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

/// The gateway's IPv6 address, as in the figure.
pub(super) const VPS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x11);

/// The router as its LAN knows it. Link-local, like the one that router advertisements bring: it outlives a renumbering.
const LAN_ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

const ISP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
const WAN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 2);
const VPS_ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const VPS_ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1);
const PHONE4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 4);
const PHONE4_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const PHONE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 6);
const PHONE6_ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
const CGNAT: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const SERVER_V4: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 11);

/// The prefixes that the ISP delegates to the home, one after the other: `2001:db8:100:N::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delegation(pub(super) u16);

/// A machine: its place and its network.
#[derive(Debug)]
pub(super) struct Machine {
    /// Where its sockets are made and its children are started.
    pub(super) place: Place,
    /// Its interfaces.
    pub(super) net: Net,
}

/// All machines of the figure, with their cables in.
#[derive(Debug)]
pub(super) struct Topology {
    /// The router between all networks.
    pub(super) internet: Machine,
    /// The small server that is the gateway.
    pub(super) vps: Machine,
    /// A client with IPv4 only.
    pub(super) phone4: Machine,
    /// A client with IPv6 only.
    pub(super) phone6: Machine,
    /// The home's router.
    pub(super) router: Machine,
    /// The home's server.
    pub(super) server: Machine,
    /// A client in the home.
    pub(super) laptop: Machine,
}

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// No machines.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// No cables.
    #[error(transparent)]
    Net(#[from] NetError),
}

impl Delegation {
    /// The prefix itself.
    pub(super) fn prefix(self) -> IpNet {
        v6(self.address(0), 64)
    }

    /// The server's address in it.
    pub(super) fn server(self) -> Ipv6Addr {
        self.address(0x11)
    }

    /// The laptop's address in it.
    pub(super) fn laptop(self) -> Ipv6Addr {
        self.address(0x20)
    }

    fn router(self) -> Ipv6Addr {
        self.address(1)
    }

    fn address(self, interface_identifier: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x100, self.0, 0, 0, 0, interface_identifier)
    }
}

impl Machine {
    /// A machine without cables.
    async fn new(ground: &Ground) -> Result<Self, TopologyError> {
        let place = ground.machine()?;
        let net = Net::open(&place)?;
        net.up("lo").await?;
        // Before any link is up: duplicate address detection would eat a second, and the first packets.
        for scope in ["all", "default"] {
            place.set(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
        }
        Ok(Self { place, net })
    }

    /// Makes two machines and a cable between them, to see whether that is allowed.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn probe(ground: &Ground) -> Result<(), TopologyError> {
        let router = Self::router(ground).await?;
        let other = Self::new(ground).await?;
        Ok(router.cable("probe", &other, "eth0").await?)
    }

    async fn router(ground: &Ground) -> Result<Self, TopologyError> {
        let machine = Self::new(ground).await?;
        machine.place.set("ipv4/ip_forward", "1")?;
        machine.place.set("ipv6/conf/all/forwarding", "1")?;
        Ok(machine)
    }

    async fn cable(&self, end: &str, there: &Self, far_end: &str) -> Result<(), NetError> {
        if let Some(descriptor) = there.place.descriptor() {
            self.net.cable(end, far_end, descriptor).await?;
        }
        self.net.up(end).await?;
        there.net.up(far_end).await
    }
}

impl Topology {
    /// Makes the machines and cables of the figure, the home numbered by `delegation`.
    ///
    /// # Errors
    /// The kernel refused a part of it.
    pub(super) async fn build(ground: &Ground, delegation: Delegation) -> Result<Self, TopologyError> {
        let topology = Self {
            internet: Machine::router(ground).await?,
            vps: Machine::new(ground).await?,
            phone4: Machine::new(ground).await?,
            phone6: Machine::new(ground).await?,
            router: Machine::router(ground).await?,
            server: Machine::new(ground).await?,
            laptop: Machine::new(ground).await?,
        };
        topology.connect_internet().await?;
        topology.connect_home().await?;
        topology.delegate(delegation).await?;
        topology.number(delegation).await?;
        Ok(topology)
    }

    /// Takes `old` away from the home and gives it `new`, in the manner that cuts hardest: nobody is told beforehand, and the old
    /// addresses are gone. `begins` is called when the first new address is about to appear, its route being in place.
    ///
    /// # Errors
    /// The kernel refused a part of it.
    pub(super) async fn renumber(&self, old: Delegation, new: Delegation, begins: impl FnOnce()) -> Result<(), NetError> {
        self.delegate(new).await?;
        begins();
        self.number(new).await?;
        self.server.net.remove_address("eth0", v6(old.server(), 64)).await?;
        self.laptop.net.remove_address("eth0", v6(old.laptop(), 64)).await?;
        self.router.net.remove_address("lan", v6(old.router(), 64)).await?;
        self.internet.net.remove_route(old.prefix(), WAN.into(), "home").await
    }

    /// The bytes that crossed the home's line to the Internet so far.
    ///
    /// # Errors
    /// The router does not count them.
    pub(super) async fn wan_bytes(&self) -> Result<u64, NetError> {
        self.router.net.bytes("wan").await
    }

    async fn connect_internet(&self) -> Result<(), NetError> {
        let internet = &self.internet;
        internet.cable("vps", &self.vps, "eth0").await?;
        internet.cable("phone4", &self.phone4, "eth0").await?;
        internet.cable("phone6", &self.phone6, "eth0").await?;
        internet.cable("home", &self.router, "wan").await?;
        internet.net.add_address("vps", v4(VPS_ROUTER_V4, 24)).await?;
        internet.net.add_address("vps", v6(VPS_ROUTER_V6, 64)).await?;
        internet.net.add_address("phone4", v4(PHONE4_ROUTER, 24)).await?;
        internet.net.add_address("phone6", v6(PHONE6_ROUTER, 64)).await?;
        // No IPv4 on this line: the Internet does not know the home's.
        internet.net.add_address("home", v6(ISP, 64)).await?;
        self.vps.net.add_address("eth0", v4(VPS_V4, 24)).await?;
        self.vps.net.add_address("eth0", v6(VPS_V6, 64)).await?;
        self.phone4.net.add_address("eth0", v4(PHONE4, 24)).await?;
        self.phone6.net.add_address("eth0", v6(PHONE6, 64)).await?;
        self.vps.net.add_route(everything_v4(), VPS_ROUTER_V4.into(), "eth0").await?;
        self.vps.net.add_route(everything_v6(), VPS_ROUTER_V6.into(), "eth0").await?;
        self.phone4.net.add_route(everything_v4(), PHONE4_ROUTER.into(), "eth0").await?;
        self.phone6.net.add_route(everything_v6(), PHONE6_ROUTER.into(), "eth0").await
    }

    async fn connect_home(&self) -> Result<(), NetError> {
        let router = &self.router;
        router.cable("server", &self.server, "eth0").await?;
        router.cable("laptop", &self.laptop, "eth0").await?;
        router.net.bridge("lan", &["server", "laptop"]).await?;
        router.net.up("lan").await?;
        router.net.add_address("lan", v6(LAN_ROUTER, 64)).await?;
        router.net.add_address("wan", v6(WAN, 64)).await?;
        router.net.add_address("wan", v4(CGNAT, 24)).await?;
        router.net.add_route(everything_v6(), ISP.into(), "wan").await?;
        self.server.net.add_address("eth0", v4(SERVER_V4, 24)).await?;
        self.server.net.add_route(everything_v6(), LAN_ROUTER.into(), "eth0").await?;
        self.laptop.net.add_route(everything_v6(), LAN_ROUTER.into(), "eth0").await
    }

    /// What the ISP and the router do with a new prefix.
    async fn delegate(&self, delegation: Delegation) -> Result<(), NetError> {
        self.internet.net.add_route(delegation.prefix(), WAN.into(), "home").await?;
        self.router.net.add_address("lan", v6(delegation.router(), 64)).await
    }

    /// What the machines at home do with it.
    async fn number(&self, delegation: Delegation) -> Result<(), NetError> {
        self.server.net.add_address("eth0", v6(delegation.server(), 64)).await?;
        self.laptop.net.add_address("eth0", v6(delegation.laptop(), 64)).await
    }
}

fn everything_v4() -> IpNet {
    v4(Ipv4Addr::UNSPECIFIED, 0)
}

fn everything_v6() -> IpNet {
    v6(Ipv6Addr::UNSPECIFIED, 0)
}

fn v4(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, length))
}

fn v6(address: Ipv6Addr, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address, length))
}
