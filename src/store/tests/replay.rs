//! Power cuts at any moment: what a workload did to its file is recorded call by call, then cut off anywhere and opened again.
//!
//! Three ways to be cut off. A killed process leaves every call that it made (*a prefix*). A power cut leaves what was synced and of
//! the rest anything: part of the last write, in sectors (*torn*), or some of the writes in any order (*a subset*). In each the state
//! must be one that was: not older than the last that was acknowledged, not newer than the last that was asked for.

use std::ops::RangeInclusive;
use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;

use super::*;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Epochs with more unsynced calls than this are sampled.
const ALL_SUBSETS: usize = 7;

const SAMPLES: u32 = 150;

/// A call that changes the file.
#[derive(Clone, Debug)]
enum Call {
    Write(usize, Vec<u8>),
    Len(usize),
    Sync,
}

/// A call, with how many changes were asked for and acknowledged when it was made.
#[derive(Clone, Debug)]
struct Recorded {
    call: Call,
    asked: usize,
    acknowledged: usize,
}

/// A disk of memory that writes down what is done to it.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    bytes: Mutex<Vec<u8>>,
    calls: Mutex<Vec<Recorded>>,
    asked: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl Recorder {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Record { bytes: bytes.into(), ..Record::default() }))
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.bytes.lock().expect("bytes").clone()
    }

    fn calls(&self) -> Vec<Recorded> {
        self.0.calls.lock().expect("calls").clone()
    }

    fn record(&self, call: Call) {
        carry_out(&call, &mut self.0.bytes.lock().expect("bytes"));
        let (asked, acknowledged) = (self.0.asked.load(Ordering::SeqCst), self.0.acknowledged.load(Ordering::SeqCst));
        self.0.calls.lock().expect("calls").push(Recorded { call, asked, acknowledged });
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> IoResult<u64> {
        Ok(self.0.bytes.lock().expect("bytes").len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> IoResult<()> {
        let (bytes, start) = (self.0.bytes.lock().expect("bytes"), usize::try_from(offset).expect("small"));
        out.copy_from_slice(bytes.get(start..start + out.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> IoResult<()> {
        self.record(Call::Len(usize::try_from(len).expect("small")));
        Ok(())
    }

    fn sync_data(&self) -> IoResult<()> {
        self.record(Call::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> IoResult<()> {
        self.record(Call::Write(usize::try_from(offset).expect("small"), data.to_vec()));
        Ok(())
    }
}

fn carry_out(call: &Call, file: &mut Vec<u8>) {
    match call {
        Call::Sync => {}
        Call::Len(len) => file.resize(*len, 0),
        Call::Write(at, data) => {
            let end = at + data.len();
            file.resize(file.len().max(end), 0);
            file[*at..end].copy_from_slice(data);
        }
    }
}

/// What was done to a file that held `base`, and every state that it was in, by the number of changes.
struct Session {
    base: Vec<u8>,
    calls: Vec<Recorded>,
    states: Vec<Arc<State>>,
    /// The file before it was closed: what a kill at the end leaves.
    left: Vec<u8>,
}

/// Opens the store on `base`, has `batches` of changes committed, one batch after the other, and closes it.
async fn session(base: Vec<u8>, batches: Vec<Vec<Change>>) -> Session {
    let disk = Recorder::of(base.clone());
    let (db, state) = Embedded::over(disk.clone(), Path::new(FILE)).expect("opened");
    let store = Store::start(FILE.into(), db, None, state, Policy::default()).expect("started");
    let (mut states, mut news) = (vec![store.snapshot()], store.changes());
    for batch in batches {
        disk.0.asked.fetch_add(batch.len(), Ordering::SeqCst);
        for result in join_all(batch.into_iter().map(|change| store.commit(change))).await {
            result.expect("committed");
            states.push(news.recv().await.expect("told").state);
        }
        disk.0.acknowledged.store(states.len() - 1, Ordering::SeqCst);
    }
    let left = disk.bytes();
    drop(store);
    Session { base, calls: disk.calls(), states, left }
}

/// Hosts that come, move and go, alone and many at once, and records that make the file grow.
fn workload() -> Vec<Vec<Change>> {
    let served = Change::Serve { zone: zone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH };
    let values = |fill: &str| (0..40).filter(|_| !fill.is_empty()).map(|n| fill.repeat(800) + &n.to_string()).collect();
    let long =
        |label: &str, before: &str, fill: &str| Change::Challenge { host: host(label), before: values(before), values: values(fill) };
    let gone = Change::Remove { host: host("cloud"), at: Timestamp::UNIX_EPOCH };
    let many = |name: &str| (0..30).map(|n| add(&format!("{name}{n}"))).collect::<Vec<_>>();
    vec![
        vec![served],
        vec![add("cloud")],
        vec![home("cloud")],
        many("a"),
        vec![long("a0", "", "x")],
        vec![gone],
        (0..30).map(|n| home(&format!("a{n}"))).collect(),
        vec![long("a1", "", "y"), long("a2", "", "z")],
        vec![long("a0", "x", "w")],
        vec![add("last")],
    ]
}

fn empty() -> Vec<u8> {
    let dir = TempDir::new().expect("dir");
    drop(Store::open(dir.path(), Policy::default()).expect("created"));
    std::fs::read(dir.path().join(FILE)).expect("bytes")
}

/// Opens `file` and finds a state of those in `allowed`.
fn opens(file: Vec<u8>, session: &Session, allowed: RangeInclusive<usize>, what: &str) {
    let opened = Embedded::over(Recorder::of(file), Path::new(FILE));
    let (_, state) = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let states = session.states.get(allowed.clone()).expect("states");
    assert!(states.iter().any(|old| **old == state), "{what}: none of the states {allowed:?}");
}

impl Session {
    /// After `count` calls: from the last change that was acknowledged to the last that was asked for.
    fn allowed(&self, count: usize) -> RangeInclusive<usize> {
        let last = self.states.len() - 1;
        let acknowledged = self.calls.get(count).map_or(last, |next| next.acknowledged);
        acknowledged..=count.checked_sub(1).map_or(0, |at| self.calls[at].asked).max(acknowledged)
    }

    /// Every prefix, and every one with its last write torn. Tells how many files that were.
    fn cut_off_anywhere(&self) -> usize {
        let (mut file, mut tried) = (self.base.clone(), 0);
        for count in 0..=self.calls.len() {
            let allowed = self.allowed(count);
            opens(file.clone(), self, allowed, &format!("after {count} of {} calls", self.calls.len()));
            tried += 1;
            let Some(next) = self.calls.get(count) else { break };
            if let Call::Write(at, data) = &next.call {
                for cut in (SECTOR..data.len()).step_by(SECTOR) {
                    let mut torn = file.clone();
                    carry_out(&Call::Write(*at, data[..cut].to_vec()), &mut torn);
                    opens(torn, self, self.allowed(count + 1), &format!("call {count} cut at {cut} of {}", data.len()));
                    tried += 1;
                }
            }
            carry_out(&next.call, &mut file);
        }
        tried
    }

    /// At every sync that does not come: any of the calls since the last one, in any order, and one of them torn.
    fn lose_what_was_not_synced(&self) -> usize {
        let (mut durable, mut from, mut tried, mut random) = (self.base.clone(), 0, 0, 1_u32);
        let ends = (0..=self.calls.len()).filter(|end| self.calls.get(*end).is_none_or(|next| matches!(next.call, Call::Sync)));
        for end in ends {
            let epoch = &self.calls[from..end];
            let allowed = self.allowed(from).min_start(self.allowed(end));
            let whole = epoch.len() <= ALL_SUBSETS;
            for sample in 0..if whole { 1 << epoch.len() } else { SAMPLES } {
                let mut file = durable.clone();
                let kept = chosen(epoch, if whole { Some(sample) } else { None }, &mut random);
                kept.iter().for_each(|call| carry_out(call, &mut file));
                opens(file, self, allowed.clone(), &format!("calls {from}..{end}, sample {sample}: {} kept", kept.len()));
                tried += 1;
            }
            epoch.iter().for_each(|recorded| carry_out(&recorded.call, &mut durable));
            from = end;
        }
        tried
    }
}

/// Some of an epoch's calls: those in the bits of `subset`, or by chance; then in another order and one of them torn as well.
fn chosen(epoch: &[Recorded], subset: Option<u32>, random: &mut u32) -> Vec<Call> {
    let mut next = |below: usize| {
        *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*random >> 8) as usize % below.max(1)
    };
    if let Some(bits) = subset {
        return (0..).zip(epoch).filter(|(at, _)| bits >> at & 1 == 1).map(|(_, recorded)| recorded.call.clone()).collect();
    }
    // Few lost, many lost: both are likely in life.
    let lost = next(8) + 1;
    let mut kept: Vec<Call> = epoch.iter().filter(|_| next(9) >= lost).map(|recorded| recorded.call.clone()).collect();
    for at in (1..kept.len()).rev() {
        kept.swap(at, next(at + 1));
    }
    if let Some(Call::Write(_, data)) = kept.last_mut() {
        data.truncate(next(data.len() / SECTOR + 1).max(1) * SECTOR);
    }
    kept
}

/// The range from the lower start to the later end.
trait Joined {
    fn min_start(self, end: Self) -> Self;
}

impl Joined for RangeInclusive<usize> {
    fn min_start(self, end: Self) -> Self {
        *self.start()..=*end.end().max(self.end())
    }
}

#[tokio::test]
async fn any_beginning_of_what_was_written_opens_with_all_that_was_acknowledged() {
    let first = session(empty(), workload()).await;
    // After a kill: the next start repairs what it finds, and may be cut off itself.
    let second = session(first.left.clone(), vec![vec![home("last")], vec![add("more")]]).await;
    for (name, session) in [("first", first), ("after a kill", second)] {
        let syncs = session.calls.iter().filter(|recorded| matches!(recorded.call, Call::Sync)).count();
        let grown = session.calls.iter().filter(|recorded| matches!(recorded.call, Call::Len(_))).count();
        let (cut, lost) = (session.cut_off_anywhere(), session.lose_what_was_not_synced());
        println!("{name}: {} calls, {syncs} syncs, {grown} lengths; {cut} cut off, {lost} with lost writes", session.calls.len());
        assert!(cut > session.calls.len() && lost > syncs);
    }
}
