//! What stands before our own QUIC endpoint.
//!
//! Every datagram is judged by `core::demux` before the endpoint sees it. What is nobody's ends here: it gets no answer, so that
//! the port says nothing to strangers. What is a home's has branched off before (`quic::own`).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fourward_core::demux::{Owner, owner};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Sleep, sleep};
use tracing::warn;

use crate::quic::own::OwnIds;

/// Out of memory, or an interface in trouble: long enough not to spin.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// A socket that passes on what is ours.
#[derive(Debug)]
pub(super) struct Demux {
    socket: Arc<dyn AsyncUdpSocket>,
    ids: OwnIds,
    /// After a failed receive, until the next.
    pause: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Demux {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, ids: OwnIds) -> Self {
        Self { socket, ids, pause: Mutex::new(None) }
    }

    fn pause(&self) -> MutexGuard<'_, Option<Pin<Box<Sleep>>>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the datagrams of `buffer` that are ours; `meta` tells what is left.
    fn sift(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (stride, mut kept) = (meta.stride.max(1), 0);
        let mut from = 0;
        while from < meta.len {
            let to = (from + stride).min(meta.len);
            let own = buffer.get(from..to).is_some_and(|datagram| owner(datagram, |id| self.ids.know(id)) == Owner::Own);
            if own {
                buffer.copy_within(from..to, kept);
                kept += to - from;
            }
            from = to;
        }
        meta.len = kept;
    }
}

impl AsyncUdpSocket for Demux {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        if let Some(pause) = self.pause().as_mut() {
            ready!(pause.as_mut().poll(cx));
        }
        *self.pause() = None;
        let received = match ready!(self.socket.poll_recv(cx, bufs, meta)) {
            Ok(received) => received,
            Err(error) => {
                // The endpoint would take it for its end. It costs a pause.
                warn!(%error, "receive on the link's socket failed");
                *self.pause() = Some(Box::pin(sleep(RECEIVE_PAUSE)));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        for (buffer, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(received) {
            self.sift(buffer, meta);
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that fails to receive, always.
    #[derive(Debug)]
    struct Broken(Arc<dyn AsyncUdpSocket>);

    impl AsyncUdpSocket for Broken {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Arc::clone(&self.0).create_io_poller()
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            self.0.try_send(transmit)
        }

        fn poll_recv(&self, _: &mut Context<'_>, _: &mut [IoSliceMut<'_>], _: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_receive_costs_a_pause_and_not_the_endpoint() {
        let real = std::net::UdpSocket::bind("[::1]:0").expect("socket");
        let real = quinn::Runtime::wrap_udp_socket(&quinn::TokioRuntime, real).expect("wrapped");
        let demux = Demux::new(Arc::new(Broken(real)), OwnIds::new(&[7; 32]));
        let began = tokio::time::Instant::now();
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            let mut buffer = [0; 64];
            let polled = demux.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut [RecvMeta::default()]);
            assert!(polled.is_pending(), "{polled:?}");
            // Each failure is followed by one poll that finds the pause.
            if polls == 7 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(began.elapsed(), RECEIVE_PAUSE * 3);
    }
}
