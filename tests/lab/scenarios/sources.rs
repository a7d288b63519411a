//! The client's IPv4 address in the address that the home sees: whatever it runs logs its clients, and can tell them apart.

use std::fs;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::roles::{DUAL, PUBLISHED, Role};
use crate::topology::Node::{Inet, Phone4, Phone6, Vps};
use crate::topology::VPS6;
use crate::web::PAGE;

const PREFIX: &str = "2001:db8:f::/96";
/// PHONE4, 198.51.100.4, behind it.
const CLIENT: &str = "2001:db8:f::c633:6404";

/// The figure with a prefix that the provider routes to the server.
fn figure(lab: &Lab) -> (Role, Role) {
    lab.ns(Inet).ip(&format!("route add {PREFIX} via {VPS6}"));
    lab.ns(Vps).ip(&format!("route add local {PREFIX} dev lo"));
    let vps =
        lab.start_vps_with(&["--no-acme"], |written| written.replace("[gateway]", &format!("[gateway]\nsource-prefix = \"{PREFIX}\"")));
    let join = vps.add_host("cloud", &["ttl=1"]);
    let home = lab.start_home(&join);
    (vps, home)
}

#[test]
fn the_home_sees_each_ipv4_client_by_an_address_of_its_own() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    for scheme in ["https", "http"] {
        let page = lab.fetch(Phone4, &format!("{scheme}://{DUAL}/"), &[]).expect("the page");
        assert_eq!((page.code, page.body.as_str()), (200, PAGE), "{scheme}");
    }
    let log = || fs::read_to_string(lab.log("apache-access")).expect("Apache's log");
    wait_for("both visits are logged", PUBLISHED, || log().lines().filter(|line| line.starts_with(&format!("{CLIENT} "))).count() >= 2);
    // Over IPv6 through the gateway nobody's address can be sent from.
    assert!(vps.tell(&["host", "set", "cloud", "via=gateway"]).status.success());
    wait_for("the AAAA is the gateway's", PUBLISHED, || lab.dig(Phone6, None, DUAL, "AAAA").of("AAAA") == [VPS6]);
    assert_eq!(lab.fetch(Phone6, &format!("https://{DUAL}/"), &[]).expect("the page").body, PAGE);
    wait_for("the gateway's own address is logged", PUBLISHED, || log().lines().any(|line| line.starts_with(&format!("{VPS6} "))));
}

#[test]
fn a_prefix_that_does_not_come_back_is_named() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    vps.check(DUAL).is_healthy("server", &["source-prefix", "service"]);
    lab.ns(Vps).ip(&format!("route del local {PREFIX} dev lo"));
    vps.check(DUAL).names_only("source-prefix", &format!("ip -6 route add local {PREFIX} dev lo"));
    assert!(lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).is_err(), "nobody gets through");
    lab.ns(Vps).ip(&format!("route add local {PREFIX} dev lo"));
    lab.ns(Inet).ip(&format!("route del {PREFIX} via {VPS6}"));
    vps.check(DUAL).names_only("source-prefix", "have the provider route");
}
