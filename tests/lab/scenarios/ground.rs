//! The lab itself, before any fourward: who reaches whom, and who must not.
//!
//! If these fail, the other scenarios say nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::renumber::Manner;
use crate::topology::Node::{Dns, Laptop, Phone4, Phone6, Router, Server, Stranger, Vps};
use crate::topology::{HOME4, ISP4, Node, PHONE6, REGISTRAR4, VPS4, VPS6};
use crate::web::PAGE;

/// Long for a path of four hops inside one machine, short for a test that waits for silence.
const SILENCE: Duration = Duration::from_millis(700);

/// Whether a machine answers at all: a refusal is an answer, silence and 'no route' are not.
fn reaches(lab: &Lab, from: Node, address: &str, port: u16) -> bool {
    let target = SocketAddr::new(address.parse().expect("an IP address"), port);
    let attempt = lab.ns(from).thread(move || TcpStream::connect_timeout(&target, SILENCE).map_err(|error| error.kind()));
    matches!(attempt.join().expect("an attempt"), Ok(_) | Err(ErrorKind::ConnectionRefused))
}

#[test]
fn the_internet_reaches_the_vps_and_the_home_by_ipv6_alone() {
    let lab = Lab::new();
    let home = lab.home().to_string();
    assert!(reaches(&lab, Phone4, VPS4, 443), "phone4 to the vps");
    assert!(reaches(&lab, Phone6, VPS6, 443), "phone6 to the vps");
    assert!(reaches(&lab, Phone6, &home, 443), "phone6 to the home");
    assert!(reaches(&lab, Vps, &home, 443), "the vps to the home");
    assert!(reaches(&lab, Server, VPS6, 443), "the home to the vps by IPv6");
    assert!(reaches(&lab, Server, VPS4, 443), "the home to the vps by IPv4, out through the CGNAT");
    assert!(reaches(&lab, Laptop, "192.168.1.11", 443), "the laptop to the server by IPv4");

    assert!(!reaches(&lab, Phone4, VPS6, 443), "phone4 has no IPv6");
    assert!(!reaches(&lab, Phone6, VPS4, 443), "phone6 has no IPv4");
    assert!(!reaches(&lab, Phone6, &home, 22), "the router's firewall lets 80 and 443 in, no more");
    assert!(!reaches(&lab, Phone6, "2001:db8:100::20", 443), "and to the server alone");
}

#[test]
fn the_cgnat_lets_nothing_in() {
    let lab = Lab::new();
    assert!(!reaches(&lab, Phone4, HOME4, 443), "the home router's address is of no use outside");
    assert!(!reaches(&lab, Vps, HOME4, 443));
    // Even with a route there, new connections end at the ISP.
    lab.ns(Node::Inet).ip("route add 100.64.0.0/10 via 203.0.113.2");
    assert!(!reaches(&lab, Phone4, HOME4, 443), "the ISP drops what nobody inside asked for");
    assert!(reaches(&lab, Phone4, ISP4, 443), "the ISP's own address answers, with a refusal");
    assert!(lab.fetch(Phone4, &format!("http://{ISP4}/"), &[]).is_err());
}

#[test]
fn names_resolve_from_the_root_down() {
    let lab = Lab::new();
    for client in [Phone4, Phone6, Laptop, Server, Vps] {
        let answer = lab.dig(client, None, "owncloud.example.org", "CNAME");
        assert_eq!(answer.of("CNAME"), ["cloud.dyn.example.org."], "{}", client.name());
    }
    let referral = lab.dig(Dns, Some(REGISTRAR4), "cloud.dyn.example.org", "A");
    assert!(referral.is_no_data(), "the registrar refers, it does not answer: {referral:?}");
    assert!(lab.dig(Phone4, None, "cloud.dyn.example.org", "A").records.is_empty(), "nobody serves the zone yet");
    assert!(lab.dig(Phone4, None, "loop-a.example.org", "A").of("A").is_empty(), "a circle leads nowhere");
    assert_eq!(lab.dig(Phone4, None, "nothing.example.org", "A").status, "NXDOMAIN");
}

#[test]
fn the_home_serves_verified_tls_to_phone6_and_the_laptop() {
    let lab = Lab::new();
    let home = lab.home();
    let to_home = format!("cloud.dyn.example.org:443:[{home}]:443");
    let wan = lab.ns(Router).counter("laptop_outside");
    for client in [Phone6, Laptop] {
        for name in ["cloud.dyn.example.org", "cloud-ip6only.dyn.example.org", "owncloud.example.org"] {
            let connect = format!("{name}:443:[{home}]:443");
            let page = lab.fetch(client, &format!("https://{name}/"), &["--connect-to", &connect]).expect("a page");
            assert_eq!((page.code, page.body.as_str(), page.remote.as_str()), (200, PAGE, home.to_string().as_str()));
        }
    }
    assert_eq!(lab.ns(Router).counter("laptop_outside"), wan, "the laptop's bytes stayed in the house");
    assert_eq!(lab.visits(PHONE6), 3);
    let stranger = lab.fetch(Phone6, "https://other.example.org/", &["--connect-to", &to_home.replace("cloud.dyn", "other")]);
    assert!(stranger.is_err(), "a name that the certificate lacks is not verified");
}

#[test]
fn webdav_takes_and_gives_files() {
    let lab = Lab::new();
    let connect = format!("cloud.dyn.example.org:443:[{}]:443", lab.home());
    let url = "https://cloud.dyn.example.org/dav/note";
    let put = lab.fetch(Phone6, url, &["--connect-to", &connect, "-X", "PUT", "--data-binary", "written by phone6"]).expect("a PUT");
    assert_eq!(put.code, 201);
    let got = lab.fetch(Laptop, url, &["--connect-to", &connect]).expect("a GET");
    assert_eq!((got.code, got.body.as_str()), (200, "written by phone6"));
}

#[test]
fn the_counters_see_who_leaves_the_house() {
    let lab = Lab::new();
    let outside = || lab.ns(Router).counter("laptop_outside");
    assert_eq!(outside(), 0);
    assert!(reaches(&lab, Laptop, VPS6, 443));
    let after_ipv6 = outside();
    assert!(after_ipv6 > 0, "the laptop's IPv6 is counted");
    assert!(reaches(&lab, Laptop, VPS4, 443));
    assert!(outside() > after_ipv6, "the laptop's IPv4 is counted");
    assert!(reaches(&lab, Stranger, VPS4, 443));
    assert!(lab.ns(Node::Inet).counter("phone4_and_vps") == 0);
    assert!(reaches(&lab, Phone4, VPS4, 443));
    assert!(lab.ns(Node::Inet).counter("phone4_and_vps") > 0);
    assert!(lab.ns(Router).interface_bytes("wan") > 0);
}

#[test]
fn a_new_prefix_works_and_the_old_one_ends_in_its_manner() {
    let lab = Lab::new();
    for (manner, old_works) in [(Manner::Removed, false), (Manner::Deprecated, true), (Manner::BlackHoled, false)] {
        let moved = lab.renumber(manner);
        assert!(reaches(&lab, Vps, &moved.new.to_string(), 443), "{manner:?}: the new address");
        assert_eq!(reaches(&lab, Vps, &moved.old.to_string(), 443), old_works, "{manner:?}: the old address");
        assert!(reaches(&lab, Laptop, &moved.new.to_string(), 443), "{manner:?}: the laptop follows");
    }
}

#[test]
fn an_heir_is_reached_at_the_old_address_and_hears_what_is_said() {
    let lab = Lab::new();
    let notes = lab.let_the_stranger_listen();
    let moved = lab.renumber_with_an_heir();
    assert!(lab.fetch(Phone6, &format!("http://[{}]/", moved.old), &["--max-time", "1"]).is_err(), "the heir says nothing");
    wait_for("the heir heard phone6", SILENCE, || notes.talkers().iter().any(|visit| visit.from.to_string() == PHONE6));
    let page = lab.fetch(Phone6, &format!("http://[{}]/", moved.new), &[]).expect("the home at its new address");
    assert_eq!(page.body, PAGE);
}
