//! What can be wrong at the gateway and before it.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::roles::{ALIAS, DUAL, TWIN};
use crate::topology::Node::{Dns, Inet, Phone4, Phone6, Vps};
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
    let found = vps.check(DUAL);
    found.is_healthy("server", &["dns-tcp"]);
    found.notes("firewall-provider-dns");
    heal_provider(&lab);

    drop_at_provider(&lab, "tcp dport 443");
    home.check(DUAL).names_only("path4", "443/tcp");
    lab.check(Phone4, DUAL).names_only("path4", "443/tcp");
    let found = vps.check(DUAL);
    found.is_healthy("server", &["path4"]);
    found.finds("path4", "a firewall before this machine");
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
    let elsewhere = |remedy| {
        // What the resolver has kept leads on to the gateway, or does not.
        for forget in [false, true] {
            if forget {
                lab.forget();
            }
            home.check(DUAL).names_only("dns-udp", remedy);
            lab.check(Phone6, DUAL).names_only("dns-udp", remedy);
            lab.check(Phone4, DUAL).names_only("dns-udp", remedy);
        }
    };
    elsewhere("start fourward");

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
    elsewhere("server");
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

#[test]
fn a_server_that_lost_its_ipv6_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    lab.ns(Vps).sysctl("ipv6/conf/all/disable_ipv6", "1");
    vps.check(DUAL).names_only("server", "ip -6 route");
    home.check(DUAL).names_only("server", "ip -6 route");
    lab.check(Phone6, DUAL).names_only("dns-udp", "is the server up");
    lab.check(Phone4, DUAL).names_only("path4", "fourward check");
    // And once it has withdrawn the home, which it does not see any more.
    wait_for("the home is away", Duration::from_secs(60), || lab.dig(Dns, Some(VPS4), TWIN, "AAAA").of("AAAA").is_empty());
    lab.forget();
    vps.check(DUAL).names_only("server", "ip -6 route");
    home.check(DUAL).names_only("server", "ip -6 route");
    lab.check(Phone6, DUAL).names_only("dns-udp", "is the server up");
    lab.check(Phone4, DUAL).names_only("aaaa", "fourward check");
}
