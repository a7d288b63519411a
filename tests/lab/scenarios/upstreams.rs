//! The plain proxy of the first sketch: a home published by somebody else's dyndns, with no agent, through real name servers.

use std::time::Duration;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::renumber::Manner;
use crate::roles::{DUAL, Role, TWIN, said};
use crate::topology::Node::{Laptop, Phone4, Phone6};
use crate::topology::{VPS4, VPS6};
use crate::web::PAGE;

/// A TTL that is honoured, and a question.
const SEEN: Duration = Duration::from_secs(20);

/// `home.example.org` is there from now on, or nowhere.
fn publish(lab: &Lab, ttl: u32, data: &str) {
    lab.edit_registrar(|zone| {
        let kept: String = zone.lines().filter(|line| !line.starts_with("home ")).map(|line| format!("{line}\n")).collect();
        if data.is_empty() { kept } else { format!("{kept}home {ttl} {data}\n") }
    });
}

fn aaaa(lab: &Lab, name: &str) -> Vec<String> {
    lab.dig(Phone4, Some(VPS4), name, "AAAA").of("AAAA").iter().map(|address| (*address).to_owned()).collect()
}

fn shown(vps: &Role) -> String {
    said(&vps.tell(&["host", "show", "cloud"]))
}

#[test]
fn a_home_of_somebody_elses_dyndns_is_reached_by_everybody_and_followed_by_ttl() {
    let lab = Lab::beside_others();
    let vps = lab.start_vps();
    publish(&lab, 12, &format!("AAAA {}", lab.home()));
    vps.add_host("cloud", &["upstream=home.example.org", "ttl=1"]);
    lab.wait_until_published(TWIN, lab.home());
    let home = lab.home().to_string();
    for (client, remote) in [(Phone4, VPS4), (Phone6, home.as_str()), (Laptop, home.as_str())] {
        for scheme in ["https", "http"] {
            let page = lab.fetch(client, &format!("{scheme}://{DUAL}/"), &[]).expect("the page");
            assert_eq!((page.code, page.body.as_str(), page.remote.as_str()), (200, PAGE, remote), "{client:?} {scheme}");
        }
    }
    let told = shown(&vps);
    assert!(told.contains("by home.example.org") && told.contains(&home), "{told}");
    let serial = vps.serial();
    let moved = lab.renumber(Manner::Removed);
    publish(&lab, 12, &format!("AAAA {}", moved.new));
    wait_for("the new address after a TTL", SEEN, || aaaa(&lab, DUAL) == [moved.new.to_string()]);
    assert_eq!(vps.serial(), serial + 1, "no TTL makes a version of the zone, the move does");
    assert_eq!(lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).expect("the page").body, PAGE);
    publish(&lab, 12, "");
    wait_for("no address after a TTL", SEEN, || aaaa(&lab, TWIN).is_empty());
    assert!(shown(&vps).contains("home.example.org does not exist"), "{}", shown(&vps));
    assert_eq!(lab.fetch(Phone4, &format!("http://{DUAL}/"), &[]).expect("a page").code, 503);
}

#[test]
fn a_dial_that_finds_nobody_has_dns_asked_at_once() {
    let lab = Lab::beside_others();
    let vps = lab.start_vps();
    publish(&lab, 3_600, &format!("AAAA {}", lab.home()));
    vps.add_host("cloud", &["upstream=home.example.org", "ttl=1"]);
    lab.wait_until_published(TWIN, lab.home());
    // Twice: once the old address is silent, once nobody has it, which the router says after a while.
    for manner in [Manner::BlackHoled, Manner::Removed] {
        let moved = lab.renumber(manner);
        publish(&lab, 3_600, &format!("AAAA {}", moved.new));
        let page = lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).expect("the page, by the first connection");
        assert_eq!(page.body, PAGE, "{manner:?}");
        assert_eq!(aaaa(&lab, DUAL), [moved.new.to_string()], "{manner:?}");
    }
}

#[test]
fn names_that_lead_to_ourselves_or_into_private_networks_are_refused_aloud() {
    let lab = Lab::beside_others();
    let vps = lab.start_vps();
    vps.add_host("cloud", &["upstream=home.example.org", "ttl=1"]);
    for (data, why) in [
        ("AAAA fd00::1", "private"),
        (&*format!("AAAA {VPS6}"), "the gateway's own address"),
        ("AAAA 2001:db8:a::99", "the gateway's own network"),
        ("AAAA ::ffff:192.0.2.1", "an IPv4 address"),
        ("CNAME cloud.dyn", "follow itself"),
        ("CNAME loop-a", "no resolver could find out"),
    ] {
        publish(&lab, 3_600, data);
        // Another name and back: it is asked anew.
        for upstream in ["ns.example.org", "home.example.org"] {
            let set = vps.tell(&["host", "set", "cloud", &format!("upstream={upstream}")]);
            assert!(set.status.success(), "{}", said(&set));
        }
        wait_for(data, SEEN, || shown(&vps).contains(why));
        assert_eq!(aaaa(&lab, TWIN), [""; 0], "{data}");
    }
    let log = std::fs::read_to_string(lab.log("fourward-vps")).expect("the log");
    assert!(log.contains("by DNS the home is nowhere") && log.contains("private"), "{log}");
    let refused = said(&vps.tell(&["host", "set", "cloud", "upstream=cloud.dyn.example.org"]));
    assert!(refused.contains("would ask itself"), "{refused}");
    vps.check(DUAL).names_only("aaaa", "home.example.org AAAA");
}
