//! Who may take a link over, and how its end is noticed: by goodbye at once, by silence in time, by a restart within a moment.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fourward::agent::register;
use fourward::crypto;
use fourward_core::change::Change;
use fourward_core::lease::LEASE;
use jiff::Timestamp;

use super::puppet::{Puppet, hello};
use super::rig::{NEW, OLD, Server, holds, host, in_namespace, until, within};

#[test]
fn a_goodbye_withdraws_at_once() {
    in_namespace(|| async {
        let server = Server::start().await;
        let agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        agent.process.stop();
        within(Duration::from_secs(5), "withdrawn", || server.published("cloud").is_none()).await;
        within(Duration::from_secs(5), "gone", || server.link("cloud").is_none()).await;
    });
}

#[test]
fn silence_withdraws_when_the_lease_ends_and_not_before() {
    in_namespace(|| async {
        let server = Server::start().await;
        let agent = server.joined("cloud").await.start(&[OLD]);
        let neighbour = server.joined("other").await.start(&[NEW]);
        until("published", || server.published("cloud") == Some(OLD) && server.published("other") == Some(NEW)).await;
        agent.process.kill();
        let end = server.leases.lease(&host("cloud")).expect("lease").until;
        let left = end.saturating_duration_since(std::time::Instant::now());
        assert!(left > LEASE - Duration::from_secs(6), "an echo came lately");
        holds(left - Duration::from_millis(100), "published", || server.published("cloud") == Some(OLD)).await;
        within(Duration::from_millis(600), "withdrawn", || server.published("cloud").is_none()).await;
        assert!(server.link("cloud").is_none(), "the dead link was noticed before");
        assert_eq!(server.published("other"), Some(NEW), "the neighbour lives");
        neighbour.process.stop();
    });
}

#[test]
fn a_second_agent_with_the_same_key_is_a_conflict_while_the_first_answers() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let first = home.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let epoch = server.epoch("cloud");
        let second = home.start(&[NEW]);
        let in_conflict = || server.link("cloud").is_some_and(|link| link.in_conflict(std::time::Instant::now()));
        until("shown", in_conflict).await;
        holds(Duration::from_secs(3), "undisturbed", || server.epoch("cloud") == epoch && server.published("cloud") == Some(OLD)).await;
        first.process.kill();
        second.process.stop();
    });
}

#[test]
fn an_agent_that_died_without_a_word_is_replaced_within_moments() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let first = home.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let epoch = server.epoch("cloud").expect("epoch");
        first.process.kill();
        let _second = home.start(&[NEW]);
        let took = within(Duration::from_secs(5), "taken over", || server.published("cloud") == Some(NEW)).await;
        println!("figure: a new run of the agent takes over from a dead one: {took:?}");
        assert!(server.epoch("cloud").expect("epoch") > epoch);
    });
}

#[test]
fn a_removed_host_s_link_is_ended() {
    in_namespace(|| async {
        let server = Server::start().await;
        let _agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        server.store.commit(Change::Remove { host: host("cloud"), at: Timestamp::now() }).await.expect("removed");
        within(Duration::from_secs(5), "ousted", || server.link("cloud").is_none()).await;
        assert!(server.leases.lease(&host("cloud")).is_none());
        holds(Duration::from_secs(2), "out", || server.link("cloud").is_none()).await;
    });
}

#[test]
fn a_new_join_ends_the_old_agent_and_what_it_proved() {
    in_namespace(|| async {
        let server = Server::start().await;
        let old = server.joined("cloud").await;
        let _agent = old.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let epoch = server.epoch("cloud");
        let join = server.token("cloud").await;
        holds(Duration::from_millis(500), "a new string alone ends nothing", || server.epoch("cloud") == epoch).await;
        let mut new = old.clone();
        new.key = crypto::new_link_key().expect("key");
        register(&join, &new.key).await.expect("joined anew");
        within(Duration::from_secs(5), "ousted", || server.link("cloud").is_none()).await;
        within(Duration::from_secs(5), "withdrawn", || server.published("cloud").is_none()).await;
        let _agent = new.start(&[NEW]);
        until("published", || server.published("cloud") == Some(NEW)).await;
    });
}

#[test]
fn a_newer_link_of_the_same_agent_ends_the_older() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let mut older = Puppet::connect(&home, OLD).await;
        older.say(&hello(1)).await;
        let _ = older.nonce().await;
        let mut newer = Puppet::connect(&home, OLD).await;
        newer.say(&hello(1)).await;
        let _ = newer.nonce().await;
        let reason = older.connection.closed().await;
        assert!(reason.to_string().contains("ousted"), "{reason}");
        assert!(server.link("cloud").is_some(), "the newer one stays");
    });
}

#[test]
fn a_gateway_that_was_killed_has_its_homes_back_within_two_seconds() {
    in_namespace(|| async {
        let mut server = Server::start().await;
        let _agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let serial = server.serial();
        let mut times = Vec::new();
        for killed in [true, true, true, false, false] {
            let epoch = server.epoch("cloud").expect("epoch");
            server = if killed { server.killed_and_restarted(Duration::ZERO).await } else { server.restarted(Duration::ZERO).await };
            assert_eq!(server.published("cloud"), Some(OLD), "kept for one lease");
            let echoed = || server.link("cloud").is_some_and(|link| link.echo.borrow().is_some());
            times.push(within(Duration::from_secs(4), "back", echoed).await);
            assert!(server.epoch("cloud").expect("epoch") > epoch, "newer than before the restart");
        }
        println!("figure: after a restart of the gateway the agent is back and proven in {times:?} (three kills, two stops)");
        assert!(times.iter().all(|took| *took <= Duration::from_secs(5)), "{times:?}");
        assert_eq!(server.serial(), serial, "nothing moved");
    });
}

#[test]
fn a_gateway_that_was_away_for_a_while_is_found_soon_after() {
    in_namespace(|| async {
        let mut server = Server::start().await;
        let _agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let mut times = Vec::new();
        for away in [1_200, 2_500, 4_300, 6_000].map(Duration::from_millis) {
            server = server.killed_and_restarted(away).await;
            let echoed = || server.link("cloud").is_some_and(|link| link.echo.borrow().is_some());
            times.push(within(Duration::from_secs(8), "back", echoed).await);
        }
        println!("figure: once a gateway is up again after 1.2, 2.5, 4.3 and 6 s, the agent is back in {times:?}");
        assert!(times.iter().all(|took| *took <= Duration::from_secs(5)), "{times:?}");
    });
}

#[test]
fn a_home_with_both_families_is_back_over_ipv6_however_long_the_gateway_was_away() {
    in_namespace(|| async {
        let mut server = Server::start().await;
        server.also_over_ipv4(server.address.port()).await;
        let mut home = server.joined("cloud").await;
        home.peer.addresses.push(Ipv4Addr::LOCALHOST.into());
        let _agent = home.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        for away in [0, 200, 400, 600, 800, 1_000, 1_500].map(Duration::from_millis) {
            server = server.restarted(away).await;
            until("linked", || server.link("cloud").is_some()).await;
            assert_eq!(server.link("cloud").expect("link").remote(), IpAddr::V6(OLD), "after {away:?}: over IPv4 nothing is proven");
        }
    });
}

#[test]
fn a_home_that_does_not_come_back_after_a_restart_is_withdrawn_a_lease_later() {
    in_namespace(|| async {
        let server = Server::start().await;
        let agent = server.joined("cloud").await.start(&[OLD]);
        until("published", || server.published("cloud") == Some(OLD)).await;
        let server = {
            let server = server.restarted(Duration::ZERO).await;
            agent.process.kill();
            server
        };
        holds(LEASE - Duration::from_secs(2), "published", || server.published("cloud") == Some(OLD)).await;
        within(LEASE / 2, "withdrawn", || server.published("cloud").is_none()).await;
    });
}
