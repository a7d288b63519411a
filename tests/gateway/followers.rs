//! A follower has no link: its leader's vouches for it, and a move of the leader moves it.

use std::time::{Duration, Instant};

use fourward::gateway::Protocol;
use fourward::leases::Leases;

use crate::rig::{ELSEWHERE, HERE, Rig, ZONE, answer, assert_alive, assert_reset, config, hello, host, rest, take, within};

const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

fn nas() -> Vec<u8> {
    hello(&format!("nas.{ZONE}"))
}

/// `nas` follows `cloud`, and its address is [`HERE`] while that is there.
async fn following(rig: Rig) -> Rig {
    rig.set(&host("nas"), &["follows=cloud", "suffix=::1"]).await;
    rig
}

#[tokio::test]
async fn the_leaders_echo_lets_the_bytes_through_and_its_own_link_does_not() {
    let mut config = config();
    config.timeouts.dial = Duration::from_millis(600);
    let leases = Leases::new(Instant::now().checked_sub(Duration::from_secs(60)).expect("a minute ago"));
    let rig = following(Rig::with(config, leases).await).await;
    let _own = rig.link_at(&host("nas"), HERE);
    let leader = rig.link(&host("cloud"));
    let client = rig.client(Protocol::Tls, &nas()).await;
    let mut home = rig.accept().await;
    within(leader.ask.notified()).await;
    assert_eq!(answer(client).await, INTERNAL_ERROR);
    assert_eq!(rest(&mut home).await.unwrap_or_default(), b"", "the leader's link is silent");
    let _leader = rig.link_at(&host("cloud"), HERE);
    let (mut client, mut home) = rig.relayed("nas").await;
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn a_follower_is_away_while_its_leader_is() {
    let rig = following(Rig::start().await).await;
    assert_eq!(answer(rig.client(Protocol::Tls, &nas()).await).await, INTERNAL_ERROR, "no link answers for the leader");
}

#[tokio::test]
async fn a_leader_that_is_elsewhere_lets_no_byte_through() {
    let rig = following(Rig::start().await).await;
    let _leader = rig.link_at(&host("cloud"), ELSEWHERE);
    let client = rig.client(Protocol::Tls, &nas()).await;
    let mut stranger = rig.accept().await;
    assert_eq!(rest(&mut stranger).await.unwrap_or_default(), b"");
    drop(client);
}

#[tokio::test]
async fn a_move_of_the_leader_ends_the_followers_relays_and_no_other() {
    let rig = following(Rig::start().await).await;
    let _leader = rig.link_at(&host("cloud"), HERE);
    let (mut client, mut home) = rig.relayed("nas").await;
    let (mut other, mut others_home) = rig.relayed("still").await;
    rig.set(&host("nas"), &["ttl=5"]).await;
    // A move that ends another relay has been followed by then, and so has the change before it.
    let (mut last, _last_home) = rig.relayed("cloud").await;
    rig.set(&host("cloud"), &["deny=127.0.0.0/8"]).await;
    assert_reset(&mut last).await;
    assert_alive(&mut client, &mut home).await;
    rig.moves(&host("cloud"), ELSEWHERE).await;
    assert_reset(&mut client).await;
    assert_alive(&mut other, &mut others_home).await;
}

#[tokio::test]
async fn the_leaders_link_may_know_of_a_move_before_the_store() {
    let rig = following(Rig::start().await).await;
    rig.moves(&host("cloud"), ELSEWHERE).await;
    let leader = rig.link(&host("cloud"));
    let hello = nas();
    let mut client = rig.client(Protocol::Tls, &hello).await;
    // The dial to the old network is under way, and nobody will ever answer it.
    within(leader.ask.notified()).await;
    rig.moves(&host("cloud"), HERE).await;
    let _leader = rig.link_at(&host("cloud"), HERE);
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}
