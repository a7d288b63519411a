//! fourward as a library: the roles, and here how they are wired.
//!
//! Layers, each of which names only what stands above it: `supervisor`, `listener`, `mmsg`, `netlink`, `crypto`, `certificate`, `probe`, `quic`, `redact`,
//! `resolver`, `tally`, `telemetry`; `config`; `store` and `leases`; `examination`; the roles `dns`, `gateway`, `link`, `acme`, `agent`, which never name
//! each other; `control`; `check`, `demo` and `cli`.

mod accounts;
pub mod acme;
pub mod agent;
pub mod certificate;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
mod crowd;
pub mod crypto;
pub mod demo;
pub mod dns;
pub mod examination;
pub mod gateway;
pub mod leases;
pub mod link;
pub mod listener;
mod mmsg;
pub mod netlink;
pub mod pace;
pub mod probe;
pub mod quic;
pub mod redact;
pub mod resolver;
mod run;
pub mod signer;
pub mod store;
pub mod supervisor;
pub mod tally;
pub mod telemetry;

use std::io;

use clap::Parser;

use cli::{Cli, CliError, Command};
use config::ConfigError;
use dns::DnsError;
pub use run::RunError;

/// Whatever ends the program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// The roles.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The demo.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// The demo ran, and something did not hold.
    #[error("something in the figure did not hold; the table above says what")]
    DemoFailed,
    /// A machine of the demo's.
    #[error(transparent)]
    Node(#[from] demo::NodeError),
    /// No threads, no sockets.
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] io::Error),
}

/// What the exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and failed.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Not permitted, or not possible on this machine.
    NotPossible,
}

impl Error {
    /// What the exit code tells of it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cli(CliError::Config(error)) | Self::Run(RunError::Config(error)) => config_kind(error),
            Self::Cli(CliError::Usage(_) | CliError::Edit(_) | CliError::NoServer(_) | CliError::Join(_)) => Kind::Usage,
            Self::Cli(CliError::NotPermitted { .. }) => Kind::NotPossible,
            Self::Run(RunError::Bind(error) | RunError::Dns(DnsError::Bind(error))) if error.is_not_possible_here() => Kind::NotPossible,
            Self::Run(RunError::Key { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Kind::NotPossible,
            Self::Cli(CliError::Files(error)) | Self::Run(RunError::Files(error)) => match error.is_permission() {
                true => Kind::NotPossible,
                false => Kind::Usage,
            },
            Self::Run(RunError::Store(error)) if error.is_permission() => Kind::NotPossible,
            _ => Kind::Failed,
        }
    }
}

fn config_kind(error: &ConfigError) -> Kind {
    match error {
        ConfigError::NotPermitted { .. } => Kind::NotPossible,
        _ => Kind::Usage,
    }
}

/// Says what is wrong with the arguments and ends: in colours, unless it quotes a secret.
fn complain(error: &clap::Error) -> ! {
    let text = error.to_string();
    let clean = redact::join_strings(&text);
    if clean == text {
        error.exit();
    }
    eprint!("{clean}");
    std::process::exit(error.exit_code())
}

/// The program, from its arguments to its end.
///
/// # Errors
/// Whatever ends it otherwise than well.
pub fn main() -> Result<(), Error> {
    let command = Cli::try_parse().unwrap_or_else(|error| complain(&error)).command;
    match command {
        // Before any thread is there: the demo enters namespaces.
        Command::Demo(args) if !args.node.is_empty() => Ok(demo::node(&args.node)?),
        Command::Demo(args) => match demo::run(demo::Options { keep: args.keep, json: args.json })? {
            true => Ok(()),
            false => Err(Error::DemoFailed),
        },
        Command::Run(args) => {
            telemetry::start();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            Ok(runtime.block_on(run::run(args))?)
        }
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(cli::run(command))?)
        }
    }
}
