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
    assert_eq!(least(&store.snapshot(), clock()), 28 * DAY);
    let serial = |store: &Store| store.snapshot().zone(&params().zones[0]).expect("served").serial;
    let end = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&signer).keep_fresh(store.clone(), end.clone()));
    let (mut commits, mut before) = (0, serial(&store));
    // Two months, some hours at a time; nobody sets the clock.
    for _ in 0..60 * 4 {
        CLOCK.fetch_add(6 * 3_600, Ordering::Relaxed);
        tokio::time::sleep(ROUND * 6).await;
        // Paused time runs on while the store's own thread works.
        let began = std::time::Instant::now();
        while !signer.due(&store.snapshot(), store.snapshot().units_after(&params().zones[0], None, usize::MAX)).is_empty() {
            tokio::time::sleep(ROUND).await;
            assert!(began.elapsed() < Duration::from_secs(20), "what is due is signed");
        }
        assert!(least(&store.snapshot(), clock()) > 7 * DAY - 6 * 3_600, "a quarter of their life is left at least");
        commits += usize::from(serial(&store) != before);
        before = serial(&store);
    }
    // 41 units, some three times each; all at once would be three commits.
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

#[tokio::test]
async fn what_shows_nowhere_makes_no_signature_anew_under_the_same_version() {
    static LATER: AtomicU32 = AtomicU32::new(1_800_000_000);
    let (_signer, store, _folder) = signed(3, || LATER.load(Ordering::Relaxed)).await;
    let before = store.snapshot();
    // Older than it may become.
    LATER.fetch_add(25 * DAY, Ordering::Relaxed);
    let host = HostName::new("h1", params().zones[0].clone()).expect("name");
    let set = |edit: &str| Change::Set { host: host.clone(), edits: vec![edit.parse().expect("an edit")] };
    store.commit(set("deny=192.0.2.0/24")).await.expect("set");
    let after = store.snapshot();
    assert_eq!(before.zone(&params().zones[0]), after.zone(&params().zones[0]), "nobody sees it");
    let unit = Unit::Host(host.clone());
    assert_eq!(before.signatures(&unit), after.signatures(&unit));
    store.commit(set("ttl=77")).await.expect("set");
    assert_ne!(before.signatures(&unit), store.snapshot().signatures(&unit), "and what is seen is signed anew");
}

#[tokio::test]
async fn what_a_clock_signed_that_was_ahead_is_signed_anew() {
    static WRONG: AtomicU32 = AtomicU32::new(1_900_000_000);
    let (signer, store, _folder) = signed(3, || WRONG.load(Ordering::Relaxed)).await;
    let all = |state: &State| state.units_after(&params().zones[0], None, usize::MAX);
    assert_eq!(signer.due(&store.snapshot(), all(&store.snapshot())), []);
    WRONG.store(1_800_000_000, Ordering::Relaxed);
    assert_eq!(signer.due(&store.snapshot(), all(&store.snapshot())).len(), 4);
    signer.sign_all(&store, || ()).await.expect("signed");
    assert_eq!(least(&store.snapshot(), 1_800_000_000), 28 * DAY);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_is_noticed() {
    let mut clock = Clock { wall: 1_000_000, at: Instant::now() };
    let mut after = async |seconds: u64, wall: u32| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        clock.leaps_to(wall)
    };
    assert!(!after(60, 1_000_060).await);
    assert!(!after(3_600, 1_003_700).await, "a clock may be a little off");
    assert!(after(60, 1_010_000).await);
    assert!(after(60, 1_000_000).await, "backwards");
    assert!(!after(60, 1_000_060).await);
}

#[tokio::test]
async fn a_round_of_many_small_zones_takes_an_hour() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), Policy::default()).expect("store");
    let zones: Vec<DnsName> = (0..60).map(|at| format!("z{at}.example.org").parse().expect("name")).collect();
    for zone in &zones {
        store.commit(Change::Serve { zone: zone.clone(), apex: Digest([1; 32]), at: Timestamp::UNIX_EPOCH }).await.expect("served");
    }
    let signer = Signer::new(ZoneParams { zones, ..params() });
    let (mut cursor, mut steps) = (Cursor::default(), 0);
    while signer.step(&store, &mut cursor, BATCH).await.expect("a step").is_some() {
        steps += 1;
    }
    assert_eq!(steps, 60, "one for each, and none for nothing");
    assert!(signer.rest(&store.snapshot()) * steps <= ROUND);
}
