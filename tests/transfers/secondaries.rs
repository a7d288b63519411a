//! The other side: name servers from Debian, each started with the few lines that make it a secondary of ours.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::primary::{records, said};
use super::{KEY, SECRET, ZONE, until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Nsd,
    Knot,
    Bind,
}

/// A server that runs for as long as this lives.
pub(crate) struct Follower {
    make: Make,
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// A port that is free, for TCP and for UDP.
pub(crate) fn free() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = udp.local_addr().expect("bound");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Follower {
    /// One of this make at `address`, of the server at `primary`. It signs with [`KEY`].
    pub(crate) async fn start(make: Make, address: SocketAddr, primary: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // knotd makes no folder for its journal, and follows in whole zones without one.
        fs::create_dir(folder.path().join("db")).expect("a folder");
        fs::write(folder.path().join("conf"), make.configuration(folder.path(), address.port(), primary.port())).expect("written");
        let mut follower = Self { make, child: None, address, folder };
        follower.spawn();
        follower
    }

    fn spawn(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).expect("a log");
        let mut command = match self.make {
            Make::Nsd => Command::new("nsd"),
            Make::Knot => Command::new("knotd"),
            Make::Bind => Command::new("named"),
        };
        match self.make {
            Make::Nsd => command.args(["-d", "-V", "3", "-c"]).arg(self.folder.path().join("conf")),
            Make::Knot => command.arg("-c").arg(self.folder.path().join("conf")),
            Make::Bind => command.args(["-g", "-c"]).arg(self.folder.path().join("conf")),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}; it is in nsd, knot and bind9", self.make)));
    }

    /// Everything that it does stops until [`Follower::go_on`], as if the network were away.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// nsd has children, which do the work.
    fn signal(&self, signal: Signal) {
        let child = i32::try_from(self.child.as_ref().expect("it runs").id()).expect("an id");
        let mut all = vec![child];
        let mut next = 0;
        while let Some(parent) = all.get(next).copied() {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|id| id.parse::<i32>().ok()));
            next += 1;
        }
        for id in all {
            let _ = kill_process(Pid::from_raw(id).expect("an id"), signal);
        }
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.spawn();
    }

    pub(crate) fn serial(&self) -> Option<u32> {
        said(self.address, &["+short", "+time=1", ZONE, "SOA"]).split_whitespace().nth(2)?.parse().ok()
    }

    /// Waits until it has that version.
    pub(crate) async fn has(&self, serial: u32) {
        let since = std::time::Instant::now();
        until(&format!("{:?} has version {serial}", self.make), || {
            let is = self.serial();
            assert!(since.elapsed() < super::PATIENCE, "{:?} has {is:?}, not {serial}:\n{}", self.make, self.log());
            is == Some(serial)
        })
        .await;
    }

    /// The records of its zone.
    pub(crate) fn zone(&self) -> Vec<String> {
        records(&said(self.address, &["+onesoa", ZONE, "AXFR"]))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.go_on();
        }
        self.stop();
    }
}

impl Make {
    /// What the page for operators has for this one, after what makes it run on loopback, with a way to look at its zone.
    fn configuration(self, home: &Path, own: u16, primary: u16) -> String {
        let home = home.display();
        let before = match self {
            Self::Nsd => format!(
                "server:\n ip-address: 127.0.0.1@{own}\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n pidfile: \"\"\n \
                 xfrdfile: \"{home}/xfrd.state\"\n zonesdir: \"{home}\"\n xfrdir: \"{home}\"\n zonelistfile: \"{home}/zone.list\"\n \
                 zonefiles-write: 1\n\
                 remote-control:\n control-enable: no\n"
            ),
            Self::Knot => format!(
                "server:\n  rundir: {home}\n  listen: 127.0.0.1@{own}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
                 log:\n  - target: stderr\n    any: debug\n\
                 database:\n  storage: {home}/db\n\
                 template:\n  - id: default\n    storage: {home}\n"
            ),
            Self::Bind => format!(
                "options {{ directory \"{home}\"; pid-file none; session-keyfile none; listen-on port {own} {{ 127.0.0.1; }}; \
                 listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; allow-transfer {{ 127.0.0.1; }}; notify no; }};\n\
                 controls {{ }};\n"
            ),
        };
        let text = on_the_page(self.mark()).replace("192.0.2.11@53", &format!("127.0.0.1@{primary}"));
        let text = text.replace("192.0.2.11 port 53", &format!("127.0.0.1 port {primary}")).replace("192.0.2.11", "127.0.0.1");
        let text = text.replace("SECRET", SECRET);
        match self {
            Self::Nsd => format!("{before}{text}    provide-xfr: 127.0.0.1 NOKEY\n"),
            Self::Knot => {
                let look = "acl:\n  - id: transfer\n    address: 127.0.0.1\n    action: transfer\n";
                format!(
                    "{before}{}",
                    text.replace("acl:\n  -", &format!("{look}  -")).replace("[from-fourward]", "[from-fourward, transfer]")
                )
            }
            Self::Bind => format!("{before}{text}"),
        }
    }

    /// What only its block has.
    fn mark(self) -> &'static str {
        match self {
            Self::Nsd => "request-xfr",
            Self::Knot => "remote:",
            Self::Bind => "type secondary",
        }
    }
}

/// The block with `mark` in it.
fn on_the_page(mark: &str) -> String {
    let page = fs::read_to_string("docs/secondaries.md").expect("a page");
    let blocks: Vec<&str> = page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let with: Vec<&&str> = blocks.iter().filter(|block| block.contains(mark)).collect();
    assert_eq!(with.len(), 1, "{mark}");
    assert!(with[0].contains(KEY) && with[0].contains(ZONE), "{}", with[0]);
    with[0].to_string()
}
