//! Files with secrets in them, damaged, and what is said of them.

use std::fs;
use std::path::Path;

use fourward_core::change::Key;
use fourward_core::stored::place;
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::authority::DIRECTORY;
use crate::machines::Machines;
use crate::outcome::{end_of, fourward, run, text};
use crate::story::{OWN, Said};

/// Configurations with a secret in a wrong place: `SECRET` stands for it.
const LINES: [&str; 8] = [
    "[control]\npassword = \"SECRET\"\n",
    "[control]\npassword = SECRET\n",
    "[control]\nhttp-updates = \"SECRET\"\n",
    "[control]\nmetrics = \"SECRET\"\n",
    "[gateway]\ntls = \"SECRET\"\n",
    "SECRET\n",
    "[acme]\nexternal-account = { key = \"SECRET\", 'x }\n",
    "[agent]\nhost = \"SECRET..\"\ngateways = []\n",
];

/// What is done to a record's text.
type Edit = fn(String) -> String;

/// Everything that reads a configuration, with each of `secrets` in wrong places of it.
pub(crate) fn configs(machines: &Machines, secrets: &[&str], said: &mut Said) {
    let good = fs::read_to_string(machines.init_as("damaged")).expect("a config");
    let file = machines.path("damaged.toml");
    for (at, secret) in secrets.iter().enumerate() {
        for line in LINES {
            // Tables that stand there already are opened anew by the line.
            let table = line.lines().next().unwrap_or_default();
            let without = good.replace(&format!("{table}   "), "#").replace(&format!("{table}\n"), "\n");
            fs::write(&file, without + &line.replace("SECRET", secret)).expect("a config");
            for command in [&["config", "check"][..], &["run", "--config"], &["status", "--config"]] {
                let outcome = run(&[command, &[&text(&file)]].concat());
                assert_ne!(outcome.code, Some(0), "{line}: {outcome:?}");
                said.hear(&format!("{command:?} of secret {at} in {line:?}"), &outcome);
            }
        }
    }
}

/// `run` with damaged copies of the store in `state`.
pub(crate) fn stores(machines: &Machines, state: &Path, said: &mut Said) {
    let good = fs::read(state.join("store.redb")).expect("a store");
    let config = machines.init_as("damaged-store");
    let store = machines.path("damaged-store-state").join("store.redb");
    fs::create_dir_all(store.parent().expect("a folder")).expect("a folder");
    let mut try_it = |what: &str| {
        let outcome = end_of(machines.vps.command("env").args(["FOURWARD_LOG=trace", fourward(), "run", "--config", &text(&config)]));
        assert_ne!(outcome.code, Some(0), "{what}: {outcome:?}");
        said.hear(&format!("run with a store that has {what}"), &outcome);
    };
    fs::write(&store, [&[0; 64], &good[64..]].concat()).expect("a store");
    try_it("no beginning");
    fs::write(&store, &good[..good.len() / 3]).expect("a store");
    try_it("no end");
    let secrets = [Key::Identity, Key::Account(DIRECTORY.into()), Key::Certificate(OWN.parse().expect("a name"))];
    let edits: [(&str, Edit); 4] = [
        ("a record that is cut", |json| json[..json.len() - 9].into()),
        ("a list for a key", |json| json.replacen(":\"", ":[\"", 1).replacen("\",", "\"],", 1)),
        ("secrets that are no base64", |json| json.replacen(":\"", ":\"~", 4)),
        ("a field nobody knows", |json| json.replacen("{\"", "{\"un", 1)),
    ];
    for (what, edit) in edits {
        for key in &secrets {
            fs::write(&store, &good).expect("a store");
            edit_record(&store, key, edit);
            try_it(&format!("{what}: {key:?}"));
        }
    }
    fs::write(&store, &good).expect("a store");
    edit_record(&store, &Key::Identity, |json| json.replacen(":\"", ":\"AAAA", 3));
    try_it("a key too long");
}

fn edit_record(store: &Path, key: &Key, edit: Edit) {
    let (table, key) = place(key);
    let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table.name());
    let database = Database::open(store).expect("the store");
    let read = database.begin_read().expect("a read").open_table(table).expect("the table");
    let json = String::from_utf8(read.get(key.as_str()).expect("read").expect("a record").value().to_vec()).expect("text");
    let edited = edit(json.clone());
    assert_ne!(json, edited);
    let write = database.begin_write().expect("a write");
    write.open_table(table).expect("the table").insert(key.as_str(), edited.as_bytes()).expect("written");
    write.commit().expect("committed");
}

/// `run` at home with a damaged key.
pub(crate) fn keys(machines: &Machines, said: &mut Said) {
    let file = machines.path("home-state").join("agent.key");
    let good = fs::read(&file).expect("the key");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n", String::from_utf8_lossy(&good));
    for (what, bytes) in [("half of it", &good[..good.len() / 2]), ("nothing", &[]), ("another form", pem.as_bytes())] {
        fs::write(&file, bytes).expect("a key");
        let config = text(&machines.path("home.toml"));
        let command = &mut machines.home.command("timeout");
        let outcome = end_of(command.args(["5", "env", "FOURWARD_LOG=trace", fourward(), "run", "--config", &config]));
        said.hear(&format!("run with an agent's key that is {what}"), &outcome);
    }
    fs::write(&file, good).expect("the key");
}
