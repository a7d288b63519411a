//! What can be wrong at the gateway and before it.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc;

use crate::lab::Lab;
use crate::roles::{ALIAS, DUAL};
use crate::topology::Node::{Inet, Phone4, Phone6, Vps};
use crate::topology::{VPS4, VPS6};

/// A rule of the provider's firewall: what it drops on the way to the gateway.
fn drop_at_provider(lab: &Lab, what: &str) {
    lab.ns(Inet).nft(&format!(
        "table inet provider {{\n chain forward {{\n type filter hook forward priority filter - 5;\n ip daddr {VPS4} {what} drop\n ip6 daddr {VPS6} {what} drop\n }}\n}}"
    ));
}

fn heal_provider(lab: &Lab) {
    lab.ns(Inet).nft("delete table inet provider");
    // What could not be asked is remembered.
    lab.forget();
}

#[test]
fn what_the_providers_firewall_drops_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();

    drop_at_provider(&lab, "udp dport 53");
    lab.forget();
    home.check(DUAL).names_only("firewall-provider-dns", "53/udp");
    lab.check(Phone6, DUAL).names_only("firewall-provider-dns", "53/udp");
    lab.check(Phone4, DUAL).names_only("firewall-provider-dns", "53/udp");
    // From the machine itself only the resolver's trouble can be seen.
    vps.check(DUAL).names_only("resolver", "53/udp");
    heal_provider(&lab);

    drop_at_provider(&lab, "tcp dport 53");
    home.check(DUAL).names_only("dns-tcp", "53/tcp");
    lab.check(Phone4, DUAL).names_only("dns-tcp", "53/tcp");
    lab.check(Phone6, DUAL).names_only("dns-tcp", "53/tcp");
    heal_provider(&lab);

    drop_at_provider(&lab, "tcp dport 443");
    home.check(DUAL).names_only("path4", "443/tcp");
    lab.check(Phone4, DUAL).names_only("path4", "443/tcp");
    heal_provider(&lab);

    drop_at_provider(&lab, "udp dport 443");
    lab.check(Phone6, DUAL).names_only("firewall-provider-link", "443/udp");
    let found = lab.check_until("firewall-provider-link", || home.check(DUAL));
    found.names_only("firewall-provider-link", "443/udp");
    lab.check_until("link", || vps.check(DUAL)).names_only("link", "443/udp");
    heal_provider(&lab);
    lab.check_until_well(&["link", "firewall-provider-link"], || home.check(DUAL));
}

#[test]
fn a_server_that_does_not_run_and_whose_ports_are_taken_is_named() {
    let lab = Lab::beside_others();
    let (mut vps, home) = lab.start_figure();
    vps.daemon.kill();
    vps.check(DUAL).names_only("server", "systemctl start fourward");
    home.check(DUAL).names_first("dns-udp", "start fourward");
    lab.check(Phone6, DUAL).names_first("dns-udp", "start fourward");

    let (taken, is_taken) = mpsc::channel();
    let (done, is_done) = mpsc::channel::<()>();
    let thief = lab.ns(Vps).thread(move || {
        let _sockets = (UdpSocket::bind("0.0.0.0:53").expect("a socket"), TcpListener::bind("[::]:80").expect("a listener"));
        taken.send(()).expect("told");
        let _ = is_done.recv();
    });
    is_taken.recv().expect("the ports are taken");
    let own = fs::read_to_string("/proc/self/comm").expect("our name");
    vps.check(DUAL).names_only("ports", own.trim());
    drop(done);
    thief.join().expect("the ports are given back");
}

#[test]
fn a_name_that_the_gateway_does_not_serve_is_named() {
    let lab = Lab::beside_others();
    let (vps, _home) = lab.start_figure();
    vps.check("nobody").names_first("server", "fourward host add");
    // A host that is told to publish what becomes the gateway's own address.
    const TRAP: &str = "2001:db8:7ab::1";
    vps.add_host("trap", &["address-from=static", &format!("address={TRAP}")]);
    lab.ns(Vps).ip(&format!("addr add {TRAP}/128 dev lo nodad"));
    lab.check_until("loop", || vps.check("trap")).names_only("loop", "address of the home's own");
    lab.check(Phone4, ALIAS).is_healthy("outside", &["path4"]);
}
