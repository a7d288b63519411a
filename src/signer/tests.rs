use std::sync::atomic::{AtomicU32, Ordering};

use fourward_core::dnssec::Unit;
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::HostName;
use fourward_core::policy::Policy;
use tempfile::TempDir;

use super::*;

const ZONE: &str = "dyn.example.org";
const DAY: u32 = 86_400;

fn params() -> ZoneParams {
    ZoneParams {
        zones: vec![ZONE.parse().expect("name")],
        nameservers: vec!["gw.dyn.example.org".parse().expect("name")],
        own_name: "gw.dyn.example.org".parse().expect("name"),
        ipv4: vec![[192, 0, 2, 11].into()],
        ipv6: vec!["2001:db8:a::11".parse().expect("v6")],
        ttl: 60,
        dnssec: true,
    }
}

/// A signer by the clock `now`, and a store with a signed zone of so many hosts.
async fn signed(hosts: usize, now: fn() -> u32) -> (Arc<Signer>, Store, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), Policy::default()).expect("store");
    let signer = Signer::new(params());
    let signer = Arc::new(Signer { now, ..Arc::into_inner(signer).expect("alone") });
    store.finish_by(Arc::clone(&signer) as Arc<dyn Finish>);
    let zone = &signer.params.zones[0];
    store.commit(Change::Serve { zone: zone.clone(), apex: Digest([1; 32]), at: Timestamp::UNIX_EPOCH }).await.expect("served");
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    for at in 0..hosts {
        let host = HostName::new(&format!("h{at}"), zone.clone()).expect("name");
        store.commit(Change::Add { host, edits: Vec::new(), join, update: Digest([2; 32]), reuse: false }).await.expect("added");
    }
    let keys = with_new_key(zone, None, Algorithm::EcdsaP256Sha256, Phase::Active, Timestamp::UNIX_EPOCH).expect("keys");
    store.commit(Change::ZoneKeys { zone: zone.clone(), keys: Some(keys) }).await.expect("keys");
    (signer, store, folder)
}

/// Seconds until the first of all signatures ends.
fn least(state: &State, now: u32) -> u32 {
    let units = state.units_after(&params().zones[0], None, usize::MAX);
    let left = |unit: &Unit| state.signatures(unit).expect("signed").iter().map(|entry| entry.expiration.saturating_sub(now)).min();
    units.iter().filter_map(left).min().expect("signatures")
}

static CLOCK: AtomicU32 = AtomicU32::new(1_800_000_000);

fn clock() -> u32 {
    CLOCK.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn signatures_are_made_anew_within_the_hour_and_each_in_its_time() {
    let (signer, store, _folder) = signed(40, clock).await;
    assert_eq!(least(&store.snapshot(), clock()), 14 * DAY);
    let serial = |store: &Store| store.snapshot().zone(&params().zones[0]).expect("served").serial;
    let end = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&signer).keep_fresh(store.clone(), end.clone()));
    let (mut commits, mut before) = (0, serial(&store));
    // A month, an hour at a time.
    for _ in 0..30 * 24 {
        CLOCK.fetch_add(3_600, Ordering::Relaxed);
        // Paused time runs on while the store's own thread works.
        let began = std::time::Instant::now();
        while !signer.due(&store.snapshot(), store.snapshot().units_after(&params().zones[0], None, usize::MAX)).is_empty() {
            tokio::time::sleep(ROUND).await;
            assert!(began.elapsed() < Duration::from_secs(20), "what is due is signed");
        }
        assert!(least(&store.snapshot(), clock()) > 7 * DAY / 2, "a quarter of their life is left at least");
        commits += usize::from(serial(&store) != before);
        before = serial(&store);
    }
    // 41 units, three times each in a month at most; all at once would be three commits.
    assert!((20..130).contains(&commits), "{commits}: each in its time");
    end.cancel();
    running.await.expect("ends").expect("well");
}

static STILL: fn() -> u32 = || 1_800_000_000;

#[tokio::test]
async fn a_change_signs_what_it_touches_and_nothing_else() {
    let (signer, store, _folder) = signed(10, STILL).await;
    let before = store.snapshot();
    let host = HostName::new("h5", params().zones[0].clone()).expect("name");
    let edits = vec!["ttl=77".parse().expect("an edit")];
    let after = store.commit(Change::Set { host: host.clone(), edits }).await.map(|_| store.snapshot()).expect("set");
    let differs = |unit: &Unit| before.signatures(unit) != after.signatures(unit);
    let units: Vec<Unit> = after.units_after(&params().zones[0], None, 100).into_iter().filter(differs).collect();
    assert_eq!(units, [Unit::Zone(params().zones[0].clone()), Unit::Host(host)]);
    // The start of authority alone, of all that is the zone's own.
    let of = |state: &State| -> Vec<Vec<u8>> {
        state.zone_signatures(&params().zones[0]).expect("signed").iter().map(|entry| entry.signature.to_vec()).collect()
    };
    assert_eq!(of(&before).iter().zip(&of(&after)).filter(|(one, other)| one != other).count(), 1);
    // Nothing is left to do.
    signer.sign_all(&store, || ()).await.expect("signed");
    assert_eq!(store.snapshot().zone(&params().zones[0]), after.zone(&params().zones[0]));
}

#[tokio::test]
async fn a_large_zone_is_signed_piece_by_piece_and_all_of_it() {
    let (signer, store, _folder) = signed(0, STILL).await;
    let zone = &signer.params.zones[0];
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let add = async |at: usize| {
        let host = HostName::new(&format!("h{at}"), zone.clone()).expect("name");
        store.commit(Change::Add { host, edits: Vec::new(), join, update: Digest([2; 32]), reuse: false }).await.expect("added");
    };
    futures_util::future::join_all((0..AT_ONCE).map(add)).await;
    let all = |state: &State| state.units_after(zone, None, usize::MAX);
    let unsigned = |state: &State| signer.due(state, all(state)).len();
    assert_eq!(unsigned(&store.snapshot()), 0, "each with its change");
    // What the configuration says of every name is new, and too much for one commit.
    store.commit(Change::Serve { zone: zone.clone(), apex: Digest([9; 32]), at: Timestamp::UNIX_EPOCH }).await.expect("served");
    let keys = with_new_key(zone, None, Algorithm::Ed25519, Phase::Active, Timestamp::UNIX_EPOCH).expect("keys");
    store.commit(Change::ZoneKeys { zone: zone.clone(), keys: Some(keys) }).await.expect("keys");
    assert_eq!(unsigned(&store.snapshot()), AT_ONCE, "all but the zone's own");
    signer.sign_all(&store, || ()).await.expect("signed");
    assert_eq!(unsigned(&store.snapshot()), 0);
}
