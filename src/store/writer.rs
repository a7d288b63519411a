//! The one thread that changes the state: changes in, batches to the disk, the news out.
//!
//! Whatever waits when the disk is free goes into one transaction, so that many changes at once cost little more than one.
//! Nothing is shown or acknowledged before it is durable. An error of the disk ends the thread: after a failed sync
//! nobody knows what the disk holds, and only a fresh start that reads it can tell.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use fourward_core::change::{Change, Key, Refused};
use fourward_core::dnssec::Unit;
use fourward_core::policy::Policy;
use fourward_core::state::State;
use fourward_core::zone::ZoneParams;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::embedded::{Commit, Embedded};
use super::lock::Lock;
use super::meter::Meter;
use super::{Committed, Finish, StoreError, Unfinished};

/// As many changes share a transaction at most: a bulk load then neither fills the memory nor makes others wait long.
pub(super) const BATCH_LIMIT: usize = 1024;

/// A change that somebody waits for.
pub(super) struct Wish {
    pub(super) change: Change,
    /// What is to be signed with it, changed or not.
    pub(super) due: Vec<Unit>,
    pub(super) answer: oneshot::Sender<Result<Arc<State>, Refused>>,
}

/// Where the writer tells what happened, and finds the policy.
pub(super) struct Outlets {
    pub(super) policy: watch::Sender<Arc<Policy>>,
    pub(super) states: watch::Sender<Arc<State>>,
    pub(super) changes: broadcast::Sender<Committed>,
    pub(super) stopped: watch::Sender<Option<StoreError>>,
    pub(super) finish: OnceLock<Arc<dyn Finish>>,
    /// What the configuration gives to zones, where somebody follows their changes.
    pub(super) journalled: OnceLock<ZoneParams>,
    pub(super) meter: Meter,
}

/// Why the writer ends.
enum Failure {
    Disk(redb::Error),
    Unfinished(Unfinished),
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        Self::Disk(error)
    }
}

/// The writer. Its fields go in this order: the file is closed before the lock on it ends.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) db: Embedded,
    pub(super) _lock: Option<Lock>,
    pub(super) wishes: mpsc::Receiver<Wish>,
    pub(super) outlets: Arc<Outlets>,
}

impl Writer {
    /// Works until nobody can wish for anything any more, or until the disk fails.
    pub(super) fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()));
        let cause = match ended {
            Ok(Ok(())) => return,
            Ok(Err(Failure::Disk(source))) => StoreError::Disk { path: self.path.clone(), source: Arc::new(source) },
            Ok(Err(Failure::Unfinished(source))) => StoreError::Unsigned { path: self.path.clone(), source },
            Err(_) => StoreError::Panicked { path: self.path.clone() },
        };
        self.db.cut();
        // Those who wait find the cause here, when their wishes are dropped with the writer.
        self.outlets.stopped.send_replace(Some(cause));
    }

    fn work(&mut self) -> Result<(), Failure> {
        let mut batch = Vec::new();
        while self.wishes.blocking_recv_many(&mut batch, BATCH_LIMIT) > 0 {
            self.carry_out(std::mem::take(&mut batch))?;
        }
        Ok(())
    }

    fn carry_out(&self, batch: Vec<Wish>) -> Result<(), Failure> {
        let first = Arc::clone(&self.outlets.states.borrow());
        let mut last = Arc::clone(&first);
        let (mut touched, mut news, mut answers, mut all_due) = (BTreeSet::new(), Vec::new(), Vec::new(), BTreeSet::new());
        for Wish { change, due, answer } in batch {
            let policy = Arc::clone(&self.outlets.policy.borrow());
            let applied = applied(&last, &change, &policy);
            if let Ok(Some(committed)) = &applied {
                last = Arc::clone(&committed.state);
                touched.extend(committed.touched.iter().cloned());
                all_due.extend(due);
                news.push(committed.clone());
            }
            if applied.is_err() {
                self.outlets.meter.note_refused();
            }
            answers.push((answer, applied.map(drop)));
        }
        if !touched.is_empty() {
            self.complete(&first, &mut last, &mut touched, all_due)?;
            let began = Instant::now();
            let journalled = self.outlets.journalled.get();
            let differing = differing(&first, &last, &touched);
            let commit = Commit { before: &first, after: &last, touched: &touched, differing: &differing, journalled };
            self.db.write(&commit)?;
            self.outlets.meter.note_commit(news.len(), began.elapsed());
            self.outlets.states.send_replace(Arc::clone(&last));
            // What completes them is part of the last of them.
            if let Some(newest) = news.last_mut() {
                newest.state = Arc::clone(&last);
            }
        }
        // Neither a listener that is gone nor a caller that gave up changes what happened.
        news.into_iter().for_each(|committed| drop(self.outlets.changes.send(committed)));
        answers.into_iter().for_each(|(answer, result)| drop(answer.send(result.map(|()| Arc::clone(&last)))));
        Ok(())
    }

    /// Adds to `last`, which `first` became by touching `touched`, what belongs into the same commit.
    fn complete(&self, first: &State, last: &mut Arc<State>, touched: &mut BTreeSet<Key>, due: BTreeSet<Unit>) -> Result<(), Failure> {
        let Some(finish) = self.outlets.finish.get() else { return Ok(()) };
        let policy = Arc::clone(&self.outlets.policy.borrow());
        let mut state = State::clone(last);
        for change in finish.finish(first, last, touched, due).map_err(Failure::Unfinished)? {
            let more = state.apply(&change, &policy).map_err(|error| Failure::Unfinished(Unfinished(error.to_string())))?;
            touched.extend(more);
        }
        *last = Arc::new(state);
        Ok(())
    }
}

/// Those of `keys` whose records differ. A move touches all that follows from it, and is one record.
fn differing(first: &State, last: &State, keys: &BTreeSet<Key>) -> BTreeSet<Key> {
    keys.iter().filter(|key| first.record(key) != last.record(key)).cloned().collect()
}

/// What `change` makes of `state`; `None` if all was so already.
fn applied(state: &State, change: &Change, policy: &Policy) -> Result<Option<Committed>, Refused> {
    let mut state = state.clone();
    let touched: Arc<[Key]> = state.apply(change, policy)?.into();
    Ok((!touched.is_empty()).then(|| Committed { state: Arc::new(state), touched }))
}
