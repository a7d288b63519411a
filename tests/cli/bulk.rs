//! All hosts at once: exported, imported elsewhere, and what an import does not do.

use std::fs;

use serde_json::json;

use super::program::{Home, Server, fourward_reading, in_namespace, until};

const ZONE: &str = r#""zone":"dyn.example.org""#;

fn line(fields: &str) -> String {
    format!("{{{ZONE},{fields}}}\n")
}

/// A server with hosts of every kind, and a name that was removed.
fn filled() -> Server {
    let server = Server::start();
    server.ask(&["host", "add", "cloud", "alias=owncloud.example.org", "via=gateway", "max-connections=9"]).ok();
    server.ask(&["host", "add", "nas", "address-from=static", "address=2001:db8:9::1", "deny=198.51.100.0/24"]).ok();
    server.ask(&["host", "add", "@", "wildcard=on"]).ok();
    server.ask(&["host", "add", "old"]).ok();
    server.ask(&["host", "remove", "old"]).ok();
    server
}

#[test]
fn what_is_exported_and_imported_on_a_new_server_is_the_same() {
    in_namespace(|| {
        let there = filled();
        let exported = there.ask(&["host", "export"]).ok();
        assert_eq!((exported.out.lines().count(), exported.err.as_str()), (4, ""));
        let secret = there.json(&["host", "token", "cloud"])["update"]["password"].as_str().expect("text").to_owned();
        let exported = there.ask(&["host", "export"]).ok().out;
        assert!(!exported.contains(&secret), "digests alone");
        drop(there);

        let here = Server::start();
        let serial = || here.json(&["status"])["zones"][0]["serial"].as_u64().expect("serial");
        let before = serial();
        let told = here.ask_reading(&exported, &["host", "import", "-"]).ok().out;
        assert!(told.contains("3 hosts are imported; removed names that stay protected: 1"), "{told}");
        assert_eq!(serial(), before + 1);
        assert_eq!(here.ask(&["host", "export"]).ok().out, exported);
        let file = here.folder.path().join("backup");
        fs::write(&file, &exported).expect("written");
        let file = file.to_str().expect("UTF-8");
        here.ask(&["host", "import", file]).failed(1, &["line 1 (dyn.example.org)", "exists already", "--replace", "nothing was imported"]);
        assert_eq!(here.json(&["host", "import", file, "--replace"]), json!({ "hosts": 3, "removed": 1 }));
        assert_eq!((here.ask(&["host", "export"]).ok().out, serial()), (exported, before + 1), "a repeat changes nothing");

        // A name that was removed stays so on the new server, whoever asks.
        here.ask(&["host", "add", "old"]).failed(1, &["was removed on", "--reuse"]);
        here.ask_reading(&line(r#""host":"old""#), &["host", "import", "-", "--replace"]).failed(1, &["line 1 (old.", "--reuse"]);
        here.ask_reading(&line(r#""host":"old""#), &["host", "import", "-", "--reuse"]).ok();
        assert_eq!(here.json(&["host", "show", "old"])["link"], "not-joined");
        here.ask_reading("", &["host", "import", "-"]).ok();
        here.ask(&["host", "import", "/nonexistent"]).failed(1, &["/nonexistent"]);
    });
}

#[test]
fn a_line_that_is_refused_is_named_with_what_was_imported_before_it() {
    in_namespace(|| {
        let server = Server::start();
        // Twice the same: the first time there is nothing to replace.
        let good: String = (0..2_500).map(|n| line(&format!(r#""host":"n{n}","settings":["ttl=30"]"#))).collect();
        let hosts = || server.json(&["host", "list"]).as_array().expect("hosts").len();
        for (bad, parts) in [
            ("nonsense\n".to_owned(), &["line 2502: expected", "host export"][..]),
            (line(r#""host":"x","colour":"red""#), &["line 2502: unknown field `colour`"]),
            (line(r#""host":"x","settings":["colour=red"]"#), &["line 2502 (x.dyn.example.org): colour: no such setting"]),
            (line(r#""host":"x","settings":["address-from=static"]"#), &["line 2502 (x.dyn.example.org)", "go together"]),
            (format!("{}\n", "x".repeat(300_000)), &["line 2502: it is longer than"]),
        ] {
            // An empty line counts, and is no host.
            let input = format!("{good}\n{bad}{}", line(r#""host":"never""#));
            server.ask_reading(&input, &["host", "import", "-", "--replace"]).failed(1, parts);
            assert_eq!(hosts(), 2_000, "two pages of a thousand");
        }
        let input = format!("{good}\n{}", line(r#""removed":"n7","at":"2026-01-01T00:00:00Z""#));
        server.ask_reading(&input, &["host", "import", "-", "--replace"]).failed(
            1,
            &[
                "line 2502 (n7.dyn.example.org)",
                "an import never does",
                "all up to line 2000 is imported and nothing after it",
                "--replace",
            ],
        );
        server.ask_reading(&good, &["host", "import", "-", "--replace"]).ok();
        assert_eq!(hosts(), 2_500);
        assert_eq!(server.ask(&["host", "export"]).ok().out.lines().count(), 2_500);
    });
}

#[test]
fn an_imported_address_counts_until_its_agent_had_time_to_come() {
    in_namespace(|| {
        let server = Server::start();
        let proven = r#""proven":{"address":"2001:db8:1::77","since":"2026-01-01T00:00:00Z"}"#;
        server.ask_reading(&line(&format!(r#""host":"cloud",{proven}"#)), &["host", "import", "-"]).ok();
        let address = || server.json(&["host", "show", "cloud"])["address"].clone();
        assert_eq!(address(), "2001:db8:1::77", "at once, as after a restart");
        // And whose agent comes is where that proves to be.
        let line = server.json(&["host", "token", "cloud"])["join"].as_str().expect("text").to_owned();
        let home = server.folder.path().join("home");
        let (config, state) = (home.join("fourward.toml"), home.join("state"));
        let arguments = ["join", "-", "--config", config.to_str().expect("UTF-8"), "--state", state.to_str().expect("UTF-8")];
        fourward_reading(&line, &arguments).ok();
        let machine = Home::new();
        let _agent = machine.start(&config);
        until("proven", || address() == "2001:db8:1::11");
    });
}

#[test]
fn an_address_whose_agent_does_not_come_is_withdrawn() {
    in_namespace(|| {
        let server = Server::start();
        // Long after the start: what counts is the import.
        let hosts: String = ["a", "b"]
            .map(|host| line(&format!(r#""host":"{host}","proven":{{"address":"2001:db8:1::77","since":"2026-01-01T00:00:00Z"}}"#)))
            .concat();
        server.ask_reading(&hosts, &["host", "import", "-"]).ok();
        let away = || server.json(&["host", "list"]).as_array().expect("hosts").iter().filter(|host| host["address"].is_null()).count();
        assert_eq!(away(), 0);
        super::program::until_within(std::time::Duration::from_secs(60), "withdrawn", || away() == 2);
    });
}

#[test]
fn settings_of_the_gateways_side_are_shown_with_what_they_do_not_do() {
    in_namespace(|| {
        let server = Server::start();
        let added = server.ask(&["host", "add", "cloud", "home-port=tls=8443", "redirect=on"]).ok().out;
        assert!(added.contains("note: home-port is what the gateway dials") && added.contains("note: redirect holds"), "{added}");
        let json = server.json(&["host", "show", "cloud"]);
        assert_eq!(json["remarks"].as_array().map(Vec::len), Some(2));
        let set =
            server.ask(&["host", "set", "cloud", "via=gateway", "allow=198.51.100.0/24", "max-connections=5", "wildcard=on"]).ok().out;
        assert!(!set.contains("note:"), "{set}");
        for part in ["home-port", "tls=8443", "redirect", "via", "allow", "198.51.100.0/24", "max-connections", "wildcard"] {
            assert!(set.contains(part), "no {part} in {set}");
        }
        assert_eq!(server.json(&["host", "token", "cloud"])["remarks"], json!([]));
    });
}

#[test]
fn the_zone_itself_may_be_a_host() {
    in_namespace(|| {
        let server = Server::start();
        let added = server.json(&["host", "add", "@", "alias=www.example.org"]);
        assert_eq!(added["names"], json!({ "dual": "dyn.example.org", "twin": "ip6only.dyn.example.org" }));
        assert_eq!((&added["host"], &added["update"]["router"]), (&json!("@"), &json!("ip6only-router.dyn.example.org")));
        assert_eq!(server.json(&["host", "show", "dyn.example.org"])["host"], "@");
        let home = server.folder.path().join("home");
        let (config, state) = (home.join("fourward.toml"), home.join("state"));
        let arguments = ["join", "-", "--config", config.to_str().expect("UTF-8"), "--state", state.to_str().expect("UTF-8")];
        fourward_reading(added["join"].as_str().expect("text"), &arguments).ok();
        let machine = Home::new();
        let agent = machine.start(&config);
        until("published", || server.json(&["host", "show", "@"])["address"] == "2001:db8:1::11");
        // Removing it shuts the agent out and takes the names away.
        server.ask(&["host", "remove", "@"]).ok();
        server.ask(&["host", "add", "@"]).failed(1, &["was removed on"]);
        until("nothing is linked", || server.json(&["host", "list"]) == json!([]));
        drop(agent);
    });
}
