//! The cap, the end by SIGTERM, and ports that are taken.

use std::time::Duration;

use fourward::config::Public;
use fourward::gateway::{self, Counts, Protocol};
use fourward::leases::Leases;
use tokio::io::AsyncWriteExt;

use crate::rig::{HERE, OWN, Rig, ZONE, assert_alive, assert_reset, config, hello, name, rest, take, until, within};

#[tokio::test]
async fn the_cap_holds_and_whoever_waits_is_served_next() {
    let mut config = config();
    config.connections = 2;
    let rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    let (first, _home) = rig.relayed("still").await;
    let mut second = rig.relayed("still").await;
    let hello = hello(&format!("still.{ZONE}"));
    let mut third = rig.client(Protocol::Tls, &hello).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), rig.home.accept()).await.is_err(), "a third connection");
    drop(first);
    drop(_home);
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut third, &mut home).await;
    assert_alive(&mut second.0, &mut second.1).await;
}

#[tokio::test]
async fn at_the_end_relays_may_finish_and_nobody_new_comes() {
    let mut rig = Rig::start().await;
    let (mut client, mut home) = rig.relayed("still").await;
    let v4 = client.peer_addr().expect("address");
    rig.cancel.cancel();
    until("the listener is closed", || std::net::TcpStream::connect(v4).is_err()).await;
    assert_alive(&mut client, &mut home).await;
    assert!(!rig.running.is_finished());
    client.shutdown().await.expect("closed");
    home.shutdown().await.expect("closed");
    assert_eq!(rest(&mut client).await.expect("a clean end"), b"");
    within(&mut rig.running).await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_reset() {
    let mut config = config();
    config.timeouts.drain = Duration::from_millis(200);
    let mut rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    let (mut client, mut home) = rig.relayed("still").await;
    let mut half = rig.client(Protocol::Tls, &[22, 3]).await;
    until("both are there", || rig.traffic.counts().open == 2).await;
    rig.cancel.cancel();
    within(&mut rig.running).await.expect("no panic").expect("a clean end");
    assert_reset(&mut client).await;
    assert_reset(&mut home).await;
    assert_eq!(rest(&mut half).await.unwrap_or_default(), b"");
    assert_eq!(rig.traffic.counts().open, 0);
}

#[tokio::test]
async fn a_move_ends_relays_also_while_draining() {
    let rig = Rig::start().await;
    let _link = rig.link_at(&crate::rig::host("cloud"), HERE);
    let (mut client, mut home) = rig.relayed("cloud").await;
    let v4 = client.peer_addr().expect("address");
    rig.cancel.cancel();
    until("the listener is closed", || std::net::TcpStream::connect(v4).is_err()).await;
    rig.moves(&crate::rig::host("cloud"), crate::rig::ELSEWHERE).await;
    assert_reset(&mut client).await;
    assert_reset(&mut home).await;
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let mut config = config();
    config.http = taken.local_addr().expect("address").port();
    let public = Public { ipv4: vec![std::net::Ipv4Addr::LOCALHOST], ipv6: Vec::new(), name: name(OWN) };
    let error = gateway::bind(&config, &public).expect_err("taken").to_string();
    assert!(error.contains("gateway.http") && error.contains(&config.http.to_string()), "{error}");
}

/// The cap is taken by connections that say nothing: whoever comes and says something is served at once.
#[tokio::test]
async fn who_says_nothing_keeps_nobody_out() {
    let mut config = config();
    (config.connections, config.half_open, config.per_network) = (8, 4, 8);
    let rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    let mut relayed = rig.relayed("still").await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(rig.client(Protocol::Tls, b"\x16").await);
    }
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
    // A quarter of the network's: it alone is there.
    until("the others had to give way", || rig.traffic.counts().crowded >= 18).await;
    for mut gone in silent.into_iter().take(18) {
        assert_reset(&mut gone).await;
    }
    assert_alive(&mut relayed.0, &mut relayed.1).await;
}

#[tokio::test]
async fn a_network_has_so_many_connections_and_is_reset_beyond() {
    let mut config = config();
    config.per_network = 4;
    let rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    let mut relayed = Vec::new();
    for _ in 0..4 {
        relayed.push(rig.relayed("still").await);
    }
    let mut fifth = rig.client(Protocol::Tls, &[22]).await;
    assert_reset(&mut fifth).await;
    assert_eq!(rig.traffic.counts().crowded, 1);
    // Over IPv6 it is another network.
    let page = rig.client_v6(Protocol::Http, b"GET / HTTP/1.1\r\nHost: still.dyn.example.org\r\n\r\n").await;
    assert!(crate::rig::answer(page).await.starts_with(b"HTTP/1.1 421 "));
    drop(relayed.pop());
    until("its place is free", || rig.traffic.counts().open == 3).await;
    let (mut client, mut home) = rig.relayed("still").await;
    assert_alive(&mut client, &mut home).await;
}

/// Nobody gives way to one that may not come: its network is full.
#[tokio::test]
async fn a_network_that_is_full_drives_nobody_out() {
    let mut config = config();
    (config.connections, config.half_open, config.per_network) = (8, 4, 4);
    let rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    let mut relayed = Vec::new();
    for network in [1, 1, 1, 1, 2, 2, 2] {
        let mut client = rig.client_from(network).await;
        client.write_all(&hello(&format!("still.{ZONE}"))).await.expect("sent");
        relayed.push((client, rig.accept().await));
    }
    let hello = hello(&format!("still.{ZONE}"));
    let mut undecided = rig.client_from(3).await;
    undecided.write_all(&hello[..100]).await.expect("sent");
    until("all are there", || rig.traffic.counts().open == 8).await;
    let mut fifth = rig.client_from(1).await;
    fifth.write_all(&hello).await.expect("the kernel takes it");
    assert_reset(&mut fifth).await;
    assert_eq!(rig.traffic.counts().crowded, 1);
    undecided.write_all(&hello[100..]).await.expect("still there");
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut undecided, &mut home).await;
}

/// Who is shut out takes the place of nobody who might be let in: it gives way while it is told.
#[tokio::test]
async fn who_is_being_refused_gives_way_and_counts_once() {
    let mut config = config();
    (config.connections, config.half_open, config.per_network) = (4, 1, 4);
    let rig = Rig::with(config, Leases::new(std::time::Instant::now())).await;
    rig.set(&crate::rig::host("still"), &["deny=127.0.0.1/32"]).await;
    for (host, counted) in [("still", (|counts| counts.denied) as fn(Counts) -> u64), ("nobody", |counts| counts.unknown)] {
        let hello = hello(&format!("{host}.{ZONE}"));
        // It takes its answer and does not close, so that it is waited for.
        let mut shut_out = rig.client(Protocol::Tls, &hello).await;
        assert_eq!(take(&mut shut_out, 7).await[0], 21, "an alert");
        let (began, before) = (std::time::Instant::now(), rig.traffic.counts().total);
        let next = rig.client(Protocol::Tls, &[22]).await;
        until("it gave way", || rig.traffic.counts().open == 1 && rig.traffic.counts().total == before + 1).await;
        assert!(began.elapsed() < Duration::from_millis(1_500), "the time for a farewell was waited for");
        let counts = rig.traffic.counts();
        assert_eq!((counted(counts), counts.crowded), (1, 0), "{host}");
        drop(next);
        until("all are gone", || rig.traffic.counts().open == 0).await;
    }
}
