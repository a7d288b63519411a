//! A long-running program of the lab: started in a machine, its output kept, ended by its id.
//!
//! Dropping it kills it. It knows nothing of what the program does; whoever starts one says when it is ready.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::try_until;
use crate::netns::Ns;

/// How long a program may take to end when asked politely. Draining may take longer: its tests say so.
const TERMINATION: Duration = Duration::from_secs(10);

/// A running program, or one that was ended and can be started again.
#[derive(Debug)]
pub(crate) struct Daemon {
    ns: Ns,
    program: OsString,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts a program; what it prints is added to `log`.
    pub(crate) fn start<P: Into<OsString>>(ns: &Ns, log: PathBuf, program: P, arguments: &[&str]) -> Self {
        let program = program.into();
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let child = spawn(ns, &program, &arguments, &log);
        Self { ns: ns.clone(), program, arguments, log, child }
    }

    /// Waits until it is of use; fails with its last words if it ends before, or is late.
    pub(crate) fn ready(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
        let mut ended = None;
        let in_time = try_until(limit, || {
            ended = self.child.try_wait().expect("ask after a child");
            ended.is_some() || ready()
        });
        let words = || fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ended.is_none(), "{what} ended with {ended:?}: {}", words());
        assert!(in_time, "{what} is not ready after {limit:?}: {}", words());
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask after a child")
    }

    /// Ends it without a chance to say goodbye.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("send SIGTERM");
        let mut status = None;
        let ended = try_until(TERMINATION, || {
            status = self.ended();
            status.is_some()
        });
        assert!(ended, "{} still runs {TERMINATION:?} after SIGTERM", self.program.display());
        status.expect("an exit status")
    }

    /// Makes it fall silent: it keeps its sockets and answers nobody.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("send SIGSTOP");
    }

    /// Starts it again, as it was started first.
    pub(crate) fn start_again(&mut self) {
        assert!(self.ended().is_some(), "{} still runs", self.program.display());
        self.child = spawn(&self.ns, &self.program, &self.arguments, &self.log);
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a live process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS in the status");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    /// What it took of all cores so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a live process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields behind the name").split_whitespace().collect();
        // utime and stime in ticks, of which Linux tells a hundred a second.
        let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a live process").count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(ns: &Ns, program: &OsString, arguments: &[OsString], log: &PathBuf) -> Child {
    let output = OpenOptions::new().create(true).append(true).open(log).expect("open a log");
    let errors = output.try_clone().expect("share a log");
    let mut command = ns.command(&program.to_string_lossy());
    command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
