//! A whole lab: the machines, the DNS around them, the web service at home, and questions to ask.
//!
//! Each test builds its own and drops it; a panic prints the daemons' logs first. Labs that measure times take turns, on
//! one machine; others stand beside each other. The fourward roles are `roles`' business, started by the tests.

use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::netns::{Ns, sweep};
use crate::topology::{Node, Nodes, home_address};
use crate::{registry, web};

/// How much of each log a failed test prints, in lines.
const LAST_WORDS: usize = 60;

/// One lab. Its fields are dropped from the top: programs before machines before files before its turn.
pub(crate) struct Lab {
    daemons: Vec<Daemon>,
    pub(crate) nodes: Nodes,
    dir: TempDir,
    /// Which of its prefixes the home has now.
    pub(crate) generation: Cell<u8>,
    _turn: File,
}

impl Lab {
    /// Builds a lab that has the machine for itself: it waits for all others to be gone.
    pub(crate) fn new() -> Self {
        Self::build(|turn| turn.lock())
    }

    /// Builds a lab that measures no times, and waits mostly: others of its kind may stand beside it.
    pub(crate) fn beside_others() -> Self {
        Self::build(|turn| turn.lock_shared())
    }

    fn build(take: impl FnOnce(&File) -> std::io::Result<()>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "the lab makes network namespaces and needs root");
        let turn = File::create(env::temp_dir().join("fourward-lab.lock")).expect("open the labs' lock");
        take(&turn).expect("wait for the labs' lock");
        sweep();
        let dir = tempfile::Builder::new().prefix("fourward-lab-").tempdir().expect("make the lab's folder");
        // Apache's user walks through it.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("open the lab's folder");
        fs::create_dir(dir.path().join("logs")).expect("make the logs' folder");
        let nodes = Nodes::build(&format!("fw{}x{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut lab = Self { nodes, dir, daemons: Vec::new(), generation: Cell::new(0), _turn: turn };
        let servers = registry::start(lab.ns(Node::Dns), lab.dir());
        lab.daemons.extend(servers);
        let apache = web::start(lab.ns(Node::Server), lab.dir());
        lab.daemons.push(apache);
        lab
    }

    /// A machine.
    pub(crate) fn ns(&self, node: Node) -> &Ns {
        self.nodes.get(node)
    }

    /// The lab's folder.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where a program's output goes, to be printed if the test fails.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir().join("logs").join(name)
    }

    /// The server's address now.
    pub(crate) fn home(&self) -> Ipv6Addr {
        home_address(self.generation.get())
    }

    /// The home's web service.
    pub(crate) fn web(&mut self) -> &mut Daemon {
        &mut self.daemons[2]
    }

    /// What the registrar has of `example.org` is `edit`ed; what resolvers remember is forgotten.
    pub(crate) fn edit_registrar(&self, edit: impl Fn(String) -> String) {
        registry::edit(self.dir(), "example.org.zone", edit);
        signal(&self.daemons[0], Signal::HUP);
        registry::wait_until_served(self.ns(Node::Dns), self.dir());
        self.forget();
    }

    /// The resolver is configured with these lines in addition, and forgets what it knew.
    pub(crate) fn configure_resolver(&self, lines: &str) {
        registry::edit(self.dir(), "unbound.conf", |text| text.replace("remote-control:", &format!("{lines}\nremote-control:")));
        self.forget();
    }

    /// The resolver forgets what it knew.
    pub(crate) fn forget(&self) {
        signal(&self.daemons[1], Signal::HUP);
        registry::wait_until_resolving(self.ns(Node::Dns));
    }

    /// Fetches a page over verified TLS (or plain HTTP, as the URL says), by name and as curl does it.
    pub(crate) fn fetch(&self, from: Node, url: &str, extra: &[&str]) -> Result<Page, String> {
        let authority = web::authority(self.dir()).display().to_string();
        let told = r#"%{stderr}{"code":%{http_code},"remote":"%{remote_ip}"}"#;
        let mut arguments = vec!["-sS", "--max-time", "10", "--cacert", &authority, "-w", told];
        arguments.extend(extra);
        arguments.push(url);
        let output = self.ns(from).run("curl", &arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("{} fetching {url}: {errors}", from.name()));
        }
        let facts: Value = serde_json::from_str(&errors).map_err(|error| format!("{error}: {errors}"))?;
        let remote = facts["remote"].as_str().unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Page { code: facts["code"].as_u64().unwrap_or_default(), body, remote })
    }

    /// Asks for a name through the machine's resolver, or at `server`.
    pub(crate) fn dig(&self, from: Node, server: Option<&str>, name: &str, kind: &str) -> Answer {
        let server = server.map(|server| format!("@{server}"));
        let mut arguments = vec!["+noall", "+comments", "+answer", "+tries=1", "+time=3", name, kind];
        arguments.extend(server.as_deref());
        let output = self.ns(from).run("dig", &arguments);
        Answer::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// The lines of the home's access log that tell of this client.
    pub(crate) fn visits(&self, client: &str) -> usize {
        let log = fs::read_to_string(self.log("apache-access")).unwrap_or_default();
        log.lines().filter(|line| line.split(' ').next() == Some(client)).count()
    }

    /// Everybody's resolver.
    pub(crate) fn resolver(&mut self) -> &mut Daemon {
        &mut self.daemons[registry::RESOLVER]
    }

    fn print_logs(&self) {
        for entry in fs::read_dir(self.dir().join("logs")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- {}", entry.file_name().to_string_lossy());
            lines[lines.len().saturating_sub(LAST_WORDS)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn signal(daemon: &Daemon, signal: Signal) {
    let pid = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw).expect("a process ID");
    kill_process(pid, signal).expect("a signal");
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_logs();
        }
    }
}

/// What a client got, and from whom.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) code: u64,
    pub(crate) body: String,
    pub(crate) remote: String,
}

/// A DNS answer as `dig` prints it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// NOERROR and so on; empty if there was no answer.
    pub(crate) status: String,
    /// Type and data of each record, in the order of the answer.
    pub(crate) records: Vec<(String, String)>,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
        let records = text.lines().filter(|line| !line.starts_with(';')).filter_map(|line| {
            let mut fields = line.split_whitespace().skip(3);
            Some((fields.next()?.to_owned(), fields.collect::<Vec<_>>().join(" ")))
        });
        Self { status: status.to_owned(), records: records.collect() }
    }

    /// The data of its records of one type.
    pub(crate) fn of(&self, kind: &str) -> Vec<&str> {
        self.records.iter().filter(|(this, _)| this == kind).map(|(_, data)| data.as_str()).collect()
    }

    /// The name exists, and has nothing of the type asked for.
    pub(crate) fn is_no_data(&self) -> bool {
        self.status == "NOERROR" && self.records.is_empty()
    }
}
