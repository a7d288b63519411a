//! A stranger inherits the home's old address and never hears a byte from the gateway.
//!
//! It takes the address before the home knows that it has lost it, while phone4 tries fresh connections
//! without pause; also when the agent dies or the line is cut in that moment, so that nobody tells the gateway.

use std::time::{Duration, Instant};

use crate::clock::{figure, throughout, wait_for};
use crate::lab::Lab;
use crate::probe::{Prober, Reply, Speech};
use crate::renumber::Manner;
use crate::roles::DUAL;
use crate::stranger::Notes;
use crate::topology::Node::{Dns, Router, Server};
use crate::topology::VPS4;

const MOVES: usize = 10;
/// A lease, and what is granted to notice its end.
const LEASE: Duration = Duration::from_secs(30 + 2);
/// Long against an echo, and against a dial that hangs.
const WHILE: Duration = Duration::from_secs(4);
/// For the home to be served again once its agent or its line is back.
const BACK: Duration = Duration::from_secs(15);
/// Beyond that, for a busy machine to write the change to disk.
const KNOWN: Duration = Duration::from_secs(5);
/// An answer at once: a gateway that lets its client hang is no better than none.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn an_heir_hears_nothing_while_the_agent_lives() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let notes = lab.let_the_stranger_listen();
    let (http, _tls) = both_probers(&lab);
    for _ in 0..MOVES {
        http.first_byte_from(lab.home(), Instant::now(), BACK).expect("the home is reached before it moves");
        let moved = lab.renumber_with_an_heir();
        http.first_byte_from(moved.new, moved.at, BACK).expect("the home is reached after it moved");
        assert_silence(&notes);
    }
    // Mostly a few, and none where every dial of those moments found the home first: the others below make sure that it is tried.
    figure("connections to an heir, all without a byte", notes.visits().len());
}

#[test]
fn an_heir_hears_nothing_though_the_agent_is_killed_in_that_moment() {
    let lab = Lab::new();
    let (_vps, mut home) = lab.start_figure();
    let notes = lab.let_the_stranger_listen();
    let (http, _tls) = both_probers(&lab);
    for round in 0..4 {
        http.first_byte_from(lab.home(), Instant::now(), BACK).expect("the home is reached before its agent dies");
        home.daemon.kill();
        let moved = lab.renumber_with_an_heir();
        // The last time nobody comes back before the lease has ended.
        let span = if round == 3 { LEASE } else { WHILE };
        throughout(moved.at + span, || assert_silence(&notes));
        if round == 3 {
            assert_away(&lab);
        }
        home.daemon.start_again();
        http.first_byte_from(moved.new, moved.at, BACK).expect("the home is reached again");
    }
    assert_silence(&notes);
    for port in [80, 443] {
        assert!(notes.visits().iter().any(|visit| visit.port == port), "nobody was led into temptation at port {port}");
    }
    figure("connections to an heir, all without a byte", notes.visits().len());
}

#[test]
fn an_heir_hears_nothing_though_the_line_is_cut_in_that_moment() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let notes = lab.let_the_stranger_listen();
    let (http, _tls) = both_probers(&lab);
    http.first_byte_from(lab.home(), Instant::now(), BACK).expect("the home is reached before its line is cut");
    lab.ns(Router).ip("link set server down");
    let cut = Instant::now();
    lab.bequeath(lab.home());
    throughout(cut + LEASE, || assert_silence(&notes));
    assert_away(&lab);

    let moved = lab.renumber(Manner::Removed);
    lab.ns(Router).ip("link set server up");
    http.first_byte_from(moved.new, moved.at, BACK).expect("the home is reached again");
    assert_silence(&notes);
}

/// The home itself may not notice: its address is gone from it and nobody else has it, until the heir does.
#[test]
fn an_heir_hears_nothing_though_the_home_has_no_new_address() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let notes = lab.let_the_stranger_listen();
    let (http, _tls) = both_probers(&lab);
    let old = lab.home();
    http.first_byte_from(old, Instant::now(), BACK).expect("the home is reached before it loses its address");
    lab.bequeath(old);
    lab.ns(Server).ip(&format!("addr del {old}/64 dev eth0"));
    throughout(Instant::now() + WHILE, || assert_silence(&notes));
    let moved = lab.renumber(Manner::BlackHoled);
    http.first_byte_from(moved.new, moved.at, BACK).expect("the home is reached again");
    assert_silence(&notes);
}

fn both_probers(lab: &Lab) -> (Prober, Prober) {
    (lab.probe(Speech::Http, DUAL), lab.probe(Speech::Tls, DUAL))
}

fn assert_silence(notes: &Notes) {
    let talkers = notes.talkers();
    let heard = talkers.iter().map(|visit| format!("{} bytes from {} at [{}]:{}", visit.heard.len(), visit.from, visit.at, visit.port));
    assert!(talkers.is_empty(), "the heir heard {:#?}", heard.collect::<Vec<_>>());
}

/// What an absent home looks like: its AAAA is not its old address, and phone4 is told so at once.
fn assert_away(lab: &Lab) {
    let old = lab.home().to_string();
    wait_for("the old address is withdrawn", KNOWN, || {
        let answer = lab.dig(Dns, Some(VPS4), DUAL, "AAAA");
        answer.status == "NOERROR" && !answer.of("AAAA").contains(&old.as_str())
    });
    assert_eq!(lab.dig(Dns, Some(VPS4), DUAL, "A").of("A"), [VPS4], "the gateway answers for it");
    for speech in [Speech::Http, Speech::Tls] {
        let attempt = lab.attempt(speech, DUAL);
        assert_eq!(attempt.reply, Reply::Gateway, "{speech:?}");
        assert!(attempt.answered - attempt.began < AT_ONCE, "{speech:?}: {:?}", attempt.answered - attempt.began);
    }
}
