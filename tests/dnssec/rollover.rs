//! One key follows another, and whoever trusts either of them verifies every answer all the while.

use std::fs;
use std::time::Duration;

use crate::machines::daemon::Daemon;
use crate::machines::{Machines, Role, ZONE};
use crate::outcome::{FAILED, end_of};
use crate::validity::name;
use crate::verifiers::{Unbound, anchors};

/// All that is asked in each phase.
fn agrees(machines: &Machines, anchor: &str, by: &str) {
    let names: Vec<String> = ["", "cloud", "nobody", "cloud-ip6only", "gw"].map(name).to_vec();
    let questions: Vec<(&str, &str)> =
        names.iter().flat_map(|name| ["A", "AAAA", "SOA", "DNSKEY", "CDS", "CDNSKEY"].map(|kind| (name.as_str(), kind))).collect();
    Unbound::start(machines, anchor, by).agrees(&questions);
}

/// A rollover to a key of `algorithm`, step by step.
fn rolls_to(algorithm: &str) {
    let machines = Machines::new();
    let config = machines.init();
    let server = machines.server_by(&config);
    server.tell(&["host", "add", "cloud", "address-from=static", "address=2001:db8:1::11"]).succeeds();
    let old = anchors(&server).remove(0);
    drop(server);
    let text = fs::read_to_string(&config).expect("a config");
    fs::write(&config, text.replace("[dns]\n", &format!("[dns]\ndnssec-algorithm = \"{algorithm}\"\n"))).expect("written");
    let server = machines.server_by(&config);
    assert_eq!(anchors(&server), std::slice::from_ref(&old), "a configuration changes no key");

    server.tell(&["zone", "roll", ZONE]).succeeds().says(&["a new key beside the one that signs", "not before", "zone roll"]);
    let both = anchors(&server);
    let [_, new] = &both[..] else { panic!("two keys: {both:?}") };
    assert!(new.contains(if algorithm == "ed25519" { " 15 2 " } else { " 13 2 " }), "{new}");
    agrees(&machines, &old, "+0");
    agrees(&machines, new, "+0");
    server.tell(&["zone", "roll", ZONE, "--ds-seen"]).fails(FAILED, &["not before", "nothing was changed"]);
    drop(server);

    let server = machines.server_ahead(&config, "+7h");
    server.tell(&["zone", "roll", ZONE]).fails(FAILED, &["could not be asked", "--ds-seen"]);
    server.tell(&["zone", "roll", ZONE, "--ds-seen"]).succeeds().says(&["signed by the new key", "take the old DS out"]);
    agrees(&machines, &old, "+7h");
    agrees(&machines, new, "+7h");
    server.tell(&["zone", "roll", ZONE, "--ds-seen"]).fails(FAILED, &["not before"]);
    drop(server);

    let server = machines.server_ahead(&config, "+3d");
    server.tell(&["zone", "roll", ZONE, "--ds-seen"]).succeeds().says(&["the rollover is complete"]);
    assert_eq!(anchors(&server), std::slice::from_ref(new));
    agrees(&machines, new, "+3d");
    let soa = name("");
    assert!(Unbound::start(&machines, &old, "+3d").ask(&[(&soa, "SOA")]).iter().all(|said| !said.verified), "the old key is gone");
}

#[test]
fn a_key_follows_another_and_whoever_trusts_either_verifies_everything() {
    rolls_to("ecdsap256sha256");
}

#[test]
fn a_key_of_another_algorithm_follows_too() {
    rolls_to("ed25519");
}

/// nsd on the home's machine, as the zone above and as the resolver of the server's machine, with these DS.
fn registrar(machines: &Machines, ds: &[&str]) -> Daemon {
    let (zone, config) = (machines.path("example.org.zone"), machines.path("nsd.conf"));
    let records =
        "$ORIGIN example.org.\n$TTL 60\n@ SOA ns nobody 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.4\ndyn NS gw.dyn\ngw.dyn A 192.0.2.11\n";
    fs::write(&zone, format!("{records}{}\n", ds.join("\n"))).expect("written");
    let folder = zone.parent().expect("a folder").display().to_string();
    let text = format!(
        "server:\n ip-address: 192.0.2.4\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"\"\n \
         zonesdir: \"{folder}\"\n xfrdir: \"{folder}\"\n zonelistfile: \"{folder}/zone.list\"\nremote-control:\n control-enable: no\n\
         zone:\n name: \"example.org\"\n zonefile: \"{}\"\n",
        zone.display()
    );
    fs::write(&config, text).expect("written");
    machines.vps.set_resolver("192.0.2.4");
    let mut nsd = Daemon::start(&machines.home, machines.path("nsd.log"), "nsd", &["-d", "-c", &config.display().to_string()]);
    nsd.ready("nsd", Duration::from_secs(10), || {
        end_of(machines.home.command("dig").args(["@192.0.2.4", "+tries=1", "+time=1", "example.org", "SOA"])).out.contains("NOERROR")
    });
    nsd
}

#[test]
fn the_zone_above_is_asked_before_each_step() {
    let machines = Machines::new();
    let config = machines.init();
    let server = machines.server_by(&config);
    let old = anchors(&server).remove(0);
    server.tell(&["zone", "roll", ZONE]).succeeds();
    let new = anchors(&server).remove(1);
    let digest = |ds: &str| ds.rsplit(' ').next().expect("a digest").to_uppercase();
    drop(server);
    let roll = |by: &str, ds: &[&str]| {
        let _above = registrar(&machines, ds);
        machines.server_ahead(&config, by).tell(&["zone", "roll", ZONE])
    };
    roll("+7h", &[&old]).fails(FAILED, &["does not have the DS of the new key", "Add it at the registrar", &digest(&new)]);
    roll("+7h", &[&old, &new]).succeeds().says(&["signed by the new key"]);
    roll("+3d", &[&old, &new]).fails(FAILED, &["still has the DS of the old key", "Take it out", &digest(&old)]);
    roll("+3d", &[&new]).succeeds().says(&["the rollover is complete"]);
    // Nobody goes by the keys of a zone that is not vouched for.
    roll("+3d", &[]).succeeds();
    roll("+4d", &[]).succeeds().says(&["signed by the new key"]);
}

#[test]
fn what_is_not_signed_has_no_keys_to_show() {
    let machines = Machines::new();
    let config = machines.init();
    let text = fs::read_to_string(&config).expect("a config");
    fs::write(&config, text.replace("[dns]\n", "[dns]\ndnssec = false\n")).expect("written");
    let server = machines.server_by(&config);
    server.tell(&["zone", "ds", ZONE]).fails(FAILED, &[ZONE, "dnssec = false"]);
    server.tell(&["zone", "roll", "other.test"]).fails(FAILED, &["other.test", "dns.zones"]);
}

#[test]
fn a_zone_that_is_signed_no_longer_has_no_signatures_of_former_days() {
    let machines = Machines::new();
    let config = machines.init();
    let server = machines.server_by(&config);
    server.add_host("cloud", &["record=TXT x"]);
    let exported = |server: &Role| server.tell(&["zone", "export", ZONE]).succeeds().out;
    assert!(exported(&server).contains("\tRRSIG\tTXT "));
    drop(server);
    let text = fs::read_to_string(&config).expect("a config");
    fs::write(&config, text.replace("[dns]\n", "[dns]\ndnssec = false\n")).expect("written");
    let server = machines.server_by(&config);
    server.tell(&["host", "set", "cloud", "record+=TXT y"]).succeeds();
    let exported = exported(&server);
    assert!(exported.contains("\tTXT\t\"y\""), "{exported}");
    assert!(!["RRSIG", "NSEC", "DNSKEY"].into_iter().any(|kind| exported.contains(kind)), "{exported}");
}
