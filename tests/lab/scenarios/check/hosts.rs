//! Hosts that no link of their own speaks for: updates say where they are, or another host.

use serde_json::Value;

use crate::lab::Lab;
use crate::roles::{DUAL, OWN, TWIN, said};
use crate::topology::Node::{Phone4, Phone6, Server};

#[test]
fn a_host_without_an_update_and_one_whose_router_rule_died_are_named() {
    let lab = Lab::beside_others();
    let vps = lab.start_vps();
    let added = vps.tell(&["host", "add", "cloud", "address-from=update", "--json"]);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&added)));
    let user = format!("cloud:{}", added["update"]["password"].as_str().expect("a password"));
    let update = |to| {
        let page = lab.fetch(Server, &format!("https://{OWN}/nic/update?hostname={DUAL}&myip={to}"), &["--insecure", "--user", &user]);
        assert!(page.as_ref().is_ok_and(|page| page.body.starts_with("good")), "{page:?}");
        lab.wait_until_published(TWIN, to);
    };
    vps.check(DUAL).names_only("aaaa", "fourward host show cloud.dyn.example.org");
    for client in [Phone4, Phone6] {
        lab.check(client, DUAL).names_only("aaaa", "no update came");
    }
    update(lab.home());
    vps.check(DUAL).is_healthy("server", &["aaaa", "path6", "firewall-router", "interface-identifier"]);
    // The router's rule is for the interface identifier that the home had.
    update(lab.renumber_with_another_end());
    vps.check(DUAL).names_only("interface-identifier", "ip token set");
}

#[test]
fn of_a_follower_the_leader_is_named() {
    let lab = Lab::beside_others();
    let (vps, mut home) = lab.start_figure();
    vps.add_host("nas", &["follows=cloud", "suffix=::22"]);
    home.daemon.terminate();
    vps.check("nas").names_only("link", "at the home of cloud.dyn.example.org");
    vps.add_host("leader", &[]);
    vps.add_host("led", &["follows=leader", "suffix=::23"]);
    vps.check("led").names_only("link", "fourward host token leader.dyn.example.org");
}
