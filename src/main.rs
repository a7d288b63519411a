//! The program: parse, run, print the error, say how it ended.

use std::process::ExitCode;

use fourward::{Kind, redact};

fn main() -> ExitCode {
    match fourward::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fourward: {}", redact::join_strings(&error.to_string()));
            ExitCode::from(match error.kind() {
                Kind::Failed => 1,
                Kind::Usage => 2,
                Kind::NotPossible => 3,
            })
        }
    }
}
