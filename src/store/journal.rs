//! What commits made of the zones, kept for secondaries that follow step by step (IXFR, RFC 1995): in the same file as the state, written in the
//! same transactions, and no longer than there is room.
//!
//! The entries of a zone are a chain from its oldest version to its newest: where a commit does not follow on the last one, all before it go. A
//! reader sees the file as it was at one moment, piece by piece, so that neither it nor the writer waits for the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fourward_core::change::{Key, Serial};
use fourward_core::journal::{Entry, Step, steps};
use fourward_core::name::DnsName;
use fourward_core::state::State;
use fourward_core::zone::ZoneParams;
use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError, TableHandle as _, WriteTransaction,
};

/// Bytes of all entries. The oldest of the zone that has most go first.
pub(super) const LIMIT: u64 = 64 << 20;

/// What an entry takes beside its records, about.
const OVERHEAD: u64 = 64;

/// Entries, by zone and the version that they lead away from: the version that they lead to, and their records.
const ENTRIES: TableDefinition<'_, (&str, u32), (u32, &[u8])> = TableDefinition::new("journal");

/// The oldest version of a zone that an entry leads away from, the newest that one leads to, and the bytes between.
const HEADS: TableDefinition<'_, &str, (u32, u32, u64)> = TableDefinition::new("journal-heads");

/// Whether a table of this name is the journal's.
pub(super) fn is_table(name: &str) -> bool {
    [ENTRIES.name(), HEADS.name()].contains(&name)
}

/// A zone's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    oldest: Serial,
    newest: Serial,
    bytes: u64,
}

/// A piece of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The version that the entry leads to.
    pub to: Serial,
    /// So much of its records as was asked for and is there.
    pub records: Vec<u8>,
    /// Whether that was the end of it.
    pub last: bool,
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct Journal {
    heads: RefCell<BTreeMap<String, Head>>,
    limit: u64,
}

impl Journal {
    /// As the file has it.
    pub(super) fn load(txn: &ReadTransaction) -> Result<Self, redb::Error> {
        let mut heads = BTreeMap::new();
        if let Some(table) = found(txn.open_table(HEADS))? {
            for entry in table.iter()? {
                let (zone, head) = entry?;
                let (oldest, newest, bytes) = head.value();
                heads.insert(zone.value().to_owned(), Head { oldest: Serial(oldest), newest: Serial(newest), bytes });
            }
        }
        Ok(Self { heads: RefCell::new(heads), limit: LIMIT })
    }

    /// Notes, as part of `txn`, what a commit from `before` to `after` that touched `keys` is for secondaries. Without `params` there are none.
    pub(super) fn note(
        &self,
        txn: &WriteTransaction,
        params: Option<&ZoneParams>,
        (before, after): (&State, &State),
        keys: &BTreeSet<Key>,
    ) -> Result<(), redb::Error> {
        let mut heads = self.heads.borrow_mut();
        let Some(params) = params else {
            if !std::mem::take(&mut *heads).is_empty() {
                txn.delete_table(ENTRIES)?;
                txn.delete_table(HEADS)?;
            }
            return Ok(());
        };
        let mut news = Writing { txn, heads: &mut heads };
        for (zone, step) in steps(before, after, params, keys) {
            match step {
                Step::Cut => news.cut(zone.as_str())?,
                Step::Entry(entry) => news.add(zone.as_str(), &entry)?,
            }
        }
        news.trim(self.limit)
    }

    /// With room for so much.
    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }
}

/// The journal in a transaction.
struct Writing<'a> {
    txn: &'a WriteTransaction,
    heads: &'a mut BTreeMap<String, Head>,
}

impl Writing<'_> {
    fn add(&mut self, zone: &str, entry: &Entry) -> Result<(), redb::Error> {
        if self.heads.get(zone).is_some_and(|head| head.newest != entry.from) {
            self.cut(zone)?;
        }
        self.txn.open_table(ENTRIES)?.insert((zone, entry.from.0), (entry.to.0, entry.records.as_slice()))?;
        let head = self.heads.entry(zone.to_owned()).or_insert(Head { oldest: entry.from, newest: entry.from, bytes: 0 });
        (head.newest, head.bytes) = (entry.to, head.bytes.saturating_add(size(&entry.records)));
        self.keep(zone)
    }

    /// Takes out all entries of `zone`.
    fn cut(&mut self, zone: &str) -> Result<(), redb::Error> {
        if self.heads.remove(zone).is_some() {
            self.txn.open_table(ENTRIES)?.retain_in((zone, 0)..=(zone, u32::MAX), |_, _| false)?;
        }
        self.keep(zone)
    }

    /// Takes out entries until all are within `limit`.
    fn trim(&mut self, limit: u64) -> Result<(), redb::Error> {
        while self.heads.values().map(|head| head.bytes).sum::<u64>() > limit {
            let Some((zone, _)) = self.heads.iter().max_by_key(|(_, head)| head.bytes) else { break };
            let zone = zone.clone();
            self.drop_oldest(&zone)?;
        }
        Ok(())
    }

    fn drop_oldest(&mut self, zone: &str) -> Result<(), redb::Error> {
        let Some(head) = self.heads.get_mut(zone) else { return Ok(()) };
        let mut entries = self.txn.open_table(ENTRIES)?;
        let gone = entries.remove((zone, head.oldest.0))?.map(|entry| {
            let (to, records) = entry.value();
            (Serial(to), size(records))
        });
        match gone {
            Some((to, bytes)) if to != head.newest => (head.oldest, head.bytes) = (to, head.bytes.saturating_sub(bytes)),
            // The last one. Or the chain was broken, which it never is; then it ends here, too.
            _ => drop(self.heads.remove(zone)),
        }
        drop(entries);
        self.keep(zone)
    }

    fn keep(&self, zone: &str) -> Result<(), redb::Error> {
        let mut heads = self.txn.open_table(HEADS)?;
        match self.heads.get(zone) {
            Some(head) => drop(heads.insert(zone, (head.oldest.0, head.newest.0, head.bytes))?),
            None => drop(heads.remove(zone)?),
        }
        Ok(())
    }
}

/// Whether the entries of `zone` lead from one version to another.
pub(super) fn reaches(db: &Arc<Database>, zone: &DnsName, from: Serial, to: Serial) -> Result<bool, redb::Error> {
    let txn = db.begin_read()?;
    let Some(heads) = found(txn.open_table(HEADS))? else { return Ok(false) };
    let Some(head) = heads.get(zone.as_str())? else { return Ok(false) };
    let (_, newest, _) = head.value();
    let Some(entries) = found(txn.open_table(ENTRIES))? else { return Ok(false) };
    // A snapshot may be older than the file, and never newer.
    Ok(!to.is_after(Serial(newest)) && entries.get((zone.as_str(), from.0))?.is_some())
}

/// At most `count` bytes of the entry of `zone` that leads away from `from`, the first `skip` left out; `None` where there is none.
pub(super) fn piece(db: &Arc<Database>, zone: &DnsName, from: Serial, skip: usize, count: usize) -> Result<Option<Piece>, redb::Error> {
    let txn = db.begin_read()?;
    let Some(entries) = found(txn.open_table(ENTRIES))? else { return Ok(None) };
    let Some(entry) = entries.get((zone.as_str(), from.0))? else { return Ok(None) };
    let (to, records) = entry.value();
    let rest = records.get(skip..).unwrap_or_default();
    let (records, last) = rest.get(..count).map_or((rest, true), |piece| (piece, piece.len() == rest.len()));
    Ok(Some(Piece { to: Serial(to), records: records.to_vec(), last }))
}

fn size(records: &[u8]) -> u64 {
    u64::try_from(records.len()).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
}

/// A table that is made when it is needed.
fn found<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
