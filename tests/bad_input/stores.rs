//! State directories in use, and store files that are torn: refused with what to do, and left as they are.

use std::fs;
use std::path::Path;

use crate::machines::{Machines, Role};
use crate::outcome::{FAILED, Outcome, end_of, fourward, text};

#[test]
fn a_state_directory_in_use_is_left_to_its_server() {
    let machines = Machines::new();
    let server = machines.server();
    server.add_host("cloud", &[]);
    // On another machine, where its ports are free: only the state is in the way.
    let config = machines.path("second.toml");
    fs::copy(machines.path("vps.toml"), &config).expect("copy the config");
    let second = end_of(machines.home.command(fourward()).args(["run", "--config"]).arg(&config));
    let holder = format!("in use by process {}", server.daemon.pid());
    second.fails(FAILED, &["vps-state", &holder, "stop that first", "a state directory of its own"]);
    assert_eq!(server.ask(&["host", "list"])[0]["host"], "cloud", "the first one still answers at its socket");
}

#[test]
fn a_torn_store_is_refused_and_left_as_it_is() {
    let machines = Machines::new();
    let config = machines.init();
    let mut server = machines.server_by(&config);
    server.add_host("cloud", &[]);
    server.daemon.terminate();
    let store = machines.path("vps-state/store.redb");
    let good = fs::read(&store).expect("the store");

    let mut flipped = good.clone();
    let records = flipped.windows(5).rposition(|bytes| bytes == b"cloud").expect("the host's record");
    flipped[records] ^= 1;
    let torn: [(&str, Vec<u8>); 5] = [
        ("cut in half", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("zeroed", vec![0; good.len()]),
        ("a flipped bit", flipped),
        ("another file", b"SQLite format 3\0".repeat(100)),
    ];
    for (how, contents) in torn {
        fs::write(&store, &contents).expect("tear the store");
        let outcome = run(&machines, &config);
        assert_eq!(outcome.code, Some(FAILED), "{how}: {outcome:?}");
        let remedies = ["left as it is", "put a backup in its place", "move it away to start with an empty store"];
        let words = [&["vps-state/store.redb", "is damaged or no store of fourward's"][..], &remedies].concat();
        assert!(words.iter().all(|word| outcome.errors.contains(word)), "{how}: {outcome:?}");
        assert!(fs::read(&store).expect("the store") == contents, "{how}: a byte of it was changed");
    }

    // Both remedies help.
    fs::write(&store, &good).expect("put the backup back");
    let mut server = machines.server_by(&config);
    assert_eq!(hosts(&server), 1);
    server.daemon.terminate();
    fs::rename(&store, machines.path("torn")).expect("move it away");
    assert_eq!(hosts(&machines.server_by(&config)), 0);
}

#[test]
fn a_state_that_is_no_directory_is_named() {
    let machines = Machines::new();
    let config = machines.init();
    fs::write(machines.path("vps-state"), "a file").expect("a file in the way");
    run(&machines, &config).fails(FAILED, &[&text(&machines.path("vps-state")), "must belong to"]);
}

fn run(machines: &Machines, config: &Path) -> Outcome {
    end_of(machines.vps.command(fourward()).args(["run", "--config"]).arg(config))
}

fn hosts(server: &Role) -> usize {
    server.ask(&["host", "list"]).as_array().expect("a list").len()
}
