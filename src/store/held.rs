//! A disk for redb that keeps every write to itself until what is on it has been understood.
//!
//! redb repairs a file as it opens it, and marks it as open. On a file that turns out to be torn or foreign that would
//! destroy evidence, so here the writes wait in memory, in order and with their syncs, and reach the file by
//! [`Held::release`] alone. After a failed write or sync it is cut off for good: what the file holds then is unknown, and
//! a second sync that succeeds would not mean that the first one's data arrived.

use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// The disk, held or not. A clone is the same disk: redb owns one, the store lets go by the other.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Box<dyn StorageBackend>,
    mode: Mutex<Mode>,
}

#[derive(Debug)]
enum Mode {
    Holding { writes: Vec<Write>, len: u64 },
    Through,
    Cut,
}

/// One thing that redb did to the file. Few of them: an opening writes headers only.
#[derive(Debug)]
enum Write {
    Bytes { offset: u64, data: Vec<u8> },
    Len(u64),
    Sync,
}

impl Held {
    /// Holds `disk`.
    pub(super) fn over(disk: impl StorageBackend) -> Result<Self> {
        let mode = Mutex::new(Mode::Holding { writes: Vec::new(), len: disk.len()? });
        Ok(Self(Arc::new(Inner { disk: Box::new(disk), mode })))
    }

    /// Carries out what was held back, in its order, and lets all that follows through.
    pub(super) fn release(&self) -> Result<()> {
        let mut mode = self.mode();
        let writes = match &mut *mode {
            Mode::Holding { writes, .. } => std::mem::take(writes),
            Mode::Through => return Ok(()),
            Mode::Cut => return Err(cut_off()),
        };
        *mode = Mode::Cut;
        writes.iter().try_for_each(|write| self.carry_out(write))?;
        *mode = Mode::Through;
        Ok(())
    }

    /// Lets nothing through any more.
    pub(super) fn cut(&self) {
        *self.mode() = Mode::Cut;
    }

    fn carry_out(&self, write: &Write) -> Result<()> {
        match write {
            Write::Bytes { offset, data } => self.0.disk.write(*offset, data),
            Write::Len(len) => self.0.disk.set_len(*len),
            Write::Sync => self.0.disk.sync_data(),
        }
    }

    fn take(&self, write: Write) -> Result<()> {
        let mut mode = self.mode();
        match &mut *mode {
            Mode::Cut => Err(cut_off()),
            Mode::Through => self.carry_out(&write).inspect_err(|_| *mode = Mode::Cut),
            Mode::Holding { writes, len } => {
                match &write {
                    Write::Bytes { offset, data } => *len = (*len).max(span(*offset, data.len())?.end),
                    Write::Len(new) => *len = *new,
                    Write::Sync => {}
                }
                writes.push(write);
                Ok(())
            }
        }
    }

    fn mode(&self) -> MutexGuard<'_, Mode> {
        // Each critical section leaves the mode whole, so a poisoned one is still good.
        self.0.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Held {
    fn len(&self) -> Result<u64> {
        match &*self.mode() {
            Mode::Cut => Err(cut_off()),
            Mode::Through => self.0.disk.len(),
            Mode::Holding { len, .. } => Ok(*len),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match &*self.mode() {
            Mode::Cut => Err(cut_off()),
            Mode::Through => self.0.disk.read(offset, out),
            Mode::Holding { writes, len } => {
                let wanted = span(offset, out.len())?;
                if wanted.end > *len {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                read_below(self.0.disk.as_ref(), &wanted, out)?;
                writes.iter().for_each(|write| overlay(write, &wanted, out));
                Ok(())
            }
        }
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.take(Write::Len(len))
    }

    fn sync_data(&self) -> Result<()> {
        self.take(Write::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.take(Write::Bytes { offset, data: data.to_vec() })
    }

    fn close(&self) -> Result<()> {
        self.0.disk.close()
    }
}

fn cut_off() -> Error {
    Error::other("the file is not touched any more since an earlier failure")
}

fn span(offset: u64, len: usize) -> Result<Range<u64>> {
    let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
    end.map(|end| offset..end).ok_or_else(|| ErrorKind::InvalidInput.into())
}

/// What the file itself has of `wanted`; zeros behind its end.
fn read_below(disk: &dyn StorageBackend, wanted: &Range<u64>, out: &mut [u8]) -> Result<()> {
    let there = index(disk.len()?.saturating_sub(wanted.start), out.len());
    let (below, beyond) = out.split_at_mut(there);
    beyond.fill(0);
    if below.is_empty() { Ok(()) } else { disk.read(wanted.start, below) }
}

/// What `write` did to the part of the file that `out` shows.
fn overlay(write: &Write, wanted: &Range<u64>, out: &mut [u8]) {
    match write {
        Write::Sync => {}
        Write::Len(len) => {
            let kept = index(len.saturating_sub(wanted.start), out.len());
            out.split_at_mut(kept).1.fill(0);
        }
        Write::Bytes { offset, data } => {
            let skipped = index(wanted.start.saturating_sub(*offset), data.len());
            let start = index(offset.saturating_sub(wanted.start), out.len());
            let (shown, hidden) = (out.split_at_mut(start).1, data.split_at(skipped).1);
            shown.iter_mut().zip(hidden).for_each(|(out, byte)| *out = *byte);
        }
    }
}

fn index(distance: u64, limit: usize) -> usize {
    usize::try_from(distance).unwrap_or(limit).min(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn arbitrary_write() -> impl Strategy<Value = Write> {
        let bytes = prop::collection::vec(any::<u8>(), 1..40);
        prop_oneof![
            (0u64..200, bytes).prop_map(|(offset, data)| Write::Bytes { offset, data }),
            (0u64..200).prop_map(Write::Len),
            Just(()).prop_map(|()| Write::Sync),
        ]
    }

    fn contents(disk: &impl StorageBackend) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(disk.len().expect("len")).expect("small")];
        disk.read(0, &mut out).expect("read");
        out
    }

    #[derive(Clone, Debug)]
    struct Shared(Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
        fn len(&self) -> Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
            let end = offset + data.len() as u64;
            if self.0.len()? < end {
                self.0.set_len(end)?; // a file grows by a write behind its end; memory of redb's does not
            }
            self.0.write(offset, data)
        }
    }

    fn disk() -> Shared {
        let disk = Shared(Arc::new(InMemoryBackend::new()));
        disk.write(0, &[7; 100]).expect("write");
        disk
    }

    proptest! {
        #[test]
        fn a_held_disk_reads_as_if_it_were_written(writes in prop::collection::vec(arbitrary_write(), 0..12), at in 0usize..200) {
            let (real, below) = (disk(), disk());
            let held = Held::over(below.clone()).expect("held");
            for write in &writes {
                match write {
                    Write::Bytes { offset, data } => (real.write(*offset, data).expect("write"), held.write(*offset, data).expect("write")),
                    Write::Len(len) => (real.set_len(*len).expect("len"), held.set_len(*len).expect("len")),
                    Write::Sync => (real.sync_data().expect("sync"), held.sync_data().expect("sync")),
                };
            }
            prop_assert_eq!(contents(&below), vec![7; 100], "nothing came through");
            let expected = contents(&real);
            prop_assert_eq!(&contents(&held), &expected);
            let rest = expected.get(at..).unwrap_or_default();
            let mut out = vec![0; rest.len()];
            if !rest.is_empty() {
                held.read(at as u64, &mut out).expect("read");
            }
            prop_assert_eq!(&out, rest);
            prop_assert!(held.read(expected.len() as u64, &mut [0]).is_err(), "nothing behind the end");
            held.release().expect("released");
            prop_assert_eq!(contents(&below), expected);
        }
    }

    #[test]
    fn once_cut_nothing_gets_through() {
        let below = disk();
        let held = Held::over(below.clone()).expect("held");
        held.release().expect("released");
        held.write(0, &[1]).expect("through");
        held.cut();
        assert!(held.write(0, &[2]).is_err() && held.sync_data().is_err() && held.set_len(0).is_err() && held.len().is_err());
        assert!(held.release().is_err() && held.write(0, &[3]).is_err(), "and never again");
        assert_eq!(contents(&below)[0], 1);
    }
}
