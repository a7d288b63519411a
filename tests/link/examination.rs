//! What the two ends of a link tell each other for `fourward check`, and that those of before are left in peace.

use std::time::{Duration, Instant};

use fourward::examination::ask;
use fourward_core::facts::{Connect, Dial, EXAMINES, Listens, Own};
use fourward_core::link::{FromAgent, FromGateway, Service};

use super::puppet::{Puppet, hello};
use super::rig::{OLD, Server, in_namespace, until};

/// For what must not come.
const WHILE: Duration = Duration::from_secs(3);

#[test]
fn a_home_says_what_it_knows_and_hears_what_the_gateway_finds() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let running = home.start(&[OLD]);
        until("the address is published", || server.published("cloud") == Some(OLD)).await;
        let presence = server.link("cloud").expect("linked");
        let examined = ask(&presence).await.expect("an answer");
        assert_eq!((examined.home.claim, examined.home.linked), (Some(OLD), true));
        assert_eq!(examined.home.services, [443, 80].map(|port| Own { port, listens: Some(Listens::No) }));
        assert_eq!(examined.dials, [443, 80].map(|port| Dial { port, outcome: Some(Connect::Refused), returned: false }));
        assert!(examined.home.burst.is_some_and(|burst| !burst.stopped_here()));
        running.process.stop();
        server.stop();
    });
}

#[test]
fn an_agent_of_before_is_asked_nothing_new() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let mut puppet = Puppet::connect(&home, OLD).await;
        puppet.say(&hello(1)).await;
        let FromGateway::Welcome { can, .. } = puppet.hear().await else { panic!("no welcome") };
        assert_eq!(can, [EXAMINES]);
        let presence = server.link("cloud").expect("linked");
        assert!(ask(&presence).await.is_none());
        let nonce = puppet.nonce().await;
        puppet.say(&FromAgent::Echo { nonce, claim: Some(OLD) }).await;
        until("the address is published", || server.published("cloud") == Some(OLD)).await;
        server.stop();
    });
}

#[test]
fn an_agent_that_asks_all_the_time_is_slowed() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        let mut puppet = Puppet::connect(&home, OLD).await;
        puppet
            .say(&FromAgent::Hello { version: "test".into(), instance: 1, services: Service::defaults(), can: vec![EXAMINES.into()] })
            .await;
        let nonce = puppet.nonce().await;
        puppet.say(&FromAgent::Echo { nonce, claim: Some(OLD) }).await;
        until("the address is published", || server.published("cloud") == Some(OLD)).await;
        for _ in 0..100 {
            puppet.say(&FromAgent::Probe).await;
        }
        let (since, mut answers) = (Instant::now(), 0);
        while let Ok(message) = tokio::time::timeout(WHILE.saturating_sub(since.elapsed()), puppet.hear()).await {
            answers += usize::from(matches!(message, FromGateway::Probed(_)));
        }
        assert!((1..=20).contains(&answers), "{answers} answers to 100 questions in {WHILE:?}");
        server.stop();
    });
}
