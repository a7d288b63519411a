//! A day of a server, its home, its owner and strangers, with a secret in every place where somebody may put one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fourward::store::Store;
use fourward_core::policy::Policy;
use fourward_core::state::State;
use serde_json::Value;

use crate::clock::wait_for;
use crate::machines::{DUAL, HOME6, Machines, Role, SIGNS, VPS4, ZONE};
use crate::outcome::{Outcome, end_of, fourward, run, text};
use crate::search::Canary;
use crate::{authority, damage, netns};

pub(crate) const OWN: &str = "gw.dyn.example.org";

/// What strangers take for passwords; long enough to be found, and a label of a name.
const GUESS: &str = "canary0guess0canary0guess0canary0";

/// An order takes seconds; the machine may be busy, and pebble refuses some nonces.
const ORDERED: Duration = Duration::from_secs(60);

/// All that was said, and by whom.
#[derive(Default)]
pub(crate) struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    pub(crate) fn hear(&mut self, who: &str, outcome: &Outcome) {
        self.0.push((who.into(), format!("{}\n{}", outcome.out, outcome.errors).into_bytes()));
    }

    /// Who told `canary`, and how.
    fn told(&self, canary: &Canary) -> Vec<String> {
        let told = |(who, what): &(String, Vec<u8>)| canary.form_in(what).map(|form| format!("{} ({form}) by {who}", canary.name));
        self.0.iter().filter_map(told).collect()
    }
}

/// The secrets that `host add` and `host token` show.
struct Shown {
    join: String,
    password: String,
}

impl Shown {
    fn read(json: &str) -> Self {
        let value: Value = serde_json::from_str(json).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a secret").to_owned();
        Self { join: text(&value["join"]), password: text(&value["update"]["password"]) }
    }

    fn canaries(&self) -> Vec<Canary> {
        let json = URL_SAFE_NO_PAD.decode(self.join.strip_prefix("fw1.").expect("a join string")).expect("base64url");
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        let secret = json["secret"].as_str().expect("a secret");
        vec![
            Canary::new("the join string", &self.join[4..]),
            Canary::new("the join string's secret", secret),
            Canary::new("the join string's secret, raw", raw(secret)),
            Canary::new("the update password", &self.password),
            Canary::new("the update password, raw", raw(&self.password)),
        ]
    }
}

/// The key of a new account of the host `cloud`.
fn account(server: &Role, meant: &mut Said) -> String {
    let file = server.tell(&["host", "token", "cloud", "--acme-dns", "--json"]).succeeds();
    meant.hear("host token --acme-dns --json", &file);
    let file: Value = serde_json::from_str(&file.out).expect("JSON");
    file[DUAL]["password"].as_str().expect("a key").to_owned()
}

/// The bytes of a text in hexadecimal.
fn raw(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("hexadecimal")).collect()
}

/// The private part of a key in PKCS #8: what follows its octet string's header.
fn private(key: &[u8]) -> Vec<u8> {
    let at = key.windows(2).position(|header| header == [4, 32]).expect("an octet string of 32 bytes") + 2;
    key[at..at + 32].to_vec()
}

/// What the server keeps to itself, once it has a certificate.
fn kept(state: &State) -> Vec<Canary> {
    let identity = state.identity().expect("an identity");
    let certificate = state.certificate(&OWN.parse().expect("a name")).expect("a certificate");
    let account: Value = serde_json::from_slice(&state.account(authority::DIRECTORY).expect("an account").0).expect("JSON");
    let account = account["credentials"]["key_pkcs8"].as_str().expect("the account's key");
    let account = URL_SAFE_NO_PAD.decode(account).expect("base64url");
    let keys = [
        ("link", &identity.link_key),
        ("self-signed", &identity.certificate_key),
        ("certificate's", &certificate.key),
        ("account's", &account),
    ];
    let canaries = keys.into_iter().flat_map(|(name, key)| of_key(name, key));
    let signing = state.zone_keys(&ZONE.parse().expect("a name")).expect("a signed zone");
    let signing = signing.iter().flat_map(|key| of_key("zone's", &key.private));
    canaries.chain(signing).chain([Canary::new("the reset key", identity.reset_key)]).collect()
}

fn of_key(name: &str, key: &[u8]) -> [Canary; 2] {
    [Canary::new(&format!("the {name} key"), key), Canary::new(&format!("the private part of the {name} key"), private(key))]
}

#[test]
fn no_secret_is_in_any_output() {
    let machines = Machines::new();
    for machine in [&machines.vps, &machines.home] {
        machine.set_resolver(VPS4);
    }
    let config = machines.init();
    let _authority = authority::start(&machines);
    authority::order_there(&machines, &config);
    machines.add_key(&config);
    let (mut said, mut meant) = (Said::default(), Said::default());
    let mut server = machines.server_that_tells_all(&config);

    let added = server.tell(&["host", "add", "cloud", "--json"]).succeeds();
    meant.hear("host add --json", &added);
    let first = Shown::read(&added.out);
    meant.hear("host add", &server.tell(&["host", "add", "nas", "address-from=update"]).succeeds());
    let token = server.tell(&["host", "token", "cloud", "--json"]).succeeds();
    meant.hear("host token --json", &token);
    let second = Shown::read(&token.out);
    let key = account(&server, &mut meant);

    said.hear("join with an old string", &machines.join_as("home", &first.join));
    said.hear("join with a cut string", &machines.join_as("home", &second.join[..second.join.len() / 2]));
    said.hear("join", &machines.join_as("home", &second.join).succeeds());
    said.hear("join again", &machines.join_as("home", &second.join));
    let mut agent = machines.agent_that_tells_all("home");
    server.wait_until_published(HOME6);
    wait_for("a certificate", ORDERED, || server.ask(&["status"])["certificate"]["source"] == "acme");

    pastes(&server, &[&first.join, &second.join], &mut said);
    visits(&machines, [("right", &second.password), ("an account's", &key), ("wrong", GUESS)], &mut said);
    updates(&machines, &mut said);
    damage::configs(&machines, &[&second.join, &second.password], &mut said);
    owner(&machines, &server, &mut said);

    agent.daemon.terminate();
    wait_for("the home is away", Duration::from_secs(20), || server.ask(&["host", "show", "cloud"])["address"].is_null());
    server.daemon.terminate();
    let state = machines.path("vps-state");
    damage::stores(&machines, &state, &mut said);
    let agent_key = std::fs::read(machines.path("home-state").join("agent.key")).expect("the agent's key");
    damage::keys(&machines, &mut said);
    for (who, role) in [("the server's log", &server), ("the agent's log", &agent)] {
        let log = role.log();
        assert!(log.contains("TRACE"), "{who} tells all: {log}");
        assert!(log.len() < 50_000_000, "{who} is {} bytes", log.len());
        said.0.push((who.into(), log.into_bytes()));
    }

    let mut canaries: Vec<Canary> = [&first, &second].into_iter().flat_map(Shown::canaries).collect();
    canaries.extend([Canary::new("the account's key", &key), Canary::new("the account's key, raw", raw(&key))]);
    assert!(canaries.iter().all(|canary| !meant.told(canary).is_empty() || canary.name.ends_with("raw")), "the search finds what is shown");
    canaries.extend(kept(&Store::open(&state, Policy::default()).expect("the store").snapshot()));
    canaries.extend(of_key("agent's", &agent_key));
    canaries.push(Canary::new("a guess", GUESS));
    canaries.extend(key_of_updates());
    let told: Vec<String> = canaries.iter().flat_map(|canary| said.told(canary)).collect();
    assert!(told.is_empty(), "{told:#?}");
    let panicked: Vec<_> =
        said.0.iter().filter(|(_, what)| String::from_utf8_lossy(what).contains("panicked at")).map(|(who, _)| who).collect();
    assert!(panicked.is_empty(), "{panicked:?}");
}

/// The secret of the key that signs updates.
fn key_of_updates() -> [Canary; 2] {
    let bytes = STANDARD.decode(SIGNS).expect("base64");
    [Canary::new("the secret of a key", SIGNS), Canary::new("the secret of a key, raw", bytes)]
}

/// Updates with it, good and bad ones.
fn updates(machines: &Machines, said: &mut Said) {
    let other = STANDARD.encode(GUESS);
    for (key, good) in [(format!("signs:{SIGNS}"), true), (format!("signs:{other}"), false), (format!("other:{SIGNS}"), false)] {
        let outcome = machines.update(&format!("hmac-sha256:{key}"));
        assert_eq!(outcome.code == Some(0), good, "{outcome:?}");
        said.hear("nsupdate", &outcome);
    }
}

/// Join strings where they do not belong.
fn pastes(server: &Role, joins: &[&String], said: &mut Said) {
    for join in joins.iter().map(|join| join.as_str()) {
        let (edit, flag) = (format!("alias={join}"), format!("--{join}"));
        let wrong: [&[&str]; 15] = [
            &[join],
            &["host", join],
            &["host", "add", join],
            &["host", "add", "other", join],
            &["host", "show", join],
            &["host", "show", &format!("x.{join}")],
            &["host", "set", "cloud", join],
            &["host", "set", "cloud", &edit],
            &["host", "token", join],
            &["host", "remove", join],
            &["status", join],
            &["check", join],
            &["status", &flag],
            &["join", "-", join],
            &["init", "--zone", join, "--ipv4", VPS4, "--ipv6", "2001:db8:a::11"],
        ];
        for (at, arguments) in wrong.into_iter().enumerate() {
            let outcome = server.tell(arguments);
            assert_ne!(outcome.code, Some(0), "{arguments:?}");
            said.hear(&format!("wrong place {at} of a join string"), &outcome);
        }
        for arguments in
            [&["run", "--config", join][..], &["config", "check", join], &["config", join], &["init", "--zone", "a.b", "--ipv4", join]]
        {
            said.hear(&format!("{} with a join string", arguments[0]), &run(arguments));
        }
    }
}

/// Requests with passwords, right and wrong, in every place.
fn visits(machines: &Machines, passwords: [(&str, &str); 3], said: &mut Said) {
    let fetch = |options: &[&str], url: &str| {
        let mut command = machines.home.command("curl");
        command.args(["--silent", "--insecure", "--include", "--globoff", "--max-time", "10"]);
        command.args(["--connect-to", &format!("::{VPS4}:")]).args(options);
        end_of(command.arg(url))
    };
    for (what, secret) in passwords {
        let (user, bearer) = (format!("cloud:{secret}"), format!("Authorization: Bearer {secret}"));
        let (unknown, token) = (format!("Authorization: Token {secret}"), format!("{secret}:x"));
        for scheme in ["https", "http"] {
            let update = format!("{scheme}://{OWN}/nic/update?hostname={DUAL}");
            for options in [&["--user", &user][..], &["--header", &bearer], &["--header", &unknown], &["--user", &token]] {
                said.hear(&format!("an update, {scheme}, {what} password"), &fetch(options, &update));
            }
            for query in ["password", "passwword", "pass", "token", "key", "hostname", "username", "txt", "x&myip"] {
                let url = format!("{update}&{query}={secret}");
                said.hear(&format!("an update, {scheme}, {what} password as {query}"), &fetch(&[], &url));
            }
            let page = fetch(&["--user", &user], &format!("{scheme}://{OWN}/{secret}?password={secret}"));
            // In plain HTTP that is a redirect, which repeats where its client wanted to go.
            if scheme == "https" {
                said.hear("a page", &page);
            }
            said.hear("a post", &fetch(&["--user", &user, "--data", secret], &update));
            let users = [format!("X-Api-User: {secret}"), "X-Api-User: cloud".into(), "X-Api-User: nas".into()];
            for (user, body) in users.iter().zip(["{\"subdomain\":\"cloud\",\"txt\":\"SECRET\"}", "{\"SECRET\":\"SECRET\"}", "SECRET"]) {
                let (key, body) = (format!("X-Api-Key: {secret}"), body.replace("SECRET", secret));
                let options = ["--header", user, "--header", &key, "--data", &body];
                said.hear(&format!("an account's post, {scheme}, {what} password"), &fetch(&options, &format!("{scheme}://{OWN}/update")));
            }
            said.hear("a home's page", &fetch(&["--user", &user, "--max-time", "2"], &format!("{scheme}://{DUAL}/?password={secret}")));
            // What comes back may repeat what was said; what is kept may not.
            fetch(&["--user", &user], &format!("{update}&myip={secret}"));
            for host in [format!("{secret}.example.org"), format!("{secret}.{DUAL}"), secret.to_owned(), format!("a..{secret}")] {
                fetch(&["--user", &user], &format!("{scheme}://{host}/"));
                fetch(&["--user", &user, "--header", &format!("Host: {host}")], &format!("{scheme}://{OWN}/"));
            }
        }
    }
    let encoded = STANDARD.encode(format!("cloud:{}", passwords[0].1));
    said.hear("a broken header", &fetch(&["--header", &format!("Authorization: Basic ={encoded}")], &format!("https://{OWN}/nic/update")));
}

/// What the owner looks at.
fn owner(machines: &Machines, server: &Role, said: &mut Said) {
    let looks: [&[&str]; 14] = [
        &["host", "list"],
        &["host", "list", "--json"],
        &["host", "show", "cloud"],
        &["host", "show", "cloud", "--json"],
        &["status"],
        &["status", "--json"],
        &["zone", "ds", ZONE],
        &["zone", "ds", ZONE, "--json"],
        &["zone", "roll", ZONE],
        &["check", "cloud"],
        &["check", "cloud", "--json"],
        &["host", "export"],
        &["host", "set", "cloud", "ttl=61"],
        &["host", "remove", "nas"],
    ];
    for arguments in looks {
        let outcome = server.tell(arguments);
        assert!(
            outcome.out.lines().any(|line| ["cloud", "nas", ZONE].iter().any(|name| line.contains(name))),
            "it says nothing: {arguments:?}: {outcome:?}"
        );
        said.hear(&format!("{arguments:?}"), &outcome);
    }
    for config in ["vps.toml", "home.toml"] {
        said.hear("config check", &run(&["config", "check", &text(&machines.path(config))]).succeeds());
        said.hear("config check --json", &run(&["config", "check", &text(&machines.path(config)), "--json"]).succeeds());
    }
    // Where no fourward runs, `check` knows nothing of hosts; at home it asks the agent.
    for options in [&["--config", &text(&machines.path("home.toml"))][..], &["--json"], &[]] {
        let command = &mut machines.home.command(fourward());
        let outcome = end_of(command.args(["check", DUAL]).args(options));
        assert!(outcome.out.contains("zone-delegation"), "it examines nothing: {outcome:?}");
        said.hear("check at home or elsewhere", &outcome);
    }
    let metrics = netns::succeed(machines.vps.command("curl").args(["--silent", "--fail", "http://127.0.0.1:9153/metrics"]));
    assert!(metrics.stdout.ends_with(b"# EOF\n"));
    said.hear("the metrics", &Outcome::from(metrics));
}
