//! What DNS shows of a host beside its address, and hosts that follow another one: set, shown, refused.

use serde_json::{Value, json};

use super::program::{Home, Server, fourward_reading, in_namespace, until};

#[test]
fn records_of_the_owners_are_set_and_shown_as_they_are_typed() {
    in_namespace(|| {
        let server = Server::start();
        let dmarc = "_dmarc TXT \"v=DMARC1; rua=mailto:a@x.org,mailto:b@x.org\"";
        let caa = "issue letsencrypt.org; validationmethods=dns-01,http-01";
        let arguments = ["host", "add", "cloud", &format!("record={dmarc}"), "record+=MX 10 @", &format!("caa={caa}"), "alpn=h2,http/1.1"];
        let added = server.ask(&arguments).ok().out;
        assert!(!added.contains("note:"), "{added}");
        let json = server.json(&["host", "show", "cloud"]);
        assert_eq!(json["settings"]["record"], json!(["MX 10 @", dmarc]));
        assert_eq!((&json["settings"]["caa"], &json["settings"]["alpn"]), (&json!([caa]), &json!(["h2", "http/1.1"])));
        let shown = server.ask(&["host", "show", "cloud"]).ok().out;
        for part in [dmarc, "MX 10 @", caa, "h2,http/1.1"] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        let set = server.ask(&["host", "set", "cloud", "record-=MX 10 @", "alpn+=h3"]).ok().out;
        assert!(!set.contains("MX 10") && set.contains("h3,h2,http/1.1") && set.contains("note: alpn=h3"), "{set}");
        for (setting, part) in [
            ("record+=_acme-challenge TXT x", "ACME client"),
            ("record+=www CNAME x.", "CNAME"),
            ("caa=isue ca.org", "issuewild"),
            ("alpn=h2c", "http/1.1"),
        ] {
            server.ask(&["host", "set", "cloud", setting]).failed(2, &[part]);
        }
    });
}

#[test]
fn a_follower_is_published_beside_the_home_that_joined() {
    in_namespace(|| {
        let server = Server::start();
        let line = server.json(&["host", "add", "cloud"])["join"].as_str().expect("text").to_owned();
        let added = server.ask(&["host", "add", "nas", "follows=cloud", "suffix=00:11:22:33:44:55"]).ok().out;
        assert!(added.contains("note: a follower's address"), "{added}");
        let home = server.folder.path().join("home");
        let (config, state) = (home.join("fourward.toml"), home.join("state"));
        let arguments = ["join", "-", "--config", config.to_str().expect("UTF-8"), "--state", state.to_str().expect("UTF-8")];
        fourward_reading(&line, &arguments).ok();
        let machine = Home::new();
        let agent = machine.start(&config);
        let nas = || server.json(&["host", "show", "nas"]);
        until("published", || {
            nas()["address"] == "2001:db8:1::211:22ff:fe33:4455" || nas()["address"] == "2001:db8:1:0:211:22ff:fe33:4455"
        });
        let shown = nas();
        assert_eq!(
            (&shown["follows"], &shown["link"], &shown["settings"]["suffix"]),
            (&json!("cloud"), &json!("up"), &json!("::211:22ff:fe33:4455"))
        );
        assert!(shown["lease_until"].is_string(), "it lives by its leader's lease: {shown}");
        let list = server.ask(&["host", "list"]).ok().out;
        assert!(list.contains("by cloud"), "{list}");
        server.ask(&["host", "remove", "cloud"]).failed(1, &["followed by nas.dyn.example.org", "remove them first"]);
        assert_eq!(agent.end(), Some(0));
        until("withdrawn", || nas()["address"] == Value::Null);
    });
}

#[test]
fn a_follower_that_came_without_its_leader_says_so() {
    in_namespace(|| {
        let server = Server::start();
        let line = r#"{"zone":"dyn.example.org","host":"nas","settings":["follows=cloud","suffix=::22"]}"#;
        server.ask_reading(line, &["host", "import", "-"]).ok();
        let shown = server.ask(&["host", "show", "nas"]).ok().out;
        assert!(shown.contains("by cloud") && shown.contains("note: it follows cloud, which is no host here"), "{shown}");
        server.ask(&["host", "add", "cloud"]).ok();
        assert!(!server.ask(&["host", "show", "nas"]).ok().out.contains("which is no host here"));
    });
}
