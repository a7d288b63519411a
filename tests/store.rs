//! The store on real files: what was acknowledged survives a kill, and what is not understood is refused and left alone.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, its helpers too

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use fourward::store::{CommitError, Store, StoreError};
use fourward_core::change::{Change, Identity, Key, Refused};
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::{AddressPolicy, Policy};
use fourward_core::state::State;
use jiff::Timestamp;
use proptest::prelude::*;
use redb::{Database, TableDefinition, WriteTransaction};
use tempfile::TempDir;
use tokio::sync::broadcast::error::TryRecvError;

/// Tells a copy of this test binary that it is the one to suffer, and where its store is.
const VICTIM: &str = "FOURWARD_TEST_VICTIM";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HOSTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("hosts");

fn zone() -> DnsName {
    "dyn.example.org".parse().expect("zone")
}

fn host(label: &str) -> HostName {
    HostName::new(label, zone()).expect("host")
}

fn serve() -> Change {
    Change::Serve { zone: zone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH }
}

fn add(label: &str) -> Change {
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    Change::Add { host: host(label), edits: vec![], join, update: Digest([2; 32]), reuse: false }
}

fn home(label: &str, last: u16) -> Change {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last);
    Change::Move { host: host(label), address, at: Timestamp::UNIX_EPOCH }
}

fn identify() -> Change {
    Change::Identify(Identity { link_key: vec![1; 48], reset_key: [2; 32], certificate_key: vec![3; 48] })
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, Policy::default())
}

fn file_in(dir: &Path) -> PathBuf {
    dir.join("store.redb")
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("dir");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8")).collect();
    names.sort();
    names
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("runtime")
}

#[test]
fn an_absent_store_is_made_for_its_owner_alone() {
    let dir = TempDir::new().expect("dir");
    let state = dir.path().join("state");
    let store = open(&state).expect("created");
    assert_eq!(*store.snapshot(), State::default());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&state) & 0o027, 0, "the group reads the directory at most, strangers do nothing there");
    assert_eq!((mode(&file_in(&state)), mode(&state.join("lock"))), (0o600, 0o600));
    assert_eq!(names_in(&state), ["lock", "store.redb"]);
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_done_again() {
    let dir = TempDir::new().expect("dir");
    fs::write(dir.path().join("store.redb.new"), b"redb half a fi").expect("written");
    open(dir.path()).expect("created").commit(serve()).await.expect("served");
    assert_eq!(names_in(dir.path()), ["lock", "store.redb"]);
    assert!(open(dir.path()).expect("opened").snapshot().zone(&zone()).is_some());
}

#[tokio::test]
async fn two_opens_of_one_directory_do_not_meet() {
    let dir = TempDir::new().expect("dir");
    let store = open(dir.path()).expect("opened");
    let Err(error) = open(dir.path()) else { panic!("opened twice") };
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {};", std::process::id())), "{error}");
    store.commit(serve()).await.expect("the first is not disturbed");
    let clone = store.clone();
    drop(store);
    assert!(open(dir.path()).is_err(), "a clone still has it");
    drop(clone);
    open(dir.path()).expect("free again at once");
}

#[test]
fn a_process_id_left_behind_is_no_lock() {
    let dir = TempDir::new().expect("dir");
    fs::write(dir.path().join("lock"), format!("{}\nand more", std::process::id())).expect("written");
    let _store = open(dir.path()).expect("opened");
    assert_eq!(fs::read_to_string(dir.path().join("lock")).expect("lock"), format!("{}\n", std::process::id()));
}

#[tokio::test]
async fn listeners_hear_every_change_in_order_and_watchers_the_last() {
    let dir = TempDir::new().expect("dir");
    let store = open(dir.path()).expect("opened");
    let (mut watch, mut news) = (store.watch(), store.changes());
    store.commit(serve()).await.expect("served");
    store.commit(add("a")).await.expect("added");
    for last in 1..=50 {
        store.commit(home("a", last)).await.expect("moved");
    }
    assert!(matches!(store.commit(add("a")).await, Err(CommitError::Refused(Refused::Exists(_)))));
    store.commit(home("a", 50)).await.expect("unchanged");
    assert_eq!(*news.recv().await.expect("served").touched, [Key::Zone(zone())]);
    assert_eq!(*news.recv().await.expect("added").touched, [Key::Host(host("a")), Key::Zone(zone())]);
    for last in 1..=50 {
        let committed = news.recv().await.expect("moved");
        assert_eq!(*committed.touched, [Key::Host(host("a")), Key::Zone(zone())]);
        assert_eq!(committed.state.host(&host("a")).expect("a").home().expect("home").segments()[7], last);
    }
    assert!(matches!(news.try_recv(), Err(TryRecvError::Empty)), "what changed nothing is no news");
    assert!(Arc::ptr_eq(&watch.borrow_and_update(), &store.snapshot()));
    drop(store);
    assert!(watch.changed().await.is_err() && news.recv().await.is_err(), "closed with the store");
}

#[tokio::test]
async fn a_slow_listener_is_told_that_it_missed_something() {
    let dir = TempDir::new().expect("dir");
    let store = open(dir.path()).expect("opened");
    let mut news = store.changes();
    for change in [serve(), add("a")].into_iter().chain((1..300).map(|last| home("a", last))) {
        store.commit(change).await.expect("committed");
    }
    assert!(matches!(news.try_recv(), Err(TryRecvError::Lagged(_))));
}

#[tokio::test]
async fn a_new_policy_judges_from_then_on() {
    let dir = TempDir::new().expect("dir");
    let store = open(dir.path()).expect("opened");
    store.commit(serve()).await.expect("served");
    store.commit(add("a")).await.expect("added");
    let local = Change::Move { host: host("a"), address: Ipv6Addr::LOCALHOST, at: Timestamp::UNIX_EPOCH };
    assert!(matches!(store.commit(local.clone()).await, Err(CommitError::Refused(Refused::Address(_)))));
    store.set_policy(Policy { addresses: AddressPolicy::on_loopback(), own_names: vec![], own_ports: vec![] });
    store.commit(local).await.expect("permitted");
    assert_eq!(store.policy().addresses, AddressPolicy::on_loopback());
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return commit_until_killed(Path::new(&dir));
    }
    let dir = TempDir::new().expect("dir");
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        let mut child = victim("what_was_acknowledged_survives_a_kill", dir.path());
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        // After another number of answers each time; the scheduler adds its own.
        let (before, enough) = (acknowledged.len(), (round * 7) % 40 + 1);
        let mut killed = false;
        // What was printed before the kill is still read after it; of the last line there may be half.
        for line in lines.map_while(Result::ok) {
            acknowledged.extend(line.strip_prefix("acknowledged ").and_then(|rest| rest.strip_suffix('.')?.parse::<u32>().ok()));
            if acknowledged.len() - before >= enough && !killed {
                child.kill().expect("killed");
                killed = true;
            }
        }
        child.wait().expect("ended");
        assert!(killed, "round {round}: the child ended by itself");
        let state = open(dir.path()).expect("opens after a kill").snapshot();
        let lost: Vec<_> = acknowledged.iter().filter(|n| state.host(&host(&format!("h{n}"))).is_none()).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?} of {}", acknowledged.len());
    }
}

/// Commits in four tasks and prints each acknowledged number.
fn commit_until_killed(dir: &Path) {
    runtime().block_on(async {
        let store = open(dir).expect("opened");
        store.commit(serve()).await.expect("served");
        let taken = store.snapshot();
        let first = (0..).find(|n| (*n..*n + 8).all(|n| taken.host(&host(&format!("h{n}"))).is_none())).expect("room");
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..4u32 {
            let store = store.clone();
            tasks.spawn(async move {
                for n in (first + lane..).step_by(4) {
                    match store.commit(add(&format!("h{n}"))).await {
                        // The lanes were not equally far when they were killed.
                        Ok(_) | Err(CommitError::Refused(Refused::Exists(_))) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let mut out = std::io::stdout().lock();
                    // A line of its own, whatever the test harness has printed before it.
                    write!(out, "\nacknowledged {n}.\n").and_then(|()| out.flush()).expect("the parent listens");
                }
            });
        }
        tasks.join_all().await
    });
}

fn victim(test: &str, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", test, "--nocapture"]).env(VICTIM, dir).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("child")
}

#[test]
fn a_full_disk_stops_the_store_and_loses_nothing() {
    const NAME: &str = "a_full_disk_stops_the_store_and_loses_nothing";
    if let Some(dir) = std::env::var_os(VICTIM) {
        return commit_until_stopped(Path::new(&dir));
    }
    let dir = TempDir::new().expect("dir");
    runtime().block_on(async { open(dir.path()).expect("created").commit(serve()).await.map(drop) }).expect("served");
    let blocks = fs::metadata(file_in(dir.path())).expect("file").len().div_ceil(512);
    // The kernel lets no file grow beyond the limit; the signal that comes with it is ignored, so that the write fails.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact {NAME} --nocapture");
    let this = std::env::current_exe().expect("this binary");
    let child = Command::new("sh").args(["-c", &script]).arg(this).env(VICTIM, dir.path()).output().expect("child");
    let (out, error) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}{error}");
    let stopped_after = out.lines().find_map(|line| line.strip_prefix("stopped after ")?.parse::<usize>().ok());
    let count = stopped_after.unwrap_or_else(|| panic!("{out}"));
    assert!(count > 0, "the limit left no room at all");
    let state = open(dir.path()).expect("opens again").snapshot();
    assert!((0..count).all(|n| state.host(&host(&format!("h{n}"))).is_some()), "every one of the {count} is there");
}

/// Commits until the disk refuses, and looks at what everybody sees then.
fn commit_until_stopped(dir: &Path) {
    runtime().block_on(async {
        let store = open(dir).expect("opened");
        for n in 0.. {
            let before = store.snapshot();
            let Err(error) = store.commit(add(&format!("h{n}"))).await else { continue };
            assert!(matches!(&error, CommitError::Stopped { cause: StoreError::Disk { .. } }), "{error}");
            assert!(Arc::ptr_eq(&before, &store.snapshot()), "nothing is shown that is not on disk");
            assert!(matches!(store.stopped().await, StoreError::Disk { .. }));
            assert!(matches!(store.commit(serve()).await, Err(CommitError::Stopped { .. })), "also what would need no write");
            println!("\nstopped after {n}");
            return;
        }
    });
}

/// A store as bytes, closed cleanly and as a crash leaves it, and every state that it ever had.
fn with_a_history() -> ([Vec<u8>; 2], Vec<Arc<State>>) {
    let dir = TempDir::new().expect("dir");
    let mut history = vec![Arc::new(State::default())];
    let crashed = runtime().block_on(async {
        let store = open(dir.path()).expect("opened");
        let hosts = (0..40).flat_map(|n| [add(&format!("h{n}")), home(&format!("h{n}"), n)]);
        let removed = Change::Remove { host: host("h7"), at: Timestamp::UNIX_EPOCH };
        for change in [serve(), identify()].into_iter().chain(hosts).chain([removed]) {
            history.push(store.commit(change).await.expect("committed"));
        }
        fs::read(file_in(dir.path())).expect("bytes")
    });
    ([fs::read(file_in(dir.path())).expect("bytes"), crashed], history)
}

/// Opens a store of `bytes`. If that is refused, the bytes must still be there, all and only they.
fn opened(bytes: &[u8], what: &str) -> Result<Arc<State>, StoreError> {
    let dir = TempDir::new().expect("dir");
    fs::write(file_in(dir.path()), bytes).expect("written");
    let refusal = match open(dir.path()) {
        Ok(store) => return Ok(store.snapshot()),
        Err(error) => error,
    };
    assert!(fs::read(file_in(dir.path())).expect("bytes") == bytes, "{what}: a refused file was changed");
    assert_eq!(names_in(dir.path()), ["lock", "store.redb"], "{what}");
    Err(refusal)
}

#[track_caller]
fn refused(bytes: &[u8], what: &str) -> StoreError {
    opened(bytes, what).map(drop).expect_err(what)
}

#[test]
fn a_truncated_store_is_refused_and_left_alone() {
    let (files, history) = with_a_history();
    for bytes in files {
        // Pages in use are at the beginning and at the end; between them the steps may be wide.
        let wanted = |length: &usize| *length < 128 * 1024 || *length > bytes.len() - 16 * 1024 || length.is_multiple_of(16 * 1024);
        let lengths = (0..bytes.len()).step_by(512).filter(wanted);
        for length in lengths.chain([1, 9, 10, 319, 320, 4095, 4097, bytes.len() - 1]) {
            let what = format!("{length} of {} bytes", bytes.len());
            match opened(&bytes[..length], &what) {
                Err(error) => assert!(matches!(error, StoreError::Torn { .. }), "{what}: {error}"),
                Ok(state) => assert_eq!(Some(&state), history.last(), "{what}"),
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let (files, history) = with_a_history();
    for bytes in files {
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("not empty");
        let (mut refusals, mut harmless) = (0, 0);
        for bit in (0..128).chain((128..8 * 400).step_by(9)).chain((8 * 400..8 * used).step_by(4073)) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match opened(&flipped, &format!("bit {bit} flipped")) {
                Err(StoreError::Torn { .. }) => refusals += 1,
                Err(error) => panic!("bit {bit}: {error}"),
                // This one bit says which of the last two commits is the last.
                Ok(state) if bit == 72 => assert!(history.contains(&state), "bit {bit} made a state that never was"),
                Ok(state) => {
                    harmless += 1;
                    assert_eq!(Some(&state), history.last(), "bit {bit}");
                }
            }
        }
        assert!(refusals > 100 && harmless > 100, "damage is found, and free pages do not matter: {refusals}, {harmless}");
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let sqlite = [b"SQLite format 3\0".as_slice(), &[0; 4080]].concat();
    let magic = [b"redb\x1A\x0A\xA9\x0D\x0A".as_slice(), &[0xff; 5000]].concat();
    let files: [(&[u8], &str); 6] =
        [(b"", "empty"), (b"r", "a byte"), (b"zone = \"a\"\n", "text"), (&[0; 8192], "zeros"), (&sqlite, "sqlite"), (&magic, "magic")];
    for (bytes, what) in files {
        let error = refused(bytes, what).to_string();
        assert!(error.contains("store.redb") && error.contains("backup") && error.contains("move it away"), "{what}: {error}");
    }
    let dir = TempDir::new().expect("dir");
    fs::create_dir(file_in(dir.path())).expect("directory");
    assert!(matches!(open(dir.path()), Err(StoreError::Torn { .. })), "a directory");
}

/// The bytes of a store in which `alter` changed something through redb, so that every checksum fits.
fn altered(alter: impl FnOnce(&WriteTransaction)) -> Vec<u8> {
    let dir = TempDir::new().expect("dir");
    runtime().block_on(async {
        let store = open(dir.path()).expect("created");
        store.commit(serve()).await.expect("served");
        store.commit(add("cloud")).await.expect("added");
    });
    let db = Database::open(file_in(dir.path())).expect("redb");
    let txn = db.begin_write().expect("transaction");
    alter(&txn);
    txn.commit().expect("committed");
    db.close().expect("closed");
    fs::read(file_in(dir.path())).expect("bytes")
}

fn put(txn: &WriteTransaction, table: TableDefinition<'_, &str, &[u8]>, key: &str, value: &[u8]) {
    txn.open_table(table).expect("table").insert(key, value).expect("inserted");
}

#[test]
fn a_later_versions_store_is_refused_by_name() {
    let later = altered(|txn| {
        put(txn, META, "format", b"2");
        put(txn, HOSTS, "dyn.example.org/x", b"v2 of later");
    });
    let error = refused(&later, "format 2");
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("written by a later version"), "{error}");
}

#[test]
fn a_store_that_is_not_understood_whole_is_refused() {
    let good = altered(|txn| put(txn, META, "format", b"1"));
    assert!(opened(&good, "good").expect("opened").host(&host("cloud")).is_some(), "what follows is refused for its own sake");
    let cases = [
        ("no format record", altered(|txn| drop(txn.open_table(META).expect("meta").remove("format").expect("removed")))),
        ("no format record", altered(|txn| assert!(txn.delete_table(META).expect("deleted")))),
        ("no number of a format", altered(|txn| put(txn, META, "format", b"one"))),
        ("record \"dyn.example.org/x\" in hosts", altered(|txn| put(txn, HOSTS, "dyn.example.org/x", b"v1 {"))),
        ("record \"Cloud\" in hosts", altered(|txn| put(txn, HOSTS, "Cloud", b"v1 {}"))),
        ("a table \"extra\"", altered(|txn| drop(txn.open_table(TableDefinition::<u32, u32>::new("extra")).expect("extra")))),
        ("hosts", altered(|txn| assert!(txn.delete_table(HOSTS).expect("deleted")))),
    ];
    for (reason, bytes) in cases {
        let error = refused(&bytes, reason);
        assert!(matches!(&error, StoreError::Torn { .. }) && error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_is_not_called_damaged() {
    let dir = TempDir::new().expect("dir");
    fs::write(dir.path().join("state"), b"a file").expect("written");
    assert!(matches!(open(&dir.path().join("state")), Err(StoreError::Io { .. })));
}

/// A line of an import.
fn any_line() -> impl Strategy<Value = String> {
    let says = [
        r#""removed":"LABEL","at":"2026-01-01T00:00:00Z""#,
        r#""host":"LABEL","settings":["alias=x.org","wildcard=on"]"#,
        r#""host":"LABEL","proven":{"address":"2001:db8:1::1","since":"2026-01-01T00:00:00Z"}"#,
    ];
    let labels = prop::sample::select(vec!["a", "b", "c", "@"]);
    (labels, prop::sample::select(says.to_vec()))
        .prop_map(|(label, says)| format!(r#"{{"zone":"dyn.example.org",{}}}"#, says.replace("LABEL", label)))
}

fn arbitrary_change() -> impl Strategy<Value = Change> {
    let name = || prop::sample::select(vec!["a", "b", "c", "@"]).prop_map(host);
    let time = || (0i64..100_000).prop_map(|at| Timestamp::from_second(at).expect("time"));
    let digest = || (0u8..4).prop_map(|byte| Digest([byte; 32]));
    let join = || (digest(), time()).prop_map(|(secret, expires)| JoinSecret { secret, expires, spent_by: None });
    let texts = ["ttl=30", "ttl=", "alias=x.org", "alias+=y.org", "alias-=x.org", "address-from=link"];
    let edit = prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().expect("edit"));
    let edits = prop::collection::vec(edit, 0..3).boxed();
    let address = || (0u16..3).prop_map(|last| Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last));
    let values = prop::collection::btree_set("[a-z]{3}", 0..3);
    prop_oneof![
        (digest(), time()).prop_map(|(apex, at)| Change::Serve { zone: zone(), apex, at }),
        (name(), edits.clone(), join(), digest(), any::<bool>()).prop_map(|(host, edits, join, update, reuse)| Change::Add {
            host,
            edits,
            join,
            update,
            reuse
        }),
        (name(), edits).prop_map(|(host, edits)| Change::Set { host, edits }),
        (prop::collection::vec(any_line(), 0..4), any::<bool>(), any::<bool>()).prop_map(|(lines, replace, reuse)| {
            let entries = lines.iter().map(|line| fourward_core::export::parse(line).expect("a line")).collect();
            Change::Import { entries, replace, reuse }
        }),
        (name(), time()).prop_map(|(host, at)| Change::Remove { host, at }),
        (name(), join(), digest()).prop_map(|(host, join, update)| Change::Token { host, join, update }),
        (name(), digest(), digest(), time()).prop_map(|(host, secret, key, at)| Change::Register { host, secret, key, at }),
        (name(), address(), time()).prop_map(|(host, address, at)| Change::Move { host, address, at }),
        (name(), address()).prop_map(|(host, address)| Change::Withdraw { host, address }),
        (name(), prop_oneof![Just(BTreeSet::new()), values.clone()], values).prop_map(|(host, before, values)| Change::Challenge {
            host,
            before,
            values
        }),
        Just(identify()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_is_the_same_after_a_reopen(changes in prop::collection::vec(arbitrary_change(), 0..40), reopened_at in 0usize..40) {
        let dir = TempDir::new().expect("dir");
        let runtime = runtime();
        let (mut store, mut model) = (open(dir.path()).expect("created"), State::default());
        for (n, change) in [serve()].into_iter().chain(changes).enumerate() {
            if n == reopened_at {
                drop(store);
                store = open(dir.path()).expect("reopened");
            }
            let expected = model.apply(&change, &Policy::default()).map(drop);
            match runtime.block_on(store.commit(change)) {
                Ok(state) => prop_assert!(expected.is_ok() && *state == model),
                Err(CommitError::Refused(refused)) => prop_assert_eq!(Err(refused), expected),
                Err(error) => panic!("{error}"),
            }
        }
        drop(store);
        let reopened = open(dir.path()).expect("reopened");
        prop_assert_eq!(&*reopened.snapshot(), &model);
    }
}
