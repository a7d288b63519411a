//! This package's own binary in its two places: the gateway on the vps, the agent at home.
//!
//! Set up as a user does it: `init`, `run`, `host add`, `join`, with real configs and real ports.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::netns::{Ns, feed};
use crate::topology::Node::{Dns, Server, Vps};
use crate::topology::{Node, VPS4, VPS6};

pub(crate) const ZONE: &str = "dyn.example.org";
/// The host of the figure: both families, IPv6 alone, and the user's own domain.
pub(crate) const DUAL: &str = "cloud.dyn.example.org";
/// The gateway itself.
pub(crate) const OWN: &str = "gw.dyn.example.org";
pub(crate) const TWIN: &str = "cloud-ip6only.dyn.example.org";
pub(crate) const ALIAS: &str = "owncloud.example.org";

/// A role starts in well under a second; the machine may be busy.
const START: Duration = Duration::from_secs(10);
/// From a started agent to its address in DNS.
pub(crate) const PUBLISHED: Duration = Duration::from_secs(10);

/// The binary under test.
pub(crate) fn fourward() -> &'static str {
    env!("CARGO_BIN_EXE_fourward")
}

/// A running role, its config, and the machine that it is on. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) daemon: Daemon,
    ns: Ns,
    config: PathBuf,
}

impl Lab {
    /// The gateway, with the zone and without hosts.
    pub(crate) fn start_vps(&self) -> Role {
        self.start_vps_with(&["--no-acme"], |written| written)
    }

    /// The same, with these options of `init`, and the config that it wrote changed.
    pub(crate) fn start_vps_with(&self, options: &[&str], change: impl FnOnce(String) -> String) -> Role {
        let (config, state) = self.files_of("vps");
        let arguments = ["init", "--zone", ZONE, "--ipv4", VPS4, "--ipv6", VPS6, "--config", &config, "--state", &state];
        let output = self.ns(Vps).run(fourward(), &[&arguments, options].concat());
        assert!(output.status.success(), "fourward init: {}", said(&output));
        let written = std::fs::read_to_string(&config).expect("the config");
        std::fs::write(&config, change(written)).expect("the config, changed");
        let mut vps = self.run_role(Vps, "vps", &config);
        let (ns, question) = (self.ns(Vps), ["status", "--json", "--config", &config]);
        vps.daemon.ready("the gateway", START, || ns.run(fourward(), &question).status.success());
        vps
    }

    /// The agent at home, joined by this line, and its address published.
    pub(crate) fn start_home(&self, join: &str) -> Role {
        let home = self.join_home("home", Server, join);
        self.wait_until_published(TWIN, self.home());
        home
    }

    /// An agent on any machine, its config in a folder of this name.
    pub(crate) fn join_home(&self, name: &str, node: Node, join: &str) -> Role {
        let (config, state) = self.files_of(name);
        feed(self.ns(node).command(fourward()).args(["join", "-", "--config", &config, "--state", &state]), join);
        self.run_role(node, name, &config)
    }

    /// What `join` says on a machine, whatever that is.
    pub(crate) fn try_to_join(&self, name: &str, node: Node, join: &str) -> Output {
        let (config, state) = self.files_of(name);
        self.ns(node).run(fourward(), &["join", join, "--config", &config, "--state", &state])
    }

    /// The whole figure: the gateway with the host `cloud`, and the home.
    pub(crate) fn start_figure(&self) -> (Role, Role) {
        let vps = self.start_vps();
        let join = vps.add_host("cloud", &[&format!("alias={ALIAS}")]);
        let home = self.start_home(&join);
        (vps, home)
    }

    /// Waits until the authoritative server has this address for the name.
    pub(crate) fn wait_until_published(&self, name: &str, address: Ipv6Addr) -> Duration {
        let address = address.to_string();
        wait_for(&format!("{name} is published as {address}"), PUBLISHED, || {
            self.dig(Dns, Some(VPS4), name, "AAAA").of("AAAA") == [address.as_str()]
        })
    }

    /// A role on a machine, with the config that is there.
    pub(crate) fn run_role(&self, node: Node, name: &str, config: &str) -> Role {
        let ns = self.ns(node);
        let log = self.log(&format!("fourward-{name}"));
        let daemon = Daemon::start(ns, log, fourward(), &["run", "--config", config]);
        Role { daemon, ns: ns.clone(), config: PathBuf::from(config) }
    }

    fn files_of(&self, name: &str) -> (String, String) {
        let dir = self.dir().join(name);
        std::fs::create_dir_all(&dir).expect("make a role's folder");
        let path = |file: &Path| file.display().to_string();
        (path(&dir.join("fourward.toml")), path(&dir.join("state")))
    }
}

impl Role {
    /// A command of this role's machine, told of its config.
    pub(crate) fn tell(&self, arguments: &[&str]) -> Output {
        let config = self.config.display().to_string();
        self.ns.run(fourward(), &[arguments, &["--config", &config]].concat())
    }

    /// Adds a host and returns its join line.
    pub(crate) fn add_host(&self, name: &str, keys: &[&str]) -> String {
        let output = self.tell(&[&["host", "add", name], keys, &["--json"]].concat());
        assert!(output.status.success(), "fourward host add {name}: {}", said(&output));
        let json: Value = serde_json::from_slice(&output.stdout).expect("host add prints JSON");
        json["join"].as_str().expect("a join line").to_owned()
    }

    /// Connections that the gateway has open.
    pub(crate) fn connections(&self) -> u64 {
        self.status()["gateway"]["connections"].as_u64().expect("a number of connections")
    }

    /// The zone's serial: whether anything was published since.
    pub(crate) fn serial(&self) -> u64 {
        self.status()["zones"][0]["serial"].as_u64().expect("a serial")
    }

    fn status(&self) -> Value {
        let output = self.tell(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    /// Ends it and starts it again with these variables in its environment.
    pub(crate) fn under(mut self, lab: &Lab, name: &str, variables: &[String]) -> Self {
        self.daemon.terminate();
        let config = self.config.display().to_string();
        let arguments: Vec<&str> = variables.iter().map(String::as_str).chain([fourward(), "run", "--config", &config]).collect();
        let daemon = Daemon::start(&self.ns, lab.log(&format!("fourward-{name}")), "env", &arguments);
        Self { daemon, ..self }
    }

    /// Ends it politely and starts it again.
    pub(crate) fn restart(&mut self) {
        self.daemon.terminate();
        self.daemon.start_again();
    }

    /// Ends it without a word and starts it again.
    pub(crate) fn kill_and_start(&mut self) {
        self.daemon.kill();
        self.daemon.start_again();
    }
}

/// What a command printed, for messages.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
