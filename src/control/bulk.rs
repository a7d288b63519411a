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
        let proven = entries.iter().any(Entry::is_proven);
        let change = Change::Import { entries, replace, reuse };
        // Before they are seen: from then on an agent has a lease's time to come. Not for a page that is refused: that changes nothing.
        if proven && self.store.tried(&self.store.snapshot(), &change).is_ok() {
            self.leases.honour(Instant::now());
        }
        match self.store.commit(change).await {
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use fourward_core::host::Digest;
    use fourward_core::policy::Policy;
    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::config::Config;
    use crate::gateway::Traffic;
    use crate::leases::Leases;
    use crate::store::Store;

    const CONFIG: &str = r#"
[public]
ipv4 = ["192.0.2.11"]
ipv6 = ["2001:db8:a::11"]
[dns]
zones = ["dyn.example.org"]
"#;

    /// A host whose address was proven elsewhere.
    const PROVEN: &str =
        r#"{"zone":"dyn.example.org","host":"cloud","proven":{"address":"2001:db8:1::11","since":"2026-11-01T00:00:00Z"}}"#;

    #[tokio::test]
    async fn a_page_that_is_refused_puts_no_lease_off() {
        let folder = TempDir::new().expect("a folder");
        let store = Store::open(folder.path(), Policy::default()).expect("a store");
        let zone = "dyn.example.org".parse().expect("a zone");
        store.commit(Change::Serve { zone, apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH }).await.expect("served");
        let server = Config::parse(CONFIG, Path::new("test.toml")).expect("good").server.expect("a server");
        let leases = Arc::new(Leases::new(Instant::now()));
        let control = Control::new(server, Digest([1; 32]), store, Arc::clone(&leases), Arc::new(Traffic::default()), None);
        let import = async |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            control.import(&lines, false, false).await.expect("judged")
        };

        let before = leases.settled_at();
        let refused = import(&[PROVEN, PROVEN]).await;
        assert!(matches!(refused, Reply::LineRefused { at: 1, .. }), "{refused:?}");
        assert_eq!(leases.settled_at(), before);
        let taken = import(&[PROVEN]).await;
        assert!(matches!(taken, Reply::Imported(_)), "{taken:?}");
        assert!(leases.settled_at() > before);
    }
}
