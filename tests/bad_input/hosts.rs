//! Names of hosts that are taken, reserved or were somebody's, and settings that are none.

use crate::machines::{Machines, Role};
use crate::outcome::{FAILED, USAGE};

fn serial(server: &Role) -> i64 {
    server.ask(&["status"])["zones"][0]["serial"].as_i64().expect("a serial")
}

#[test]
fn a_name_is_given_out_once() {
    let machines = Machines::new();
    let server = machines.server();
    let first = server.add_host("cloud", &["alias=owncloud.example.org"]);
    let before = server.ask(&["host", "show", "cloud"]);
    for again in ["cloud", "CLOUD", "cloud.dyn.example.org", "cloud.dyn.example.org."] {
        let outcome = server.tell(&["host", "add", again, "alias="]);
        outcome.fails(FAILED, &["cloud.dyn.example.org exists already", "fourward host set"]);
    }
    assert_eq!(server.ask(&["host", "show", "cloud"]), before, "it is as it was");
    machines.join_as("home", &first).succeeds();
}

#[test]
fn reserved_and_impossible_names_are_refused() {
    let machines = Machines::new();
    let server = machines.server();
    let before = serial(&server);
    for name in ["gw", "GW", "ip6only", "x-ip6only", "x-router", "_x", "_acme-challenge", "gw.dyn.example.org"] {
        server.tell(&["host", "add", name]).fails(FAILED, &["is reserved: gw, ip6only, _*, *-ip6only and *-router", "choose another"]);
    }
    let long = "a".repeat(56);
    let impossible: [(&str, &[&str]); 7] = [
        ("a.b", &["a.b", "not one label"]),
        ("cloud.example.net", &["cloud.example.net", "not one label", "in a zone served here"]),
        ("a b", &["a b", "' '"]),
        ("ü", &["'ü'", "xn--"]),
        ("", &["is no name", "empty"]),
        (&long, &["too long", "at most 55 characters"]),
        ("a\u{7}", &["is no name", "\\u{7}"]),
    ];
    for (name, words) in impossible {
        server.tell(&["host", "add", name]).fails(FAILED, words);
    }
    assert_eq!(server.ask(&["host", "list"]), serde_json::json!([]));
    assert_eq!(serial(&server), before, "the zone is as it was");
}

#[test]
fn a_removed_name_comes_back_by_reuse_alone_and_its_old_home_stays_out() {
    let machines = Machines::new();
    let server = machines.server();
    let old = machines.home_of(&server);
    server.tell(&["host", "remove", "cloud"]).succeeds();
    old.wait_until_it_says("this gateway does not know the key");
    server.tell(&["host", "remove", "cloud"]).fails(FAILED, &["no host cloud.dyn.example.org", "fourward host list"]);
    server.tell(&["host", "show", "cloud"]).fails(FAILED, &["no host cloud.dyn.example.org"]);
    let refused = server.tell(&["host", "add", "cloud"]);
    refused.fails(FAILED, &["cloud.dyn.example.org was removed on ", "its new owner", "--reuse"]);
    assert_eq!(server.ask(&["host", "list"]), serde_json::json!([]));

    server.tell(&["host", "add", "cloud", "--reuse"]).succeeds();
    let cloud = server.ask(&["host", "show", "cloud"]);
    assert_eq!(cloud["link"], "not-joined", "the old agent's key is no good for the new host: {cloud}");
    assert!(cloud["address"].is_null());
    server.tell(&["host", "add", "cloud", "--reuse"]).fails(FAILED, &["exists already"]);
}

#[test]
fn settings_that_are_none_change_nothing() {
    let machines = Machines::new();
    let server = machines.server();
    server.add_host("cloud", &["alias=owncloud.example.org", "ttl=30"]);
    server.add_host("nas", &[]);
    let before = (server.ask(&["host", "list"]), server.ask(&["host", "show", "cloud"]), serial(&server));
    let bad: [(&str, i32, &[&str]); 20] = [
        ("colour=red", USAGE, &["colour", "no such setting", "there are alias"]),
        ("verify=off", USAGE, &["verify=off", "not yet", "leave it out"]),
        ("forward=tcp/0:22", USAGE, &["forward=tcp/0:22", "expected one like tcp/2222:22"]),
        ("forward=tcp/443:22", FAILED, &["forward=tcp/443:22", "443 is this server's own", "choose another port"]),
        ("proxy-protocol=v3", USAGE, &["proxy-protocol=v3", "expected none or v1 or v2"]),
        ("upstream=a b", USAGE, &["upstream=a b", "' '"]),
        ("upstream=nas.dyn.example.org", FAILED, &["upstream nas.dyn.example.org", "served here", "somebody else's DNS"]),
        ("mode=terminate", USAGE, &["mode=terminate", "not yet"]),
        ("carrier=tunnel", USAGE, &["carrier=tunnel", "not yet"]),
        ("alias", USAGE, &["\"alias\" is no setting", "KEY=VALUE"]),
        ("ttl=0", USAGE, &["ttl=0", "from 1 to 86400"]),
        ("ttl+=5", USAGE, &["ttl is a single value", "ttl=VALUE"]),
        ("ttl=x", USAGE, &["ttl=x", "expected seconds"]),
        ("address=192.0.2.1", USAGE, &["address=192.0.2.1", "expected an IPv6 address"]),
        ("alias=a b", USAGE, &["alias=a b", "' '"]),
        ("alias=192.0.2.1", USAGE, &["alias=192.0.2.1", "is an address, not a name"]),
        ("alias=x.dyn.example.org", FAILED, &["x.dyn.example.org is in dyn.example.org", "by CNAME"]),
        ("alias=gw.dyn.example.org", FAILED, &["gw.dyn.example.org", "circle"]),
        ("address=2001:db8:100::11", FAILED, &["address-from=static and address=", "give both or neither"]),
        ("address-from=static", FAILED, &["address-from=static and address=", "give both or neither"]),
    ];
    for (setting, code, words) in bad {
        // A good one beside it counts for nothing: all or none.
        server.tell(&["host", "set", "cloud", "ttl=90", setting]).fails(code, words);
        server.tell(&["host", "add", "third", "ttl=90", setting]).fails(code, words);
    }
    for address in ["fe80::1", "::1", "fd00::1", "::ffff:192.0.2.11", "2002:c000:20b::1", "ff02::1", "2001:db8:a::11", "2001:db8:a::12"] {
        let outcome = server.tell(&["host", "set", "cloud", "address-from=static", &format!("address={address}")]);
        assert!(outcome.errors.contains(address), "{outcome:?}");
        outcome.fails(FAILED, &["home"]);
    }
    let taken = server.tell(&["host", "set", "nas", "alias+=OWNcloud.example.org."]);
    taken.fails(FAILED, &["owncloud.example.org already leads to cloud.dyn.example.org", "take it off there first"]);
    server.tell(&["host", "set", "nobody", "ttl=90"]).fails(FAILED, &["no host nobody.dyn.example.org"]);
    assert_eq!(server.tell(&["host", "set", "cloud"]).code, Some(USAGE), "nothing to set");
    let after = (server.ask(&["host", "list"]), server.ask(&["host", "show", "cloud"]), serial(&server));
    assert_eq!(after, before);
}

#[test]
fn a_command_without_a_server_says_how_to_start_it() {
    let machines = Machines::new();
    machines.init();
    let config = machines.path("vps.toml");
    let words = ["control.sock", "is it running?", "systemctl status fourward", "fourward run"];
    let status = || crate::outcome::run(&["status", "--config", &crate::outcome::text(&config)]);
    status().fails(FAILED, &words);
    machines.server_by(&config).daemon.kill();
    status().fails(FAILED, &words);
}
