//! `join` on a disk that fails at any call, by strace: nothing half is left, and the same line, whose secret is good once, goes on where it stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fourward::crypto::{raw_key, sha256};
use fourward_core::api::Reply;
use fourward_core::join::JoinString;

use crate::server::{FOURWARD, Server, Site, add, in_namespaces};

/// Every call by which it makes, fills, names and keeps its files.
const CALLS: [&str; 8] = ["openat", "write", "fsync", "linkat", "rename", "unlink", "mkdir", "chown"];

const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// No run has more calls of a kind.
const CALL_LIMIT: u32 = 20;

/// A home whose disk fails.
struct Home {
    folder: PathBuf,
    join: String,
}

impl Home {
    fn new(site: &Site, server: &Server, label: &str) -> Self {
        let Ok(Reply::Secrets(secrets)) = server.ask(&add(label)) else { panic!("{label} is not added") };
        let folder = site.path(label);
        fs::create_dir(&folder).expect("a folder");
        Self { folder, join: secrets.join }
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("home.toml")
    }

    fn key(&self) -> PathBuf {
        self.state().join("agent.key")
    }

    /// All that it writes.
    fn files(&self) -> [PathBuf; 7] {
        let join: JoinString = self.join.parse().expect("a join string");
        let waiting = format!("agent.key.{}.new", &sha256(join.secret.reveal()).to_string()[..16]);
        let new = self.folder.join("home.toml.new");
        [self.folder.clone(), self.state(), self.config(), new, self.key(), self.state().join(waiting), self.folder.join("nothing")]
    }

    /// Joins, by `before` if that is not empty.
    fn join(&self, before: &[&str]) -> Output {
        let program = [before, &[FOURWARD, "join", &self.join]].concat();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg("--config").arg(self.config()).arg("--state").arg(self.state()).stdin(Stdio::null());
        command.output().expect("join")
    }

    /// A configuration is whole or not there, and so is the key.
    fn has_nothing_half(&self, context: &str) {
        if let Ok(config) = fs::read_to_string(self.config()) {
            assert!(config.contains("[agent]") && config.contains("pins"), "{context}: {config}");
            assert!(self.key().exists(), "{context}: a configuration without a key");
        }
        if let Ok(key) = fs::read(self.key()) {
            assert!(raw_key(&key).is_ok(), "{context}: half a key");
        }
    }
}

#[test]
fn a_join_on_a_disk_that_fails_says_so_and_goes_on_by_the_same_line() {
    in_namespaces(|| {
        let site = Site::new();
        let mut server = site.start(&[]);
        assert!(server.is_up(), "{}", server.said());
        let mut met = Vec::new();
        for call in CALLS {
            for error in ERRORS {
                let label = |count| format!("{call}-{}-{count}", error.to_lowercase());
                let mut count = 0;
                while count < CALL_LIMIT
                    && one_fault(&Home::new(&site, &server, &label(count)), call, error, count + 1, &site.path("trace"))
                {
                    count += 1;
                }
                assert!(count < CALL_LIMIT, "{call} without an end");
                met.extend((count > 0).then(|| format!("{count}× {call} {error}")));
            }
        }
        println!("{}", met.join(", "));
        assert!(met.len() >= 10, "fewer faults than it has calls: {met:?}");
    });
}

/// Whether there was such a call. If so, it must have been told, unless nothing depends on it, and the same line must go on.
fn one_fault(home: &Home, call: &str, error: &str, count: u32, trace: &Path) -> bool {
    let context = format!("{call} fails with {error}, call {count}");
    let (traced, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={count}"));
    let mut strace = vec!["strace", "-D", "-f", "-qq", "-o", trace.to_str().expect("UTF-8"), "-e", &traced, "-e", &inject];
    let files = home.files();
    for file in &files {
        strace.extend(["-P", file.to_str().expect("UTF-8")]);
    }
    let first = home.join(&strace);
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    let failed = fs::read_to_string(trace).unwrap_or_default().contains("(INJECTED)");
    assert!(!said.contains("panicked"), "{context}: {said}");
    home.has_nothing_half(&context);
    if !first.status.success() {
        assert!(failed, "{context}, but there was none: {said}");
        assert!(said.starts_with("fourward: ") && said.contains(home.folder.to_str().expect("UTF-8")), "{context}: {said}");
        let second = home.join(&[]);
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(second.status.success(), "{context}: the same line again: {said}");
        home.has_nothing_half(&context);
    }
    assert!(home.config().exists() && home.key().exists(), "{context}");
    let left: Vec<_> = fs::read_dir(home.state()).expect("state").map(|entry| entry.expect("entry").file_name()).collect();
    assert!(!first.status.success() || !failed || left.len() <= 2, "{context}: {left:?}");
    failed
}
