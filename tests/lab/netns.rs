//! One machine of the lab: a network namespace with a resolver file of its own.
//!
//! Programs enter it by `ip netns exec`, threads of this test by `setns(2)`, so that a probe needs
//! no second process and shares our clock. What the machines are and how they are joined is
//! `topology`'s business.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A handle: cloning it makes no second machine, dropping it removes none.
#[derive(Clone, Debug)]
pub(crate) struct Ns {
    name: String,
}

impl Ns {
    /// Makes the namespace with loopback up, duplicate-address detection off and no router advertisements.
    pub(crate) fn add(name: String) -> Self {
        succeed(Command::new("ip").args(["netns", "add", &name]));
        let ns = Self { name };
        // Before any link is up: an address under detection loses the first packets sent to it.
        for scope in ["all", "default"] {
            ns.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0");
            ns.sysctl(&format!("ipv6/conf/{scope}/accept_ra"), "0");
        }
        ns.ip("link set lo up");
        ns
    }

    /// Its name, as `ip netns` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What `gethostbyname` finds here: this resolver, and no names of the machine that runs the lab.
    pub(crate) fn set_resolver(&self, address: &str) {
        let dir = format!("/etc/netns/{}", self.name);
        fs::create_dir_all(&dir).expect("make /etc/netns");
        fs::write(format!("{dir}/resolv.conf"), format!("nameserver {address}\noptions timeout:1 attempts:2\n"))
            .expect("write resolv.conf");
        fs::write(format!("{dir}/hosts"), "127.0.0.1 localhost\n::1 localhost\n").expect("write hosts");
    }

    /// Runs lines of `ip` commands in one process; any failing line fails the test.
    pub(crate) fn ip(&self, lines: &str) {
        feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines);
    }

    /// Like `ip`, for clearing away what may be gone already.
    pub(crate) fn ip_forgiving(&self, lines: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-force", "-batch", "-"]).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = pipe(&mut command, lines);
    }

    /// Loads nft rules in one transaction.
    pub(crate) fn nft(&self, rules: &str) {
        feed(self.command("nft").args(["-f", "-"]), rules);
    }

    /// Writes `/proc/sys/net/KEY` as this namespace sees it.
    pub(crate) fn sysctl(&self, key: &str, value: &'static str) {
        let path = format!("/proc/sys/net/{key}");
        self.thread(move || fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"))).join().expect("set a sysctl");
    }

    /// Like `sysctl`, for what not every kernel has.
    pub(crate) fn sysctl_if_there(&self, key: &str, value: &'static str) {
        let path = format!("/proc/sys/net/{key}");
        self.thread(move || fs::exists(&path).unwrap_or(false).then(|| fs::write(&path, value))).join().expect("set a sysctl");
    }

    /// A command that will run here, its files being ours. It dies with the thread that starts it,
    /// so that a killed test run leaves no daemon behind.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL", program]);
        command
    }

    /// Runs a program to its end, whatever that is.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        self.command(program).args(args).stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Runs work in a thread whose sockets, and whose children's, belong to this namespace.
    /// Names are not resolved here: the thread sees the host's files.
    pub(crate) fn thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name);
        thread::spawn(move || {
            let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("enter the namespace");
            work()
        })
    }

    /// Bytes that an interface has sent and received.
    pub(crate) fn interface_bytes(&self, interface: &str) -> u64 {
        let statistics = format!("/sys/class/net/{interface}/statistics");
        let output = self.run("cat", &[&format!("{statistics}/rx_bytes"), &format!("{statistics}/tx_bytes")]);
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.parse::<u64>().expect("a count of bytes")).sum()
    }

    /// Bytes that a named nft counter has seen.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.counted(name, "bytes")
    }

    /// Packets that it has seen.
    pub(crate) fn packets(&self, name: &str) -> u64 {
        self.counted(name, "packets")
    }

    fn counted(&self, name: &str, what: &str) -> u64 {
        let output = self.run("nft", &["-j", "list", "counters"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("nft prints JSON");
        let entries = json["nftables"].as_array().expect("a list of objects");
        let found = entries.iter().find(|entry| entry["counter"]["name"] == name);
        found.and_then(|entry| entry["counter"][what].as_u64()).unwrap_or_else(|| panic!("{}: no counter {name}", self.name))
    }

    /// Ends whatever still runs here, then takes the namespace and its files away.
    pub(crate) fn remove(&self) {
        let pids = Command::new("ip").args(["netns", "pids", &self.name]).output();
        for pid in pids.iter().flat_map(|output| String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()) {
            if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(format!("/etc/netns/{}", self.name));
    }
}

/// Removes the labs of test runs that were killed before they could clean up. Names are
/// `fw<pid>x<n>-<machine>`: only those whose process is gone.
pub(crate) fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("fw").and_then(|rest| rest.split_once('x')).and_then(|(pid, _)| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            Ns { name }.remove();
        }
    }
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command that must succeed on what it reads from standard input.
pub(crate) fn feed(command: &mut Command, input: &str) -> Output {
    let output = pipe(command.stdout(Stdio::piped()).stderr(Stdio::piped()), input);
    assert!(output.status.success(), "{command:?} of {input}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command to its end, whatever that is, on what it reads from standard input.
pub(crate) fn pipe(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a piped standard input");
    // A program that ends before it has read all says so by its status.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("wait for the command")
}
