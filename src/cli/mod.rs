//! The command line: what there is, and which function does it.
//!
//! Commands about hosts talk to the running server; `init`, `join` and `config check` touch files only. Every command says what it did
//! and what to do next, and with `--json` the same to programs.

mod acme_dns;
mod bulk;
mod check;
mod client;
mod config_check;
mod files;
mod host;
mod init;
mod join;
mod out;
mod settings;
mod status;
mod table;
mod zone;
mod zone_export;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use fourward_core::host::EditError;
use fourward_core::join::JoinError;

use crate::agent::RegisterError;
use crate::certificate::FilesError;
use crate::config::{ConfigError, DEFAULT_CONFIG, DEFAULT_STATE, HomePorts};
use crate::crypto::KeyError;

/// Your home server, reachable from everywhere: IPv6 straight to your door, IPv4 carried forward by a gateway you own.
#[derive(Debug, Parser)]
#[command(name = "fourward", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole figure on this machine: no root, no configuration, no network
    Demo(DemoArgs),
    /// On the VPS: write a configuration, and say what to enter at the registrar
    Init(InitArgs),
    /// Start every role that the configuration has a table for
    Run(RunArgs),
    /// At home: trade the join string for a key of this home's own, and write the configuration
    Join(JoinArgs),
    /// Create, change and show hosts, on the running server
    #[command(subcommand)]
    Host(HostCommand),
    /// Show and change the keys that sign a zone, on the running server
    #[command(subcommand)]
    Zone(ZoneCommand),
    /// Show the live state of the running server
    Status(ServerArgs),
    /// Examine a name from end to end: each fault with its remedy
    Check(CheckArgs),
    /// Look at a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Where the server is, and for whom the answer is.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// The server's configuration, by which its control socket is found
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stay up until Ctrl-C, with a page on a 127.0.0.1 port of this machine
    #[arg(long)]
    pub keep: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// A machine of the demo's own
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    pub node: Vec<OsString>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The zone that you delegate to this server, like dyn.example.org
    #[arg(long)]
    pub zone: String,
    /// This server's public IPv4 address (again for another one)
    #[arg(long, required = true, num_args = 1..)]
    pub ipv4: Vec<Ipv4Addr>,
    /// This server's IPv6 address, by which it reaches the homes (again for another one)
    #[arg(long, required = true, num_args = 1..)]
    pub ipv6: Vec<Ipv6Addr>,
    /// This server's own name [default: gw.ZONE]
    #[arg(long)]
    pub name: Option<String>,
    /// Your mail address, for the certificate authority
    #[arg(long, conflicts_with = "no_acme")]
    pub email: Option<String>,
    /// Another certificate authority's ACME directory
    #[arg(long, value_name = "URL", conflicts_with = "no_acme")]
    pub acme_directory: Option<String>,
    /// The CA certificate of a private ACME server
    #[arg(long, value_name = "PEM", conflicts_with = "no_acme")]
    pub acme_root: Option<PathBuf>,
    /// Order no certificate: show a self-signed one
    #[arg(long)]
    pub no_acme: bool,
    /// The configuration to write
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Where the server keeps its state
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    pub state: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// All roles on loopback, for the demo where namespaces are not to be had: the home's ports, TLS and HTTP
    #[arg(long, hide = true, value_name = "tls=PORT,http=PORT", value_parser = home_ports)]
    pub loopback_demo: Option<HomePorts>,
}

fn home_ports(text: &str) -> Result<HomePorts, String> {
    let ports = text.strip_prefix("tls=").and_then(|text| text.split_once(",http="));
    let ports = ports.and_then(|(tls, http)| Some(HomePorts { tls: tls.parse().ok()?, http: http.parse().ok()? }));
    ports.ok_or_else(|| "expected tls=PORT,http=PORT".into())
}

/// `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The join string, or - to be asked for it (or to read it from standard input)
    #[arg(value_name = "STRING|-")]
    pub string: String,
    /// The configuration to write
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Where the agent keeps its key
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    pub state: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A host's name, its -ip6only twin, or a domain of your own that leads to it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// This machine's configuration, if it has one: the server's or a home's [default: /etc/fourward/fourward.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `host …`.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Create a host, and print its join string and settings for update clients
    Add {
        /// Its name: one part, like cloud (@ for the zone itself)
        name: String,
        /// Settings, like alias=cloud.example.org, address-from=update
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Give out the name of a removed host again
        #[arg(long)]
        reuse: bool,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Change a host's settings, all or none
    Set {
        /// Its name
        name: String,
        /// Settings; += and -= change lists
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List all hosts
    List {
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one host in full
    Show {
        /// Its name
        name: String,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove a host; its name is given out again only with `add --reuse`
    Remove {
        /// Its name
        name: String,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print all hosts and removed names, a line each, for a backup or another server
    Export {
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Create the hosts of an export, or of a file made like one
    Import {
        /// The file, or - for standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Put hosts in the place of those that are there
        #[arg(long)]
        replace: bool,
        /// Give out the names of removed hosts again
        #[arg(long)]
        reuse: bool,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a new join string and update password; the old ones end
    Token {
        /// Its name
        name: String,
        /// Make an account of acme-dns instead, for ACME clients: it writes the TXT record of the name alone
        #[arg(long)]
        acme_dns: bool,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `zone …`.
#[derive(Debug, Subcommand)]
pub enum ZoneCommand {
    /// Print what the registrar is to be told of a zone's keys (DS), and what is next for them
    Ds {
        /// The zone
        zone: String,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print a zone as a master file, as secondaries have it
    Export {
        /// The zone
        zone: String,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take the next step in replacing a zone's key: show a new one, let it take over, drop the old one
    Roll {
        /// The zone
        zone: String,
        /// The DS at the registrar is as the step before said, though it cannot be asked for from here
        #[arg(long)]
        ds_seen: bool,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Parse and explain a configuration, starting nothing
    Check {
        /// The file
        #[arg(value_name = "FILE", default_value = DEFAULT_CONFIG)]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that the configuration names is refused.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A setting is malformed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// An argument does not fit.
    #[error("{0}")]
    Usage(String),
    /// The configuration is not a server's.
    #[error("{0} has no [dns] and no [gateway], so no server runs by it; give the server's configuration with --config")]
    NoServer(PathBuf),
    /// There is something already.
    #[error("{path} exists already and is not overwritten; {remedy}")]
    Exists {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No right to it.
    #[error("{path}: permission denied; run it as root, or as a member of the group fourward")]
    NotPermitted {
        /// The file.
        path: PathBuf,
    },
    /// Nobody listens on the control socket.
    #[error("no server answers at {path} ({source}); is it running? `systemctl status fourward`, or `fourward run`")]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The server says no.
    #[error("{0}")]
    Refused(String),
    /// The server could not.
    #[error("the server failed: {0}")]
    Failed(String),
    /// The server is of another version.
    #[error("the server's answer makes no sense here; is it of another version than this command?")]
    OutOfTurn,
    /// The join string is none.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The home could not join.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// An examination found something.
    #[error("{name}: {}; each is told above with what to do", check::count(*.count))]
    Faults {
        /// What was examined.
        name: String,
        /// How many.
        count: usize,
    },
    /// No randomness.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Standard input or output.
    #[error("standard input or output: {0}")]
    Terminal(#[from] io::Error),
}

impl CliError {
    /// An error of `source` on `path`, told apart by whether it is one of permission.
    fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::PermissionDenied { Self::NotPermitted { path } } else { Self::File { path, source } }
    }
}

/// Carries out every command that is neither a role nor the demo.
///
/// # Errors
/// Why it could not be carried out.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Init(args) => init::run(args),
        Command::Join(args) => join::run(args).await,
        Command::Host(command) => host::run(command).await,
        Command::Zone(command) => zone::run(command).await,
        Command::Status(server) => status::run(server).await,
        Command::Check(args) => check::run(args).await,
        Command::Config(ConfigCommand::Check { file, json }) => config_check::run(&file, json),
        Command::Demo(_) | Command::Run(_) => Err(CliError::Usage("not a command of this kind".into())),
    }
}
