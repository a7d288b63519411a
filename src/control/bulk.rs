//! `host export` and `host import`: pages of hosts, out and in.
//!
//! A page is what is in memory of them, here and at the client. Each page of an export is of one moment; hosts that change between two of
//! them are in the export as they were or as they are.

use std::time::Instant;

use fourward_core::api::{Cursor, Imported, PAGE_BYTES, PAGE_LINES, Reply};
use fourward_core::change::{Change, Entry, Refused};
use fourward_core::export::{page, parse};

use super::{Control, Failure};
use crate::store::CommitError;

impl Control {
    pub(super) fn export(&self, after: Option<&Cursor>) -> Result<Reply, Failure> {
        let page = page(&self.store.snapshot(), after, PAGE_LINES, PAGE_BYTES)?;
        Ok(Reply::Exported { lines: page.lines, next: page.next })
    }

    pub(super) async fn import(&self, lines: &[String], replace: bool, reuse: bool) -> Result<Reply, Failure> {
        let mut entries = Vec::with_capacity(lines.len());
        for (at, line) in lines.iter().enumerate() {
            match parse(line) {
                Ok(entry) => entries.push(entry),
                Err(error) => return Ok(Reply::LineRefused { at, host: None, reason: error.to_string() }),
            }
        }
        let names: Vec<_> = entries.iter().map(|entry| entry.name().clone()).collect();
        let hosts = entries.iter().filter(|entry| matches!(entry, Entry::Host { .. })).count();
        if entries.iter().any(Entry::is_proven) {
            // Before they are seen: from then on an agent has a lease's time to come.
            self.leases.honour(Instant::now());
        }
        match self.store.commit(Change::Import { entries, replace, reuse }).await {
            Ok(_) => Ok(Reply::Imported(Imported { hosts: count(hosts), removed: count(names.len().saturating_sub(hosts)) })),
            Err(CommitError::Refused(Refused::Entry { at, reason })) => {
                Ok(Reply::LineRefused { at, host: names.get(at).map(ToString::to_string), reason: reason.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn count(some: usize) -> u64 {
    u64::try_from(some).unwrap_or(u64::MAX)
}
