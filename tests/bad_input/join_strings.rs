//! Join strings that were cut, altered, used, given to another host or gateway, or are too old; and joins that were interrupted.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use fourward_core::host::Digest;
use fourward_core::join::{JoinString, Peer, Secret};

use crate::clients::Good;
use crate::clock::wait_for;
use crate::machines::{DUAL, HOME6, Machines, VPS4};
use crate::outcome::{FAILED, USAGE, end_of, fourward};

/// Nothing that a refused join leaves behind stands in the way of a good one.
fn nothing_is_written(machines: &Machines, name: &str) {
    assert!(!machines.path(&format!("{name}.toml")).exists(), "no config");
    assert!(!machines.path(&format!("{name}-state/agent.key")).exists(), "no key");
}

#[test]
fn a_cut_or_altered_join_string_is_refused_before_anybody_is_asked() {
    let machines = Machines::new(); // and no server
    let good = nobodys().reveal();
    let altered = |at: usize, to: &str| format!("{}{to}{}", &good[..at], &good[at + to.len()..]);
    let bad = [
        ("cut at the end", good[..good.len() - 1].to_owned(), "cut or altered"),
        ("cut in the middle", good[..good.len() / 2].to_owned(), "cut or altered"),
        ("cut at the beginning", good[3..].to_owned(), "begins with \"fw1.\""),
        ("nothing", String::new(), "begins with \"fw1.\""),
        ("another version", altered(0, "fw9."), "begins with \"fw1.\""),
        ("a letter", altered(40, if &good[40..41] == "A" { "B" } else { "A" }), "cut or altered"),
        ("a digit", altered(60, if &good[60..61] == "0" { "1" } else { "0" }), "cut or altered"),
        ("base64 of another alphabet", altered(80, "+"), "cut or altered"),
        ("a character of no alphabet", altered(100, "*"), "cut or altered"),
        ("the last character", altered(good.len() - 1, if good.ends_with('A') { "Q" } else { "A" }), "cut or altered"),
        ("something else at the end", format!("{good}AAAA"), "cut or altered"),
        ("a file of another kind", "x".repeat(100_000), "longer than"),
    ];
    for (what, string, why) in bad {
        let outcome = machines.join_as("home", &string);
        assert_eq!(outcome.code, Some(USAGE), "{what}: {outcome:?}");
        outcome.fails(USAGE, &[why, "join string"]);
        nothing_is_written(&machines, "home");
    }
}

/// A join string that nobody made.
fn nobodys() -> JoinString {
    let gateway = Peer {
        name: "gw.dyn.example.org".parse().expect("a name"),
        addresses: vec![VPS4.parse().expect("an address")],
        pins: vec![Digest([7; 32])],
        port: None,
    };
    JoinString { gateways: vec![gateway], host: DUAL.parse().expect("a name"), secret: Secret::new([9; 32]) }
}

#[test]
fn a_join_string_is_good_for_its_host_its_gateway_and_one_home() {
    let machines = Machines::new();
    let server = machines.server();
    let _agent = machines.home_of(&server);
    server.add_host("nas", &[]);
    let good = Good::start(&machines);
    let other = |change: &dyn Fn(&mut JoinString)| {
        let mut join: JoinString = server.ask(&["host", "token", "nas"])["join"].as_str().expect("a join string").parse().expect("good");
        change(&mut join);
        join.reveal()
    };

    let for_another_host = other(&|join| join.host = DUAL.parse().expect("a name"));
    machines.join_as("second", &for_another_host).fails(FAILED, &["does not fit cloud.dyn.example.org", "fourward host token"]);
    let for_no_host = other(&|join| join.host = "nobody.dyn.example.org".parse().expect("a name"));
    machines.join_as("second", &for_no_host).fails(FAILED, &["no host nobody.dyn.example.org", "fourward host list"]);
    let of_another_zone = other(&|join| join.host = "nas.example.net".parse().expect("a name"));
    machines.join_as("second", &of_another_zone).fails(FAILED, &["no host nas.example.net", "fourward host list"]);
    let with_another_secret = other(&|join| join.secret = Secret::new([9; 32]));
    machines.join_as("second", &with_another_secret).fails(FAILED, &["does not fit nas.dyn.example.org", "fourward host token"]);
    let with_another_pin = other(&|join| join.gateways[0].pins = vec![Digest([7; 32])]);
    let words = ["gw.dyn.example.org at ", "shows another key", "another gateway", "fourward host token"];
    machines.join_as("second", &with_another_pin).fails(FAILED, &words);
    let of_nobody = other(&|join| join.gateways[0].addresses = vec!["192.0.2.99".parse().expect("an address")]);
    machines.join_as("second", &of_nobody).fails(FAILED, &["no gateway answered at 192.0.2.99", "is fourward running there", "firewall"]);
    nothing_is_written(&machines, "second");

    let once = other(&|_| {});
    let replaced = other(&|_| {});
    machines.join_as("second", &once).fails(FAILED, &["does not fit", "replaced by a newer one", "fourward host token"]);
    machines.join_as("second", &replaced).succeeds();
    machines.join_as("third", &replaced).fails(FAILED, &["was used already", "for one home, once", "fourward host token"]);
    nothing_is_written(&machines, "third");
    machines.join_as("second", &replaced).fails(FAILED, &["second.toml exists already", "move that file away first"]);

    let cloud = server.ask(&["host", "show", "cloud"]);
    assert_eq!((cloud["link"].as_str(), cloud["address"].as_str()), (Some("up"), Some(HOME6)), "the first home is where it was");
    good.stop(Duration::from_secs(1));
}

#[test]
fn a_join_string_lives_for_a_day() {
    let machines = Machines::new();
    let config = machines.init();
    let mut server = machines.server_by(&config);
    let string = server.add_host("cloud", &[]);
    server.daemon.terminate();

    let mut later = machines.server_ahead(&config, "+25h");
    machines.join_as("home", &string).fails(FAILED, &["for cloud.dyn.example.org ended on ", "fourward host token"]);
    nothing_is_written(&machines, "home");
    assert!(later.ask(&["host", "show", "cloud"])["join_until"].is_null(), "and the owner sees that it is over");
    later.daemon.terminate();

    let _sooner = machines.server_ahead(&config, "+23h");
    machines.join_as("home", &string).succeeds();
}

#[test]
fn an_interrupted_join_goes_on_with_the_same_key() {
    let machines = Machines::new();
    let server = machines.server();
    let string = server.add_host("cloud", &[]);
    let other = server.add_host("nas", &[]);

    // The gateway has taken the key, and the home could not keep its config.
    let blocked = machines.path("blocked");
    fs::write(&blocked, "").expect("a file in the way");
    let mut joining = machines.home.command(fourward());
    joining.args(["join", &string, "--config"]).arg(blocked.join("home.toml")).arg("--state").arg(machines.path("home-state"));
    end_of(&mut joining).fails(FAILED, &["blocked"]);
    assert!(server.ask(&["host", "show", "cloud"])["join_until"].is_null(), "the string is spent");
    let waiting = waiting_key(&machines).expect("the key waits");

    // A wrong string in between costs nothing.
    let mut wrong: JoinString = other.parse().expect("good");
    wrong.secret = Secret::new([9; 32]);
    machines.join_as("home", &wrong.reveal()).fails(FAILED, &["does not fit nas.dyn.example.org"]);
    assert_eq!(waiting_key(&machines), Some(waiting.clone()));

    machines.join_as("home", &string).succeeds();
    assert_eq!(fs::read(machines.path("home-state/agent.key")).expect("the key"), waiting);
    let _agent = machines.agent("home");
    server.wait_until_published(HOME6);
}

#[test]
fn a_join_that_was_killed_while_it_waited_goes_on_with_the_same_key() {
    let machines = Machines::new();
    let config = machines.init();
    let mut server = machines.server_by(&config);
    let string = server.add_host("cloud", &[]);
    server.daemon.terminate();

    let mut joining = machines.joining("home", &string).stdin(Stdio::null()).spawn().expect("start a join");
    wait_for("the key waits", Duration::from_secs(5), || waiting_key(&machines).is_some_and(|key| !key.is_empty()));
    joining.kill().expect("kill it");
    joining.wait().expect("wait for it");
    let waiting = waiting_key(&machines).expect("the key still waits");

    server.daemon.start_again();
    machines.join_as("home", &string).succeeds();
    assert_eq!(fs::read(machines.path("home-state/agent.key")).expect("the key"), waiting);
}

/// The key of a join that has not ended well yet.
fn waiting_key(machines: &Machines) -> Option<Vec<u8>> {
    let mut entries = fs::read_dir(machines.path("home-state")).ok()?.flatten();
    let entry = entries.find(|entry| entry.file_name().to_string_lossy().ends_with(".new"))?;
    fs::read(entry.path()).ok()
}
