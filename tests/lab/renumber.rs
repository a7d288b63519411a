//! The home's address changes, in each way that homes know, at a moment that the test knows.
//!
//! The new prefix is routed and in use on the router and the laptop before the server gets its address
//! in it (without detection of duplicates, so that it is of use at once): what is measured from then
//! on is fourward's doing alone.

use std::net::Ipv6Addr;
use std::time::Instant;

use crate::lab::Lab;
use crate::topology::Node::{Isp, Router, Server, Stranger};
use crate::topology::{STRANGER_MAC, home_address, prefix};

/// What becomes of the old address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Gone from the server at once; the old prefix is still routed to the house, where nobody answers.
    Removed,
    /// Still there and routed, but not to be used for anything new.
    Deprecated,
    /// Still there and preferred: only the ISP knows that the prefix is dead, and says nothing.
    BlackHoled,
}

/// A renumbering that has happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    /// Just before the kernel was asked to add the new address.
    pub(crate) at: Instant,
    pub(crate) old: Ipv6Addr,
    pub(crate) new: Ipv6Addr,
}

impl Lab {
    /// Gives the home its next prefix. What the move before the last left behind is cleared away first.
    pub(crate) fn renumber(&self, manner: Manner) -> Move {
        let (old, new) = self.next_prefix();
        let leave = match manner {
            Manner::Removed => format!("addr del {old}/64 dev eth0"),
            Manner::Deprecated => format!("addr change {old}/64 dev eth0 valid_lft forever preferred_lft 0"),
            Manner::BlackHoled => String::new(),
        };
        if manner == Manner::BlackHoled {
            let dead = prefix(self.generation.get() - 1);
            self.ns(Isp).nft(&format!("add element inet isp dead {{ {dead}/56 }}"));
        }
        let at = Instant::now();
        self.ns(Server).ip(&format!("addr add {new}/64 dev eth0 nodad\n{leave}"));
        Move { at, old, new }
    }

    /// Like `Removed`, and the lower half of the address changes with the prefix.
    pub(crate) fn renumber_with_another_end(&self) -> Ipv6Addr {
        let (old, new) = self.next_prefix();
        let new = Ipv6Addr::from_bits(new.to_bits() | 0x1234_0000);
        self.ns(Server).ip(&format!("addr add {new}/64 dev eth0 nodad\naddr del {old}/64 dev eth0"));
        new
    }

    /// Like `Removed`, and a stranger takes the old address over *before* the server even hears of a
    /// change: for a few milliseconds only a proof from the home itself tells the two apart.
    pub(crate) fn renumber_with_an_heir(&self) -> Move {
        let (old, new) = self.next_prefix();
        self.bequeath(old);
        let at = Instant::now();
        self.ns(Server).ip(&format!("addr add {new}/64 dev eth0 nodad\naddr del {old}/64 dev eth0"));
        Move { at, old, new }
    }

    /// The stranger has the home's address from now on, and the router knows no other.
    pub(crate) fn bequeath(&self, address: Ipv6Addr) {
        self.ns(Stranger).ip(&format!("addr add {address}/64 dev eth0 nodad"));
        self.ns(Router).ip(&format!("neigh replace {address} lladdr {STRANGER_MAC} dev lan nud permanent"));
    }

    fn next_prefix(&self) -> (Ipv6Addr, Ipv6Addr) {
        let present = self.generation.get();
        if let Some(past) = present.checked_sub(1) {
            self.nodes.forget_prefix(past);
        }
        let next = present.checked_add(1).expect("no more than 255 prefixes in one lab");
        self.nodes.route_prefix(next);
        self.generation.set(next);
        (home_address(present), home_address(next))
    }
}
