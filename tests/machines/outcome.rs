//! How a run of the binary ended and what it said, and the claims that tests make about that.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::clock::try_until;

/// What fails must fail soon: nothing that is refused here waits for longer than a gateway that does not answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Tried, and failed.
pub(crate) const FAILED: i32 = 1;
/// The command line or the configuration is wrong.
pub(crate) const USAGE: i32 = 2;
/// Not permitted, or not possible on this machine.
pub(crate) const NOT_POSSIBLE: i32 = 3;

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

/// The binary under test.
pub(crate) fn fourward() -> &'static str {
    env!("CARGO_BIN_EXE_fourward")
}

/// Runs `fourward` on this machine, where it needs no network.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    end_of(Command::new(fourward()).args(arguments))
}

/// Runs a command that must end by itself.
pub(crate) fn end_of(command: &mut Command) -> Outcome {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start a command");
    let ended = try_until(LIMIT, || child.try_wait().expect("ask after a command").is_some());
    if !ended {
        child.kill().expect("kill a command that hangs");
    }
    let outcome = Outcome::from(child.wait_with_output().expect("the command's output"));
    assert!(ended, "{command:?} still ran after {LIMIT:?}: {outcome:?}");
    outcome
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), errors: text(&output.stderr) }
    }
}

impl Outcome {
    /// It did what it was told.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// What it said holds all of `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "{word}: {self:?}");
        }
        self
    }

    /// It ended with `code`, and its last words hold all of `words`: the thing, the cause and the remedy. They are one sentence of
    /// this program's, no panic and no backtrace.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.errors.lines().any(|line| line.starts_with("fourward: ")), "no last words: {self:?}");
        assert!(!self.errors.contains("panicked"), "{self:?}");
        for word in words {
            assert!(self.errors.contains(word), "no word of \"{word}\": {self:?}");
        }
        self
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
