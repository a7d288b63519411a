//! DNS over UDP: one task a socket, many datagrams a call.
//!
//! Every answer leaves from the address that was asked, also where the socket is the wildcard's: a resolver takes it from no
//! other. An answer that the kernel cannot take at once is dropped; whoever asked asks again.

use std::io::{self, IoSliceMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fourward_core::answer::{Transport, UDP_LIMIT};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::sleep;
use tracing::{trace, warn};

use super::Source;

/// The kernel may join datagrams of one sender into one of at most the size that IP has. Untouched pages cost nothing.
const BUFFER: usize = 65_535;

/// A failed receive: long enough not to spin, short enough that nobody notices.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// A socket with what is needed to answer from the address that was asked.
pub(super) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, state })
    }

    async fn receive(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        self.socket.async_io(Interest::READABLE, || self.state.recv(UdpSockRef::from(&self.socket), buffers, metas)).await
    }

    /// Tells whether it left.
    fn send(&self, contents: &[u8], asked: &RecvMeta) -> bool {
        let transmit = Transmit { destination: asked.addr, ecn: None, contents, segment_size: None, src_ip: asked.dst_ip };
        // Not through tokio: it would have to see the socket full first, and then an answer would hold up all others.
        let sent = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        sent.inspect_err(|error| trace!(%error, client = %asked.addr, "an answer was dropped")).is_ok()
    }
}

/// Answers what comes, for ever. Errors cost a pause.
pub(super) async fn serve(socket: Socket, source: Source) {
    let mut memory = vec![0; BUFFER * BATCH_SIZE];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    let mut out = [0; UDP_LIMIT];
    let mut buffers: Vec<IoSliceMut<'_>> = memory.chunks_mut(BUFFER).map(IoSliceMut::new).collect();
    loop {
        match socket.receive(&mut buffers, &mut metas).await {
            Ok(count) => {
                for (buffer, meta) in buffers.iter().zip(&metas).take(count) {
                    answer_all(&socket, &source, buffer, meta, &mut out);
                }
            }
            Err(error) => {
                warn!(%error, "receive failed");
                sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

/// Answers each of the datagrams that the kernel put into one buffer.
fn answer_all(socket: &Socket, source: &Source, buffer: &[u8], meta: &RecvMeta, out: &mut [u8]) {
    // Nobody listens on port 0: the sender's address is a lie.
    if meta.addr.port() == 0 {
        return;
    }
    for message in buffer.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
        // A defect that one datagram meets must cost that datagram, not the process: anybody can send it again.
        let answered = catch_unwind(AssertUnwindSafe(|| source.answer(message, Transport::Udp, out)));
        let Ok(answered) = answered else { continue };
        let answer = answered.and_then(|length| out.get(..length));
        if answer.is_some_and(|answer| !socket.send(answer, meta)) {
            source.counter.dropped();
        }
    }
}
