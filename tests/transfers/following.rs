//! Secondaries follow a thousand changes in a row, and what they missed while they were away.

use super::primary::{Primary, secondary};
use super::secondaries::{Follower, Make, free};
use super::{KEY, ZONE};

/// Both have the same zone, down to the last signature.
async fn are_equal(primary: &Primary, follower: &Follower) {
    follower.has(primary.serial().0).await;
    let (ours, theirs) = (primary.zone(), follower.zone());
    assert!(ours.len() > 20 && ours.iter().any(|record| record.contains(" RRSIG ")), "{ours:?}");
    let only =
        |one: &[String], other: &[String]| one.iter().filter(|record| !other.contains(record)).cloned().collect::<Vec<_>>().join("\n");
    assert!(ours == theirs, "only ours:\n{}\nonly theirs:\n{}\n{}", only(&ours, &theirs), only(&theirs, &ours), follower.log());
}

async fn follows(make: Make) {
    let address = free();
    let primary = Primary::start(vec![secondary(address, Some(KEY))]).await;
    let mut follower = Follower::start(make, address, primary.address).await;
    are_equal(&primary, &follower).await;
    let [whole, ..] = primary.given();

    primary.churn(0, 1_000).await;
    are_equal(&primary, &follower).await;
    let [whole_then, steps, _] = primary.given();
    // Our own look at the zone is one of them.
    assert_eq!(whole_then - whole, 1, "{make:?} took the zone as a whole when it knew a version of it:\n{}", follower.log());
    assert!(steps >= 2, "{make:?} followed in {steps} steps");

    // Away while the journal reaches.
    follower.freeze();
    primary.churn(1_000, 300).await;
    follower.go_on();
    are_equal(&primary, &follower).await;
    let [whole_after, steps_after, _] = primary.given();
    assert!(whole_after - whole_then == 1 && steps_after > steps, "{make:?} caught up step by step:\n{}", follower.log());

    // Not running at all.
    follower.stop();
    primary.churn(1_300, 100).await;
    follower.start_again();
    are_equal(&primary, &follower).await;

    // Away while it does not.
    let [whole_before, ..] = primary.given();
    follower.freeze();
    primary.churn(1_400, 10).await;
    primary.reconfigure(1).await;
    primary.churn(1_410, 10).await;
    follower.go_on();
    are_equal(&primary, &follower).await;
    let [whole_last, ..] = primary.given();
    assert!(whole_last - whole_before >= 2, "{make:?} took the whole zone, and so did we:\n{}", follower.log());
    assert_eq!(primary.meter().broken(), 0);
    assert!(!follower.log().contains("malformed"), "{ZONE}:\n{}", follower.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nsd_follows() {
    follows(Make::Nsd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_follows() {
    follows(Make::Knot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_follows() {
    follows(Make::Bind).await;
}
