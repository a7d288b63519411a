//! A zone as a master file, read by everybody who reads such (Debian: bind9-utils, dnsutils, ldnsutils, nsd); and a running server with a secondary.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::program::{Running, Said, Server, fourward, in_namespace, until};

const ZONE: &str = "dyn.example.org";

/// What `program` says of a zone.
fn says(program: &str, arguments: &[&str], file: &Path) -> Said {
    Said::of(Command::new(program).args(arguments).arg(file).output().unwrap_or_else(|error| panic!("{program}: {error}")))
}

/// The records in `text`, sorted, a blank between two fields.
fn records(text: &str) -> Vec<String> {
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut records: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty() && !line.starts_with(';')).collect();
    records.sort_unstable();
    records.dedup();
    records
}

#[test]
fn a_zone_is_exported_as_everybody_reads_it() {
    in_namespace(|| {
        let server = Server::start();
        let settings = [
            "wildcard=on",
            "alpn=h2,http/1.1",
            "caa=issue ca.example.org; a=b",
            "record=TXT \"say \\\"hi\\\" \\009\" two",
            "record+=MX 10 @",
            "record+=_x._tcp SRV 1 2 3 .",
            "record+=deep.er TXT x",
            "address-from=static",
            "address=2001:db8:1::11",
        ];
        server.ask(&[&["host", "add", "cloud"], &settings[..]].concat()).ok();
        let line = |at: u32| json!({ "zone": ZONE, "host": format!("many{at}") }).to_string();
        let lines: Vec<String> = (0..400).map(line).collect();
        server.ask_reading(&lines.join("\n"), &["host", "import", "-"]).ok();
        let exported = server.ask(&["zone", "export", ZONE]).ok().out;
        assert!(exported.lines().count() > 400 * 5, "more than a page");
        let file = server.folder.path().join("zone");
        fs::write(&file, &exported).expect("written");

        let checked = says("named-checkzone", &["-i", "local", "-D", "-s", "full", "-o", "-", ZONE], &file).ok();
        let dumped = records(&checked.out).into_iter().filter(|record| record.contains(" IN ")).collect::<Vec<_>>();
        // Base64 is in one piece, or in several.
        let whole = |records: Vec<String>| records.into_iter().map(|record| record.replace(' ', "")).collect::<Vec<_>>();
        assert_eq!(whole(records(&exported)), whole(dumped));
        says("nsd-checkzone", &[ZONE], &file).ok();
        says("ldns-read-zone", &[], &file).ok();
        says("ldns-verify-zone", &[], &file).ok();
        says("dnssec-verify", &["-z", "-o", ZONE], &file).ok();

        let objects = server.ask(&["zone", "export", ZONE, "--json"]).ok().out;
        assert_eq!(objects.lines().count(), exported.lines().count());
        let first: Value = serde_json::from_str(objects.lines().next().expect("a line")).expect("JSON");
        assert_eq!((&first["name"], &first["type"], &first["ttl"]), (&json!("dyn.example.org."), &json!("SOA"), &json!(60)));
        server.ask(&["zone", "export", "example.net"]).failed(1, &["example.net"]);
        server.ask(&["zone", "export", "a..b"]).failed(2, &["a..b"]);
    });
}

#[test]
fn a_server_with_a_secondary_gives_it_the_zone_and_nobody_else_and_counts() {
    in_namespace(|| {
        let mut server = Server::start();
        let config = fs::read_to_string(&server.config).expect("config");
        let key = server.folder.path().join("to-second.key");
        fs::write(&key, "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=\n").expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
        let lines = format!(
            "\n[dns]\nkeys = [{{ name = \"to-second\", secret-file = \"{}\" }}]\nsecondaries = [{{ address = \"192.0.2.11:5353\", key = \"to-second\" }}]\n",
            key.display()
        );
        let config = config.replace("\n[dns]\n", &lines).replace("# metrics = ", "metrics = ");
        fs::write(&server.config, config).expect("written");
        assert_eq!(server.running.take().expect("runs").end(), Some(0));
        let explained = fourward(&["config", "check", server.config.to_str().expect("text")]).ok();
        assert!(
            explained.out.contains("gives the zones to who has the key to-second, and tells 192.0.2.11:5353 of changes"),
            "{}",
            explained.out
        );
        server.running = Some(Running::start(&server.config));
        until("the server answers", || server.ask(&["status"]).code == 0);
        server.ask(&["host", "add", "cloud"]).ok();

        let dig = |more: &[&str]| {
            let output = Command::new("dig").args(["@192.0.2.11", "+tries=1", ZONE]).args(more).output().expect("dig");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let key = "hmac-sha256:to-second:c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
        assert!(dig(&["AXFR"]).contains("Transfer failed"));
        let given = dig(&["AXFR", "-y", key, "+onesoa"]);
        let given: Vec<String> = records(&given).into_iter().filter(|record| !record.contains(" TSIG ")).collect();
        assert!(given.iter().any(|record| record.starts_with("cloud.dyn.example.org. 60 IN RRSIG A 13 ")), "{given:#?}");
        assert_eq!(given.len(), server.ask(&["zone", "export", ZONE]).ok().out.lines().count(), "the same as a file");
        let metrics = || {
            let output = Command::new("curl").args(["--silent", "http://127.0.0.1:9153/metrics"]).output().expect("curl");
            String::from_utf8(output.stdout).expect("text")
        };
        let read = metrics();
        assert!(read.contains("fourward_transfers_total{kind=\"whole\"} 1\n"), "{read}");
        until("the silence is counted", || {
            let read = metrics();
            let line = read.lines().find(|line| line.starts_with("fourward_notify_unanswered_total{secondary=\"192.0.2.11:5353\"}"));
            line.and_then(|line| line.split(' ').next_back()?.parse::<u32>().ok()).is_some_and(|count| count > 1)
        });
    });
}
