//! The program: parse, run, print the error, say how it ended.

use std::process::ExitCode;

use fourward::Kind;

fn main() -> ExitCode {
    match fourward::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fourward: {error}");
            ExitCode::from(match error.kind() {
                Kind::Failed => 1,
                Kind::Usage => 2,
                Kind::NotPossible => 3,
            })
        }
    }
}
