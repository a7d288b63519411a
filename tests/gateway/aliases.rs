//! Names that are not listed: CNAMEs of a host are carried, all others refused in time, and nobody makes us flood the resolver.

use std::time::{Duration, Instant};

use fourward::config;
use fourward::gateway::Protocol;
use fourward::leases::Leases;
use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::resolver::{Resolver, Says, chain};
use crate::rig::{OWN, Rig, ZONE, answer, assert_alive, config, hello, take, within};

const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const STILL: &str = "still.dyn.example.org";

/// "At once": nothing was waited for.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What a hello may take, and a lookup with it.
const HELLO: Duration = Duration::from_secs(5);

async fn rig(resolver: &Resolver) -> Rig {
    let mut config = config::Gateway { resolver: vec![resolver.at], ..config() };
    config.timeouts.hello = HELLO;
    Rig::with(config, Leases::new(Instant::now())).await
}

/// What a client that says `name` over TLS is told, and how long that took.
async fn refused(rig: &Rig, name: &str) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    (answer(rig.client(Protocol::Tls, &hello(name)).await).await, began.elapsed())
}

async fn carried(rig: &Rig, protocol: Protocol, first: &[u8]) -> (TcpStream, TcpStream) {
    let mut client = rig.client(protocol, first).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, first.len()).await, first);
    assert_alive(&mut client, &mut home).await;
    (client, home)
}

#[tokio::test]
async fn a_cname_of_a_host_is_carried_without_being_listed() {
    let resolver = Resolver::start(|name| match name {
        "cloud.example.net" => chain(&[name, STILL], 60),
        "long.example.net" => chain(&[name, "a.net", "b.net", "c.net", "d.net", "e.net", "f.net", "g.net", "Still.DYN.example.org"], 60),
        _ => Says::Rcode(3),
    })
    .await;
    let rig = rig(&resolver).await;
    for name in ["cloud.example.net", "long.example.net"] {
        carried(&rig, Protocol::Tls, &hello(name)).await;
        carried(&rig, Protocol::Http, format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).await;
    }
    assert_eq!(resolver.asked(), ["cloud.example.net", "long.example.net"], "each name was asked for once");
}

#[tokio::test]
async fn a_name_that_leads_to_no_host_is_unknown() {
    let resolver = Resolver::start(|name| match name.split('.').next() {
        Some("twin") => chain(&[name, "still-ip6only.dyn.example.org"], 60),
        Some("router") => chain(&[name, "still-router.dyn.example.org"], 60),
        Some("own") => chain(&[name, OWN], 60),
        Some("apex") => chain(&[name, ZONE], 60),
        Some("nobody") => chain(&[name, "nobody.dyn.example.org"], 60),
        Some("listed") => chain(&[name, "owncloud.example.org"], 60),
        Some("circle") => chain(&[name, "b.net", "c.net", name], 60),
        Some("long") => chain(&[name, "a.net", "b.net", "c.net", "d.net", "e.net", "f.net", "g.net", "h.net", STILL], 60),
        Some("address") => Says::Cnames(vec![(name.to_owned(), "elsewhere.net".to_owned(), 60)], true),
        Some("another") => chain(&["x.example.net", STILL], 60),
        Some("fails") => Says::Rcode(2),
        Some("refuses") => Says::Rcode(5),
        _ => Says::Rcode(3),
    })
    .await;
    let rig = rig(&resolver).await;
    let labels =
        ["twin", "router", "own", "apex", "nobody", "listed", "circle", "long", "address", "another", "fails", "refuses", "missing"];
    for label in labels {
        let (said, took) = refused(&rig, &format!("{label}.example.net")).await;
        assert_eq!(said, UNRECOGNIZED_NAME, "{label}");
        assert!(took < AT_ONCE, "{label} took {took:?}");
    }
    let page = answer(rig.client(Protocol::Http, b"GET / HTTP/1.1\r\nHost: twin.example.net\r\n\r\n").await).await;
    assert!(page.starts_with(b"HTTP/1.1 404 "), "{}", page.escape_ascii());
}

#[tokio::test]
async fn where_the_resolver_gives_a_part_it_is_asked_for_the_rest() {
    let link = |from: &str, to: &str| Says::Cnames(vec![(from.to_owned(), to.to_owned(), 60)], false);
    let resolver = Resolver::start(move |name| match name {
        "a.example.net" => link(name, "b.example.net"),
        "b.example.net" => link(name, "c.example.net"),
        "c.example.net" => link(name, STILL),
        "loop-a.example.net" => link(name, "loop-b.example.net"),
        "loop-b.example.net" => link(name, "loop-a.example.net"),
        _ => Says::Rcode(3),
    })
    .await;
    let rig = rig(&resolver).await;
    carried(&rig, Protocol::Tls, &hello("a.example.net")).await;
    assert_eq!(resolver.asked(), ["a.example.net", "b.example.net", "c.example.net"]);
    let (said, took) = refused(&rig, "loop-a.example.net").await;
    assert_eq!((said.as_slice(), took < AT_ONCE), (&UNRECOGNIZED_NAME[..], true), "{took:?}");
    assert!(resolver.asked().len() <= 3 + 4, "{:?}", resolver.asked());
}

#[tokio::test]
async fn what_is_listed_or_in_our_zones_is_never_asked_for() {
    let resolver = Resolver::start(|name| chain(&[name, STILL], 60)).await;
    let rig = rig(&resolver).await;
    for name in ["nobody.dyn.example.org", "still-ip6only.dyn.example.org", "a.still.dyn.example.org", ZONE, "localhost"] {
        assert_eq!(refused(&rig, name).await.0, UNRECOGNIZED_NAME, "{name}");
    }
    carried(&rig, Protocol::Tls, &hello(STILL)).await;
    assert!(!answer(rig.client(Protocol::Tls, &hello("owncloud.example.org")).await).await.is_empty(), "an answer, if not the home's");
    assert!(resolver.asked().is_empty(), "{:?}", resolver.asked());
}

#[tokio::test]
async fn answers_are_kept_and_so_is_that_there_is_none() {
    let resolver =
        Resolver::start(|name| if name == "a.example.net" { chain(&[name, STILL], 60) } else { chain(&[name, "x.net"], 60) }).await;
    let rig = rig(&resolver).await;
    for _ in 0..5 {
        carried(&rig, Protocol::Tls, &hello("a.example.net")).await;
        assert_eq!(refused(&rig, "b.example.net").await.0, UNRECOGNIZED_NAME);
    }
    assert_eq!(resolver.asked(), ["a.example.net", "b.example.net"]);
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_question() {
    let resolver = Resolver::start(|_| Says::Nothing).await;
    let rig = rig(&resolver).await;
    let refusals = join_all((0..50).map(|_| refused(&rig, "silent.example.net"))).await;
    assert!(refusals.iter().all(|(said, _)| said == &UNRECOGNIZED_NAME));
    assert_eq!(resolver.asked().len(), 2, "one question and its repetition");
}

#[tokio::test]
async fn made_up_names_are_refused_fast_and_cause_few_questions() {
    let resolver = Resolver::start(|name| if name == "good.example.net" { chain(&[name, STILL], 60) } else { Says::Rcode(3) }).await;
    let rig = rig(&resolver).await;
    carried(&rig, Protocol::Tls, &hello("good.example.net")).await;
    let began = Instant::now();
    for round in 0..10 {
        let names: Vec<_> = (0..50).map(|at| format!("r{round}x{at}.example.net")).collect();
        let refusals = join_all(names.iter().map(|name| refused(&rig, name))).await;
        assert!(refusals.iter().all(|(said, took)| said == &UNRECOGNIZED_NAME && *took < AT_ONCE), "{refusals:?}");
    }
    // Twenty at once, and two for each second that it took.
    let most = 20 + 2 * usize::try_from(began.elapsed().as_secs() + 1).expect("few");
    let asked = resolver.asked().len();
    assert!((10..=most).contains(&asked), "{asked} questions, {most} at most, for 500 names in {:?}", began.elapsed());
    carried(&rig, Protocol::Tls, &hello("good.example.net")).await;
    carried(&rig, Protocol::Tls, &hello(STILL)).await;
}

#[tokio::test]
async fn a_silent_resolver_holds_up_nobody_but_those_who_need_it() {
    let resolver = Resolver::start(|_| Says::Nothing).await;
    let rig = rig(&resolver).await;
    let (unlisted, listed) = tokio::join!(refused(&rig, "silent.example.net"), async {
        let began = Instant::now();
        carried(&rig, Protocol::Tls, &hello(STILL)).await;
        began.elapsed()
    });
    assert!(listed < AT_ONCE, "a listed name took {listed:?}");
    assert_eq!(unlisted.0, UNRECOGNIZED_NAME);
    assert!(unlisted.1 < HELLO, "an unlisted one {:?}", unlisted.1);
    let (said, took) = refused(&rig, "silent.example.net").await;
    assert_eq!((said.as_slice(), took < AT_ONCE), (&UNRECOGNIZED_NAME[..], true), "the silence is kept for a moment: {took:?}");
}

#[tokio::test]
async fn a_lookup_takes_no_longer_than_the_hello_may() {
    let resolver = Resolver::start(|_| Says::Nothing).await;
    let mut config = config::Gateway { resolver: vec![resolver.at], ..config() };
    config.timeouts.hello = Duration::from_millis(300);
    let rig = Rig::with(config, Leases::new(Instant::now())).await;
    let (said, took) = refused(&rig, "silent.example.net").await;
    assert_eq!((said.as_slice(), took < AT_ONCE), (&UNRECOGNIZED_NAME[..], true), "{took:?}");
}

#[tokio::test]
async fn without_a_resolver_an_unlisted_name_is_unknown_at_once() {
    let rig = Rig::start().await;
    let (said, took) = refused(&rig, "a.example.net").await;
    assert_eq!((said.as_slice(), took < AT_ONCE), (&UNRECOGNIZED_NAME[..], true), "{took:?}");
}

#[tokio::test]
async fn over_ipv6_an_alias_is_as_little_carried_as_its_host() {
    let resolver = Resolver::start(|name| chain(&[name, STILL], 60)).await;
    let rig = rig(&resolver).await;
    let page = answer(rig.client_v6(Protocol::Http, b"GET / HTTP/1.1\r\nHost: a.example.net\r\n\r\n").await).await;
    assert!(page.starts_with(b"HTTP/1.1 421 "), "{}", page.escape_ascii());
    assert!(within(async { rig.traffic.counts().direct }).await == 1);
}
