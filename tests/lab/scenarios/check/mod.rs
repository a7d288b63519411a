//! `fourward check` names what is broken, and what to do: each thing broken on purpose, one by one.

mod gateway;
mod home;
mod hosts;
mod loops;
mod names;
mod tls;

use crate::lab::Lab;
use crate::roles::{ALIAS, DUAL, TWIN, said};
use crate::topology::Node::{Laptop, Phone4, Phone6};

/// What every machine with both families judges.
const EVERYWHERE: [&str; 11] =
    ["zone-delegation", "zone-glue", "dns-udp", "dns-tcp", "loop", "resolver", "a", "aaaa", "path4", "path6", "same-server"];

/// What the server and the home know besides.
const INSIDE: [&str; 6] = ["link", "lease", "interface-identifier", "service", "firewall-home", "firewall-router"];

#[test]
fn a_healthy_figure_is_healthy_in_all_views() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    for name in [DUAL, TWIN, ALIAS, "cloud"] {
        let dual = if name == TWIN { &EVERYWHERE[..8] } else { &EVERYWHERE };
        vps.check(name).is_healthy("server", &[dual, &INSIDE].concat());
        home.check(name).is_healthy("home", &[dual, &INSIDE].concat());
    }
    let told = said(&home.tell(&["check", "cloud"]));
    assert!(told.contains("looked at from home") && told.contains("no fault") && !told.contains("FAULT"), "{told}");
    for name in [DUAL, ALIAS] {
        lab.check(Phone6, name).notes("path4");
        lab.check(Laptop, name).is_healthy("outside", &EVERYWHERE);
        let phone4 = lab.check(Phone4, name);
        phone4.is_healthy("outside", &["path4", "a", "aaaa"]);
        phone4.notes("path6");
    }
}
