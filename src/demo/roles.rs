//! The real fourward as the demo's children: commands that end, roles that run, and the folder in which all of them live.
//!
//! Spoken to as a user would: by command lines, standard input and `--json`. What they log is kept, to be shown if something fails.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::namespace::Place;
use super::node::{ARGUMENTS, OURSELVES};

/// As many lines of a log as a person reads.
const LOG_LINES: usize = 12;

/// A folder of the demo's own, gone with it.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

/// The children that run, in the order in which they were started.
#[derive(Debug)]
pub(super) struct Roles {
    scratch: Scratch,
    running: Vec<Role>,
}

#[derive(Debug)]
struct Role {
    name: &'static str,
    child: Child,
}

/// What a child did wrong.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// No folder for it.
    #[error("the demo's folder {path}: {source}; TMPDIR says where there is room")]
    Folder {
        /// Where it was to be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It could not be started.
    #[error("starting fourward {what}: {source}")]
    Start {
        /// Which command or role.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A command failed.
    #[error("fourward {what} failed:\n{said}")]
    Failed {
        /// Which command.
        what: String,
        /// What it wrote.
        said: String,
    },
    /// A role ended.
    #[error("{role} ended before the demo did:\n{said}")]
    Ended {
        /// Which.
        role: &'static str,
        /// The end of its log.
        said: String,
    },
}

impl Scratch {
    fn new() -> Result<Self, RoleError> {
        let mut random = [0; 8];
        let filled = aws_lc_rs::rand::fill(&mut random);
        let path = std::env::temp_dir().join(format!("fourward-demo-{:016x}", u64::from_be_bytes(random)));
        filled.map_err(|_| RoleError::Folder { path: path.clone(), source: io::Error::other("no randomness for its name") })?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(RoleError::Folder { path, source }),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it, and there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Roles {
    /// None yet, and an empty folder.
    ///
    /// # Errors
    /// There is no room for the folder.
    pub(super) fn new() -> Result<Self, RoleError> {
        Ok(Self { scratch: Scratch::new()?, running: Vec::new() })
    }

    /// The folder for all that the children keep.
    pub(super) fn folder(&self) -> &Path {
        &self.scratch.0
    }

    /// Runs the command `arguments` at `place` to its end, with `input` on its standard input; what it printed.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub(super) async fn command(&self, place: &Place, arguments: &[&OsStr], input: &str) -> Result<String, RoleError> {
        let what = arguments.iter().take(2).map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let start = |source| RoleError::Start { what: what.clone(), source };
        let mut command = ourselves(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = place.visit(|| command.spawn()).map_err(start)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading says itself why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(start)?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let said = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
        Err(RoleError::Failed { what, said: said.trim_end().into() })
    }

    /// Starts `arguments` at `place`, to run as `name` until the end.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn start(&mut self, name: &'static str, place: &Place, arguments: &[&OsStr]) -> Result<(), RoleError> {
        let start = |source| RoleError::Start { what: format!("run ({name})"), source };
        let log = File::create(self.log(name)).map_err(start)?;
        let mut command = ourselves(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(start)?).stderr(log);
        let child = place.visit(|| command.spawn()).map_err(start)?;
        self.running.push(Role { name, child });
        Ok(())
    }

    /// Whether all still run.
    ///
    /// # Errors
    /// One does not; the end of its log.
    pub(super) fn check(&mut self) -> Result<(), RoleError> {
        let ended = self.running.iter_mut().find_map(|role| match role.child.try_wait() {
            Ok(None) => None,
            Ok(Some(_)) | Err(_) => Some(role.name),
        });
        ended.map_or(Ok(()), |role| Err(RoleError::Ended { role, said: self.said(role) }))
    }

    /// The ends of all logs, for whoever wonders why nothing happens.
    pub(super) fn logs(&self) -> String {
        let tails = self.running.iter().map(|role| format!("{} said last:\n{}", role.name, self.said(role.name)));
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Ends all children, the latest first, and removes the folder. Not asked to drain: nobody is left to be served.
    pub(super) async fn end(mut self) {
        while let Some(mut role) = self.running.pop() {
            // Fails only for one that ended already.
            let _ = role.child.kill().await;
        }
    }

    fn said(&self, name: &str) -> String {
        let log = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.scratch.0.join(format!("{name}.log"))
    }
}

/// This program with `arguments`, by way of a hidden child that dies with us. A process group of its own: Ctrl-C is for us alone to hear.
fn ourselves(arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(OURSELVES);
    command.args(ARGUMENTS).arg("child").arg(std::process::id().to_string()).args(arguments);
    command.process_group(0).kill_on_drop(true);
    command
}
