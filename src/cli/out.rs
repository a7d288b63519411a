//! What commands print on standard output.
//!
//! A reader that has seen enough (`fourward host list | head`) is no failure: what it does not take is left unsaid.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use super::CliError;

/// Prints `text` as it is.
///
/// # Errors
/// Standard output fails, other than by being closed.
pub(super) fn text(text: impl Display) -> Result<(), CliError> {
    match write!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints `line` and ends it.
///
/// # Errors
/// As [`text`].
pub(super) fn line(line: impl Display) -> Result<(), CliError> {
    text(format_args!("{line}\n"))
}

/// Prints `value` for programs.
///
/// # Errors
/// As [`text`].
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(serde_json::to_string_pretty(value).map_err(io::Error::other)?)
}
