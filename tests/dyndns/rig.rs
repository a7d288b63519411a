//! A server with the host `cloud`, and requests to it from the machine at home.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clock::wait_for;
use crate::machines::{DUAL, Machines, Role, VPS4, VPS6, ZONE};
use crate::outcome::{end_of, run, text};

/// The server's own name.
pub(crate) const OWN: &str = "gw.dyn.example.org";
/// Where the host's router is published.
pub(crate) const ROUTER: &str = "cloud-router.dyn.example.org";

/// A server, its host `cloud`, and what `host add` printed.
pub(crate) struct Rig {
    pub(crate) server: Role,
    pub(crate) password: String,
    /// For people.
    pub(crate) printed: String,
    /// The server's own name.
    own: &'static str,
    /// What clients trust.
    pub(crate) ca: PathBuf,
    pub(crate) machines: Machines,
}

/// What a client got: the status, the lines, and the whole with its headers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) whole: String,
}

impl Rig {
    /// The host has these settings.
    pub(crate) fn new(settings: &[&str]) -> Self {
        Self::with(settings, false)
    }

    /// The same; `plain` permits plain HTTP, by the line that `init` wrote for it.
    pub(crate) fn with(settings: &[&str], plain: bool) -> Self {
        let machines = Machines::new();
        let file = machines.init();
        Self::of(machines, &file, OWN, settings, plain)
    }

    /// A server that goes by `own`, a name that a client has built in, and is found there by the home's machine at `address`.
    pub(crate) fn called(own: &'static str, address: &str, settings: &[&str]) -> Self {
        let machines = Machines::new();
        let file = machines.path("vps.toml");
        let (config, state) = (text(&file), text(&machines.path("vps-state")));
        let arguments =
            ["init", "--zone", ZONE, "--name", own, "--ipv4", VPS4, "--ipv6", VPS6, "--no-acme", "--config", &config, "--state", &state];
        run(&arguments).succeeds();
        let rig = Self::of(machines, &file, own, settings, false);
        let hosts = format!("/etc/netns/{}/hosts", rig.machines.home.name());
        let known = fs::read_to_string(&hosts).expect("hosts");
        fs::write(&hosts, format!("{known}{address} {own}\n")).expect("hosts");
        rig
    }

    fn of(machines: Machines, file: &Path, own: &'static str, settings: &[&str], plain: bool) -> Self {
        let written = fs::read_to_string(file).expect("config");
        assert!(written.contains("\n# http-updates = false"), "{written}");
        if plain {
            fs::write(file, written.replace("# http-updates = false", "http-updates = true")).expect("config");
        }
        let server = machines.server_that_tells_all(file);
        let printed = server.tell(&[&["host", "add", "cloud"], settings].concat()).succeeds().out;
        let after = printed.split("Password     ").nth(1).expect("a password");
        let password = after.lines().next().expect("a line").trim().to_owned();
        machines.home.set_resolver(VPS4);
        let ca = machines.path("gw.pem");
        Self { server, password, printed, own, ca, machines }.trusting()
    }

    /// Fetches the certificate as it was printed.
    fn trusting(self) -> Self {
        let line = self.printed.lines().find(|line| line.contains("openssl s_client")).expect("the command that fetches it");
        let own = self.own;
        let line = line.replace(&format!(">{own}.pem"), &format!(">{}", text(&self.ca)));
        let fetched = self.machines.vps.command("sh").args(["-c", &line.replace(&format!("{own}:443"), &format!("{VPS4}:443"))]).output();
        let fetched = fetched.expect("openssl");
        assert!(fetched.status.success(), "{fetched:?}");
        self
    }

    /// A request for `target`, with these options of curl, over IPv4 unless they say otherwise.
    pub(crate) fn curl(&self, options: &[&str], url: &str) -> Answer {
        let mut command = self.machines.home.command("curl");
        command.args(["--silent", "--show-error", "--include", "--globoff", "--max-time", "10", "--cacert", &text(&self.ca)]);
        let family = if options.contains(&"-6") { "-6" } else { "-4" };
        let outcome = end_of(command.arg(family).args(options).arg(url)).succeeds();
        let (head, body) = outcome.out.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Answer { status, body: body.to_owned(), whole: outcome.out.clone() }
    }

    /// An update by the host's own user, and what was answered.
    pub(crate) fn update(&self, query: &str) -> String {
        self.update_from(&[], query)
    }

    /// The same with more options of curl.
    pub(crate) fn update_from(&self, options: &[&str], query: &str) -> String {
        let user = format!("cloud:{}", self.password);
        let answer = self.curl(&[&["--user", &user], options].concat(), &format!("https://{OWN}/nic/update?{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The records of `name`, as DNS has them.
    pub(crate) fn dig(&self, name: &str, kind: &str) -> String {
        let mut command = self.machines.home.command("dig");
        let outcome = end_of(command.args(["+short", "+tries=2", "+timeout=2", &format!("@{VPS4}"), name, kind])).succeeds();
        outcome.out.trim().replace('\n', " ")
    }

    /// The host's A and AAAA.
    pub(crate) fn published(&self) -> (String, String) {
        (self.dig(DUAL, "A"), self.dig(DUAL, "AAAA"))
    }

    /// Ends the server without a word, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.restart_after(|| ());
    }

    /// The same; `work` is done while it is down.
    pub(crate) fn restart_after(&mut self, work: impl FnOnce()) {
        self.server.daemon.kill();
        work();
        self.server.daemon.start_again();
        wait_for("the server is back", Duration::from_secs(20), || self.server.tell(&["status"]).code == Some(0));
    }

    /// The zone's version.
    pub(crate) fn serial(&self) -> u64 {
        self.server.ask(&["status"])["zones"][0]["serial"].as_u64().expect("a serial")
    }

    /// The lines after the one that begins with `title`, as far as they were printed for it, to be used on the home's machine.
    pub(crate) fn settings_of(&self, title: &str) -> String {
        let lines = self.printed.lines().skip_while(|line| !line.trim_start().starts_with(title)).skip(1);
        let lines: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
        assert!(lines.len() > 3, "no settings for {title} in:\n{}", self.printed);
        lines.join("\n").replace(&format!("/etc/{OWN}.pem"), &text(&self.ca)).replace("dev eth0", "dev v")
    }

    /// Moves the home to `address`.
    pub(crate) fn renumber(&self, address: &str) {
        let (ok, said) = self.run("ip", &["-6", "addr", "flush", "dev", "v", "scope", "global"]);
        assert!(ok, "{said}");
        self.machines.home.ip(&format!("addr add {address}/64 dev v\nroute replace 2001:db8:a::/64 dev v"));
    }

    /// A client's run on the home's machine.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let output = self.machines.home.command(program).args(arguments).stdin(Stdio::null()).output().expect(program);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Nothing that is secret stands in the server's log, whatever it was told.
    pub(crate) fn tells_no_secret(&self, secrets: &[&str]) {
        // One more thing that is told at that level alone.
        assert_eq!(self.curl(&["--header", "Host: unknown.example.org"], &format!("http://{VPS4}/")).status, 404);
        let log = self.server.log();
        assert!(log.contains("DEBUG"), "it tells all: {log}");
        for secret in secrets.iter().chain([&self.password.as_str()]) {
            assert!(!log.contains(secret), "{secret:?} is in the log");
        }
    }
}

/// `text` in base64, as the Basic scheme has it.
pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}
