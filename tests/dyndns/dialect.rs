//! What is answered to what, over HTTPS.

use crate::machines::{DUAL, HOME6, VPS4};
use crate::rig::{OWN, ROUTER, Rig};

#[test]
fn a_family_is_kept_and_the_a_is_the_gateways() {
    let rig = Rig::new(&["address-from=update"]);
    assert_eq!(rig.published(), (VPS4.into(), String::new()));
    let updates = [
        (format!("hostname={DUAL}&myip={HOME6}"), format!("good {HOME6}\n")),
        (format!("hostname={DUAL}&myip={HOME6}"), format!("nochg {HOME6}\n")),
        // A home behind carrier-grade NAT: the A is not its own, and its AAAA stays.
        (format!("hostname={DUAL}&myip=100.64.0.7"), format!("good {VPS4}\n")),
        (format!("hostname={DUAL}&myip=100.64.0.7&myipv6="), format!("nochg {VPS4}\n")),
        (format!("hostname={DUAL}&myip=100.64.0.8,{HOME6}"), format!("good {VPS4},{HOME6}\n")),
        // Where it comes from, and only in that family.
        (format!("hostname={DUAL}&myip="), format!("good {VPS4}\n")),
        (DUAL.replace(DUAL, &format!("hostname={DUAL}")), format!("nochg {VPS4}\n")),
    ];
    for (query, answer) in updates {
        assert_eq!(rig.update(&query), answer, "{query}");
        assert_eq!(rig.published(), (VPS4.into(), HOME6.into()), "{query}");
    }
    assert_eq!(rig.dig(ROUTER, "A"), "192.0.2.4", "what the connection said");
    let serial = rig.serial();
    assert_eq!(rig.update(&format!("hostname={DUAL}&myip=192.0.2.4,{HOME6}")), format!("nochg {VPS4},{HOME6}\n"));
    assert_eq!(rig.serial(), serial, "nothing new to see, no new version");

    rig.renumber("2001:db8:100::22");
    let detected = rig.update_from(&["-6"], &format!("hostname={DUAL}&myip="));
    assert_eq!(detected, "good 2001:db8:100::22\n");
    assert_eq!(rig.published(), (VPS4.into(), "2001:db8:100::22".into()));
}

#[test]
fn each_host_name_has_its_line_and_each_mistake_its_word() {
    let rig = Rig::new(&["address-from=update", "alias=owncloud.example.org"]);
    rig.server.tell(&["host", "add", "nas", "address-from=update"]).succeeds();
    let names = format!("{DUAL},nas.dyn.example.org,cloud,owncloud.example.org,nobody.example.org");
    let lines = format!("good {HOME6}\nnohost\nnotfqdn\ngood {HOME6}\nnohost\n");
    assert_eq!(rig.update(&format!("hostname={names}&myip={HOME6}&wildcard=ON&mx=x.example.org&backmx=NO&system=dyndns")), lines);
    assert_eq!(rig.dig("nas.dyn.example.org", "AAAA"), "", "another host is not touched");
    let many = vec![DUAL; 21].join(",");
    let words = [
        (format!("hostname={many}"), "numhost\n"),
        (format!("hostname={DUAL}&offline=YES&myip={HOME6}"), "!donator "),
        (format!("hostname={DUAL}&myip=fe80::1"), "dnserr fe80::1 is valid on its own link only"),
        (format!("hostname={DUAL}&myip=2001:db8:a::11"), "dnserr 2001:db8:a::11 is the gateway's own address"),
        (format!("hostname={DUAL}&myip=2001:db8:a::12"), "dnserr 2001:db8:a::12 is in 2001:db8:a::/64, the gateway's own network"),
        (format!("hostname={DUAL}&myip=2001:db8:100::/96"), "dnserr myip=\"2001:db8:100::/96\" is no prefix of a home"),
        (format!("hostname={DUAL}&myip=127.0.0.1"), "dnserr 127.0.0.1 is no address"),
    ];
    for (query, begins) in words {
        let answer = rig.update(&query);
        assert!(answer.starts_with(begins) && answer.lines().count() == 1, "{query}: {answer}");
        assert_eq!(rig.published(), (VPS4.into(), HOME6.into()), "{query}");
    }
    assert!(rig.server.log().contains("an update was refused"), "the owner is told why");
}

#[test]
fn a_token_will_do_and_every_path_is_served() {
    let rig = Rig::new(&["address-from=update"]);
    let bearer = format!("Authorization: Bearer {}", rig.password);
    for path in ["/nic/update", "/v3/update", "/v2/update", "/api/update", "/update"] {
        let answer = rig.curl(&["--header", &bearer], &format!("https://{OWN}{path}?hostname={DUAL}&myip={HOME6}"));
        assert!(answer.status == 200 && answer.body.ends_with(&format!(" {HOME6}\n")), "{answer:?}");
        assert!(answer.whole.to_lowercase().contains("content-type: text/plain"), "{answer:?}");
    }
    let user = format!("{DUAL}:{}", rig.password);
    let delete = rig.curl(&["--user", &user, "--request", "DELETE"], &format!("https://{OWN}/nic/update?hostname={DUAL}"));
    assert!(delete.status == 405 && delete.whole.to_lowercase().contains("allow: get, post, put"), "{delete:?}");
    let old = rig.curl(&["--http1.0", "--user", &user], &format!("https://{OWN}/nic/update?hostname={DUAL}&myip={HOME6}"));
    assert_eq!(old.body, format!("nochg {HOME6}\n"), "HTTP/1.0, and the user by a whole name");
    let page = rig.curl(&[], &format!("https://{OWN}/"));
    assert!(page.status == 200 && page.body.contains("fourward gateway"), "the page is still there: {page:?}");
}

#[test]
fn a_new_token_ends_the_old_password() {
    let rig = Rig::new(&["address-from=update"]);
    let new = rig.server.ask(&["host", "token", "cloud"])["update"]["password"].as_str().expect("a password").to_owned();
    let url = format!("https://{OWN}/nic/update?hostname={DUAL}&myip={HOME6}");
    assert_eq!(rig.curl(&["--user", &format!("cloud:{}", rig.password)], &url).status, 401);
    assert_eq!(rig.curl(&["--user", &format!("cloud:{new}")], &url).body, format!("good {HOME6}\n"));
    rig.tells_no_secret(&[&new]);
}

#[test]
fn the_owner_sees_what_a_router_said_and_who_has_the_word() {
    let rig = Rig::new(&["address-from=static", "address=2001:db8:100::77"]);
    assert_eq!(rig.update(&format!("hostname={DUAL}&myip={HOME6}")), format!("good {HOME6}\n"), "so that the client is content");
    assert_eq!(rig.published(), (VPS4.into(), "2001:db8:100::77".into()), "and nothing else moves");
    assert_eq!(rig.dig(ROUTER, "AAAA"), HOME6);
    let shown = rig.server.ask(&["host", "show", "cloud"]);
    assert_eq!((&shown["router"]["v6"], &shown["address_from"]), (&HOME6.into(), &"static".into()));
    let set = rig.server.tell(&["host", "set", "cloud", "address=", "address-from=update"]).succeeds().out;
    assert!(set.contains("the next update") && set.contains(HOME6), "{set}");
    assert_eq!(rig.published(), (VPS4.into(), String::new()), "a hint does not become the address");
    assert_eq!(rig.update(&format!("hostname={DUAL}&myip={HOME6}")), format!("good {HOME6}\n"));
    assert_eq!(rig.published(), (VPS4.into(), HOME6.into()));
}
