//! `check` where there is nothing to examine yet: it says where it stands, and what to do. What it finds in a whole figure is the lab's.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{fourward, in_namespace};

/// What it says to a program, whatever it found.
fn json(arguments: &[&str]) -> Value {
    let said = fourward(arguments);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn a_name_of_one_label_is_not_enough_from_outside() {
    in_namespace(|| {
        fourward(&["check", "cloud"]).failed(2, &["one label", "cloud.dyn.example.org"]);
        fourward(&["check", "not a name"]).failed(2, &["no name"]);
        fourward(&["check", "cloud.example.org", "--config", "/nowhere/fourward.toml"]).failed(2, &["/nowhere/fourward.toml"]);
    });
}

#[test]
fn a_server_that_does_not_run_is_a_fault_with_a_remedy() {
    in_namespace(|| {
        let folder = TempDir::new().expect("folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (config, state) = (path("fourward.toml"), path("state"));
        let init = [
            "init",
            "--zone",
            "dyn.example.org",
            "--ipv4",
            "192.0.2.11",
            "--ipv6",
            "2001:db8:a::11",
            "--config",
            &config,
            "--state",
            &state,
        ];
        fourward(&init).ok();
        let said = fourward(&["check", "cloud", "--config", &config]);
        assert!(said.out.contains("looked at from the server"), "{}", said.out);
        assert!(said.out.contains("FAULT  server: the server does not run"), "{}", said.out);
        assert!(said.out.contains("to do  `systemctl start fourward`"), "{}", said.out);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("cloud: 1 fault"), "{}", said.err);
        let json = json(&["check", "cloud", "--json", "--config", &config]);
        assert_eq!((json["name"].as_str(), json["view"].as_str()), (Some("cloud.dyn.example.org"), Some("server")));
    });
}

/// A home whose agent does not run, and what is of another host.
#[test]
fn a_home_knows_which_names_are_its_own() {
    in_namespace(|| {
        let folder = TempDir::new().expect("folder");
        let config = folder.path().join("fourward.toml");
        let state = folder.path().join("state");
        let pin = "00".repeat(32);
        let text = format!(
            "state = \"{}\"\n[agent]\nhost = \"cloud.dyn.example.org\"\n[[agent.gateways]]\nname = \"gw.dyn.example.org\"\naddresses = [\"192.0.2.11\"]\npins = [\"{pin}\"]\n",
            state.display()
        );
        fs::write(&config, text).expect("written");
        let config = config.display().to_string();
        let view = |name: &str| json(&["check", name, "--json", "--config", &config])["view"].clone();
        for name in ["cloud", "cloud.dyn.example.org", "cloud-ip6only.dyn.example.org", "owncloud.example.org"] {
            assert_eq!(view(name), "home", "{name}");
        }
        assert_eq!(view("nas.dyn.example.org"), "outside");
        let said = fourward(&["check", "cloud", "--config", &config]);
        assert!(said.code == 1 && said.out.contains("FAULT  link: the agent does not run here"), "{said:?}");
    });
}

/// An agent that does not know the question, one that answers it in a way of its own, and none of both.
#[test]
fn an_agent_of_another_version_is_to_be_restarted() {
    in_namespace(|| {
        let folder = TempDir::new().expect("folder");
        let (config, state) = (folder.path().join("fourward.toml"), folder.path().join("state"));
        let pin = "00".repeat(32);
        let text = format!(
            "state = \"{}\"\n[agent]\nhost = \"cloud.dyn.example.org\"\n[[agent.gateways]]\nname = \"gw.dyn.example.org\"\naddresses = [\"192.0.2.11\"]\npins = [\"{pin}\"]\n",
            state.display()
        );
        fs::write(&config, text).expect("written");
        fs::create_dir(&state).expect("a folder");
        let config = config.display().to_string();
        let agent = UnixListener::bind(state.join("control.sock")).expect("a socket");
        let replies = [
            (r#"{"refused":"not a request of this version: unknown variant `check`"}"#, true),
            (r#"{"examined":{}}"#, true),
            (r#"{"refused":"no"}"#, false),
        ];
        thread::spawn(move || {
            for (reply, _) in replies {
                let (mut stream, _) = agent.accept().expect("a client");
                BufReader::new(&stream).read_line(&mut String::new()).expect("a question");
                writeln!(stream, "{reply}").expect("answered");
            }
        });
        for (reply, other) in replies {
            let said = fourward(&["check", "cloud", "--config", &config]).out;
            assert_eq!(said.contains("the agent that runs is of another version"), other, "{reply}: {said}");
            assert_eq!(said.contains("`systemctl restart fourward`, so that what runs is what is installed"), other, "{reply}: {said}");
        }
    });
}
