//! Who verifies: an unbound that trusts a key of the zone and keeps nothing, and delv.

use std::fs;
use std::time::Duration;

use crate::clock::try_until;
use crate::machines::daemon::Daemon;
use crate::machines::outcome::end_of;
use crate::machines::{Machines, Role, VPS4, ZONE, faketime};

const START: Duration = Duration::from_secs(10);

/// What unbound may not keep, it keeps for less than that.
const SECOND: Duration = Duration::from_secs(3);

/// The address of the home's machine, where unbound listens.
const AT: &str = "192.0.2.4";

/// What an answer is to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) question: String,
    pub(crate) status: String,
    /// Whether it was verified (AD).
    pub(crate) verified: bool,
    /// The records of the answer, without signatures, sorted.
    pub(crate) records: Vec<String>,
}

/// The DS of each key that is for the registrar, as a trust anchor.
pub(crate) fn anchors(server: &Role) -> Vec<String> {
    let signed = server.ask(&["zone", "ds", ZONE]);
    let keys = signed["keys"].as_array().expect("keys").iter();
    keys.map(|key| ds_of(&key["ds"])).collect()
}

fn ds_of(ds: &serde_json::Value) -> String {
    let digest = ds["digest"].as_str().expect("hexadecimal").to_lowercase();
    format!("{ZONE}. DS {} {} {} {digest}", ds["tag"], ds["algorithm"], ds["digest_type"])
}

/// unbound on the home's machine.
pub(crate) struct Unbound<'m> {
    machines: &'m Machines,
    _daemon: Daemon,
}

impl<'m> Unbound<'m> {
    /// One that trusts `anchor`, and whose clock is ahead.
    pub(crate) fn start(machines: &'m Machines, anchor: &str, by: &str) -> Self {
        let config = machines.path("unbound.conf");
        let folder = config.parent().expect("a folder").display().to_string();
        let text = format!(
            "server:\n interface: {AT}\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n use-syslog: no\n username: \"\"\n chroot: \"\"\n \
             pidfile: \"\"\n directory: \"{folder}\"\n module-config: \"validator iterator\"\n trust-anchor: \"{anchor}\"\n \
             cache-max-ttl: 0\n cache-max-negative-ttl: 0\n val-log-level: 2\n do-not-query-localhost: no\n\
             stub-zone:\n name: \"{ZONE}\"\n stub-addr: {VPS4}\nremote-control:\n control-enable: no\n"
        );
        fs::write(&config, text).expect("written");
        let file = config.display().to_string();
        let environment = faketime::by(&format!("FAKETIME={by}"));
        let arguments = [&environment.each_ref().map(String::as_str)[..], &["unbound", "-d", "-c", &file]].concat();
        let mut daemon = Daemon::start(&machines.home, machines.path("unbound.log"), "env", &arguments);
        daemon.ready("unbound", START, || dig(machines, AT, &[(ZONE, "NSEC")]).iter().any(|answered| answered.status != "none"));
        Self { machines, _daemon: daemon }
    }

    /// What it says to each question.
    pub(crate) fn ask(&self, questions: &[(&str, &str)]) -> Vec<Answered> {
        dig(self.machines, AT, questions)
    }

    /// Asserts that it says to each question what the server does, and that it has verified it. What it heard in this very second it may say again.
    #[track_caller]
    pub(crate) fn agrees(&self, questions: &[(&str, &str)]) {
        let ours = dig(self.machines, VPS4, questions).into_iter().map(|ours| Answered { verified: true, ..ours });
        let (ours, mut its) = (ours.collect::<Vec<_>>(), Vec::new());
        try_until(SECOND, || {
            its = self.ask(questions);
            its == ours
        });
        assert_eq!(its, ours);
    }
}

/// What the server at `at` says to each question.
fn dig(machines: &Machines, at: &str, questions: &[(&str, &str)]) -> Vec<Answered> {
    let to = format!("@{at}");
    let common = ["+nocookie", "+tries=1", "+time=5", "+noall", "+comments", "+question", "+answer", "+adflag", &to];
    let arguments = questions.iter().flat_map(|(name, kind)| common.iter().copied().chain(["-q", name, "-t", kind]));
    let said = end_of(machines.home.command("dig").args(arguments)).out;
    let parts: Vec<&str> = said.split(";; Got answer:").skip(1).collect();
    let one = |(at, (name, kind)): (usize, &(&str, &str))| {
        let text = parts.get(at).copied().unwrap_or_default();
        let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("none").to_owned();
        let verified =
            text.lines().any(|line| line.starts_with(";; flags:") && line.split(';').any(|part| part.split(' ').any(|flag| flag == "ad")));
        let mut records: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with(';') && !line.is_empty())
            .map(|line| line.split_whitespace().collect::<Vec<_>>()[3..].join(" "))
            .collect();
        records.sort();
        Answered { question: format!("{name} {kind}"), status, verified, records }
    };
    questions.iter().enumerate().map(one).collect()
}

/// Asserts that the whole zone, as secondaries have it, is signed without a gap to ldns-verify-zone and dnssec-verify.
pub(crate) fn whole_zone_is_valid(machines: &Machines, server: &Role) {
    let file = machines.path("exported");
    fs::write(&file, server.tell(&["zone", "export", ZONE]).succeeds().out).expect("written");
    let said = end_of(machines.home.command("ldns-verify-zone").arg(&file)).succeeds();
    assert!(said.out.contains("Zone is verified and complete"), "{said:?}");
    // -z: one key signs both the keys and the zone.
    let said = end_of(machines.home.command("dnssec-verify").args(["-z", "-o", ZONE]).arg(&file)).succeeds();
    assert!((said.out + &said.errors).contains("Zone fully signed"), "dnssec-verify");
}

/// Asserts that dnsviz has nothing to say about answers to `names`, not even a warning.
pub(crate) fn dnsviz_is_content(machines: &Machines, names: &[&str]) {
    let (probed, server) = (machines.path("probed.json").display().to_string(), format!("{ZONE}+:gw.{ZONE}={VPS4}"));
    end_of(machines.home.command("dnsviz").args(["probe", "-A", "-4", "-x", &server, "-o", &probed]).args(names)).succeeds();
    let grok = |level: &str| end_of(machines.home.command("dnsviz").args(["grok", "-l", level, "-r", &probed]).args(names)).succeeds().out;
    assert!(grok("info").contains("\"status\": \"VALID\""), "it verified something");
    assert_eq!(grok("warning"), "", "and found nothing");
}

/// What delv says of an answer, by a trust anchor of its own.
pub(crate) fn delv(machines: &Machines, anchor: &str, name: &str, kind: &str) -> String {
    let words: Vec<&str> = anchor.split_whitespace().collect();
    let file = machines.path("anchor.conf");
    let (tag, algorithm, digest) = (words[2], words[3], words[5]);
    let text = format!("trust-anchors {{ \"{ZONE}.\" static-ds {tag} {algorithm} 2 \"{digest}\"; }};\n");
    fs::write(&file, text).expect("written");
    let mut delv = machines.home.command("delv");
    let said = end_of(delv.arg(format!("@{VPS4}")).arg("-a").arg(&file).args([&format!("+root={ZONE}"), name, kind]));
    said.out + &said.errors
}
