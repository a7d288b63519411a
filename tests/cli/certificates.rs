//! Files of certificates that cannot be used at a start: the server serves its homes all the same, says what is wrong, and takes them up once they can be.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::program::{FOURWARD, Running, Server, fourward, in_namespace, until};

/// A server with `more` before its `[control]` or under it, and its log.
fn restarted(mut server: Server, more: &str) -> Server {
    drop(server.running.take());
    let config = fs::read_to_string(&server.config).expect("the configuration");
    fs::write(&server.config, config.replace("[control]", more)).expect("written");
    let run = format!("exec {FOURWARD} run --config {} 2>{}/log", server.config.display(), server.folder.path().display());
    server.running = Some(Running::spawn(Command::new("sh").args(["-c", &run])));
    until("the server answers", || server.ask(&["status"]).code == 0);
    server
}

fn certificate(server: &Server) -> Value {
    server.json(&["status"])["certificate"].clone()
}

fn told(server: &Server, parts: &[&str]) {
    let error = || certificate(server)["last_error"].as_str().map(str::to_owned);
    until("it is said", || error().is_some());
    let error = error().unwrap_or_default();
    let log = fs::read_to_string(server.folder.path().join("log")).expect("a log");
    let warned = log.lines().filter(|line| line.contains("WARN") && line.contains(&error)).count();
    assert!(warned == 1 && log.contains("a restart is not needed"), "{warned} times {error:?} in {log}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_no_reason_not_to_start_and_is_shown_once_it_can_be() {
    in_namespace(|| {
        let server = Server::start();
        let path = |name: &str| server.folder.path().join(name);
        let (pem, key) = (path("own.pem"), path("own.key"));
        let made = rcgen::generate_simple_self_signed(["gw.dyn.example.org".into()]).expect("a certificate");
        fs::write(&pem, made.cert.pem()).expect("written");
        fs::write(&key, "half a k").expect("written");
        let files = format!("[control]\ncertificate = \"{}\"\nkey = \"{}\"\n#", pem.display(), key.display());
        let server = restarted(server, &files);
        assert_eq!(certificate(&server)["source"], "self-signed");
        told(&server, &["control.key", "own.key", "no private key"]);
        server.ask(&["host", "add", "cloud"]).ok();
        let said = server.ask(&["status"]).ok().out;
        assert!(said.contains("self-signed") && said.contains("trouble  control.key"), "{said}");
        fourward(&[OsStr::new("config"), OsStr::new("check"), server.config.as_os_str()]).failed(2, &["control.key", "own.key"]);

        fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        until("the files are shown", || certificate(&server)["source"] == "files");
        assert_eq!(certificate(&server)["last_error"], Value::Null);
    });
}

#[test]
fn an_acme_root_that_cannot_be_used_holds_up_orders_alone_until_it_can_be() {
    in_namespace(|| {
        let server = Server::start();
        let root = server.folder.path().join("ca.pem");
        // Nobody is there: that an order is tried is seen by its failure.
        let acme = format!("[acme]\ndirectory = \"https://127.0.0.1:9/dir\"\nroot = \"{}\"\n[control]", root.display());
        let server = restarted(server, &acme);
        told(&server, &["acme.root", "ca.pem", "No such file"]);
        assert_eq!((&certificate(&server)["source"], &certificate(&server)["next"]), (&"self-signed".into(), &Value::Null), "no try");
        server.ask(&["host", "add", "cloud"]).ok();
        fourward(&[OsStr::new("config"), OsStr::new("check"), server.config.as_os_str()]).failed(2, &["acme.root", "ca.pem"]);

        fs::write(&root, rcgen::generate_simple_self_signed(["ca.example".into()]).expect("a certificate").cert.pem()).expect("written");
        until("an order is tried", || certificate(&server)["last_error"].as_str().is_some_and(|error| error.contains("is not reached")));
    });
}
