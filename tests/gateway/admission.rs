//! Not one byte goes to an address that its home has not just vouched for.

use std::time::{Duration, Instant};

use fourward::gateway::Protocol;
use fourward::leases::Leases;
use tokio::net::TcpStream;

use crate::rig::{ELSEWHERE, HERE, Rig, ZONE, answer, assert_alive, config, echo, hello, host, rest, take, within};

const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

fn cloud() -> Vec<u8> {
    hello(&format!("cloud.{ZONE}"))
}

/// Nothing can be read from `stream`, now or for a while.
async fn assert_untouched(stream: &TcpStream) {
    let read = tokio::time::timeout(Duration::from_millis(300), stream.peek(&mut [0; 1])).await;
    assert!(read.is_err(), "a byte, or an end: {read:?}");
}

#[tokio::test]
async fn a_link_that_never_answers_lets_no_byte_through() {
    let mut config = config();
    config.timeouts.dial = Duration::from_secs(2);
    let rig = Rig::with(config, Leases::new(Instant::now().checked_sub(Duration::from_secs(60)).expect("a minute ago"))).await;
    let link = rig.link(&host("cloud"));
    // An echo of before the dial proves nothing about it.
    echo(&link, HERE);
    let client = rig.client(Protocol::Tls, &cloud()).await;
    let mut stranger = rig.accept().await;
    assert_untouched(&stranger).await;
    assert_eq!(answer(client).await, INTERNAL_ERROR);
    assert_eq!(rest(&mut stranger).await.unwrap_or_default(), b"");
}

#[tokio::test]
async fn a_link_that_answers_from_elsewhere_lets_no_byte_through() {
    let rig = Rig::start().await;
    let _link = rig.link_at(&host("cloud"), ELSEWHERE);
    let client = rig.client(Protocol::Tls, &cloud()).await;
    let mut stranger = rig.accept().await;
    assert_eq!(rest(&mut stranger).await.unwrap_or_default(), b"");
    drop(client);
}

#[tokio::test]
async fn what_the_agent_does_not_offer_is_not_dialled() {
    let rig = Rig::start().await;
    let _link = rig.link_offering(&host("cloud"), vec!["tcp/80".parse().expect("service")]);
    assert_eq!(answer(rig.client(Protocol::Tls, &cloud()).await).await, INTERNAL_ERROR);
    assert!(tokio::time::timeout(Duration::from_millis(200), rig.accept()).await.is_err(), "nobody was dialled");
}

#[tokio::test]
async fn a_late_echo_lets_the_bytes_through_once_it_has_come() {
    let rig = Rig::start().await;
    let link = rig.link(&host("cloud"));
    let hello = cloud();
    let mut client = rig.client(Protocol::Tls, &hello).await;
    within(link.ask.notified()).await;
    let mut home = rig.accept().await;
    assert_untouched(&home).await;
    echo(&link, HERE);
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn a_link_that_falls_silent_is_not_waited_for() {
    let rig = Rig::start().await;
    let link = rig.link(&host("cloud"));
    let client = rig.client(Protocol::Tls, &cloud()).await;
    let _stranger = rig.accept().await;
    let began = Instant::now();
    link.silent.send_replace(true);
    assert_eq!(answer(client).await, INTERNAL_ERROR);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_link_that_goes_is_not_waited_for() {
    let rig = Rig::start().await;
    let link = rig.link(&host("cloud"));
    let client = rig.client(Protocol::Tls, &cloud()).await;
    let _stranger = rig.accept().await;
    let began = Instant::now();
    assert!(rig.leases.leave(&host("cloud"), link.epoch));
    assert_eq!(answer(client).await, INTERNAL_ERROR);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn the_newest_link_answers_for_one_that_was_replaced() {
    let rig = Rig::start().await;
    let dead = rig.link(&host("cloud"));
    let hello = cloud();
    let mut client = rig.client(Protocol::Tls, &hello).await;
    within(dead.ask.notified()).await;
    let mut home = rig.accept().await;
    // Asked again once the connection stands: from here on the dial waits for this link.
    within(dead.ask.notified()).await;
    let _newest = rig.link_at(&host("cloud"), HERE);
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn a_move_restarts_a_dial_at_the_new_address() {
    let rig = Rig::start().await;
    rig.moves(&host("cloud"), ELSEWHERE).await;
    let link = rig.link(&host("cloud"));
    let hello = cloud();
    let mut client = rig.client(Protocol::Tls, &hello).await;
    // The dial to the old address is under way, and nobody will ever answer it.
    within(link.ask.notified()).await;
    rig.moves(&host("cloud"), HERE).await;
    within(link.ask.notified()).await;
    echo(&link, HERE);
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn the_link_may_know_of_a_move_before_the_store() {
    let rig = Rig::start().await;
    rig.moves(&host("cloud"), ELSEWHERE).await;
    let _link = rig.link_at(&host("cloud"), HERE);
    let hello = cloud();
    let mut client = rig.client(Protocol::Tls, &hello).await;
    let mut home = rig.accept().await;
    assert_untouched(&home).await;
    rig.moves(&host("cloud"), HERE).await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn after_a_restart_dials_wait_for_the_link() {
    let rig = Rig::with(config(), Leases::new(Instant::now())).await;
    let hello = cloud();
    let mut client = rig.client(Protocol::Tls, &hello).await;
    let mut home = rig.accept().await;
    assert_untouched(&home).await;
    let _link = rig.link_at(&host("cloud"), HERE);
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}
