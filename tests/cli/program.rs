//! Running `fourward`, and what it said.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const FOURWARD: &str = env!("CARGO_BIN_EXE_fourward");

/// Far more than anything here takes, so that only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It went well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// It ended with `code`, and its error has all of `parts`, on standard error alone.
    pub(crate) fn failed(self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no \"{part}\" in: {}", self.err);
        }
    }

    /// What it said to a program.
    pub(crate) fn json(self) -> Value {
        let said = self.ok();
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    }
}

/// Runs the program to its end.
pub(crate) fn fourward(arguments: &[impl AsRef<OsStr>]) -> Said {
    Said::of(Command::new(FOURWARD).args(arguments).stdin(Stdio::null()).output().expect("run"))
}

/// Runs it with `input` on its standard input.
pub(crate) fn fourward_reading(input: &str, arguments: &[impl AsRef<OsStr>]) -> Said {
    let mut command = Command::new(FOURWARD);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("run");
    let fed = child.stdin.take().expect("piped").write_all(input.as_bytes());
    // It may have seen enough before the end.
    assert!(fed.is_ok() || fed.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe));
    Said::of(child.wait_with_output().expect("ended"))
}

/// A role that runs until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(config: &Path) -> Self {
        Self::spawn(Command::new(FOURWARD).arg("run").arg("--config").arg(config))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("run"))
    }

    /// Asks it to end, and tells how it did.
    pub(crate) fn end(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        self.0.wait().expect("ended").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(PATIENCE, what, condition);
}

pub(crate) fn until_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < patience, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `test` in a network namespace of its own, where the server's addresses are.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; these tests want root");
        sh("ip link set lo up; ip link add wan type veth peer name eth0; ip link set wan up
            ip address add 192.0.2.11/32 dev lo; ip address add 2001:db8:a::11/128 dev wan nodad
            ip route add 2001:db8:1::/64 dev wan");
        test();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().expect("sh").success(), "{script}");
}

/// The machine at home, 2001:db8:1::11, on the other end of the server's cable.
pub(crate) struct Home(Running);

impl Home {
    /// To be made in the server's namespace.
    pub(crate) fn new() -> Self {
        let holder = Running::spawn(Command::new("unshare").args(["--net", "sleep", "600"]));
        let home = Self(holder);
        let ours = std::fs::read_link("/proc/thread-self/ns/net").expect("namespace");
        until("a namespace", || std::fs::read_link(home.namespace()).is_ok_and(|theirs| theirs != ours));
        sh(&format!(
            "ip link set eth0 netns {}
             nsenter --net={} sh -ec 'ip link set lo up; ip link set eth0 up; ip address add 2001:db8:1::11/64 dev eth0 nodad
                                      ip route add 2001:db8:a::11 dev eth0'",
            home.0.0.id(),
            home.namespace().display()
        ));
        home
    }

    /// Runs its roles.
    pub(crate) fn start(&self, config: &Path) -> Running {
        let mut enter = Command::new("nsenter");
        Running::spawn(enter.arg(format!("--net={}", self.namespace().display())).args([FOURWARD, "run", "--config"]).arg(config))
    }

    fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.0.id()).into()
    }
}

/// A server of its own folder, made by `init`, that runs.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) config: PathBuf,
    pub(crate) running: Option<Running>,
}

impl Server {
    /// To be called in a namespace.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("folder");
        let (config, state) = (folder.path().join("fourward.toml"), folder.path().join("state"));
        let arguments = ["init", "--zone", "dyn.example.org", "--ipv4", "192.0.2.11", "--ipv6", "2001:db8:a::11", "--no-acme", "--config"];
        let arguments = arguments.map(OsStr::new).into_iter().chain([config.as_os_str(), OsStr::new("--state"), state.as_os_str()]);
        fourward(&arguments.collect::<Vec<_>>()).ok();
        let running = Running::start(&config);
        let server = Self { folder, config, running: Some(running) };
        until("the server answers", || server.ask(&["status"]).code == 0);
        server
    }

    /// Runs a command of the owner's.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Said {
        let option = [OsStr::new("--config"), self.config.as_os_str()];
        fourward(&arguments.iter().map(OsStr::new).chain(option).collect::<Vec<_>>())
    }

    /// The same, with `input` on its standard input.
    pub(crate) fn ask_reading(&self, input: &str, arguments: &[&str]) -> Said {
        let option = [OsStr::new("--config"), self.config.as_os_str()];
        fourward_reading(input, &arguments.iter().map(OsStr::new).chain(option).collect::<Vec<_>>())
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.ask(&[arguments, &["--json"]].concat()).json()
    }
}

/// The keys of an object, in order.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Checks that `value` has all these keys, whatever else.
pub(crate) fn has(value: &Value, wanted: &[&str]) {
    let keys = keys(value);
    for key in wanted {
        assert!(keys.contains(key), "no {key} in {value}");
    }
}
