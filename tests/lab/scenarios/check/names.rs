//! What can be wrong between a name and its answers.

use std::fs;
use std::time::Duration;

use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::renumber::Manner;
use crate::roles::{ALIAS, DUAL, Role, ZONE, said};
use crate::topology::Node::{Laptop, Phone4, Phone6, Vps};
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
fn what_the_zone_above_says_of_the_keys_is_compared() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    vps.check(DUAL).notes("dnssec");
    let printed = said(&vps.tell(&["zone", "ds", ZONE]));
    let ds = printed.lines().find_map(|line| line.trim().strip_prefix(&format!("{ZONE}.  DS  "))).expect("a DS");
    let with = |ds: &str| format!("{}dyn DS {ds}\n", delegation());
    with_registrar(&lab, &with(ds), || vps.check(DUAL).is_healthy("server", &["dnssec", "resolver"]));
    let wrong = format!("{} 13 2 {}", 4711, "AB".repeat(32));
    with_registrar(&lab, &with(&wrong), || everywhere(&lab, (&vps, &home), "dnssec", "fourward zone ds dyn.example.org"));
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

/// Another name server on the gateway's machine, to which a rule leads these questions.
fn impostor(lab: &Lab, (id, protocol): (&str, &str), zone: &str, records: &str) -> Daemon {
    let folder = lab.dir().join(id);
    fs::create_dir_all(&folder).expect("a folder");
    let soa = "@ SOA gw hostmaster 1 3600 600 86400 60\n@ NS gw\n";
    fs::write(folder.join("zone"), format!("$ORIGIN {zone}.\n$TTL 60\n{soa}gw A {VPS4}\ngw AAAA {VPS6}\n{records}")).expect("a zone");
    let path = folder.display();
    let config = format!(
        "server:\n port: 5353\n ip-address: {VPS4}\n ip-address: {VPS6}\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n zonesdir: \"{path}\"\n \
         xfrdir: \"{path}\"\n zonelistfile: \"{path}/zone.list\"\nremote-control:\n control-enable: no\nzone:\n name: \"{zone}\"\n zonefile: \"zone\"\n"
    );
    fs::write(folder.join("nsd.conf"), config).expect("a configuration");
    let mut nsd = Daemon::start(lab.ns(Vps), lab.log(id), "nsd", &["-d", "-c", &format!("{path}/nsd.conf")]);
    let asked = ["-p", "5353", &format!("@{VPS4}"), "+short", "+tries=1", "+time=1", zone, "SOA"];
    nsd.ready("the impostor", START, || lab.ns(Vps).run("dig", &asked).stdout.starts_with(b"gw."));
    let port = format!("meta l4proto {protocol} th dport 53");
    // What the machine asks itself goes another way.
    lab.ns(Vps).nft(&format!(
        "table inet steal {{\n chain prerouting {{\n type nat hook prerouting priority dstnat;\n {port} redirect to :5353\n }}\n chain output {{\n \
         type nat hook output priority -100;\n ip daddr {VPS4} {port} dnat ip to {VPS4}:5353\n ip6 daddr {VPS6} {port} dnat ip6 to [{VPS6}]:5353\n }}\n}}"
    ));
    lab.forget();
    nsd
}

fn unmask(lab: &Lab, nsd: Daemon) {
    drop(nsd);
    lab.ns(Vps).nft("delete table inet steal");
    lab.forget();
}

/// Somebody answers in the gateway's place, with what was true some time ago, or never.
#[test]
fn answers_that_are_not_the_gateways_are_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    let home_now = lab.home();
    let old = "2001:db8:177::11";
    let right = format!("cloud A {VPS4}\ncloud AAAA {home_now}\n");
    let table = [
        ("a", format!("cloud A 198.51.100.99\ncloud AAAA {home_now}\ncloud-ip6only AAAA {home_now}\n"), "public.ipv4"),
        ("aaaa", format!("cloud A {VPS4}\ncloud AAAA {old}\ncloud-ip6only AAAA {old}\n"), "no name server of this fourward"),
        ("twin", format!("{right}cloud-ip6only A {VPS4}\ncloud-ip6only AAAA {home_now}\n"), "take that record away"),
        ("twin", format!("{right}cloud-ip6only AAAA {old}\n"), "correct the NS"),
    ];
    for (id, records, remedy) in table {
        let nsd = impostor(&lab, ("impostor", "{ tcp, udp }"), ZONE, &records);
        vps.check(DUAL).names_only(id, remedy);
        home.check(DUAL).names_only(id, remedy);
        match id {
            // From outside nobody knows the right AAAA, only that it leads nowhere.
            "aaaa" => lab.check(Phone6, DUAL).names_only("path6", "at home"),
            _ => {
                lab.check(Phone4, DUAL).names_only(id, remedy);
                lab.check(Phone6, DUAL).names_only(id, remedy);
            }
        }
        unmask(&lab, nsd);
    }
    vps.check(DUAL).is_healthy("server", &["a", "aaaa", "twin"]);
}

/// A box on the way, or another program on the machine, that refuses for a zone that is not its own.
#[test]
fn who_does_not_speak_for_the_zone_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    for (id, protocol) in [("dns-udp", "udp"), ("dns-tcp", "tcp")] {
        let nsd = impostor(&lab, ("bystander", protocol), "example.net", "");
        vps.check(DUAL).names_only(id, "dns.zones");
        home.check(DUAL).names_only(id, "dns.zones");
        for client in [Phone4, Phone6] {
            lab.check(client, DUAL).names_only(id, "dns.zones");
        }
        unmask(&lab, nsd);
    }
    vps.check(DUAL).is_healthy("server", &["dns-udp", "dns-tcp"]);
}
