//! A home is found where it proved to be, there alone, and as soon as it did.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use fourward_core::change::Change;
use fourward_core::lease::LEASE;
use fourward_core::link::{FromAgent, FromGateway};
use jiff::Timestamp;

use super::puppet::{Puppet, hello};
use super::rig::{GATEWAY, NEW, OLD, OTHER, Server, holds, host, in_namespace, until, within};

#[test]
fn a_linked_home_is_published_and_stays_without_touching_the_zone() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let before = server.serial();
        let agent = home.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        assert_eq!(server.serial(), before.next());
        let lease = || server.leases.lease(&host("cloud")).expect("lease").until;
        let first = lease();
        until("renewed", || lease() > first + Duration::from_secs(4)).await;
        assert_eq!(server.serial(), before.next(), "a renewal is no change of the zone");
        assert!(!*server.link("cloud").expect("link").silent.borrow());
        agent.process.stop();
    });
}

#[test]
fn a_move_is_one_change_on_the_same_link() {
    in_namespace(|| async {
        let server = Server::start().await;
        let agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let (epoch, mut changes) = (server.epoch("cloud"), server.store.changes());
        let mut times = Vec::new();
        for round in 0..10 {
            let (old, new) = if round % 2 == 0 { (OLD, NEW) } else { (NEW, OLD) };
            let before = server.serial();
            agent.has(&[old, new]);
            times.push(until("moved", || server.published("cloud") == Some(new)).await);
            assert_eq!(server.serial(), before.next(), "one change");
            assert_eq!(server.epoch("cloud"), epoch, "QUIC's own migration, no new link");
            assert_eq!(server.link("cloud").expect("link").remote(), IpAddr::V6(new));
        }
        while let Ok(change) = changes.try_recv() {
            assert!(change.state.host(&host("cloud")).expect("cloud").home().is_some(), "never away in between");
        }
        times.sort();
        println!("figure: from the new address to the commit: median {:?}, worst {:?}", times[5], times[9]);
        assert!(times[9] < Duration::from_secs(5), "{times:?}");
    });
}

#[test]
fn a_home_without_an_address_is_linked_and_not_published() {
    in_namespace(|| async {
        let server = Server::start().await;
        let agent = server.joined("cloud").await.start(&[]);
        until("linked", || server.link("cloud").is_some()).await;
        until("heard", || server.link("cloud").is_some_and(|link| link.heard.borrow().is_some())).await;
        assert_eq!(server.published("cloud"), None);
        agent.has(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        agent.has(&[]);
        let took = within(Duration::from_secs(5), "withdrawn", || server.published("cloud").is_none()).await;
        println!("figure: from the last address gone to the withdrawal: {took:?}");
        until("linked still", || server.link("cloud").is_some_and(|link| link.heard.borrow().is_some())).await;
    });
}

#[test]
fn over_ipv4_a_home_is_linked_and_nothing_is_proven() {
    in_namespace(|| async {
        let server = Server::start().await;
        let port = server.also_over_ipv4(0).await;
        let _agent = server.joined("cloud").await.over(Ipv4Addr::LOCALHOST.into(), port).start(&[OLD]);
        until("heard", || server.link("cloud").is_some_and(|link| link.heard.borrow().is_some())).await;
        assert_eq!(server.link("cloud").expect("link").remote(), IpAddr::V6(OTHER));
        holds(Duration::from_secs(6), "away", || server.published("cloud").is_none()).await;
    });
}

#[test]
fn a_claim_is_doubted_twice_before_the_agent_is_told() {
    in_namespace(|| async {
        let server = Server::start().await;
        let mut puppet = Puppet::connect(&server.joined("cloud").await, OLD).await;
        puppet.say(&hello(1)).await;
        for _ in 0..2 {
            let nonce = puppet.nonce().await;
            puppet.say(&FromAgent::Echo { nonce, claim: Some(OTHER) }).await;
        }
        let told = puppet.hear().await;
        assert_eq!(told, FromGateway::Unproven { claim: OTHER, seen: OLD.into() });
        assert_eq!(server.published("cloud"), None);
    });
}

#[test]
fn a_claim_that_is_proven_again_is_said_to_be_also_where_nothing_moved() {
    in_namespace(|| async {
        let server = Server::start().await;
        let mut puppet = Puppet::connect(&server.joined("cloud").await, OLD).await;
        puppet.say(&hello(1)).await;
        let proven = FromGateway::Proven { address: OLD };
        answer_until(&mut puppet, OLD, &proven).await;
        let serial = server.serial();
        for _ in 0..2 {
            answer_until(&mut puppet, OTHER, &FromGateway::Unproven { claim: OTHER, seen: OLD.into() }).await;
            answer_until(&mut puppet, OLD, &proven).await;
        }
        assert_eq!(server.serial(), serial);
        // Nor does it stay where the link has no word any more.
        answer_until(&mut puppet, OTHER, &FromGateway::Unproven { claim: OTHER, seen: OLD.into() }).await;
        let edits = ["address-from=static", "address=2001:db8:9::9"].map(|edit| edit.parse().expect("edit")).to_vec();
        server.store.commit(Change::Set { host: host("cloud"), edits }).await.expect("set");
        answer_until(&mut puppet, OLD, &proven).await;
    });
}

/// Answers nonces with `claim` until the gateway says `word`.
async fn answer_until(puppet: &mut Puppet, claim: Ipv6Addr, word: &FromGateway) {
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < LEASE, "it is not said: {word:?}");
        match puppet.hear().await {
            FromGateway::Nonce { nonce } => puppet.say(&FromAgent::Echo { nonce, claim: Some(claim) }).await,
            said if said == *word => return,
            FromGateway::Welcome { .. } => {}
            other => panic!("{other:?} instead of {word:?}"),
        }
    }
}

#[test]
fn what_only_a_later_agent_says_is_passed_over_and_slowed() {
    in_namespace(|| async {
        let server = Server::start().await;
        let mut puppet = Puppet::connect(&server.joined("cloud").await, OLD).await;
        puppet.say(&hello(1)).await;
        puppet.say_unknown().await;
        answer_until(&mut puppet, OLD, &FromGateway::Proven { address: OLD }).await;
        // As many as are borne at once, and more: what comes behind them waits for its turn.
        for _ in 0..70 {
            puppet.say_unknown().await;
        }
        let since = Instant::now();
        puppet.say(&FromAgent::Lost).await;
        let took = until("heard", || server.published("cloud").is_none()).await;
        assert!(since.elapsed() > Duration::from_secs(2), "not slowed: {took:?}");
        assert!(server.link("cloud").is_some());
    });
}

#[test]
fn the_gateway_s_own_address_is_no_home() {
    in_namespace(|| async {
        let server = Server::start().await;
        let mut puppet = Puppet::connect(&server.joined("cloud").await, GATEWAY).await;
        puppet.say(&hello(1)).await;
        let nonce = puppet.nonce().await;
        puppet.say(&FromAgent::Echo { nonce, claim: Some(GATEWAY) }).await;
        let FromGateway::Forbidden { claim, reason } = puppet.hear().await else { panic!("not told") };
        assert!(claim == GATEWAY && reason.contains("own address"), "{reason}");
        assert_eq!(server.published("cloud"), None);
    });
}

#[test]
fn a_made_up_sender_proves_nothing() {
    in_namespace(|| async {
        let server = Server::start().await;
        // It is at OTHER, and wants to be published at OLD, which is somebody else's: what is sent there it never sees.
        let mut puppet = Puppet::masked(&server.joined("cloud").await, OTHER, OLD).await;
        puppet.say(&hello(1)).await;
        let first = puppet.nonce().await;
        puppet.say(&FromAgent::Echo { nonce: first, claim: None }).await;
        let begun = Instant::now();
        let mut learnt = 0;
        while begun.elapsed() < Duration::from_secs(6) {
            puppet.say_masked(&FromAgent::Moved { claim: OLD }).await;
            // Back, so that the nonce which was lost is sent again, to where it can be read.
            puppet.mask(false);
            puppet.say(&FromAgent::Echo { nonce: 0, claim: None }).await;
            let Ok(nonce) = tokio::time::timeout(Duration::from_secs(2), puppet.nonce()).await else { continue };
            let mut heard = server.link("cloud").expect("linked").heard.subscribe();
            puppet.say_masked(&FromAgent::Echo { nonce, claim: Some(OLD) }).await;
            // A nonce that is too old by now is not judged.
            let judged = tokio::time::timeout(Duration::from_secs(1), heard.changed()).await;
            learnt += usize::from(judged.is_ok());
            assert_eq!(server.published("cloud"), None, "after {learnt} nonces");
        }
        assert!(learnt >= 3, "the attack was not tried: {learnt} nonces");
    });
}

#[test]
fn an_agent_that_never_settles_is_slowed_and_harms_nobody_else() {
    in_namespace(|| async {
        let server = Server::start().await;
        let good = server.joined("good").await.start(&[NEW]);
        until("published", || server.published("good") == Some(NEW)).await;
        let before = server.serial().0;
        let mut puppet = Puppet::connect(&server.joined("mad").await, OLD).await;
        puppet.say(&hello(1)).await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let message = match tokio::time::timeout(Duration::from_millis(300), puppet.hear()).await {
                Ok(FromGateway::Nonce { nonce }) => FromAgent::Echo { nonce, claim: Some(OLD) },
                Ok(FromGateway::Proven { .. }) => FromAgent::Lost,
                _ => FromAgent::Moved { claim: OLD },
            };
            puppet.say(&message).await;
            puppet.say(&FromAgent::Moved { claim: OLD }).await;
        }
        let changes = server.serial().0.wrapping_sub(before);
        assert!((10..=90).contains(&changes), "{changes} versions of the zone");
        agent_is_fine(&server).await;
        good.process.stop();
    });
}

async fn agent_is_fine(server: &Server) {
    assert_eq!(server.published("good"), Some(NEW));
    let link = server.link("good").expect("link");
    let asked = Instant::now();
    link.ask.notify_one();
    within(Duration::from_secs(5), "an echo", || link.heard.borrow().is_some_and(|heard| heard > asked)).await;
}

#[test]
fn an_address_given_back_to_the_link_is_published_again() {
    in_namespace(|| async {
        let server = Server::start().await;
        let _agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let set = async |edits: &[&str]| {
            let edits = edits.iter().map(|edit| edit.parse().expect("edit")).collect();
            server.store.commit(Change::Set { host: host("cloud"), edits }).await.expect("set");
        };
        set(&["address-from=static", "address=2001:db8:9::9"]).await;
        assert_eq!(server.published("cloud"), "2001:db8:9::9".parse().ok());
        set(&["address-from=link", "address="]).await;
        within(Duration::from_secs(6), "published again", || server.published("cloud") == Some(OLD)).await;
        let at = server.store.snapshot().host(&host("cloud")).and_then(|host| host.proven).expect("proven").since;
        assert!(at <= Timestamp::now());
    });
}
