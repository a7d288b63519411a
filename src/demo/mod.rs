//! `fourward demo`: the whole figure on one machine, played by the real program.
//!
//! `stage` plays it in network namespaces, made by `topology`; `loopback` plays half of it where there are none. Both bring up
//! fourward through its own command line (`setting`), and send `clients` to a `home_service`. The demo decides nothing
//! about fourward: it is a user with seven machines.

mod clients;
mod figure;
mod home_service;
mod lookup;
mod loopback;
mod namespace;
mod net;
mod node;
mod page;
mod roles;
mod setting;
mod stage;
mod topology;

use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;

use tokio::signal::unix::{Signal, SignalKind, signal};

use figure::Report;
use home_service::HomeService;
use namespace::Ground;
pub use node::{NodeError, node};
use roles::Roles;
use topology::Topology;

pub use home_service::ServiceError;
pub use setting::SettingError;
pub use topology::TopologyError;

/// What the user wants of the demo.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Stay up with a page until Ctrl-C.
    pub keep: bool,
    /// Print JSON instead of the figure.
    pub json: bool,
}

/// Why there was no demo, or only the beginning of one.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The page of `--keep` has no port.
    #[error("a port of 127.0.0.1 for the demo's page: {0}")]
    Page(#[source] io::Error),
    /// The network could not be made or changed.
    #[error(transparent)]
    Network(#[from] TopologyError),
    /// No ports on loopback.
    #[error("free ports on 127.0.0.1 and ::1: {0}; the demo needs IPv6 at least on loopback")]
    Ports(#[source] io::Error),
    /// A configuration could not be written.
    #[error("the demo's configuration: {0}")]
    Config(#[source] io::Error),
    /// No home service.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// fourward did not come up.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// No runtime, no signals, no output.
    #[error("the demo itself: {0}")]
    Own(#[from] io::Error),
    /// Ctrl-C, or a request to end.
    #[error("interrupted; all that was started has been ended")]
    Interrupted,
}

/// Tells a person at a terminal what is going on.
#[derive(Clone, Copy, Debug)]
struct Progress(bool);

/// What stands while the demo runs.
#[derive(Debug)]
struct World {
    roles: Roles,
    topology: Option<Topology>,
    service: Option<HomeService>,
}

/// The wishes of the outside that the demo end.
struct Endings([Signal; 3]);

/// Plays the figure and prints it; tells whether all held. To be called before any thread is started.
///
/// # Errors
/// It could not be played. Nothing that it started is left.
pub fn run(options: Options) -> Result<bool, DemoError> {
    let page = if options.keep { Some(page::open().map_err(DemoError::Page)?) } else { None };
    let ground = match node::probe() {
        Ok(()) => Ok(Ground::enter().map_err(TopologyError::from)?),
        Err(reason) => Err(reason),
    };
    // One thread: a visit to a namespace is the thread's, and children die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(perform(options, &ground, page))
}

async fn perform(options: Options, ground: &Result<Ground, String>, page: Option<TcpListener>) -> Result<bool, DemoError> {
    let mut endings = Endings::new()?;
    let mut world = World { roles: Roles::new().map_err(SettingError::from)?, topology: None, service: None };
    let performed = tokio::select! {
        played = play(ground, &mut world) => played.and_then(|report| print(&report, options.json).map(|()| report).map_err(DemoError::Own)),
        () = endings.next() => Err(DemoError::Interrupted),
    };
    if let (Ok(report), Some(page)) = (&performed, page) {
        let page = tokio::net::TcpListener::from_std(page)?;
        eprintln!("The demo stays up; its page is http://{}/. Ctrl-C ends it.", page.local_addr()?);
        tokio::select! {
            () = page::serve(page, report.html()) => {}
            () = endings.next() => {}
        }
    }
    world.roles.end().await;
    performed.map(|report| report.ok())
}

async fn play(ground: &Result<Ground, String>, world: &mut World) -> Result<Report, DemoError> {
    let progress = Progress(io::stderr().is_terminal());
    match ground {
        Ok(ground) => stage::play(ground, world, progress).await,
        Err(reason) => {
            eprintln!("Network namespaces are not to be had here ({reason}): on loopback instead, without the laptop and the renumbering.");
            loopback::play(reason, world, progress).await
        }
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", report.json())?;
    } else {
        out.write_all(report.text().as_bytes())?;
    }
    out.flush()
}

impl Progress {
    fn say(self, what: &str) {
        if self.0 {
            eprintln!("· {what}");
        }
    }
}

impl Endings {
    fn new() -> io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
