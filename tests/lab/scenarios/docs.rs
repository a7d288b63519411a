//! The documentation, word by word: each command of its shell blocks runs on the machine that its page is about, under a real systemd.
//!
//! Nothing is added between them, so that what a page leaves out is missing here too. What no text can have is put in: the join string and the
//! password that `host add` printed, a user's name, the router's firewall, which the lab has open already, certbot's files, and trust in the
//! server's certificate, which no authority gives here. What stands outside of the
//! shell blocks is `tests/cli/docs.rs`'s.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::machine::Machine;
use crate::roles::{ALIAS, DUAL, PUBLISHED, TWIN, fourward, said};
use crate::topology::Node::{self, Phone4, Phone6, Server, Vps};
use crate::web::PAGE;

/// The pages for operators in the order in which one reads them, and the machine that each is about.
const PAGES: [(&str, Node); 10] = [
    ("docs/vps.md", Vps),
    ("docs/home.md", Server),
    ("docs/own-domain.md", Vps),
    ("docs/fritzbox.md", Vps),
    ("docs/updates.md", Vps),
    ("docs/settings.md", Vps),
    ("docs/dnssec.md", Vps),
    ("docs/secondaries.md", Vps),
    ("docs/owncloud.md", Server),
    ("docs/troubleshooting.md", Vps),
];

/// As certbot leaves them.
const CERTBOT: &str = "mkdir -p /etc/letsencrypt/live/gw.dyn.example.org && cd /etc/letsencrypt/live/gw.dyn.example.org && \
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=gw.dyn.example.org -keyout privkey.pem -out fullchain.pem";

/// Who may be in the group.
const USER: &str = "nobody";

/// What the README has for developers: the demo, which the tests of the command line run, and what is running now.
const OTHERS: [&str; 2] = ["cargo run --release -- demo", "tests/run"];

/// An agent is back in less, on a machine that does nothing else.
const BACK: Duration = Duration::from_secs(10);

/// Where a page's way from nothing to a first fetch ends, and what comes after may be left out.
const LATER: &str = "\n## ";

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The commands in the shell blocks of `text`; a comment that names the other place leads there for the rest of its block.
fn commands(text: &str, machine: Node) -> Vec<(Node, String)> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut commands = Vec::new();
    for block in blocks {
        let mut at = machine;
        for line in block.replace("\\\n", " ").lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix('#') {
                Some(place) if place.contains("on the VPS") => at = Vps,
                Some(place) if place.contains("at home") => at = Server,
                Some(_) => {}
                None => commands.push((at, line.to_owned())),
            }
        }
    }
    commands
}

/// Both ends, and the join string between them.
struct Reader {
    vps: Machine,
    home: Machine,
    join: String,
    /// Of the last host whose router says where it is.
    password: String,
}

impl Reader {
    fn type_in(&mut self, node: Node, line: &str) {
        let machine = if node == Server { &self.home } else { &self.vps };
        let input = if line.starts_with("fourward join -") { self.join.as_str() } else { "" };
        let line = line.replace("PASSWORD", &self.password).replace(" NAME", &format!(" {USER}"));
        let told = machine.must(&line, input);
        if line == "systemctl restart fourward" {
            // The page says that agents are back within two seconds; nobody types faster than that.
            let linked = || said(&self.vps.run("fourward host show cloud --json")).contains("\"link\": \"up\"");
            wait_for("the agent is back", BACK, linked);
        }
        if let Some(password) = told.lines().find_map(|line| line.trim_start().strip_prefix("Password ")) {
            self.password = password.trim().to_owned();
        }
        if let Some(join) = told.lines().find(|line| line.starts_with("fw1.")) {
            self.join = join.to_owned();
        }
    }

    /// The home trusts what signs the server's certificates, as if it were a public authority.
    fn trust(&self) {
        let shown = "openssl s_client -connect 192.0.2.11:443 -servername gw.dyn.example.org -showcerts </dev/null 2>/dev/null";
        let chain = self.vps.must(shown, "");
        let root = chain.rfind("-----BEGIN CERTIFICATE-----").map(|at| &chain[at..]).expect("a chain");
        self.home.must("openssl x509 >>/etc/ssl/certs/ca-certificates.crt", root);
    }
}

#[test]
fn the_pages_that_are_followed_are_all_that_there_are() {
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).expect("docs");
    let there = folder.map(|entry| format!("docs/{}", entry.expect("an entry").file_name().display()));
    let there: BTreeSet<String> = there.filter(|name| name.ends_with(".md")).collect();
    assert_eq!(PAGES.map(|(name, _)| name.to_owned()).into_iter().collect::<BTreeSet<_>>(), there);
}

#[test]
fn whoever_follows_the_pages_gets_there_and_every_command_in_them_runs() {
    let lab = Lab::beside_others();
    let boot = |node, name| Machine::boot(lab.ns(node), lab.log(name));
    let mut reader =
        Reader { vps: boot(Vps, "systemd-vps"), home: boot(Server, "systemd-home"), join: String::new(), password: String::new() };

    let first = |text: &str| text.split(LATER).next().unwrap_or_default().to_owned();
    let way: Vec<_> = PAGES[..2].iter().flat_map(|(name, machine)| commands(&first(&page(name)), *machine)).collect();
    for (node, line) in &way {
        reader.type_in(*node, line);
    }
    lab.wait_until_published(TWIN, lab.home());
    wait_for("phone4 reads the page by the first pages alone", PUBLISHED, || {
        lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).is_ok_and(|got| got.body == PAGE)
    });
    assert_eq!(lab.fetch(Phone6, &format!("https://{DUAL}/"), &[]).expect("phone6").remote, lab.home().to_string());
    // A line may hold several commands; all count.
    let count = |node| way.iter().filter(|(at, _)| *at == node).map(|(_, line)| line.split("&&").count()).sum::<usize>();
    assert!(count(Vps) <= 8, "{} commands on the VPS", count(Vps));
    assert!(count(Server) <= 3, "{} commands at home", count(Server));
    eprintln!("from nothing to the first page: {} commands on the VPS, {} at home", count(Vps), count(Server));

    reader.vps.must(CERTBOT, "");
    reader.trust();
    for (name, machine) in PAGES {
        let all = commands(&page(name), machine);
        for (node, line) in all.iter().filter(|command| !way.contains(command)) {
            reader.type_in(*node, line);
        }
    }
    let updated: serde_json::Value = serde_json::from_str(&reader.vps.must("fourward host show box --json", "")).expect("JSON");
    assert_eq!(updated["address"], lab.home().to_string(), "by the page's script");
    let in_group = reader.vps.must(&format!("id {USER}"), "");
    assert!(in_group.contains("(fourward)"), "{in_group}");
    let confined = reader.vps.must("systemctl show fourward --property=ActiveState,NRestarts,User", "");
    for property in ["NRestarts=0", "ActiveState=active", "User=fourward"] {
        assert!(confined.lines().any(|line| line == property), "under the unit as it is: {confined}");
    }
    assert_eq!(lab.fetch(Phone4, &format!("https://{ALIAS}/"), &[]).expect("phone4, by the own domain").body, PAGE);
}

#[test]
fn the_readme_has_no_commands_of_its_own() {
    let known: Vec<String> = PAGES.iter().flat_map(|(name, machine)| commands(&page(name), *machine)).map(|(_, line)| line).collect();
    for (_, line) in commands(&page("README.md"), Vps).iter().filter(|(_, line)| !OTHERS.contains(&line.as_str())) {
        // At home and elsewhere one gives the whole name.
        assert!(known.iter().any(|known| line == known || *line == format!("{known}.dyn.example.org")), "`{line}` is on no page");
    }
}

/// A machine's own programs, and cargo not among them.
const WITHOUT_CARGO: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[test]
fn a_program_that_was_built_elsewhere_is_installed_from_two_copied_things() {
    let lab = Lab::beside_others();
    let vps = Machine::boot(lab.ns(Vps), lab.log("systemd-vps"));
    let copied = format!("mkdir /root/copied && cp -r packaging {} /root/copied && cd /root/copied", fourward());
    let install = |path: &str| vps.run(&format!("cd /root/copied && env {path} packaging/install"));

    vps.must(&format!("{copied} && mv fourward elsewhere"), "");
    let without = install(WITHOUT_CARGO);
    assert!(!without.status.success() && said(&without).contains("no program to install"), "{}", said(&without));
    vps.must("cd /root/copied && head --bytes 100000 elsewhere >fourward && chmod +x fourward", "");
    let broken = install(WITHOUT_CARGO);
    assert!(!broken.status.success() && said(&broken).contains("does not run here"), "{}", said(&broken));
    assert!(!vps.run("test -e /usr/local/bin/fourward").status.success(), "what does not run is not installed");

    // Where there is cargo too, what was copied counts.
    vps.must("mkdir /root/tools && printf '#!/bin/sh\\nexit 9\\n' >/root/tools/cargo && chmod +x /root/tools/cargo", "");
    vps.must("cd /root/copied && mv elsewhere fourward", "");
    for path in [WITHOUT_CARGO.to_owned(), WITHOUT_CARGO.replace("PATH=", "PATH=/root/tools:")] {
        vps.must("rm -f /usr/local/bin/fourward", "");
        let installed = install(&path);
        assert!(installed.status.success() && said(&installed).contains("from ./fourward"), "{}", said(&installed));
        vps.must("cmp /root/copied/fourward /usr/local/bin/fourward && systemctl cat fourward && id fourward", "");
    }
    vps.must("fourward init --zone dyn.example.org --ipv4 192.0.2.11 --ipv6 2001:db8:a::11 --no-acme && systemctl start fourward", "");
    vps.must("fourward status", "");
}
