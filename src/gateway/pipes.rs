//! Pipes for splice(2), lent out while bytes flow.
//!
//! A pipe costs two descriptors and memory that the kernel rations by user, so an idle connection holds none. Only an empty
//! pipe comes back: one with bytes in it would give them to the next borrower, so it is closed. Where no pipe is to be had, the
//! relay copies.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::net::TcpStream;

/// Measured against the default of 64 KiB, this saves a third of the CPU time in bulk.
const LARGE: usize = 1024 * 1024;

/// An unprivileged user has 64 MiB of pipes. Half for large ones leaves the other half to hundreds of the default size; once it
/// is all gone, new pipes have two pages and copying is faster.
const LARGE_LIMIT: usize = 32;

/// The kernel's default, and the least with which splicing beats copying.
const LEAST: usize = 64 * 1024;

/// Idle pipes beyond this are closed.
const IDLE_LIMIT: usize = 16;

/// The pipes there are.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Pipe>>,
    limit: usize,
    /// Pipes there are, lent and idle.
    open: AtomicUsize,
    /// Those of them that are large.
    large: AtomicUsize,
}

#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    size: usize,
}

/// A pipe on loan. Dropping it gives it back, or closes it if bytes are left in it.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    pipe: Option<Pipe>,
    filled: usize,
}

impl Pool {
    /// At most `limit` pipes at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { idle: Mutex::default(), limit, open: AtomicUsize::new(0), large: AtomicUsize::new(0) }
    }

    /// An empty pipe, if one is to be had.
    pub(super) fn lend(&self) -> Option<Lent<'_>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pipe = idle.or_else(|| self.open())?;
        Some(Lent { pool: self, pipe: Some(pipe), filled: 0 })
    }

    fn open(&self) -> Option<Pipe> {
        take(&self.open, self.limit).then_some(())?;
        let pipe = self.make();
        if pipe.is_none() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        pipe
    }

    fn make(&self) -> Option<Pipe> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Refused beyond the user's quota: then it stays as it is.
        let large = take(&self.large, LARGE_LIMIT);
        if large && fcntl_setpipe_size(&into, LARGE).is_err() {
            self.large.fetch_sub(1, Ordering::Relaxed);
        }
        let size = fcntl_getpipe_size(&into).ok().filter(|size| *size >= LEAST)?;
        Some(Pipe { out, into, size })
    }

    fn close(&self, pipe: Pipe) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if pipe.size >= LARGE {
            self.large.fetch_sub(1, Ordering::Relaxed);
        }
        drop(pipe);
    }
}

/// Counts one up unless that passes `limit`.
fn take(counter: &AtomicUsize, limit: usize) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count.saturating_add(1))).is_ok()
}

impl Lent<'_> {
    /// Bytes in it.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Takes in what `from` has; 0 at its end. Only into an empty pipe: else "would block" could mean that the pipe is full,
    /// and the socket's readiness would be forgotten.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.filled == 0) else {
            return Err(io::Error::other("a pipe is filled when it is empty"));
        };
        let count = splice(from, None, &pipe.into, None, pipe.size, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.filled = count;
        Ok(count)
    }

    /// Gives out what `to` takes.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let Some(pipe) = self.pipe.as_ref() else { return Ok(0) };
        let count = splice(&pipe.out, None, to, None, self.filled, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.filled = self.filled.saturating_sub(count);
        Ok(count)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else { return };
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if self.filled == 0 && idle.len() < IDLE_LIMIT {
            idle.push(pipe);
        } else {
            drop(idle);
            self.pool.close(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let connecting = TcpStream::connect(listener.local_addr().expect("address"));
        let (client, server) = tokio::join!(connecting, listener.accept());
        (client.expect("connected"), server.expect("accepted").0)
    }

    async fn fill(pipe: &mut Lent<'_>, bytes: &[u8]) {
        let (mut from, source) = pair().await;
        from.write_all(bytes).await.expect("sent");
        source.readable().await.expect("readable");
        assert_eq!(pipe.fill(&source).expect("filled"), bytes.len());
    }

    #[tokio::test]
    async fn bytes_left_in_a_pipe_never_reach_the_next_borrower() {
        let pool = Pool::new(1);
        fill(&mut pool.lend().expect("pipe"), b"of another client").await;
        let mut pipe = pool.lend().expect("the one pipe there may be, made anew");
        fill(&mut pipe, b"mine").await;
        let (to, mut target) = pair().await;
        to.writable().await.expect("writable");
        assert_eq!(pipe.drain(&to).expect("drained"), 4);
        let mut got = [0; 4];
        target.read_exact(&mut got).await.expect("bytes");
        assert_eq!(&got, b"mine");
    }

    #[tokio::test]
    async fn pipes_are_counted_and_an_empty_one_is_lent_again() {
        let pool = Pool::new(LARGE_LIMIT + 1);
        let lent: Vec<_> = (0..=LARGE_LIMIT).map(|_| pool.lend().expect("pipe")).collect();
        assert!(pool.lend().is_none(), "no more than the limit");
        assert!(pool.large.load(Ordering::Relaxed) <= LARGE_LIMIT);
        drop(lent);
        assert_eq!(pool.open.load(Ordering::Relaxed), IDLE_LIMIT);
        assert!(pool.lend().is_some());
        assert_eq!(pool.open.load(Ordering::Relaxed), IDLE_LIMIT, "not a new one");
        assert!(Pool::new(0).lend().is_none());
    }
}
