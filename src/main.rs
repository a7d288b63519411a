//! The program: parse, run, print the error, say how it ended.

use std::process::ExitCode;

use fourward::{Kind, redact};

/// What a crowd of connections took is given back when they are gone; glibc keeps it for good.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
