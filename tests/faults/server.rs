//! A server in a namespace of its own, asked by its socket and by DNS, and ended in any way.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fourward_core::api::{HostDetails, Reply, Request};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

pub(crate) const FOURWARD: &str = env!("CARGO_BIN_EXE_fourward");

/// Far more than anything here takes, so that only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ADDRESS: &str = "192.0.2.11";
const ADDRESS6: &str = "2001:db8:a::11";

/// Runs `test` in network and mount namespaces of its own, with the server's addresses.
pub(crate) fn in_namespaces(test: impl FnOnce() + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces; these tests want root");
        sh(&format!(
            "mount --make-rprivate /; ip link set lo up; ip address add {ADDRESS}/32 dev lo; ip address add {ADDRESS6}/128 dev lo"
        ));
        test();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().expect("sh").success(), "{script}");
}

/// Where a server lives: its config, its state and what it said.
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    /// With a config as `init` makes it, but for updates over plain HTTP, and no state yet.
    pub(crate) fn new() -> Self {
        let site = Self { folder: TempDir::new().expect("folder") };
        let mut init = Command::new(FOURWARD);
        init.args(["init", "--zone", "dyn.example.org", "--ipv4", ADDRESS, "--ipv6", ADDRESS6, "--no-acme", "--config"]).arg(site.config());
        let made = init.arg("--state").arg(site.state()).output().expect("init");
        assert!(made.status.success(), "{made:?}");
        let written = fs::read_to_string(site.config()).expect("config");
        assert!(written.contains("\n# http-updates = false"), "{written}");
        fs::write(site.config(), written.replace("# http-updates = false", "http-updates = true")).expect("config");
        site
    }

    /// The same, with a zone that is not signed.
    pub(crate) fn unsigned() -> Self {
        let site = Self::new();
        let written = fs::read_to_string(site.config()).expect("config");
        fs::write(site.config(), written.replace("[dns]\n", "[dns]\ndnssec = false\n")).expect("config");
        site
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("fourward.toml")
    }

    /// Starts the server, by `before` if that is not empty (`strace …`).
    pub(crate) fn start(&self, before: &[&str]) -> Server {
        let log = File::create(self.path("log")).expect("log");
        let program = [before, &[FOURWARD, "run", "--config"]].concat();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(self.config()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let began = Instant::now();
        Server { child: command.spawn().expect("start"), began, socket: self.state().join("control.sock"), log: self.path("log") }
    }
}

/// A server that runs, or did.
pub(crate) struct Server {
    pub(crate) child: Child,
    began: Instant,
    socket: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Asks over its socket, as a command does.
    pub(crate) fn ask(&self, request: &Request) -> io::Result<Reply> {
        ask(&self.socket, request)
    }

    /// The socket that it is asked by.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the server has for a host.
    pub(crate) fn show(&self, host: &str) -> HostDetails {
        match self.ask(&Request::HostShow { host: host.into() }).expect("an answer") {
            Reply::Host(details) => *details,
            other => panic!("{host}: {other:?}"),
        }
    }

    /// Waits until its name server answers for `host`; tells how long that took since the start, and the TTL.
    pub(crate) fn until_it_answers(&mut self, host: &str) -> (Duration, u32) {
        let client = UdpSocket::bind((ADDRESS, 0)).expect("socket");
        client.connect((ADDRESS, 53)).expect("connected");
        client.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
        let question = question(host);
        let mut reply = [0; 512];
        loop {
            let answered = client.send(&question).and_then(|_| client.recv(&mut reply));
            if answered.is_ok_and(|length| length > question.len() + 12) {
                let at = question.len() + 6;
                return (self.began.elapsed(), u32::from_be_bytes(reply[at..at + 4].try_into().expect("4 bytes")));
            }
            self.must_run("its name server answers");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it takes requests. `false`: it ended first.
    pub(crate) fn is_up(&mut self) -> bool {
        while self.ask(&Request::HostList).is_err() {
            if self.child.try_wait().expect("wait").is_some() {
                return false;
            }
            assert!(self.began.elapsed() < PATIENCE, "neither up nor ended: {}", self.said());
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn must_run(&mut self, what: &str) {
        let ended = self.child.try_wait().expect("wait");
        assert!(ended.is_none() && self.began.elapsed() < PATIENCE, "not so: {what}; {ended:?}: {}", self.said());
    }

    /// Waits for its own end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end: {}", self.said());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its last words: a sentence with all of `words`, after which it ended as failed.
    pub(crate) fn failed_clearly(&mut self, words: &[&str], context: &str) {
        let status = self.end();
        let said = self.said();
        let last = said.lines().rev().find(|line| line.starts_with("fourward: ")).unwrap_or_default();
        assert_eq!(status.code(), Some(1), "{context}: {status:?}: {said}");
        assert!(!said.contains("panicked"), "{context}: {said}");
        assert!(words.iter().all(|word| last.contains(word)), "{context}: not all of {words:?} in: {said}");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("ended");
    }

    /// All that it said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of JSON each way.
pub(crate) fn ask(socket: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// An update by dyndns2, as the router of `host` sends it, and the line that it is answered; an error if there is no whole one.
pub(crate) fn update(host: &str, password: &str, address: Ipv6Addr) -> io::Result<String> {
    let mut stream = TcpStream::connect((ADDRESS, 80))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let target = format!("/nic/update?hostname={host}.dyn.example.org&myip={address}");
    write!(stream, "GET {target} HTTP/1.0\r\nHost: gw.dyn.example.org\r\nAuthorization: Bearer {password}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let line = answer.split_once("\r\n\r\n").and_then(|(_, body)| body.strip_suffix('\n'));
    line.map(str::to_owned).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, answer))
}

pub(crate) fn add(host: &str) -> Request {
    Request::HostAdd { host: host.into(), edits: Vec::new(), reuse: false }
}

/// A host whose router says where it is.
pub(crate) fn add_updated(host: &str) -> Request {
    Request::HostAdd { host: host.into(), edits: vec!["address-from=update".into()], reuse: false }
}

pub(crate) fn set_ttl(host: &str, ttl: u32) -> Request {
    Request::HostSet { host: host.into(), edits: vec![format!("ttl={ttl}")] }
}

/// A query for the A of `host` in the zone.
fn question(host: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [host, "dyn", "example", "org"] {
        query.push(u8::try_from(label.len()).expect("short"));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}
