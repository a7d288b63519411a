//! Fewer wakes in bulk: a direction that fills a large measure each time is woken when the next one is full, not for every segment.
//!
//! What is less than a measure would wait for ever, so whoever got nothing for two ticks is woken by whatever there is (tcp(7) tells at once of
//! bytes that are there when the mark is lowered). No timer for each wait: there would be one in a thousandth of a second for each direction,
//! and setting it costs as much as the wake that it saves. A socket is raised with room for four measures alone: the kernel would else
//! take the mark for the largest window that it may open.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::mmsg::options;

/// A measure: large enough to save wakes, small against what a fast sender has in flight.
pub(super) const MEASURE: usize = 128 * 1024;

/// Of a socket's buffer, the kernel counts about as much again for what holds the bytes.
const ROOM: usize = 4 * MEASURE;

/// Between two looks; a tail waits for twice that at most. Below 500 Mbit/s no measure fills in that time, and nothing is raised.
const TICK: Duration = Duration::from_millis(1);

/// Directions at once that may be raised: each holds a descriptor.
pub(super) const LIMIT: usize = 64;

/// The directions whose mark is raised.
#[derive(Debug, Default)]
pub(super) struct Tails {
    raised: Mutex<Vec<Arc<Mark>>>,
    some: Notify,
}

#[derive(Debug)]
struct Mark {
    /// The socket, once more: it may be closed by its owner at any time.
    socket: OwnedFd,
    is_raised: AtomicBool,
    has_moved: AtomicBool,
}

/// A raised mark; dropped, it is lowered.
#[derive(Debug)]
pub(super) struct Raised {
    tails: Arc<Tails>,
    mark: Arc<Mark>,
}

impl Tails {
    /// Raises the mark of `stream`, which filled a measure; `None` where it cannot be, or is not worth it.
    pub(super) fn raise(self: &Arc<Self>, stream: &TcpStream) -> Option<Raised> {
        if SockRef::from(stream).recv_buffer_size().ok()? < ROOM {
            return None;
        }
        let mut raised = self.lock();
        if raised.len() >= LIMIT {
            return None;
        }
        let socket = rustix::io::fcntl_dupfd_cloexec(stream, 0).ok()?;
        options::wake_at(&socket, MEASURE as i32);
        let mark = Arc::new(Mark { socket, is_raised: AtomicBool::new(true), has_moved: AtomicBool::new(true) });
        raised.push(Arc::clone(&mark));
        if raised.len() == 1 {
            self.some.notify_one();
        }
        Some(Raised { tails: Arc::clone(self), mark })
    }

    /// Lowers the marks of those that get nothing, for as long as anybody raises any.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.some.notified().await;
            while self.tick() {
                sleep(TICK).await;
            }
        }
    }

    /// Whether any is raised.
    fn tick(&self) -> bool {
        let raised = self.lock();
        for mark in raised.iter() {
            if !mark.has_moved.swap(false, Ordering::Relaxed) && mark.is_raised.swap(false, Ordering::Relaxed) {
                options::wake_at(&mark.socket, 1);
            }
        }
        !raised.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Mark>>> {
        // Nothing in here can panic in the middle.
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Raised {
    /// Whether it is still up, which a tick may have ended; it came in so far.
    pub(super) fn moves(&self) -> bool {
        self.mark.has_moved.store(true, Ordering::Relaxed);
        self.mark.is_raised.load(Ordering::Relaxed)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.tails.lock().retain(|mark| !Arc::ptr_eq(mark, &self.mark));
        if self.mark.is_raised.load(Ordering::Relaxed) {
            options::wake_at(&self.mark.socket, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_tail_is_told_of_and_so_is_all_that_comes_later() {
        let tails = Arc::new(Tails::default());
        let watch = tokio::spawn(Arc::clone(&tails).watch());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let connecting = TcpStream::connect(listener.local_addr().expect("bound"));
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        let (mut client, (server, _)) = (client.expect("connected"), accepted.expect("accepted"));
        assert!(tails.raise(&server).is_none(), "its buffer is small");
        SockRef::from(&server).set_recv_buffer_size(2 * ROOM).expect("set");
        let raised = tails.raise(&server).expect("raised");
        let mut bytes = [0; 64];
        assert!(server.try_read(&mut bytes).is_err(), "a new stream is taken for readable until it is read");
        for _ in 0..3 {
            client.write_all(b"a tail").await.expect("sent");
            server.readable().await.expect("told");
            assert!(!raised.moves());
            assert_eq!(server.try_read(&mut bytes).expect("bytes"), 6);
            assert!(server.try_read(&mut bytes).is_err());
        }
        drop(raised);
        assert!(tails.lock().is_empty());
        watch.abort();
    }
}
