//! Two machines: the vps with the server on its real ports, and the home, from where clients come too.
//!
//! ```text
//!  vps 192.0.2.11, 2001:db8:a::11 ── home 192.0.2.4, 2001:db8:100::11
//! ```
//!
//! Each test has machines of its own. The home's IPv6 address is in another network than the gateway's, as the address policy wants it.
//!
//! Several test programs include this folder as a module; what starts programs and makes namespaces is the lab's own.
#![allow(dead_code, reason = "no test program needs all of it")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{process, thread};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../lab/clock.rs"]
pub(crate) mod clock;
#[path = "../lab/daemon.rs"]
pub(crate) mod daemon;
#[path = "../lab/faketime.rs"]
pub(crate) mod faketime;
#[path = "../lab/netns.rs"]
pub(crate) mod netns;
pub(crate) mod outcome;

use clock::wait_for;
use daemon::Daemon;
use netns::{Ns, sweep};
use outcome::{Outcome, end_of, fourward, text};

pub(crate) const VPS4: &str = "192.0.2.11";
pub(crate) const VPS6: &str = "2001:db8:a::11";
pub(crate) const HOME6: &str = "2001:db8:100::11";
pub(crate) const ZONE: &str = "dyn.example.org";
/// The host that the home joins as.
pub(crate) const DUAL: &str = "cloud.dyn.example.org";

/// The secret of a key that signs updates.
pub(crate) const SIGNS: &str = "Y2FuYXJ5IG9mIGEga2V5IHRoYXQgc2lnbnMgdXBkYXRlcyE=";

/// A role starts in well under a second; the machine may be busy.
const START: Duration = Duration::from_secs(10);

/// `run` at the most verbose, by our own switch and by the one that other programs have.
const TELLING_ALL: [&str; 4] = ["FOURWARD_LOG=trace", "RUST_LOG=trace", env!("CARGO_BIN_EXE_fourward"), "run"];

/// The machines of one test.
pub(crate) struct Machines {
    pub(crate) vps: Ns,
    pub(crate) home: Ns,
    dir: TempDir,
}

/// A running role, and its config.
pub(crate) struct Role {
    pub(crate) daemon: Daemon,
    ns: Ns,
    config: PathBuf,
    log: PathBuf,
}

impl Machines {
    /// Both machines, joined, with nothing running on them.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "these tests make network namespaces and need root");
        if COUNT.load(Ordering::Relaxed) == 0 {
            sweep();
        }
        let prefix = format!("fw{}x{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (vps, home) = (Ns::add(format!("{prefix}-vps")), Ns::add(format!("{prefix}-home")));
        vps.ip(&format!("link add v type veth peer name v netns {}", home.name()));
        home.ip(&format!("addr add 192.0.2.4/24 dev v\naddr add {HOME6}/64 dev v\nlink set v up\nroute add 2001:db8:a::/64 dev v"));
        vps.ip(&format!("addr add {VPS4}/24 dev v\naddr add {VPS6}/64 dev v\nlink set v up\nroute add 2001:db8:100::/64 dev v"));
        Self { vps, home, dir: tempfile::Builder::new().prefix("fourward-machines-").tempdir().expect("make a folder") }
    }

    /// A path in this test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The server's config, as `init` writes it.
    pub(crate) fn init(&self) -> PathBuf {
        self.init_as("vps")
    }

    /// The same, with a config and a state of this name.
    pub(crate) fn init_as(&self, name: &str) -> PathBuf {
        let config = self.path(&format!("{name}.toml"));
        let (file, state) = (text(&config), text(&self.path(&format!("{name}-state"))));
        let arguments = ["init", "--zone", ZONE, "--ipv4", VPS4, "--ipv6", VPS6, "--no-acme", "--config", &file, "--state", &state];
        outcome::run(&arguments).succeeds();
        config
    }

    /// Gives the server by `config` the key [`SIGNS`], called `signs`, for the address of the host `nas`.
    pub(crate) fn add_key(&self, config: &Path) {
        let file = self.path("updates.key");
        fs::write(&file, SIGNS).expect("a key");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
        let line = format!("keys = [{{ name = \"signs\", secret-file = \"{}\", host = \"nas\", types = [\"AAAA\"] }}]", text(&file));
        let written = fs::read_to_string(config).expect("a config");
        fs::write(config, written.replace("[dns]\n", &format!("[dns]\n{line}\n"))).expect("a config");
    }

    /// An update from the home by DNS, that `nas` is at [`HOME6`], with `key` in nsupdate's way of writing it.
    pub(crate) fn update(&self, key: &str) -> Outcome {
        let script = format!("server {VPS4}\nzone {ZONE}.\nupdate add nas.{ZONE}. 60 AAAA {HOME6}\nsend\n");
        end_of(self.home.command("sh").args(["-c", &format!("printf '{script}' | nsupdate -y {key}")]))
    }

    /// The server, running by `init`'s config.
    pub(crate) fn server(&self) -> Role {
        self.server_by(&self.init())
    }

    /// The server, running by `config`.
    pub(crate) fn server_by(&self, config: &Path) -> Role {
        let mut role = self.role(&self.vps, config, fourward(), &["run"]);
        role.wait_until_it_answers();
        role
    }

    /// A server that logs all that it ever says.
    pub(crate) fn server_that_tells_all(&self, config: &Path) -> Role {
        let mut role = self.role(&self.vps, config, "env", &TELLING_ALL);
        role.wait_until_it_answers();
        role
    }

    /// A server whose clock is so far ahead.
    pub(crate) fn server_ahead(&self, config: &Path, by: &str) -> Role {
        let environment = faketime::by(&format!("FAKETIME={by}"));
        let arguments = [&environment.each_ref().map(String::as_str)[..], &[fourward(), "run"]].concat();
        let mut role = self.role(&self.vps, config, "env", &arguments);
        role.wait_until_it_answers();
        role
    }

    fn role(&self, ns: &Ns, config: &Path, program: &str, arguments: &[&str]) -> Role {
        let log = config.with_extension("log");
        let file = text(config);
        let daemon = Daemon::start(ns, log.clone(), program, &[arguments, &["--config", &file]].concat());
        Role { daemon, ns: ns.clone(), config: config.into(), log }
    }

    /// `fourward join` on the home's machine, with config and state of this name.
    pub(crate) fn join_as(&self, name: &str, string: &str) -> Outcome {
        end_of(&mut self.joining(name, string))
    }

    /// The command of [`Machines::join_as`].
    pub(crate) fn joining(&self, name: &str, string: &str) -> Command {
        let mut command = self.home.command(fourward());
        command.args(["join", string, "--config"]).arg(self.path(&format!("{name}.toml")));
        command.arg("--state").arg(self.path(&format!("{name}-state")));
        command
    }

    /// The agent that joined by this name.
    pub(crate) fn agent(&self, name: &str) -> Role {
        self.role(&self.home, &self.path(&format!("{name}.toml")), fourward(), &["run"])
    }

    /// The same, and it logs all that it ever says.
    pub(crate) fn agent_that_tells_all(&self, name: &str) -> Role {
        self.role(&self.home, &self.path(&format!("{name}.toml")), "env", &TELLING_ALL)
    }

    /// The host `cloud` on `server`, its agent at home, linked and published, and a service there that echoes on TCP 443 and 80.
    pub(crate) fn home_of(&self, server: &Role) -> Role {
        self.join_as("home", &server.add_host("cloud", &[])).succeeds();
        let agent = self.agent("home");
        self.echo(443);
        self.echo(80);
        server.wait_until_published(HOME6);
        agent
    }

    fn print_logs(&self) {
        let logs = fs::read_dir(self.dir.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        for log in logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            eprintln!("--- {}\n{}", log.display(), fs::read_to_string(&log).unwrap_or_default());
        }
    }

    fn echo(&self, port: u16) {
        let bound = self.home.thread(move || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).join();
        let listener = bound.expect("a thread").expect("a listener at home");
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || echo(stream)))));
    }

    /// A connection from the home's machine to `port` of the vps.
    pub(crate) fn connect(&self, port: u16) -> TcpStream {
        let address: IpAddr = VPS4.parse().expect("an address");
        let connected = self.home.thread(move || TcpStream::connect((address, port))).join();
        connected.expect("a thread").expect("a connection to the gateway")
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_logs();
        }
        self.vps.remove();
        self.home.remove();
    }
}

impl Role {
    /// A command of this role's machine, told of its config.
    pub(crate) fn tell(&self, arguments: &[&str]) -> Outcome {
        end_of(self.ns.command(fourward()).args(arguments).arg("--config").arg(&self.config))
    }

    /// The answer of a command to a program.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let outcome = self.tell(&[arguments, &["--json"]].concat()).succeeds();
        serde_json::from_str(&outcome.out).expect("JSON")
    }

    /// Adds a host and returns its join string.
    pub(crate) fn add_host(&self, name: &str, settings: &[&str]) -> String {
        self.ask(&[&["host", "add", name], settings].concat())["join"].as_str().expect("a join string").to_owned()
    }

    /// Waits until `cloud` is published there.
    pub(crate) fn wait_until_published(&self, address: &str) {
        wait_for("the home is published", START, || self.ask(&["host", "show", "cloud"])["address"] == address);
    }

    /// Waits until its log has `words`.
    pub(crate) fn wait_until_it_says(&self, words: &str) {
        wait_for(words, START, || self.log().contains(words));
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_until_it_answers(&mut self) {
        let (ns, config) = (self.ns.clone(), self.config.clone());
        self.daemon.ready("the server", START, || end_of(ns.command(fourward()).args(["status", "--config"]).arg(&config)).code == Some(0));
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
