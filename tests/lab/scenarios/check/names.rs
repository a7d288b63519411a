//! What can be wrong between a name and its answers.

use std::fs;
use std::time::Duration;

use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::renumber::Manner;
use crate::roles::{ALIAS, DUAL, Role};
use crate::topology::Node::{Dns, Laptop, Phone4, Phone6, Vps};
use crate::topology::{VPS4, VPS6};

const START: Duration = Duration::from_secs(10);

/// The lines by which the registrar leads to us.
fn delegation() -> String {
    format!("dyn NS gw.dyn\ngw.dyn A {VPS4}\ngw.dyn AAAA {VPS6}\n")
}

fn with_registrar(lab: &Lab, lines: &str, check: impl Fn()) {
    lab.edit_registrar(|zone| zone.replace(&delegation(), lines));
    check();
    lab.edit_registrar(|zone| zone.replace(lines, &delegation()));
}

fn everywhere(lab: &Lab, (vps, home): (&Role, &Role), id: &str, remedy: &str) {
    vps.check(DUAL).names_only(id, remedy);
    home.check(DUAL).names_only(id, remedy);
    lab.check(Phone6, DUAL).names_only(id, remedy);
}

#[test]
fn what_is_wrong_at_the_registrar_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    let roles = (&vps, &home);

    with_registrar(&lab, "; no delegation\n", || everywhere(&lab, roles, "zone-delegation", "enter NS for dyn.example.org"));
    with_registrar(&lab, "dyn NS ns\n", || everywhere(&lab, roles, "zone-delegation", "set the NS of dyn.example.org"));
    with_registrar(&lab, "dyn NS gw.dyn\n", || everywhere(&lab, roles, "zone-glue", "enter glue"));
    with_registrar(&lab, "dyn NS gw.dyn\ngw.dyn A 192.0.2.12\ngw.dyn AAAA 2001:db8:a::12\n", || {
        vps.check(DUAL).names_only("zone-glue", VPS4);
        home.check(DUAL).names_only("zone-glue", VPS4);
        // Without a configuration nobody knows where the server is; only that it is not there.
        lab.check(Phone6, DUAL).names_only("dns-udp", "glue");
    });
    with_registrar(&lab, &format!("dyn NS gw.dyn\ngw.dyn A {VPS4}\n"), || vps.check(DUAL).notes("zone-glue"));
    vps.check(DUAL).is_healthy("server", &["zone-delegation", "zone-glue", "resolver"]);
}

#[test]
fn a_domain_of_the_owners_that_leads_elsewhere_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    lab.edit_registrar(|zone| zone.replace("owncloud CNAME cloud.dyn", "owncloud A 198.51.100.99"));
    vps.check(ALIAS).names_only("alias", "CNAME of cloud.dyn.example.org");
    home.check(ALIAS).names_only("alias", "CNAME of cloud.dyn.example.org");
    lab.check(Phone4, ALIAS).names_only("alias", "CNAME of a host's name");
    lab.check(Phone6, ALIAS).names_only("alias", "CNAME of a host's name");
    lab.check(Phone6, "gwalias.example.org").names_only("alias", "CNAME of a host's name");
    lab.check(Phone6, "loop-a.example.org").names_only("alias", "CNAME");
    lab.check(Phone6, "nobody.dyn.example.org").names_first("a", "host add");
}

#[test]
fn what_a_resolver_does_to_the_answers_is_named() {
    let lab = Lab::beside_others();
    let (vps, _home) = lab.start_figure();
    // A move within the TTL is no fault of the resolver's.
    lab.check(Phone6, DUAL).is_healthy("outside", &["resolver"]);
    let moved = lab.renumber(Manner::Removed);
    lab.wait_until_published(DUAL, moved.new);
    vps.check(DUAL).notes("resolver");
    let outside = lab.check(Phone6, DUAL);
    outside.is_healthy("outside", &["path6", "aaaa"]);
    outside.notes("resolver");
    lab.forget();
    vps.check(DUAL).is_healthy("server", &["resolver"]);

    lab.configure_resolver("    local-zone: \"cloud.dyn.example.org.\" redirect\n    local-data: \"cloud.dyn.example.org. 3600 IN A 192.0.2.11\"\n    local-data: \"cloud.dyn.example.org. 3600 IN AAAA 2001:db8:77::1\"");
    lab.check(Phone6, DUAL).names_only("resolver", "/etc/hosts");
}

#[test]
fn a_resolver_that_leaves_addresses_out_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    lab.configure_resolver("    private-address: 2001:db8:100::/40");
    // For a minute after the home came it could be a memory.
    vps.check(DUAL).notes("resolver");
    for client in [Phone6, Laptop] {
        lab.check(client, DUAL).names_only("resolver", "Rebind");
    }
    wait_for("that minute is over", Duration::from_secs(90), || !home.check(DUAL).faults().is_empty());
    vps.check(DUAL).names_only("resolver", "Rebind");
    home.check(DUAL).names_only("resolver", "Rebind");
}

/// Somebody answers in the gateway's place, with what was true some time ago.
#[test]
fn answers_that_are_not_the_gateways_are_named() {
    let lab = Lab::beside_others();
    let (_vps, home) = lab.start_figure();
    let home_now = lab.home();
    let impostor = |a: &str, aaaa: &str| {
        let zone = format!(
            "$ORIGIN dyn.example.org.\n$TTL 60\n@ SOA gw hostmaster 1 3600 600 86400 60\n@ NS gw\ngw A {VPS4}\ngw AAAA {VPS6}\n\
             cloud A {a}\ncloud AAAA {aaaa}\ncloud-ip6only AAAA {aaaa}\n"
        );
        let folder = lab.dir().join("impostor");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("zone"), zone).expect("a zone");
        let path = folder.display();
        let config = format!(
            "server:\n port: 5353\n ip-address: {VPS4}\n ip-address: {VPS6}\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n zonesdir: \"{path}\"\n \
             xfrdir: \"{path}\"\n zonelistfile: \"{path}/zone.list\"\nremote-control:\n control-enable: no\nzone:\n name: \"dyn.example.org\"\n zonefile: \"zone\"\n"
        );
        fs::write(folder.join("nsd.conf"), config).expect("a configuration");
        let mut nsd = Daemon::start(lab.ns(Vps), lab.log("impostor"), "nsd", &["-d", "-c", &format!("{path}/nsd.conf")]);
        nsd.ready("the impostor", START, || {
            lab.dig(Dns, Some(VPS4), DUAL, "AAAA").of("AAAA") == [aaaa] && lab.dig(Dns, Some(VPS4), DUAL, "A").of("A") == [a]
        });
        nsd
    };
    lab.ns(Vps).nft(
        "table inet steal {\n chain prerouting {\n type nat hook prerouting priority dstnat;\n meta l4proto { tcp, udp } th dport 53 redirect to :5353\n }\n}",
    );
    let nsd = impostor("198.51.100.99", &home_now.to_string());
    lab.forget();
    home.check(DUAL).names_only("a", "public.ipv4");
    lab.check(Phone4, DUAL).names_only("a", "public.ipv4");
    drop(nsd);
    let _nsd = impostor(VPS4, "2001:db8:177::11");
    lab.forget();
    home.check(DUAL).names_only("aaaa", "no name server of this fourward");
}
