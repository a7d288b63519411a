//! Homes that a resolver knows the address of: dialled where it says, asked for again when nobody is there, and not more often than that.

use std::time::Instant;

use fourward::config;
use fourward::gateway::Protocol;
use fourward::leases::Leases;
use futures_util::future::join_all;

use crate::resolver::{Resolver, Says, chain};
use crate::rig::{HERE, PATIENCE, Rig, ZONE, answer, assert_alive, config, hello, host, until};

const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

async fn rig(resolver: &Resolver) -> Rig {
    Rig::with(config::Gateway { resolver: vec![resolver.at], ..config() }, Leases::new(Instant::now())).await
}

fn gone() -> Vec<u8> {
    hello(&format!("gone.{ZONE}"))
}

/// Waits until `gone` is there, or has this trouble.
async fn is_at_home(rig: &Rig) {
    until("DNS is asked", || rig.store.snapshot().home(&host("gone")) == Some(HERE)).await;
}

async fn has_trouble(rig: &Rig, why: &str) {
    until(why, || rig.leases.resolved.trouble(&host("gone")).is_some_and(|trouble| trouble.contains(why))).await;
}

#[tokio::test]
async fn a_home_is_where_dns_says() {
    let resolver = Resolver::start(|_| Says::Aaaa(HERE, 60)).await;
    let rig = rig(&resolver).await;
    assert_eq!(answer(rig.client(Protocol::Tls, &gone()).await).await, INTERNAL_ERROR);
    rig.set(&host("gone"), &["upstream=home.example.net"]).await;
    is_at_home(&rig).await;
    let (mut client, mut home) = rig.relayed("gone").await;
    assert_alive(&mut client, &mut home).await;
    rig.set(&host("gone"), &["ttl=5"]).await;
    assert_alive(&mut client, &mut home).await;
    assert_eq!(resolver.asked(), ["home.example.net"], "once for a minute, whoever comes");
    rig.set(&host("gone"), &["upstream="]).await;
    assert_eq!(answer(rig.client(Protocol::Tls, &gone()).await).await, INTERNAL_ERROR, "what DNS said is void with it");
}

#[tokio::test]
async fn what_leads_nowhere_is_said_and_nothing_dialled() {
    let resolver = Resolver::start(|name| match name {
        "gone.example.net" => Says::Rcode(3),
        "broken.example.net" => Says::Rcode(2),
        "private.example.net" => Says::Aaaa("fd00::1".parse().expect("v6"), 60),
        "mapped.example.net" => Says::Aaaa("::ffff:192.0.2.1".parse().expect("v6"), 60),
        "nat64.example.net" => Says::Aaaa("64:ff9b::c000:201".parse().expect("v6"), 60),
        "long.example.net" => chain(&[name, "a.net", "b.net", "c.net", "d.net", "e.net", "f.net", "g.net", "h.net", "i.net"], 60),
        "circle.example.net" => chain(&[name, "gone.dyn.example.org"], 60),
        _ => Says::Aaaa(HERE, 60),
    })
    .await;
    let rig = rig(&resolver).await;
    for (name, why) in [
        ("gone", "does not exist"),
        ("private", "private"),
        ("mapped", "an IPv4 address"),
        ("nat64", "NAT64"),
        ("long", "without an end"),
        ("circle", "follow itself"),
    ] {
        rig.set(&host("gone"), &["upstream=good.example.net"]).await;
        is_at_home(&rig).await;
        assert_eq!(rig.leases.resolved.trouble(&host("gone")), None);
        rig.set(&host("gone"), &[&format!("upstream={name}.example.net")]).await;
        has_trouble(&rig, why).await;
        assert_eq!(rig.store.snapshot().home(&host("gone")), None, "{name}");
        assert_eq!(answer(rig.client(Protocol::Tls, &gone()).await).await, INTERNAL_ERROR, "{name}");
    }
    rig.set(&host("gone"), &["upstream=broken.example.net"]).await;
    has_trouble(&rig, "no resolver could find out").await;
}

#[tokio::test]
async fn a_dial_that_fails_asks_anew_and_many_ask_no_more_than_one() {
    let resolver = Resolver::start(|_| Says::Aaaa(HERE, 3_600)).await;
    let rig = rig(&resolver).await;
    rig.set(&host("gone"), &["upstream=home.example.net", "home-port=tls=1"]).await;
    is_at_home(&rig).await;
    let began = Instant::now();
    while resolver.asked().len() < 2 {
        let clients = join_all((0..20).map(|_| async { answer(rig.client(Protocol::Tls, &gone()).await).await })).await;
        assert!(began.elapsed() < PATIENCE, "nobody asks anew");
        assert!(clients.iter().all(|said| *said == INTERNAL_ERROR), "{clients:?}");
    }
    let passed = usize::try_from(began.elapsed().as_secs()).expect("few");
    assert!(resolver.asked().len() <= 3 + passed, "{} questions in {passed} s", resolver.asked().len());
    assert!(began.elapsed() >= std::time::Duration::from_millis(900), "an answer of this second is good enough");
}
