//! The journal of a real store: a chain that is whole or not there, also after a restart, and never larger than its room.

use std::path::Path;

use fourward_core::change::{Change, Said};
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::HostName;
use fourward_core::policy::Policy;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::store::embedded::Embedded;
use crate::store::{FILE, Store};

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn params() -> ZoneParams {
    let own_name = name("gw.dyn.example.org");
    let (zones, nameservers) = (vec![name("dyn.example.org"), name("home.test")], vec![own_name.clone()]);
    ZoneParams { zones, nameservers, own_name, ipv4: vec![[192, 0, 2, 11].into()], ipv6: Vec::new(), ttl: 60, dnssec: true }
}

fn host(label: &str, zone: &str) -> HostName {
    HostName::new(label, name(zone)).expect("a host")
}

fn add(label: &str, zone: &str) -> Change {
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    let edits = vec!["address-from=update".parse().expect("an edit")];
    Change::Add { host: host(label, zone), edits, join, update: Digest([2; 32]), reuse: false }
}

fn moved(at: u128) -> Change {
    let said = Said::addresses(None, Some((0x2001_0db8_0001_u128 << 80 | at).into()));
    Change::Update { host: host("cloud", "dyn.example.org"), said, at: Timestamp::UNIX_EPOCH }
}

/// A store at `folder` with room for so many bytes of journal, and both zones in it.
async fn open(folder: &Path, limit: u64, params: Option<ZoneParams>) -> Store {
    let path = folder.join(FILE);
    let (mut db, state) = Embedded::open(&path).expect("a store");
    db.limit_journal(limit);
    let store = Store::start(path, db, None, state, Policy::default()).expect("a thread");
    params.into_iter().for_each(|params| store.keep_journal(params));
    for zone in &self::params().zones {
        store.commit(Change::Serve { zone: zone.clone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH }).await.expect("served");
    }
    store
}

fn serial(store: &Store, zone: &str) -> Serial {
    store.snapshot().zone(&name(zone)).expect("served").serial
}

/// Every version from `from` that the journal leads through, read in pieces of 100 bytes; `None` where it does not lead to the newest.
fn way(store: &Store, zone: &str, from: Serial) -> Option<Vec<u32>> {
    let (zone, newest) = (name(zone), serial(store, zone));
    let reaches = store.journal_reaches(&zone, from, newest).expect("readable");
    let (mut at, mut way, mut skip, mut read) = (from, vec![from.0], 0, Vec::<u8>::new());
    while at != newest {
        let Some(piece) = store.journal_piece(&zone, at, skip, 100).expect("readable") else { break };
        assert!(piece.records.len() == 100 || piece.last);
        read.extend(&piece.records);
        skip += piece.records.len();
        if piece.last {
            assert_eq!(store.journal_piece(&zone, at, 0, usize::MAX).expect("readable").expect("there").records, read);
            (at, skip) = (piece.to, 0);
            read.clear();
            way.push(at.0);
        }
    }
    assert_eq!(reaches, at == newest && from != newest, "what is said to lead there does");
    (at == newest).then_some(way)
}

#[tokio::test]
async fn it_leads_from_any_version_to_the_newest_and_survives_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path(), LIMIT, Some(params())).await;
    store.commit(add("cloud", "dyn.example.org")).await.expect("added");
    let first = serial(&store, "dyn.example.org");
    for at in 1..=10 {
        store.commit(moved(at)).await.expect("moved");
        store.commit(add(&format!("h{at}"), "home.test")).await.expect("added");
    }
    let expected: Vec<u32> = (first.0..=first.0 + 10).collect();
    assert_eq!(way(&store, "dyn.example.org", first), Some(expected));
    assert_eq!(way(&store, "dyn.example.org", Serial(first.0 + 7)).map(|way| way.len()), Some(4));
    assert_eq!(way(&store, "dyn.example.org", Serial(first.0 + 11)), None, "nobody had that version");
    drop(store);

    let store = open(folder.path(), LIMIT, Some(params())).await;
    store.commit(moved(11)).await.expect("moved");
    assert_eq!(way(&store, "dyn.example.org", first).map(|way| way.len()), Some(12));
    assert_eq!(way(&store, "home.test", Serial(0)).map(|way| way.len()), Some(11));
    let other = Change::Serve { zone: name("dyn.example.org"), apex: Digest([9; 32]), at: Timestamp::UNIX_EPOCH };
    store.commit(other).await.expect("served");
    assert_eq!(way(&store, "dyn.example.org", first), None, "what the configuration changed is in no entry");
    let cut = serial(&store, "dyn.example.org");
    store.commit(moved(12)).await.expect("moved");
    assert_eq!(way(&store, "dyn.example.org", cut), Some(vec![cut.0, cut.0 + 1]));
    assert_eq!(way(&store, "home.test", Serial(0)).map(|way| way.len()), Some(11), "another zone's is its own");
}

#[tokio::test]
async fn what_nobody_follows_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path(), LIMIT, Some(params())).await;
    store.commit(add("cloud", "dyn.example.org")).await.expect("added");
    let first = serial(&store, "dyn.example.org");
    store.commit(moved(1)).await.expect("moved");
    assert!(way(&store, "dyn.example.org", first).is_some());
    drop(store);

    let store = open(folder.path(), LIMIT, None).await;
    store.commit(moved(2)).await.expect("moved");
    assert_eq!(way(&store, "dyn.example.org", first), None, "also not what was there");
    drop(store);

    let store = open(folder.path(), LIMIT, Some(params())).await;
    let second = serial(&store, "dyn.example.org");
    store.commit(moved(3)).await.expect("moved");
    assert_eq!(way(&store, "dyn.example.org", first), None);
    assert_eq!(way(&store, "dyn.example.org", second), Some(vec![second.0, second.0 + 1]), "a new chain");
}

#[tokio::test]
async fn the_oldest_go_where_there_is_no_more_room() {
    let folder = TempDir::new().expect("a folder");
    let mut store = open(folder.path(), 4_000, Some(params())).await;
    store.commit(add("cloud", "dyn.example.org")).await.expect("added");
    store.commit(add("nas", "home.test")).await.expect("added");
    let (first, other) = (serial(&store, "dyn.example.org"), serial(&store, "home.test"));
    let mut reach = 0;
    for at in 1..=30 {
        if at == 15 {
            drop(store);
            store = open(folder.path(), 4_000, Some(params())).await;
        }
        store.commit(moved(at)).await.expect("moved");
        let newest = serial(&store, "dyn.example.org");
        let oldest = (first.0..newest.0).find(|from| way(&store, "dyn.example.org", Serial(*from)).is_some()).expect("at least the last");
        reach = newest.0 - oldest;
        assert!((first.0..oldest).all(|from| way(&store, "dyn.example.org", Serial(from)).is_none()), "the oldest first");
    }
    assert!((5..20).contains(&reach), "{reach} of 30 steps fit");
    assert!(way(&store, "home.test", Serial(other.0 - 1)).is_some(), "a zone that hardly changes keeps its own");
}
