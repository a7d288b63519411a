//! Our own part of UDP 443: the datagrams that are for our own endpoint, out of a socket that somebody else reads, and our connection IDs.
//!
//! The gateway reads the socket and hands over what is ours; the link answers on it. Neither knows the other. What does not fit into the queue is dropped, as the
//! kernel would do it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use fourward_core::change::Identity;
use fourward_core::demux::OWN_ID_LENGTH;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, UdpPoller};
use tokio::sync::mpsc;

use crate::mmsg::segments::{Ends, Message, Outbox};

/// Datagrams that wait for the endpoint.
const QUEUE: usize = 1024;

/// Of the bytes of a connection ID so many are random: enough that two connections never meet, while the rest says "ours" but for one in
/// sixteen million.
const RANDOM: usize = 5;

/// Our connection IDs: random bytes and a mark that only we can make, so that a datagram is known as ours with no table, and still
/// after a restart.
#[derive(Clone, Debug)]
pub(crate) struct OwnIds(hmac::Key);

impl OwnIds {
    /// IDs marked with `key`, which outlives restarts.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, key);
        let derived = hmac::sign(&master, b"fourward connection ids");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Whether `id` is one of ours.
    pub(crate) fn know(&self, id: &[u8]) -> bool {
        let (random, mark) = id.split_at_checked(RANDOM).unwrap_or_default();
        id.len() == OWN_ID_LENGTH && hmac::sign(&self.0, random).as_ref().starts_with(mark)
    }
}

impl ConnectionIdGenerator for OwnIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; OWN_ID_LENGTH];
        let (random, mark) = id.split_at_mut(RANDOM);
        // Without randomness the ID is only predictable, and the handshake fails by itself.
        let _ = rand::fill(random);
        let tag = hmac::sign(&self.0, random);
        mark.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        OWN_ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A socket of port 443, and where what comes to it for ourselves goes.
#[derive(Debug)]
pub struct Doorway {
    /// To be read by whoever has this.
    pub(crate) socket: UdpSocket,
    /// Which datagrams are ours.
    pub(crate) ids: OwnIds,
    to: mpsc::Sender<Datagram>,
}

/// What is ours of a socket that somebody else reads.
pub struct OwnSocket {
    socket: UdpSocket,
    from: Mutex<mpsc::Receiver<Datagram>>,
    outbox: Mutex<Outbox>,
}

#[derive(Debug)]
struct Datagram {
    bytes: Box<[u8]>,
    peer: SocketAddr,
    local: Option<IpAddr>,
}

/// Parts `socket` into what is read by one and what of it is our own endpoint's.
///
/// # Errors
/// There are no more descriptors.
pub fn part(socket: UdpSocket, identity: &Identity) -> io::Result<(Doorway, Arc<OwnSocket>)> {
    let (to, from) = mpsc::channel(QUEUE);
    let own = OwnSocket { socket: socket.try_clone()?, from: Mutex::new(from), outbox: Mutex::new(Outbox::new()) };
    Ok((Doorway { socket, ids: OwnIds::new(&identity.reset_key), to }, Arc::new(own)))
}

impl Doorway {
    /// Gives our own endpoint a datagram.
    pub(crate) fn hand_over(&self, datagram: &[u8], ends: Ends) {
        // A full queue is a busy endpoint, a closed one is at its end.
        let _ = self.to.try_send(Datagram { bytes: datagram.into(), peer: ends.peer, local: ends.local.map(|(local, _)| local) });
    }
}

impl std::fmt::Debug for OwnSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for OwnSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Always)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let to = Ends { peer: transmit.destination, local: transmit.src_ip.map(|local| (local, 0)) };
        let segment = transmit.segment_size.unwrap_or(0);
        let message = Message { pieces: vec![IoSlice::new(transmit.contents)], segment, to: Some(to) };
        // What the kernel does not take is lost on the way, and sent again.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).send(self.socket.as_fd(), &[message]);
        Ok(())
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (buffer, meta) in bufs.iter_mut().zip(meta) {
            // Who reads the socket may end before us: then nothing comes any more.
            let Poll::Ready(Some(datagram)) = from.poll_recv(cx) else { break };
            count += 1;
            // Longer ones than the endpoint has room for are none of ours.
            let length = datagram.bytes.len();
            let fits = buffer.get_mut(..length).is_some_and(|place| {
                place.copy_from_slice(&datagram.bytes);
                true
            });
            let length = if fits { length } else { 0 };
            *meta = RecvMeta { addr: datagram.peer, len: length, stride: length, ecn: None, dst_ip: datagram.local };
        }
        if count > 0 { Poll::Ready(Ok(count)) } else { Poll::Pending }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        1
    }

    fn max_receive_segments(&self) -> usize {
        1
    }

    fn may_fragment(&self) -> bool {
        true
    }
}

/// A send never waits.
#[derive(Debug)]
struct Always;

impl UdpPoller for Always {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ids_are_known_after_a_restart_and_others_are_not() {
        let id = OwnIds::new(&[7; 32]).generate_cid();
        assert!(OwnIds::new(&[7; 32]).know(&id));
        assert!(!OwnIds::new(&[8; 32]).know(&id));
        assert!(!OwnIds::new(&[7; 32]).know(&id[..7]));
    }
}
