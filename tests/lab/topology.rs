//! The figure as namespaces: who is joined to whom, with which addresses and which firewalls.
//!
//! ```text
//!  phone4   phone6   dns   vps
//!     └────────┴──┬───┴─────┘
//!                inet ── isp ── router ═╦═ server (the home: ::11)
//!                     (CGNAT)           ╠═ laptop (::20)
//!                                       ╚═ stranger (may take over an old address)
//! ```
//!
//! Only documentation addresses, and those of home networks behind CGNAT. There is no router
//! advertisement: `renumber` does by hand what a home router would announce, to know the very moment.

use std::net::Ipv6Addr;

use crate::netns::Ns;

/// A machine of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Inet,
    Phone4,
    Phone6,
    Dns,
    Vps,
    Isp,
    Router,
    Server,
    Laptop,
    Stranger,
}

use Node::{Dns, Inet, Isp, Laptop, Phone4, Phone6, Router, Server, Stranger, Vps};

impl Node {
    pub(crate) const ALL: [Self; 10] = [Inet, Phone4, Phone6, Dns, Vps, Isp, Router, Server, Laptop, Stranger];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Inet => "inet",
            Phone4 => "phone4",
            Phone6 => "phone6",
            Dns => "dns",
            Vps => "vps",
            Isp => "isp",
            Router => "router",
            Server => "server",
            Laptop => "laptop",
            Stranger => "stranger",
        }
    }

    /// The resolver that this machine uses; home machines ask over the IPv4 that every renumbering leaves alone.
    fn resolver(self) -> &'static str {
        if self == Phone6 { RESOLVER6 } else { RESOLVER4 }
    }
}

/// The gateway.
pub(crate) const VPS4: &str = "192.0.2.11";
pub(crate) const VPS6: &str = "2001:db8:a::11";
/// The registrar's name server, authoritative for the root and for `example.org`.
pub(crate) const REGISTRAR4: &str = "192.0.2.53";
pub(crate) const REGISTRAR6: &str = "2001:db8:53::53";
/// Everybody's resolver.
pub(crate) const RESOLVER4: &str = "192.0.2.54";
pub(crate) const RESOLVER6: &str = "2001:db8:53::54";
/// Who asks.
pub(crate) const PHONE4: &str = "198.51.100.4";
pub(crate) const PHONE6: &str = "2001:db8:6::6";
/// The ISP's and the home's addresses that no inbound IPv4 may reach anything by.
pub(crate) const ISP4: &str = "203.0.113.2";
pub(crate) const HOME4: &str = "100.64.0.2";
/// Known beforehand, so that the router can be told of it in the moment of a swap.
pub(crate) const STRANGER_MAC: &str = "02:00:00:00:00:66";

/// The home network's `n`-th prefix, as text that ends where the interface identifier begins.
/// The ISP gives the home one /56 after the other out of 2001:db8:100::/40.
pub(crate) fn prefix(n: u8) -> String {
    format!("2001:db8:1{n:02x}::")
}

/// The server's address in the `n`-th prefix.
pub(crate) fn home_address(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100 + u16::from(n), 0, 0, 0, 0, 0x11)
}

/// The machines of one lab, gone when dropped, also when building them failed half-way.
#[derive(Debug)]
pub(crate) struct Nodes(Vec<Ns>);

impl Drop for Nodes {
    fn drop(&mut self) {
        self.0.iter().for_each(Ns::remove);
    }
}

impl Nodes {
    /// Makes the machines, joins them and gives the home its first prefix.
    pub(crate) fn build(id: &str) -> Self {
        let mut nodes = Self(Vec::new());
        for node in Node::ALL {
            nodes.0.push(Ns::add(format!("{id}-{}", node.name())));
            nodes.get(node).set_resolver(node.resolver());
        }
        nodes.connect();
        nodes.address_the_internet();
        nodes.address_the_home();
        nodes.set_firewalls();
        nodes
    }

    pub(crate) fn get(&self, node: Node) -> &Ns {
        &self.0[node as usize]
    }

    fn connect(&self) {
        self.get(Phone4).sysctl("ipv6/conf/all/disable_ipv6", "1");
        for leaf in [Phone4, Phone6, Dns, Vps] {
            self.wire(leaf, "eth0", Inet, leaf.name());
        }
        self.wire(Isp, "outside", Inet, "isp");
        self.wire(Router, "wan", Isp, "home");
        // Where the kernel shows bridged frames to the firewall, the house's own traffic would be filtered.
        for hook in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
            self.get(Router).sysctl_if_there(&format!("bridge/{hook}"), "0");
        }
        // Snooping would drop the neighbours' multicast: no querier stands here.
        self.get(Router).ip("link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set lan up");
        for leaf in [Server, Laptop, Stranger] {
            self.wire(leaf, "eth0", Router, leaf.name());
            self.get(Router).ip(&format!("link set {} master lan", leaf.name()));
        }
        for router in [Inet, Isp, Router] {
            self.get(router).sysctl("ipv4/ip_forward", "1");
            self.get(router).sysctl("ipv6/conf/all/forwarding", "1");
        }
    }

    /// A cable. It is made inside the namespaces: the machine that runs the lab never sees it.
    fn wire(&self, one: Node, name: &str, other: Node, peer: &str) {
        let mac = if one == Stranger { format!("address {STRANGER_MAC}") } else { String::new() };
        let other = self.get(other);
        self.get(one).ip(&format!("link add {name} {mac} type veth peer name {peer} netns {}\nlink set {name} up", other.name()));
        other.ip(&format!("link set {peer} up"));
    }

    fn address_the_internet(&self) {
        self.get(Inet).ip("\
            addr add 198.51.100.1/24 dev phone4
            addr add 2001:db8:6::1/64 dev phone6
            addr add 192.0.2.49/28 dev dns
            addr add 2001:db8:53::1/64 dev dns
            addr add 192.0.2.1/27 dev vps
            addr add 2001:db8:a::1/64 dev vps
            addr add 203.0.113.1/30 dev isp
            addr add 2001:db8:2::1/64 dev isp
            route add 2001:db8:100::/40 via 2001:db8:2::2
            route add 2001:db8:3::/64 via 2001:db8:2::2");
        self.get(Phone4).ip(&format!("addr add {PHONE4}/24 dev eth0\nroute add default via 198.51.100.1"));
        self.get(Phone6).ip(&format!("addr add {PHONE6}/64 dev eth0\nroute add default via 2001:db8:6::1"));
        self.get(Dns).ip(&format!(
            "addr add {REGISTRAR4}/28 dev eth0\naddr add {RESOLVER4}/28 dev eth0\nroute add default via 192.0.2.49
            addr add {REGISTRAR6}/64 dev eth0\naddr add {RESOLVER6}/64 dev eth0\nroute add default via 2001:db8:53::1"
        ));
        self.get(Vps).ip(&format!(
            "addr add {VPS4}/27 dev eth0\nroute add default via 192.0.2.1
            addr add {VPS6}/64 dev eth0\nroute add default via 2001:db8:a::1"
        ));
        self.get(Isp).ip(&format!(
            "addr add {ISP4}/30 dev outside\nroute add default via 203.0.113.1
            addr add 2001:db8:2::2/64 dev outside\nroute add default via 2001:db8:2::1
            addr add 100.64.0.1/24 dev home\naddr add 2001:db8:3::1/64 dev home"
        ));
    }

    fn address_the_home(&self) {
        self.get(Router).ip(&format!(
            "addr add {HOME4}/24 dev wan\nroute add default via 100.64.0.1
            addr add 2001:db8:3::2/64 dev wan\nroute add default via 2001:db8:3::1
            addr add 192.168.1.1/24 dev lan\naddr add fe80::1/64 dev lan"
        ));
        for (node, number) in [(Server, 11), (Laptop, 20), (Stranger, 66)] {
            self.get(node).ip(&format!(
                "addr add 192.168.1.{number}/24 dev eth0\nroute add default via 192.168.1.1
                route add default via fe80::1 dev eth0"
            ));
        }
        self.route_prefix(0);
        self.get(Server).ip(&format!("addr add {}/64 dev eth0 nodad", home_address(0)));
    }

    /// Gives the home its `n`-th prefix, all but the server's address in it.
    pub(crate) fn route_prefix(&self, n: u8) {
        let prefix = prefix(n);
        self.get(Isp).ip(&format!("route replace {prefix}/56 via 2001:db8:3::2"));
        self.get(Router).ip(&format!("addr add {prefix}1/64 dev lan nodad\nroute replace unreachable {prefix}/56"));
        self.get(Laptop).ip(&format!("addr add {prefix}20/64 dev eth0 nodad"));
    }

    /// Forgets all about the `n`-th prefix, whatever is left of it.
    pub(crate) fn forget_prefix(&self, n: u8) {
        let prefix = prefix(n);
        self.get(Server).ip_forgiving(&format!("addr del {prefix}11/64 dev eth0"));
        self.get(Stranger).ip_forgiving(&format!("addr del {prefix}11/64 dev eth0"));
        self.get(Laptop).ip_forgiving(&format!("addr del {prefix}20/64 dev eth0"));
        self.get(Router)
            .ip_forgiving(&format!("addr del {prefix}1/64 dev lan\nneigh del {prefix}11 dev lan\nroute del unreachable {prefix}/56"));
        self.get(Isp).ip_forgiving(&format!("route del {prefix}/56"));
    }

    fn set_firewalls(&self) {
        self.get(Inet).nft(INET_COUNTERS);
        self.get(Vps).nft(VPS_COUNTERS);
        self.get(Isp).nft(ISP_RULES);
        self.get(Router).nft(ROUTER_RULES);
    }
}

/// Who meets whom, as the middle of the Internet sees it.
const INET_COUNTERS: &str = "
table inet watch {
    counter phone4_and_vps {}
    counter phone4_elsewhere {}
    counter phone6_and_vps {}
    counter phone6_and_home {}
    chain forward {
        type filter hook forward priority filter;
        ip saddr 198.51.100.4 ip daddr 192.0.2.11 counter name phone4_and_vps
        ip saddr 192.0.2.11 ip daddr 198.51.100.4 counter name phone4_and_vps
        ip saddr 198.51.100.4 ip daddr != { 192.0.2.11, 192.0.2.54 } counter name phone4_elsewhere
        ip6 saddr 2001:db8:6::6 ip6 daddr 2001:db8:a::/64 counter name phone6_and_vps
        ip6 saddr 2001:db8:a::/64 ip6 daddr 2001:db8:6::6 counter name phone6_and_vps
        ip6 saddr 2001:db8:6::6 ip6 daddr 2001:db8:100::/40 counter name phone6_and_home
        ip6 saddr 2001:db8:100::/40 ip6 daddr 2001:db8:6::6 counter name phone6_and_home
    }
}";

/// Connections that the gateway opens to its own public addresses: a loop's first step. And its questions to the resolver.
const VPS_COUNTERS: &str = "
table inet watch {
    counter dialled_itself {}
    counter asked {}
    chain output {
        type filter hook output priority filter;
        meta l4proto { tcp, udp } th dport 53 counter name asked
        ip daddr 192.0.2.11 tcp flags & (syn | ack) == syn counter name dialled_itself
        ip6 daddr 2001:db8:a::11 tcp flags & (syn | ack) == syn counter name dialled_itself
    }
}";

/// Carrier-grade NAT: nothing inbound on IPv4. IPv6 passes, but for prefixes declared dead.
const ISP_RULES: &str = "
table ip cgnat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname outside ip saddr 100.64.0.0/10 masquerade
    }
}
table inet isp {
    set dead { type ipv6_addr; flags interval; }
    chain forward {
        type filter hook forward priority filter;
        ip6 saddr @dead drop
        ip6 daddr @dead drop
        iifname outside meta nfproto ipv4 ct state != { established, related } drop
    }
}";

/// What a home router does once its owner has opened 80 and 443 to the server's interface
/// identifier, which a new prefix leaves as it is. And the laptop's bytes that leave the house.
const ROUTER_RULES: &str = "
table ip home {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname wan masquerade
    }
}
table inet home {
    counter laptop_resolving {}
    counter laptop_outside {}
    chain watch {
        type filter hook forward priority filter - 1;
        oifname wan ip saddr 192.168.1.20 goto laptop
        iifname wan ip daddr 192.168.1.20 goto laptop
        oifname wan ip6 saddr & ::ffff:ffff:ffff:ffff == ::20 goto laptop
        iifname wan ip6 daddr & ::ffff:ffff:ffff:ffff == ::20 goto laptop
    }
    chain laptop {
        meta l4proto { tcp, udp } th dport 53 counter name laptop_resolving return
        meta l4proto { tcp, udp } th sport 53 counter name laptop_resolving return
        counter name laptop_outside
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        iifname lan accept
        ct state { established, related } accept
        ip6 daddr & ::ffff:ffff:ffff:ffff == ::11 tcp dport { 80, 443 } accept
        ip6 daddr & ::ffff:ffff:ffff:ffff == ::11 udp dport 443 accept
    }
}";
