//! The hidden children of the demo: `fourward demo --node …`.
//!
//! `child PARENT ARGUMENT…` becomes `fourward ARGUMENT…`, but dies with PARENT, even if that is killed without a word: the wish has to
//! be made by the child itself, and it survives the exec. `probe` prints why namespaces are not to be had, in a process
//! of its own, since one that got a namespace without rights in it could not go back.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::namespace::Ground;
use super::topology::{Machine, TopologyError};

/// This very program, also if its file was replaced meanwhile. Each process that reads it sees its own.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// What stands before the kind of child on the command line.
pub(super) const ARGUMENTS: [&str; 2] = ["demo", "--node"];

/// Why a hidden child did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Not called by the demo.
    #[error("--node is for the demo's own children: `child PARENT ARGUMENT…` or `probe`")]
    Usage,
    /// The parent ended before the child began.
    #[error("the demo ended meanwhile")]
    Orphan,
    /// The kernel refused.
    #[error("{OURSELVES}: {0}")]
    Start(#[from] io::Error),
    /// Namespaces are not to be had.
    #[error(transparent)]
    Refused(#[from] TopologyError),
}

/// Is the hidden child that `arguments` (all behind `--node`) ask for. Returns only from `probe`, or with an error.
/// To be called before any thread is started.
///
/// # Errors
/// The arguments are none, or the child cannot be what they ask for.
pub fn node(arguments: &[OsString]) -> Result<(), NodeError> {
    match arguments {
        [kind] if kind == "probe" => attempt().inspect_err(|error| println!("{error}")),
        [kind, parent, rest @ ..] if kind == "child" => {
            let parent = parent.to_str().and_then(|parent| parent.parse().ok()).ok_or(NodeError::Usage)?;
            Err(become_child(parent, rest))
        }
        _ => Err(NodeError::Usage),
    }
}

/// Whether namespaces are to be had here; the reason why not.
pub(super) fn probe() -> Result<(), String> {
    let ran = Command::new(OURSELVES).args(ARGUMENTS).arg("probe").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = ran.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().next() {
        _ if output.status.success() => Ok(()),
        Some(reason) => Err(reason.into()),
        None => Err(format!("the probe ended with {}", output.status)),
    }
}

fn become_child(parent: u32, arguments: &[OsString]) -> NodeError {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return NodeError::Start(error.into());
    }
    // It may have ended before the wish was heard.
    if parent_id() != parent {
        return NodeError::Orphan;
    }
    NodeError::Start(Command::new(OURSELVES).arg0("fourward").args(arguments).exec())
}

/// Makes two machines and a cable: the first writes to netlink and to the settings tell what `unshare` alone does not.
fn attempt() -> Result<(), NodeError> {
    let ground = Ground::enter().map_err(TopologyError::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime?.block_on(Machine::probe(&ground))?;
    Ok(())
}
