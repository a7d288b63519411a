//! Where the state lives: changes in, durable before they are acknowledged; snapshots out.
//!
//! One writer changes it, everyone reads snapshots that never change. So far there is one backend, a file of this machine;
//! what is true for seconds only is not here but with the leases. Every outcome of a change is decided in core.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};

use fourward_core::change::{Change, Key, Refused, Serial};
use fourward_core::dnssec::Unit;
use fourward_core::name::DnsName;
use fourward_core::policy::Policy;
use fourward_core::state::State;
use fourward_core::zone::ZoneParams;
use redb::Database;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

mod embedded;
mod held;
mod journal;
mod lock;
mod meter;
mod writer;

use embedded::Embedded;
pub(crate) use embedded::make_directory;
pub use journal::Piece;
use lock::Lock;
pub use meter::Meter;
use writer::{BATCH_LIMIT, Outlets, Wish, Writer};

/// The store's file in the state directory.
const FILE: &str = "store.redb";

/// As many changes a listener may be behind before it has to read the snapshot: each keeps a version of the state alive.
const NEWS_LIMIT: usize = 256;

/// The store. A clone is the same store; when the last is dropped the file is closed.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    // In this order: the writer ends when nobody can wish any more, and is waited for.
    wishes: mpsc::Sender<Wish>,
    _writer: WriterThread,
    outlets: Arc<Outlets>,
    /// The writer closes it, whoever reads.
    reader: Weak<Database>,
}

/// Waits for the writer when it is dropped, so that whoever opens the file next finds it closed and unlocked.
struct WriterThread(Option<JoinHandle<()>>);

/// Who completes a commit before it is written, from what it changed: zones are signed that way.
pub trait Finish: Send + Sync {
    /// The changes that `after` lacks, which `before` became by touching `touched`; `due` are to be signed in any case.
    ///
    /// # Errors
    /// They cannot be made.
    fn finish(&self, before: &State, after: &State, touched: &BTreeSet<Key>, due: BTreeSet<Unit>) -> Result<Vec<Change>, Unfinished>;
}

/// Why a commit could not be completed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfinished(pub String);

/// A change that happened.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The state after it.
    pub state: Arc<State>,
    /// What it touched; never empty.
    pub touched: Arc<[Key]>,
}

/// Why a change was not committed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// It does not fit the state or the policy, which are as they were.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store takes no more changes. Whether this one reached the disk is not known; it was not shown to anybody.
    #[error("the change was not stored: {cause}")]
    Stopped {
        /// What stopped it.
        cause: StoreError,
    },
}

/// Why a store cannot be opened, or takes no more changes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has it.
    #[error("{state} is in use by {holder}; stop that first, or give this one a state directory of its own")]
    InUse {
        /// The state directory.
        state: PathBuf,
        /// Who holds its lock.
        holder: String,
    },
    /// The operating system refuses.
    #[error("{path}: {source}; it must belong to the user that fourward runs as, on a disk that works")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// A new store cannot be made.
    #[error("{path} cannot be created: {source}; its directory must belong to the user that fourward runs as and have room")]
    Create {
        /// The store's file.
        path: PathBuf,
        /// Why not.
        source: Arc<redb::Error>,
    },
    /// What is there is damaged, or is something else.
    #[error(
        "{path} is damaged or no store of fourward's: {reason}. It was left as it is: put a backup in its place, or move it away to start with an empty store"
    )]
    Torn {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It has moved on.
    #[error(
        "{path} was written by a later version (format {found}; this version reads {known}). It was left as it is: run that version, or put a backup of before in its place"
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format of this version.
        known: u32,
    },
    /// The disk failed under way.
    #[error("{path} cannot be written: {source}; nothing more is stored until a restart has read again what the disk really holds")]
    Disk {
        /// The store's file.
        path: PathBuf,
        /// How it failed.
        source: Arc<redb::Error>,
    },
    /// What was to be written with it could not be made.
    #[error("a change to {path} cannot be signed: {source}; nothing more is stored until a restart")]
    Unsigned {
        /// The store's file.
        path: PathBuf,
        /// Why not.
        source: Unfinished,
    },
    /// A fault of ours.
    #[error("the writer of {path} panicked (its message is in the log above); nothing more is stored until a restart")]
    Panicked {
        /// The store's file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether it is a right to the file or its folder that is missing.
    pub fn is_permission(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } => Some(source.as_ref()),
            Self::Create { source, .. } => match source.as_ref() {
                redb::Error::Io(source) => Some(source),
                _ => None,
            },
            _ => None,
        };
        source.is_some_and(|source| source.kind() == std::io::ErrorKind::PermissionDenied)
    }
}

impl Store {
    /// Opens the store in the directory `state`, creating both where they are absent. Blocks while it reads the file.
    ///
    /// # Errors
    /// Another process has it, the disk refuses, or what is there is not understood; then it is left as it is.
    pub fn open(state: &Path, policy: Policy) -> Result<Store, StoreError> {
        make_directory(state).map_err(|source| StoreError::Io { path: state.into(), source: Arc::new(source) })?;
        let lock = Lock::take(state)?;
        let path = state.join(FILE);
        let (db, state) = Embedded::open(&path)?;
        Self::start(path, db, Some(lock), state, policy)
    }

    fn start(path: PathBuf, db: Embedded, lock: Option<Lock>, state: State, policy: Policy) -> Result<Store, StoreError> {
        let outlets = Arc::new(Outlets {
            policy: watch::Sender::new(Arc::new(policy)),
            states: watch::Sender::new(Arc::new(state)),
            changes: broadcast::Sender::new(NEWS_LIMIT),
            stopped: watch::Sender::new(None),
            finish: OnceLock::new(),
            journalled: OnceLock::new(),
            meter: Meter::default(),
        });
        let (wishes, queue) = mpsc::channel(BATCH_LIMIT);
        let reader = db.reader();
        let writer = Writer { path: path.clone(), db, _lock: lock, wishes: queue, outlets: Arc::clone(&outlets) };
        let thread = thread::Builder::new().name("store".into()).spawn(|| writer.run());
        let thread = thread.map_err(|source| StoreError::Io { path, source: Arc::new(source) })?;
        Ok(Self(Arc::new(Inner { wishes, _writer: WriterThread(Some(thread)), outlets, reader })))
    }

    /// Carries out `change` and answers with a state that has it, once it is on disk. If the caller gives up waiting
    /// it may happen all the same.
    ///
    /// # Errors
    /// The change is refused, or the store has stopped.
    pub async fn commit(&self, change: Change) -> Result<Arc<State>, CommitError> {
        self.wish(change, Vec::new()).await
    }

    /// Has `units`, all of `zone`, signed anew where that must be.
    ///
    /// # Errors
    /// The zone is not served, or the store has stopped.
    pub async fn sign(&self, zone: &DnsName, units: Vec<Unit>) -> Result<Arc<State>, CommitError> {
        self.wish(Change::Refresh { zone: zone.clone() }, units).await
    }

    async fn wish(&self, change: Change, due: Vec<Unit>) -> Result<Arc<State>, CommitError> {
        let (answer, answered) = oneshot::channel();
        if self.0.wishes.send(Wish { change, due, answer }).await.is_ok()
            && let Ok(result) = answered.await
        {
            return Ok(result?);
        }
        // A wish is dropped unanswered only when the writer has stopped.
        Err(CommitError::Stopped { cause: self.stopped().await })
    }

    /// What `change` would touch in `state`, a snapshot. On a copy, which is a pointer: who asks first spares what changes nothing a write, and
    /// what is refused a wait.
    ///
    /// # Errors
    /// The reason why it would be refused.
    pub fn tried(&self, state: &State, change: &Change) -> Result<Vec<Key>, Refused> {
        state.clone().apply(change, &self.policy())
    }

    /// The state as it is on disk.
    pub fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.0.outlets.states.borrow())
    }

    /// The state as it is on disk, and every newer one; those between may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.0.outlets.states.subscribe()
    }

    /// Every change from now on, in order. A listener that lags behind goes on from a snapshot.
    pub fn changes(&self) -> broadcast::Receiver<Committed> {
        self.0.outlets.changes.subscribe()
    }

    /// Has commits from now on completed by `finish`. Once: who comes later is not heard.
    pub fn finish_by(&self, finish: Arc<dyn Finish>) {
        let _ = self.0.outlets.finish.set(finish);
    }

    /// Has commits from now on kept for secondaries, where `params` are what the configuration gives to the zones. Once, and before the zones are
    /// changed: without it nothing is kept, and what was goes with the next commit.
    pub fn keep_journal(&self, params: ZoneParams) {
        let _ = self.0.outlets.journalled.set(params);
    }

    /// Whether the journal leads from one version of `zone` to another, which is that of a snapshot. Blocks for as long as a look into a file takes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn journal_reaches(&self, zone: &DnsName, from: Serial, to: Serial) -> Result<bool, redb::Error> {
        self.0.reader.upgrade().map_or(Ok(false), |db| journal::reaches(&db, zone, from, to))
    }

    /// At most `count` bytes of the step away from a version, the first `skip` left out; `None` where there is none, or none any more. Blocks, too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn journal_piece(&self, zone: &DnsName, from: Serial, skip: usize, count: usize) -> Result<Option<Piece>, redb::Error> {
        self.0.reader.upgrade().map_or(Ok(None), |db| journal::piece(&db, zone, from, skip, count))
    }

    /// Judges the changes from now on by `policy`.
    pub fn set_policy(&self, policy: Policy) {
        self.0.outlets.policy.send_replace(Arc::new(policy));
    }

    /// What changes are judged by.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.outlets.policy.borrow())
    }

    /// What was counted since the start.
    pub fn meter(&self) -> &Meter {
        &self.0.outlets.meter
    }

    /// Waits until the store takes no more changes, and tells why. Snapshots stay readable; the process should end.
    pub async fn stopped(&self) -> StoreError {
        let mut stopped = self.0.outlets.stopped.subscribe();
        loop {
            if let Some(cause) = stopped.borrow_and_update().clone() {
                return cause;
            }
            if stopped.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // It catches its own panics, so there is nothing to learn from how it ended.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
