//! The writer on a disk that stops, fails and counts when told to. What the store does on a real file is in `tests/store.rs`.

use std::fs::OpenOptions;
use std::io::{Error, Result as IoResult};
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use jiff::Timestamp;
use redb::StorageBackend;
use redb::backends::FileBackend;
use tempfile::TempDir;
use tokio::task::{JoinHandle as Task, yield_now};

use super::*;

/// Long enough for any machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Work,
    /// So many syncs may pass yet, the others wait.
    PassSyncs(usize),
    FailSyncs,
    FailWrites,
}

/// A real file, with a say in when its syncs return.
#[derive(Clone, Debug)]
struct Disk(Arc<Told>);

#[derive(Debug)]
struct Told {
    file: FileBackend,
    rule: Mutex<Rule>,
    changed: Condvar,
    held: AtomicUsize,
    syncs: AtomicUsize,
    touches: AtomicUsize,
    bytes: AtomicUsize,
}

impl Disk {
    fn tell(&self, rule: Rule) {
        *self.0.rule.lock().expect("rule") = rule;
        self.0.changed.notify_all();
    }

    /// Lets one sync after the other through while `wanted`.
    async fn pass_while(&self, mut wanted: impl FnMut() -> bool) {
        let held = || *self.0.rule.lock().expect("rule") == Rule::PassSyncs(0) && self.0.held.load(Ordering::SeqCst) == 1;
        loop {
            until("a sync is held", held).await;
            if !wanted() {
                return;
            }
            self.tell(Rule::PassSyncs(1));
        }
    }

    fn touches(&self) -> usize {
        self.0.touches.load(Ordering::SeqCst)
    }

    fn touch(&self, failing: Rule) -> IoResult<()> {
        self.0.touches.fetch_add(1, Ordering::SeqCst);
        let rule = *self.0.rule.lock().expect("rule");
        if rule == failing { Err(Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> IoResult<u64> {
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> IoResult<()> {
        self.0.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> IoResult<()> {
        self.touch(Rule::FailWrites)?;
        self.0.file.set_len(len)
    }

    fn sync_data(&self) -> IoResult<()> {
        let mut rule = self.0.rule.lock().expect("rule");
        self.0.held.fetch_add(1, Ordering::SeqCst);
        // A test that fails while a sync is held must not hang: the store it drops waits for the writer.
        let waited = self.0.changed.wait_timeout_while(rule, PATIENCE, |rule| *rule == Rule::PassSyncs(0));
        (rule, _) = waited.expect("rule");
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        if let Rule::PassSyncs(left) = &mut *rule {
            *left = left.saturating_sub(1);
        }
        drop(rule);
        self.touch(Rule::FailSyncs)?;
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        self.0.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> IoResult<()> {
        self.touch(Rule::FailWrites)?;
        self.0.bytes.fetch_add(data.len(), Ordering::SeqCst);
        self.0.file.write(offset, data)
    }
}

fn zone() -> DnsName {
    "dyn.example.org".parse().expect("zone")
}

fn host(label: &str) -> HostName {
    HostName::new(label, zone()).expect("host")
}

fn add(label: &str) -> Change {
    let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
    Change::Add { host: host(label), edits: vec![], join, update: Digest([2; 32]), reuse: false }
}

fn home(label: &str) -> Change {
    Change::Move { host: host(label), address: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), at: Timestamp::UNIX_EPOCH }
}

/// A store with a zone and the host `cloud`, on a disk of ours.
async fn store(dir: &TempDir) -> (Store, Disk) {
    drop(Store::open(dir.path(), Policy::default()).expect("created"));
    let path = dir.path().join(FILE);
    let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(&path).expect("file")).expect("backend");
    let (rule, changed) = (Mutex::new(Rule::Work), Condvar::new());
    let disk = Disk(Arc::new(Told { file, rule, changed, held: 0.into(), syncs: 0.into(), touches: 0.into(), bytes: 0.into() }));
    let (db, state) = Embedded::over(disk.clone(), &path).expect("opened");
    let store = Store::start(path, db, None, state, Policy::default()).expect("started");
    let served = Change::Serve { zone: zone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
    store.commit(served).await.expect("served");
    store.commit(add("cloud")).await.expect("added");
    (store, disk)
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

fn start(store: &Store, change: Change) -> Task<Result<Arc<State>, CommitError>> {
    let store = store.clone();
    tokio::spawn(async move { store.commit(change).await })
}

/// Starts `changes` so that the first is stuck on the disk and the others wait behind it, in order: they are the next batch.
async fn stuck(store: &Store, disk: &Disk, changes: Vec<Change>) -> Vec<Task<Result<Arc<State>, CommitError>>> {
    disk.tell(Rule::PassSyncs(0));
    let mut tasks = Vec::new();
    for change in changes {
        let waiting = tasks.len();
        tasks.push(start(store, change));
        match waiting {
            0 => until("the first is on the disk", || disk.0.held.load(Ordering::SeqCst) == 1).await,
            _ => until("it waits", || BATCH_LIMIT - store.0.wishes.capacity() == waiting).await,
        }
    }
    tasks
}

#[tokio::test]
async fn nothing_is_shown_or_acknowledged_before_it_is_synced() {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    let (before, watch, mut news) = (store.snapshot(), store.watch(), store.changes());
    let mut tasks = stuck(&store, &disk, vec![home("cloud")]).await;
    assert!(!tasks[0].is_finished() && !watch.has_changed().expect("alive") && news.is_empty());
    assert!(Arc::ptr_eq(&before, &store.snapshot()));
    disk.tell(Rule::Work);
    let state = tasks.remove(0).await.expect("task").expect("committed");
    assert!(state.host(&host("cloud")).expect("cloud").home().is_some());
    assert!(Arc::ptr_eq(&state, &store.snapshot()), "shown before it was acknowledged");
    assert_eq!(news.try_recv().expect("told").touched.first(), Some(&Key::Host(host("cloud"))));
}

#[tokio::test]
async fn changes_that_wait_together_share_a_transaction() {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    let before = disk.0.syncs.load(Ordering::SeqCst);
    store.commit(home("cloud")).await.expect("alone");
    let alone = disk.0.syncs.load(Ordering::SeqCst) - before;
    let tasks = stuck(&store, &disk, (0..200).map(|n| add(&format!("h{n}"))).collect()).await;
    disk.tell(Rule::Work);
    for task in tasks {
        task.await.expect("task").expect("committed");
    }
    let together = disk.0.syncs.load(Ordering::SeqCst) - before - alone;
    assert!(together <= 4 * alone, "{together} syncs for 200 changes in two batches, {alone} for one alone");
    assert_eq!(store.snapshot().hosts().count(), 201);
}

#[tokio::test]
async fn a_move_is_one_record_however_many_follow() {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    let follower = |n: usize| {
        let edits = ["follows=cloud".to_owned(), format!("suffix=::{n:x}")].map(|text| text.parse().expect("an edit"));
        let Change::Add { host, join, update, reuse, .. } = add(&format!("h{n}")) else { panic!("it adds") };
        Change::Add { host, edits: edits.into(), join, update, reuse }
    };
    store.commit(add("alone")).await.expect("added");
    let tasks: Vec<_> = (1..=500).map(|n| start(&store, follower(n))).collect();
    for task in tasks {
        task.await.expect("task").expect("added");
    }
    let mut written = Vec::new();
    for label in ["alone", "cloud"] {
        let before = disk.0.bytes.load(Ordering::SeqCst);
        let state = store.commit(home(label)).await.expect("moved");
        written.push(disk.0.bytes.load(Ordering::SeqCst) - before);
        assert_eq!(state.home(&host("h500")).is_some(), label == "cloud");
    }
    assert!(written[1] < written[0] * 2, "bytes of a move alone and with 500 followers: {written:?}");
}

#[tokio::test]
async fn a_refused_change_leaves_the_others_of_its_batch() {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    let mut news = store.changes();
    let changes = vec![home("cloud"), add("a"), add("cloud"), home("none"), add("b"), home("a"), home("a")];
    let tasks = stuck(&store, &disk, changes).await;
    disk.tell(Rule::Work);
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("task"));
    }
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false, true, true, true]);
    assert!(matches!(&results[2], Err(CommitError::Refused(Refused::Exists(name))) if *name == host("cloud")));
    assert!(results[6].as_ref().expect("unchanged").host(&host("a")).expect("a").home().is_some());
    let mut told = Vec::new();
    while let Ok(committed) = news.try_recv() {
        told.push((committed.touched[0].clone(), committed.state.hosts().count()));
    }
    let key = |label: &str| Key::Host(host(label));
    assert_eq!(told, [(key("cloud"), 1), (key("a"), 2), (key("b"), 3), (key("a"), 3)], "in order, each with its own state");
}

async fn a_failing_disk_stops_the_store(rule: Rule) {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    store.commit(add("kept")).await.expect("committed");
    let (before, watch, news) = (store.snapshot(), store.watch(), store.changes());
    disk.tell(rule);
    for change in [add("lost"), home("kept"), add("cloud")] {
        let error = store.commit(change).await.expect_err("no false acknowledgement");
        assert!(matches!(&error, CommitError::Stopped { cause: StoreError::Disk { .. } }), "{error}");
    }
    assert!(matches!(store.stopped().await, StoreError::Disk { .. }));
    assert!(Arc::ptr_eq(&before, &store.snapshot()) && !watch.has_changed().expect("alive") && news.is_empty());
    let touches = disk.touches();
    disk.tell(Rule::Work);
    assert!(store.commit(add("later")).await.is_err(), "a disk that came back is not trusted");
    drop(store);
    assert_eq!(disk.touches(), touches, "nothing is tried again, not even a clean closing");
    drop((disk, watch, news));
    let reopened = Store::open(dir.path(), Policy::default()).expect("what was acknowledged is whole");
    assert!(reopened.snapshot().host(&host("kept")).is_some());
}

#[tokio::test]
async fn a_failed_sync_stops_the_store() {
    a_failing_disk_stops_the_store(Rule::FailSyncs).await;
}

#[tokio::test]
async fn a_failed_write_stops_the_store() {
    a_failing_disk_stops_the_store(Rule::FailWrites).await;
}

#[tokio::test]
async fn everyone_who_waits_for_a_failing_disk_is_told() {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    let unchanged = add("cloud");
    let tasks = stuck(&store, &disk, vec![add("a"), add("b"), home("cloud"), unchanged]).await;
    disk.tell(Rule::FailSyncs);
    for task in tasks {
        let result = task.await.expect("task");
        assert!(matches!(result, Err(CommitError::Stopped { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_change_of_nothing_waits_for_what_it_rests_on() {
    let dir = TempDir::new().expect("dir");
    let (store, disk) = store(&dir).await;
    let tasks = stuck(&store, &disk, vec![add("a"), home("cloud"), home("cloud")]).await;
    disk.pass_while(|| store.snapshot().host(&host("a")).is_none()).await;
    disk.tell(Rule::FailSyncs);
    let mut good = Vec::new();
    for task in tasks {
        good.push(task.await.expect("task").is_ok());
    }
    assert_eq!(good, [true, false, false], "the second move found its work done, but the first never reached the disk");
}

mod replay;
