//! The whole matrix: everybody who asks, by every way in, for every type at every name. What the rule permits happens and nothing else does.
//!
//! `rule` has the table and the rule, `ask` the requests. After each of them the zone is looked at as it is exported.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use fourward_core::api::{Reply, Request};

use crate::machines::ZONE;
use crate::netns::succeed;
use crate::rig::{Rig, base64};
use crate::signed;
use ask::{Client, Wish};
use rule::{Carrier, KINDS, NAMES, Name, PRINCIPALS, Principal, Right, Speech, WAYS, Way, Zone, answer, may, write};

mod ask;
mod rule;

/// A host may change so often at once, and not much more often after that.
const BURST: usize = 28;

/// So many wrong cells tell enough.
const ENOUGH: usize = 20;

/// 18 who ask, 17 names, and 59 types by all ways together.
const CELLS: usize = 18 * 17 * 59;

/// How many of them are permitted, counted by hand; to all others none.
const PERMITTED: [(&str, usize); 12] = [
    ("cloud-password", 90),
    ("nas-password", 30),
    ("link-password", 18),
    ("apex-password", 18),
    ("cloud-account", 18),
    ("link-account", 12),
    ("cloud-all", 27),
    ("cloud-aaaa", 3),
    ("cloud-proof", 3),
    ("nas-all", 18),
    ("link-all", 18),
    ("apex-all", 15),
];

const HOSTS: [&str; 4] = ["cloud", "nas", "link", "@"];

/// A server, who asks it, and what it has.
struct World {
    rig: Rig,
    client: Client,
    secrets: BTreeMap<&'static str, String>,
    /// As it is at the beginning of each part.
    base: Zone,
    zone: Zone,
    /// What is at the challenge of each host, as the lines of the zone, the oldest first.
    proofs: BTreeMap<&'static str, Vec<String>>,
    /// Since it began anew.
    changes: usize,
    number: u16,
    wrong: Vec<String>,
}

/// What is written: as a master file has it, and DNS.
fn data(kind: &str, number: u16) -> (String, Vec<u8>) {
    let ([high, low], target) = (number.to_be_bytes(), signed::name("target.example.net"));
    match kind {
        "A" => (Ipv4Addr::new(100, 64, high, low).to_string(), vec![100, 64, high, low]),
        "AAAA" => {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0x100, number, 0, 0, 0, 0x11);
            (address.to_string(), address.octets().into())
        }
        "TXT" => (format!("\"{number:0>43}\""), [&[43], format!("{number:0>43}").as_bytes()].concat()),
        "MX" => (format!("{number} target.example.net."), [&[high, low][..], &target].concat()),
        "SRV" => (format!("0 0 {number} target.example.net."), [&[0, 0, 0, 0, high, low][..], &target].concat()),
        _ => ("target.example.net.".into(), target),
    }
}

/// Puts `words` into the config behind `section`.
fn configure(config: &Path, section: &str, words: &str) {
    let written = fs::read_to_string(config).expect("a config");
    assert!(written.contains(section), "{written}");
    fs::write(config, written.replace(section, &format!("{section}{words}\n"))).expect("a config");
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    succeed(Command::new("cp").arg("-a").args([from, to]));
}

impl World {
    fn new() -> Self {
        let mut rig = Rig::new(&["address-from=update", "alias=owncloud.example.org"]);
        let mut secrets: BTreeMap<&'static str, String> = BTreeMap::from([("nobody", String::new()), ("a-guess", "guess".into())]);
        for host in &HOSTS[1..] {
            let from = if *host == "link" { "link" } else { "update" };
            rig.server.ask(&["host", "add", host, &format!("address-from={from}")]);
        }
        for host in HOSTS {
            let below = if host == "cloud" { "_dmarc " } else { "" };
            let records = ["TXT base", "MX 7 base.example.net.", "SRV 0 0 7 base.example.net."];
            let edits: Vec<String> = records.iter().flat_map(|record| ["", below].map(|left| format!("record+={left}{record}"))).collect();
            rig.server.ask(&[&["host", "set", host], &edits.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
        }
        secrets.insert("cloud-former-password", rig.password.clone());
        for (name, host) in [("cloud-password", "cloud"), ("nas-password", "nas"), ("link-password", "link"), ("apex-password", "@")] {
            let said = rig.server.ask(&["host", "token", host]);
            secrets.insert(name, said["update"]["password"].as_str().expect("a password").into());
        }
        for (name, host) in [("cloud-former-account", "cloud"), ("cloud-account", "cloud"), ("link-account", "link")] {
            let file = rig.server.ask(&["host", "token", host, "--acme-dns"]);
            secrets.insert(name, file[format!("{host}.{ZONE}")]["password"].as_str().expect("a key").into());
        }
        let mut keys = Vec::new();
        for who in PRINCIPALS {
            let secret = secrets.entry(who.name).or_insert_with(|| base64(&format!("{:.<33}", who.name)));
            let Right::Key(types) = who.right else { continue };
            let file = rig.machines.path(who.name);
            fs::write(&file, secret).expect("a key");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
            keys.push(format!("{{ name = {:?}, secret-file = {file:?}, host = {:?}, types = {types:?} }}", who.name, who.host));
        }
        // Limits have tests of their own, signatures too.
        let settings = format!("dnssec = false\nrate-limit = 0\nkeys = [{}]", keys.join(", "));
        configure(&rig.machines.path("vps.toml"), "[dns]\n", &settings);
        rig.restart();
        let client = Client::new(&rig);
        let (zone, base, proofs) = (Zone::new(), Zone::new(), BTreeMap::new());
        Self { rig, client, secrets, base, zone, proofs, changes: 0, number: 0, wrong: Vec::new() }.settled()
    }

    /// All is there that somebody could take away; and that is kept.
    fn settled(mut self) -> Self {
        for (who, name, kinds) in [
            ("cloud-password", "cloud.dyn.example.org", &["A", "AAAA"][..]),
            ("nas-password", "nas.dyn.example.org", &["A", "AAAA"]),
            ("link-password", "link.dyn.example.org", &["A", "AAAA"]),
            ("apex-password", "dyn.example.org", &["A", "AAAA"]),
            ("cloud-account", "_acme-challenge.cloud.dyn.example.org", &["TXT"]),
            ("nas-password", "_acme-challenge.nas.dyn.example.org", &["TXT"]),
            ("link-account", "_acme-challenge.link.dyn.example.org", &["TXT"]),
        ] {
            let who = PRINCIPALS.iter().find(|principal| principal.name == who).expect("a principal");
            for kind in kinds {
                assert_eq!(self.asked(who, Way(Carrier::Tls, Speech::Basic), name, kind).0, "200 good", "{} {name}", who.name);
            }
        }
        let (state, kept) = (self.rig.machines.path("vps-state"), self.rig.machines.path("kept"));
        self.rig.restart_after(|| copy(&state, &kept));
        self.base = self.exported();
        self.anew();
        self
    }

    /// The server as it was at first, and with it all measures of what is too often.
    fn anew(&mut self) {
        let (state, kept) = (self.rig.machines.path("vps-state"), self.rig.machines.path("kept"));
        self.rig.restart_after(|| copy(&kept, &state));
        self.client.forget();
        self.zone = self.exported();
        assert_eq!(self.zone, self.base, "it is as it was");
        let proofs = |host: &str| {
            let owner = format!("_acme-challenge.{host}.{ZONE}. ");
            self.base.iter().filter(|line| line.starts_with(&owner)).cloned().collect()
        };
        self.proofs = HOSTS.into_iter().chain([""]).map(|host| (host, proofs(host))).collect();
        self.changes = 0;
    }

    /// The zone, as the server exports it.
    fn exported(&self) -> Zone {
        let (mut zone, mut after) = (Zone::new(), None);
        loop {
            let mut stream = UnixStream::connect(self.rig.machines.path("vps-state/control.sock")).expect("the control socket");
            let request = Request::ZoneExport { zone: ZONE.parse().expect("a zone"), after };
            let line = [serde_json::to_vec(&request).expect("a line"), vec![b'\n']].concat();
            stream.write_all(&line).expect("asked");
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).expect("a page");
            let Ok(Reply::ZoneLines { lines, next }) = serde_json::from_str(&answer) else { panic!("{answer}") };
            let plain = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            zone.extend(plain.filter(|line| line.contains(" IN ") && !line.contains(" IN SOA ")));
            let Some(next) = next else { return zone };
            after = Some(next);
        }
    }

    /// What is answered, and what was to be written.
    fn asked(&mut self, who: &Principal, way: Way, name: &str, kind: &str) -> (String, String) {
        self.number += 1;
        let (data, wire) = data(kind, self.number);
        let wish = Wish { name, kind, data: &data, wire: &wire };
        let answer = self.client.ask(&self.rig, who, &self.secrets[who.name], way, &wish);
        (answer, data)
    }

    /// Asks for one thing; whether it is permitted.
    fn cell(&mut self, who: &Principal, way: Way, name: &Name, kind: &str) -> bool {
        if self.changes >= BURST {
            self.anew();
        }
        let (answered, data) = self.asked(who, way, name.text, kind);
        let (permitted, mut expected) = (may(who, way, name, kind), self.zone.clone());
        if permitted {
            write(&mut expected, self.proofs.get_mut(name.host).expect("a host"), way, name, kind, &data);
            let seen = expected != self.zone;
            assert_eq!(seen, kind != "A" || !way.is_dns(), "{} {way:?} {} {kind} can be seen", who.name, name.text);
            self.changes += usize::from(seen);
        }
        let after = self.exported();
        let right = answer(who, way, name, kind);
        if (answered.as_str(), &after) == (right, &expected) {
            self.zone = after;
            return permitted;
        }
        let not = |one: &Zone, other: &Zone| one.difference(other).cloned().collect::<Vec<_>>();
        self.wrong.push(format!(
            "{} by {way:?} at {} {kind}: answered {answered:?}, expected {right:?}; {:?} is there against the rule, {:?} is not",
            who.name,
            name.text,
            not(&after, &expected),
            not(&expected, &after)
        ));
        self.anew();
        permitted
    }
}

#[test]
fn everybody_can_do_exactly_what_they_may_by_every_way_at_every_name() {
    let mut world = World::new();
    let (mut cells, mut permitted) = (0, BTreeMap::new());
    for open in [false, true] {
        if open {
            configure(&world.rig.machines.path("vps.toml"), "[control]", "\nhttp-updates = true #");
        }
        for who in PRINCIPALS {
            if open || world.changes > 0 {
                world.anew();
            }
            for (name, kind) in NAMES.iter().flat_map(|name| KINDS.map(|kind| (name, kind))) {
                for way in WAYS.iter().filter(|way| way.carries(kind) && (way.0 == Carrier::Open) == open) {
                    cells += 1;
                    if world.cell(who, *way, name, kind) {
                        *permitted.entry(who.name).or_insert(0) += 1;
                    }
                    assert!(world.wrong.len() < ENOUGH, "after {cells} cells:\n{}", world.wrong.join("\n"));
                }
            }
        }
    }
    assert!(world.wrong.is_empty(), "{} of {cells} cells:\n{}", world.wrong.len(), world.wrong.join("\n"));
    assert_eq!((cells, permitted), (CELLS, BTreeMap::from(PERMITTED)));
    world.rig.tells_no_secret(&world.secrets.values().filter(|secret| secret.len() > 10).map(String::as_str).collect::<Vec<_>>());
}
