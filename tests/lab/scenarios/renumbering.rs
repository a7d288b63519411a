//! The home moves, ten times in each manner, and phone4 is cut off for a moment only.

use std::time::{Duration, Instant};

use crate::clock::{figure, median_and_worst, throughout, wait_for};
use crate::lab::Lab;
use crate::probe::{Prober, Reply, Speech};
use crate::renumber::Manner;
use crate::roles::{ALIAS, DUAL, PUBLISHED, TWIN};
use crate::topology::Node::{Phone4, Phone6};
use crate::topology::home_address;
use crate::web::PAGE;

const MOVES: usize = 10;
/// A machine, or its disk, that stands still for a moment for somebody else may spoil one set of moves.
const TRIES: usize = 2;
/// From the new address at home to the first byte of a fresh connection from phone4.
const MEDIAN: Duration = Duration::from_millis(300);
const WORST: Duration = Duration::from_secs(1);
/// From the new address at home to the authoritative server's answer.
const IN_DNS: Duration = Duration::from_millis(200);
/// When a move counts as never noticed.
const GIVEN_UP: Duration = Duration::from_secs(20);
/// The zone's TTL, and one second in which the resolver may round.
const TTL: Duration = Duration::from_secs(60 + 1);

#[test]
fn phone4_follows_a_home_whose_old_address_is_removed() {
    phone4_follows(Manner::Removed);
}

#[test]
fn phone4_follows_a_home_whose_old_address_is_deprecated() {
    phone4_follows(Manner::Deprecated);
}

#[test]
fn phone4_follows_a_home_whose_old_address_is_black_holed() {
    phone4_follows(Manner::BlackHoled);
}

/// Only a byte from the *new* address counts, also where the old one still works.
fn phone4_follows(manner: Manner) {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let prober = lab.probe(Speech::Http, DUAL);
    for tries in 1..=TRIES {
        match move_on(&lab, &prober, manner) {
            Ok(()) => return,
            Err(told) => assert!(tries < TRIES, "{told}"),
        }
    }
}

/// A set of moves; fails with what took too long.
fn move_on(lab: &Lab, prober: &Prober, manner: Manner) -> Result<(), String> {
    let (mut reached, mut published) = (Vec::new(), Vec::new());
    for round in 0..MOVES {
        prober.first_byte_from(lab.home(), Instant::now(), GIVEN_UP).expect("the home is reached before it moves");
        let next = home_address(lab.generation.get() + 1);
        let in_dns = lab.when_published(TWIN, next, GIVEN_UP);
        let moved = lab.renumber(manner);
        let byte = prober.first_byte_from(moved.new, moved.at, GIVEN_UP);
        let byte = byte.unwrap_or_else(|| panic!("round {round}: no byte from the new address in {GIVEN_UP:?}"));
        reached.push(byte - moved.at);
        let answer = in_dns.join().expect("the name server's watcher").expect("the new address in DNS");
        published.push(answer - moved.at);
        let page = lab.fetch(Phone4, &format!("https://{ALIAS}/"), &[]).expect("the page over verified TLS");
        assert_eq!(page.body, PAGE);
    }
    let (median, worst) = median_and_worst(&reached);
    let (dns_median, dns_worst) = median_and_worst(&published);
    figure(&format!("{manner:?}: new address to first byte"), format_args!("median {median:.1?}, worst {worst:.1?} of {MOVES}"));
    figure(&format!("{manner:?}: new address to DNS"), format_args!("median {dns_median:.1?}, worst {dns_worst:.1?} of {MOVES}"));
    if median <= MEDIAN && worst <= WORST && dns_worst <= IN_DNS {
        return Ok(());
    }
    Err(format!("first byte: median {median:?}, worst {worst:?}: {reached:?}; in DNS: worst {dns_worst:?}: {published:?}"))
}

#[test]
fn phone6_finds_the_new_address_one_ttl_after_its_last_question() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let old = lab.home().to_string();
    assert_eq!(lab.dig(Phone6, None, DUAL, "AAAA").of("AAAA"), [old.as_str()]);
    let asked = Instant::now();
    let moved = lab.renumber(Manner::Removed);
    lab.wait_until_published(TWIN, moved.new);
    assert_eq!(lab.dig(Phone6, None, DUAL, "AAAA").of("AAAA"), [old.as_str()], "the resolver keeps what it was told");

    throughout(asked + TTL, || {
        let reply = lab.attempt(Speech::Http, DUAL).reply;
        assert_eq!(reply, Reply::Home(moved.new), "phone4 need not wait");
    });
    assert_eq!(lab.dig(Phone6, None, DUAL, "AAAA").of("AAAA"), [moved.new.to_string().as_str()]);
    let page = lab.fetch(Phone6, &format!("https://{ALIAS}/"), &[]).expect("the page");
    assert_eq!((page.body.as_str(), page.remote), (PAGE, moved.new.to_string()));
    figure("phone6 after a move", format_args!("{:.1?} with an answer in its resolver", moved.at.elapsed()));
}

#[test]
fn a_home_that_moves_twice_at_once_is_found_at_its_last_address() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    lab.renumber(Manner::Removed);
    lab.renumber(Manner::Deprecated);
    let moved = lab.renumber(Manner::Removed);
    wait_for("the last address is served", PUBLISHED, || lab.attempt(Speech::Http, DUAL).reply == Reply::Home(moved.new));
    lab.wait_until_published(DUAL, moved.new);
}
