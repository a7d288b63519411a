//! The owner's day: hosts are added, joined, changed, shown and removed, on a server that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::program::{Home, Server, fourward, fourward_reading, has, in_namespace, keys, until};

const ENTRY: [&str; 10] =
    ["address", "address_from", "aliases", "carrier", "follows", "host", "lease_until", "link", "proven_at", "upstream"];

#[test]
fn hosts_are_added_listed_shown_changed_and_removed() {
    in_namespace(|| {
        let server = Server::start();
        assert_eq!(server.json(&["host", "list"]), json!([]));
        let added = server.json(&["host", "add", "cloud", "alias=owncloud.example.org"]);
        assert_eq!(keys(&added), ["certificate", "host", "join", "names", "remarks", "update"]);
        assert_eq!((&added["certificate"]["source"], &added["certificate"]["public"]), (&json!("self-signed"), &json!(false)));
        assert_eq!(added["names"], json!({ "dual": "cloud.dyn.example.org", "twin": "cloud-ip6only.dyn.example.org" }));
        assert_eq!(keys(&added["update"]), ["password", "router", "url", "user"]);
        assert_eq!((&added["host"], &added["update"]["user"]), (&json!("cloud"), &json!("cloud")));
        assert!(added["join"].as_str().expect("text").starts_with("fw1."));
        assert!(added["update"]["url"].as_str().expect("text").starts_with("https://gw.dyn.example.org/"));
        assert!(added["update"]["password"].as_str().expect("text").len() >= 32);

        let list = server.json(&["host", "list"]);
        let entry = json!({
            "host": "cloud", "address": null, "address_from": "link", "proven_at": null, "lease_until": null,
            "carrier": "auto", "aliases": ["owncloud.example.org"], "link": "not-joined", "follows": null, "upstream": null,
        });
        assert_eq!(list, json!([entry]));

        let set = server.json(&["host", "set", "cloud", "alias+=a.example.net,b.example.net", "alias-=owncloud.example.org", "ttl=30"]);
        assert_eq!((&set["aliases"], &set["settings"]["ttl"]), (&json!(["a.example.net", "b.example.net"]), &json!(30)));
        let shown = server.json(&["host", "show", "cloud"]);
        assert_eq!(shown, set);
        has(&shown, &ENTRY);
        has(&shown, &["names", "settings", "link_from", "link_since", "join_until"]);
        assert_eq!(shown, server.json(&["host", "show", "cloud.dyn.example.org"]), "by its whole name too");

        let fixed = server.json(&["host", "set", "cloud", "address-from=static", "address=2001:db8:9::1"]);
        assert_eq!((&fixed["address"], &fixed["address_from"]), (&json!("2001:db8:9::1"), &json!("static")));

        let token = server.json(&["host", "token", "cloud"]);
        assert_eq!(keys(&token), keys(&added));
        assert!(token["join"] != added["join"] && token["update"]["password"] != added["update"]["password"]);

        let file = server.json(&["host", "token", "cloud", "--acme-dns"]);
        assert_eq!(keys(&file), ["a.example.net", "b.example.net", "cloud.dyn.example.org"]);
        let account = &file["cloud.dyn.example.org"];
        assert_eq!(account, &file["a.example.net"]);
        assert_eq!(keys(account), ["allowfrom", "fulldomain", "password", "server_url", "subdomain", "username"]);
        assert_eq!(account["fulldomain"], "_acme-challenge.cloud.dyn.example.org");
        assert_eq!(account["password"].as_str().expect("a key").len(), 40, "as acme-dns has them");
        let told = server.ask(&["host", "token", "cloud", "--acme-dns"]).ok().out;
        assert!(!told.contains(account["password"].as_str().expect("a key")), "a new one each time: {told}");
        for part in [
            "_acme-challenge.a.example.net.  CNAME  _acme-challenge.cloud.dyn.example.org.",
            "ACME_DNS_API_BASE=https://gw.dyn.example.org ACME_DNS_STORAGE_PATH=",
            "ACMEDNS_SUBDOMAIN=cloud",
            "--manual-auth-hook /etc/acme-dns-hook -d cloud.dyn.example.org\n",
            "${CERTBOT_VALIDATION:-$3}",
            "server_url https://gw.dyn.example.org\n",
            "update-ca-certificates",
        ] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
        server.ask(&["host", "token", "nobody", "--acme-dns"]).failed(1, &["no host nobody"]);
        server.ask(&["host", "add", "@"]).ok();
        server.ask(&["host", "token", "@", "--acme-dns"]).failed(1, &["every host there"]);
        server.ask(&["host", "remove", "@"]).ok();

        assert_eq!(server.json(&["host", "remove", "cloud"])["host"], "cloud");
        assert_eq!(server.json(&["host", "list"]), json!([]));
        server.ask(&["host", "add", "cloud"]).failed(1, &["was removed on", "--reuse"]);
        server.ask(&["host", "add", "cloud", "--reuse"]).ok();
    });
}

#[test]
fn the_status_has_zones_gateway_and_hosts() {
    in_namespace(|| {
        let mut server = Server::start();
        let serial = |status: &Value| status["zones"][0]["serial"].as_u64().expect("serial");
        let before = server.json(&["status"]);
        has(&before, &["zones", "gateway", "hosts", "version"]);
        assert_eq!((before["zones"].as_array().expect("zones").len(), &before["zones"][0]["name"]), (1, &json!("dyn.example.org")));
        has(&before["gateway"], &["connections", "bytes"]);
        assert_eq!(keys(&before["certificate"]), ["last_error", "next", "not_after", "public", "source"]);
        assert_eq!((&before["gateway"], &before["hosts"]), (&json!({ "connections": 0, "bytes": 0 }), &json!([])));
        server.ask(&["host", "add", "nas", "address-from=static", "address=2001:db8:9::1"]).ok();
        let after = server.json(&["status"]);
        assert_eq!(keys(&after["hosts"][0]), ENTRY);
        assert!(serial(&after) > serial(&before));
        let for_people = server.ask(&["status"]).ok().out;
        assert!(for_people.contains("dyn.example.org (serial") && for_people.contains("2001:db8:9::1"), "{for_people}");
        assert!(for_people.contains("certificate  self-signed, good until"), "{for_people}");
        assert_eq!(server.running.take().expect("running").end(), Some(0), "SIGTERM is a good end");
        assert!(!server.folder.path().join("state/control.sock").exists());
    });
}

#[test]
fn people_are_told_what_to_do_next() {
    in_namespace(|| {
        let server = Server::start();
        assert!(server.ask(&["host", "list"]).ok().out.contains("fourward host add"));
        let added = server.ask(&["host", "add", "cloud", "alias=owncloud.example.org"]).ok().out;
        for part in ["cloud.dyn.example.org is added", "owncloud.example.org.  CNAME  cloud.dyn.example.org.", "fourward join -", "\nfw1."]
        {
            assert!(added.contains(part), "no \"{part}\" in:\n{added}");
        }
        for part in ["FRITZ!Box", "cloud-router.dyn.example.org", "ddclient", "inadyn", "address-from=update", "no update client is needed"]
        {
            assert!(added.contains(part), "no \"{part}\" in:\n{added}");
        }
        let by_update = server.ask(&["host", "add", "nas", "address-from=update"]).ok().out;
        assert!(by_update.contains("nas.dyn.example.org is where updates say"), "{by_update}");
        server.ask(&["host", "remove", "nas"]).ok();
        let listed = server.ask(&["host", "list"]).ok().out;
        assert!(listed.contains("HOST") && listed.contains("not joined"), "{listed}");
        assert!(server.ask(&["host", "show", "cloud"]).ok().out.contains("good until"));
        assert!(server.ask(&["host", "remove", "cloud"]).ok().out.contains("--reuse"));
    });
}

#[test]
fn what_the_server_refuses_changes_nothing() {
    in_namespace(|| {
        let server = Server::start();
        server.ask(&["host", "add", "cloud", "alias=owncloud.example.org"]).ok();
        let before = server.json(&["host", "list"]);
        let refused: [(&[&str], &[&str]); 12] = [
            (&["add", "cloud"], &["exists already", "host set"]),
            (&["add", "gw"], &["gw"]),
            (&["add", "x-ip6only"], &["ip6only"]),
            (&["add", "_x"], &["_x"]),
            (&["add", "a.b"], &["a.b"]),
            (&["add", "nas", "alias=owncloud.example.org"], &["already leads to cloud"]),
            (&["add", "nas", "alias=gw.dyn.example.org"], &["gateway's own name"]),
            (&["add", "nas", "alias=x.dyn.example.org"], &["dyn.example.org"]),
            (&["set", "cloud", "address-from=static", "address=2001:db8:a::11"], &["gateway's own address"]),
            (&["set", "cloud", "alias+=b.example.net", "address-from=static"], &["go together"]),
            (&["show", "nobody"], &["no host nobody", "host list"]),
            (&["token", "nobody"], &["no host nobody"]),
        ];
        for (arguments, parts) in refused {
            server.ask(&[&["host"], arguments].concat()).failed(1, parts);
        }
        assert_eq!(server.json(&["host", "list"]), before);
    });
}

#[test]
fn a_home_joins_by_the_line_and_is_published() {
    in_namespace(|| {
        let server = Server::start();
        let line = server.json(&["host", "add", "cloud"])["join"].as_str().expect("text").to_owned();
        let home = server.folder.path().join("home");
        let (config, state) = (home.join("fourward.toml"), home.join("state"));
        let join = |string: &str, config: &Path, state: &Path, more: &[&str]| {
            let (config, state) = (config.to_str().expect("UTF-8"), state.to_str().expect("UTF-8"));
            let input = if string == "-" { format!("  {line}\n") } else { String::new() };
            fourward_reading(&input, &[&["join", string, "--config", config, "--state", state], more].concat())
        };
        join("fw1.nonsense", &config, &state, &[]).failed(2, &["damaged", "host add"]);
        join(&line[..line.len() - 9], &config, &state, &[]).failed(2, &["damaged"]);
        join("hello", &config, &state, &[]).failed(2, &["no join string"]);
        assert!(!home.exists(), "nothing was written");

        let joined = join("-", &config, &state, &["--json"]).json();
        assert_eq!(joined["names"], json!({ "dual": "cloud.dyn.example.org", "twin": "cloud-ip6only.dyn.example.org" }));
        let key = state.join("agent.key");
        assert_eq!(fs::metadata(&key).expect("key").permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&config).expect("written").contains("secret"), "the secret is spent and kept nowhere");
        assert!(fourward(&["config", "check", config.to_str().expect("UTF-8")]).ok().out.contains("cloud.dyn.example.org"));
        join("-", &config, &state, &[]).failed(1, &["exists already", "joined already"]);
        let (config2, state2) = (home.join("2/fourward.toml"), home.join("2/state"));
        join("-", &config2, &state2, &[]).failed(1, &["the gateway refuses", "used already", "host token"]);
        assert!(!config2.exists());

        let machine = Home::new();
        let agent = machine.start(&config);
        until("published", || server.json(&["host", "list"])[0]["address"] == "2001:db8:1::11");
        let shown = server.json(&["host", "show", "cloud"]);
        assert_eq!((&shown["link"], &shown["link_from"], &shown["join_until"]), (&json!("up"), &json!("2001:db8:1::11"), &Value::Null));
        for time in ["proven_at", "lease_until", "link_since"] {
            let at: jiff::Timestamp = shown[time].as_str().expect(time).parse().expect(time);
            assert!((at - jiff::Timestamp::now()).get_seconds().abs() < 60, "{time}: {at}");
        }
        assert_eq!(agent.end(), Some(0));
        until("withdrawn", || server.json(&["host", "list"])[0]["address"].is_null());
        assert_eq!(server.json(&["host", "list"])[0]["link"], "down");
    });
}

#[test]
fn two_servers_do_not_meet_and_a_taken_port_is_named() {
    in_namespace(|| {
        let server = Server::start();
        let second = fourward(&["run", "--config", server.config.to_str().expect("UTF-8")]);
        assert_eq!(second.code, 1, "{second:?}");
        assert!(second.err.contains("is taken by") || second.err.contains("in use"), "{}", second.err);
        server.ask(&["status"]).ok();
    });
}
