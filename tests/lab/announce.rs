//! What a home router announces (RFC 4861 §4.2), for tests in which the kernel at home makes its addresses itself.

use std::net::{Ipv6Addr, SocketAddrV6};

use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::clock::wait_for_some;
use crate::lab::Lab;
use crate::roles::PUBLISHED;
use crate::topology::Node::{Router, Server};
use crate::topology::prefix;

/// All nodes of the link.
const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// For how many seconds an address in a prefix may be used at all.
const VALID: u32 = 86_400;

impl Lab {
    /// The router announces the home's `n`-th prefix, and that one before it is to be used no more. Returns the address that the kernel at home
    /// made in it, once it may be used.
    pub(crate) fn announce(&self, n: u8) -> Ipv6Addr {
        let mut message = vec![134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (n, preferred) in n.checked_sub(1).map(|before| (before, 0)).into_iter().chain([(n, VALID)]) {
            let prefix: Ipv6Addr = prefix(n).parse().expect("a prefix");
            message.extend([3, 4, 64, 0xc0]);
            message.extend([VALID.to_be_bytes(), u32::to_be_bytes(preferred), [0; 4]].concat());
            message.extend(prefix.octets());
        }
        let sent = self.ns(Router).thread(move || {
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).expect("a raw socket");
            socket.bind_device(Some(b"lan")).expect("bound to the home network");
            socket.set_multicast_hops_v6(255).expect("a hop limit");
            socket.send_to(&message, &SockAddr::from(SocketAddrV6::new(ALL, 0, 0, 0))).expect("announced")
        });
        sent.join().expect("announced");
        wait_for_some("the kernel at home has an address of its own making", PUBLISHED, || self.made_in(n))
    }

    fn made_in(&self, n: u8) -> Option<Ipv6Addr> {
        let output = self.ns(Server).run("ip", &["-j", "-6", "addr", "show", "dev", "eth0", "scope", "global", "-tentative"]);
        let json: Value = serde_json::from_slice(&output.stdout).expect("ip prints JSON");
        let all = json.as_array()?.iter().flat_map(|interface| interface["addr_info"].as_array().into_iter().flatten());
        let prefix: Ipv6Addr = prefix(n).parse().expect("a prefix");
        let mut addresses = all.filter(|address| address["dynamic"] == true).filter_map(|address| address["local"].as_str()?.parse().ok());
        addresses.find(|address: &Ipv6Addr| address.octets()[..8] == prefix.octets()[..8])
    }
}
