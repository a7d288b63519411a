//! A join string is good for one home, once, and not for long; and a home takes no other gateway for its own.

use fourward::agent::{RegisterError, register};
use fourward::crypto;
use fourward_core::change::Change;
use fourward_core::host::Digest;
use fourward_core::join::Secret;
use fourward_core::link::{FromAgent, FromGateway};
use jiff::{SignedDuration, Timestamp};

use super::puppet::{Puppet, hello};
use super::rig::{OLD, Server, host, in_namespace};

fn reason(outcome: Result<impl Sized, RegisterError>) -> String {
    match outcome {
        Err(RegisterError::Refused(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[test]
fn a_join_string_is_good_for_one_home_which_may_come_again() {
    in_namespace(|| async {
        let server = Server::start().await;
        let join = server.add("cloud", SignedDuration::from_hours(1)).await;
        let (key, other) = (crypto::new_link_key().expect("key"), crypto::new_link_key().expect("key"));
        let registered = register(&join, &key).await.expect("registered");
        assert_eq!((registered.dual.as_str(), registered.twin.as_str()), ("cloud.dyn.example.org", "cloud-ip6only.dyn.example.org"));
        assert_eq!(register(&join, &key).await.expect("the first answer may have been lost"), registered);
        assert!(reason(register(&join, &other).await).contains("used already"));
        let state = server.store.snapshot();
        assert_eq!(state.agent(&crypto::pin_of(&crypto::raw_key(&key).expect("key"))), Some(&host("cloud")));
        assert_eq!(state.agent(&crypto::pin_of(&crypto::raw_key(&other).expect("key"))), None);
        server.stop();
    });
}

#[test]
fn a_join_string_that_is_old_altered_or_for_nobody_is_refused() {
    in_namespace(|| async {
        let server = Server::start().await;
        let key = crypto::new_link_key().expect("key");
        let old = server.add("old", SignedDuration::from_secs(-1)).await;
        assert!(reason(register(&old, &key).await).contains("ended on"));
        let mut altered = server.add("cloud", SignedDuration::from_hours(1)).await;
        let good = altered.clone();
        altered.secret = Secret::new([7; 32]);
        assert!(reason(register(&altered, &key).await).contains("does not fit"));
        let mut nobody = good.clone();
        nobody.host = "nobody.dyn.example.org".parse().expect("name");
        assert!(reason(register(&nobody, &key).await).contains("there is no host nobody"));
        nobody.host = "cloud.example.net".parse().expect("name");
        assert!(reason(register(&nobody, &key).await).contains("there is no host cloud.example.net"));
        let newer = server.token("cloud").await;
        assert!(reason(register(&good, &key).await).contains("replaced by a newer one"));
        register(&newer, &key).await.expect("nothing of all that used the string up");
        let other = server.add("other", SignedDuration::from_hours(1)).await;
        assert!(reason(register(&other, &key).await).contains("already speaks for cloud"), "a key speaks for one host");
    });
}

#[test]
fn a_gateway_with_another_key_gets_no_word() {
    in_namespace(|| async {
        let server = Server::start().await;
        let mut join = server.add("cloud", SignedDuration::from_hours(1)).await;
        join.gateways[0].pins = vec![Digest([7; 32])];
        let outcome = register(&join, &crypto::new_link_key().expect("key")).await;
        assert!(matches!(outcome, Err(RegisterError::Dial(_))), "{outcome:?}");
        let joined = server.store.snapshot().host(&host("cloud")).expect("cloud").credentials.join;
        assert_eq!(joined.spent_by, None, "the secret did not leave the home");
    });
}

#[test]
fn a_key_that_nobody_registered_is_refused() {
    in_namespace(|| async {
        let server = Server::start().await;
        let mut home = server.joined("cloud").await;
        home.key = crypto::new_link_key().expect("key");
        let mut puppet = Puppet::connect(&home, OLD).await;
        puppet.say(&hello(1)).await;
        let FromGateway::Refused { reason, again } = puppet.hear().await else { panic!("let in") };
        assert!(reason.contains("does not know the key") && !again, "{reason}");
        assert!(server.link("cloud").is_none());
    });
}

#[test]
fn a_removed_host_s_key_is_good_for_nothing_even_if_the_name_comes_back() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        server.store.commit(Change::Remove { host: host("cloud"), at: Timestamp::now() }).await.expect("removed");
        let join = fourward_core::host::JoinSecret { secret: Digest([1; 32]), expires: Timestamp::now(), spent_by: None };
        let again = Change::Add { host: host("cloud"), edits: vec![], join, update: Digest([2; 32]), reuse: true };
        server.store.commit(again).await.expect("given out again");
        let mut puppet = Puppet::connect(&home, OLD).await;
        puppet.say(&hello(1)).await;
        assert!(matches!(puppet.hear().await, FromGateway::Refused { .. }));
    });
}

#[test]
fn who_begins_with_another_message_is_shut_out() {
    in_namespace(|| async {
        let server = Server::start().await;
        let home = server.joined("cloud").await;
        for first in [FromAgent::Goodbye, FromAgent::Lost, FromAgent::Echo { nonce: 1, claim: Some(OLD) }, FromAgent::Moved { claim: OLD }]
        {
            let mut puppet = Puppet::connect(&home, OLD).await;
            puppet.say(&first).await;
            puppet.is_shut_out().await;
        }
        assert_eq!(server.published("cloud"), None);
    });
}
