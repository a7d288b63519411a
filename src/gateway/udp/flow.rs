//! One flow: what passes between a client and a home, and what waits until the home is found.
//!
//! Each has a socket of its own towards the home, connected, so that an answer says by itself whose it is, and so that the home sees the same sender
//! wherever it moves.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use fourward_core::flows::Id;
use fourward_core::link::Service;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::sync::OwnedSemaphorePermit;

use super::Carrier;
use super::gather::gather;
use crate::mmsg::segments::{Ends, Message, Run, put_together};

/// What waits of one flow while its home is being found: a client's first flight.
const WAITING: usize = 16;

/// The same in bytes.
const WAITING_BYTES: usize = 64 * 1024;

/// What waits of all flows.
const WAITING_OF_ALL: usize = 4 << 20;

/// Room for so many is made in every look.
const LEAST: usize = 4;

/// A client and what leads to its home.
pub(super) struct Flow {
    pub(super) entrance: u32,
    pub(super) home: u32,
    /// What is dialled there.
    pub(super) service: Service,
    pub(super) ends: Ends,
    upstream: Option<UdpSocket>,
    pub(super) stand: Stand,
    queue: VecDeque<Box<[u8]>>,
    queued: usize,
    /// For how many runs the next look at the home's side makes room.
    expected: usize,
    _permit: OwnedSemaphorePermit,
}

/// Whether a client's bytes may go home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Not yet, and nobody is looking for the home.
    Idle,
    /// Not yet.
    Asked,
    /// It was found there.
    At(Ipv6Addr),
}

impl Flow {
    pub(super) fn new(entrance: u32, (home, service): (u32, Service), ends: Ends, permit: OwnedSemaphorePermit) -> Self {
        Self {
            entrance,
            home,
            service,
            ends,
            upstream: None,
            stand: Stand::Idle,
            queue: VecDeque::new(),
            queued: 0,
            expected: LEAST,
            _permit: permit,
        }
    }

    /// Has `datagram` wait with all that are `waiting`; whether there is room.
    fn keep(&mut self, datagram: &[u8], waiting: &mut usize) -> bool {
        let fits = self.queue.len() < WAITING
            && self.queued.saturating_add(datagram.len()) <= WAITING_BYTES
            && waiting.saturating_add(datagram.len()) <= WAITING_OF_ALL;
        if fits {
            self.queued = self.queued.saturating_add(datagram.len());
            *waiting = waiting.saturating_add(datagram.len());
            self.queue.push_back(datagram.into());
        }
        fits
    }
}

impl Carrier {
    /// Ends a flow, whatever waits in it.
    pub(super) fn end(&mut self, id: Id) {
        let Some(flow) = self.flows.end(id) else { return };
        if self.by_ends.get(&(flow.entrance, flow.ends)) == Some(&id) {
            self.by_ends.remove(&(flow.entrance, flow.ends));
        }
        self.quic.routes.end(id);
        self.waiting = self.waiting.saturating_sub(flow.queued);
        self.crew.shared.traffic.lose(flow.queue.len() as u64);
    }

    /// Sends runs of the inbox, all of one flow, to its home, or keeps them until it is found.
    pub(super) fn carry_home(&mut self, runs: &[(Id, usize)]) {
        let Some((id, _)) = runs.first().copied() else { return };
        if self.flows.get(id).is_some_and(|flow| flow.stand == Stand::Idle) {
            self.want(id);
        }
        let runs = runs.iter().filter_map(|(_, at)| self.inbox.run(*at));
        match self.flows.get_mut(id) {
            Some(Flow { upstream: Some(upstream), stand: Stand::At(_), .. }) => {
                let bytes: usize = runs.clone().map(|run| run.bytes.len()).sum();
                let dropped = self.outbox.send(upstream.as_fd(), &gather(runs, None));
                self.crew.shared.traffic.to_homes().fetch_add(bytes as u64, Ordering::Relaxed);
                self.crew.shared.traffic.lose(dropped);
            }
            Some(flow) if flow.stand == Stand::Asked => {
                let mut lost = 0;
                for datagram in runs.flat_map(|run| run.datagrams()) {
                    lost += u64::from(!flow.keep(datagram, &mut self.waiting));
                }
                self.crew.shared.traffic.lose(lost);
            }
            // Nobody vouches for the home now.
            _ => self.crew.shared.traffic.lose(runs.map(|run| run.datagrams().count() as u64).sum()),
        }
    }

    /// The same for one datagram.
    pub(super) fn carry_one(&mut self, id: Id, datagram: &[u8]) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if let (Some(upstream), Stand::At(_)) = (&flow.upstream, flow.stand) {
            let message = Message { pieces: vec![IoSlice::new(datagram)], segment: 0, to: None };
            let dropped = self.outbox.send(upstream.as_fd(), &[message]);
            self.crew.shared.traffic.to_homes().fetch_add(datagram.len() as u64, Ordering::Relaxed);
            return self.crew.shared.traffic.lose(dropped);
        }
        if !flow.keep(datagram, &mut self.waiting) {
            self.crew.shared.traffic.lose(1);
        }
        self.want(id);
    }

    /// Takes what has come from a flow's home.
    pub(super) fn downwards(&mut self, id: Id) {
        if self.inbox.is_full() {
            self.flush();
        }
        let Some(Flow { upstream: Some(upstream), stand, expected, .. }) = self.flows.get_mut(id) else { return };
        let before = self.inbox.filled();
        // Errors are what routers and the home say of what did not arrive: it may the next time.
        let Ok((count, _)) = self.inbox.receive(upstream.as_fd(), *expected) else { return };
        *expected = count.saturating_mul(2).max(LEAST);
        if !matches!(stand, Stand::At(_)) {
            // Whoever says it is not known to be the home.
            self.inbox.truncate(before);
            return;
        }
        self.whose.extend(std::iter::repeat_n(id, count));
    }

    /// Sends what has come from homes to the clients.
    pub(super) fn flush(&mut self) {
        if self.whose.is_empty() {
            return;
        }
        let (mut messages, mut bytes): (Vec<(u32, Message<'_>)>, u64) = (Vec::new(), 0);
        let mut at = 0_usize;
        for of_one in self.whose.chunk_by(|one, other| one == other) {
            let first = at;
            at = at.saturating_add(of_one.len());
            let Some(id) = of_one.first() else { continue };
            let Some((entrance, ends)) = self.flows.get(*id).map(|flow| (flow.entrance, flow.ends)) else { continue };
            let mut may = Vec::with_capacity(of_one.len());
            for run in (first..at).filter_map(|at| self.inbox.run(at)) {
                run.datagrams().for_each(|datagram| self.quic.routes.from_home(*id, datagram));
                let all = run.datagrams().count();
                let count = self.flows.to_client(*id, run.datagrams().map(<[u8]>::len), self.now);
                if count < all {
                    self.crew.shared.traffic.withhold(all.saturating_sub(count));
                }
                let length: usize = run.datagrams().take(count).map(<[u8]>::len).sum();
                bytes = bytes.saturating_add(length as u64);
                if count > 0 {
                    let segment = if count == 1 { 0 } else { run.segment };
                    may.push(Run { bytes: run.bytes.get(..length).unwrap_or_default(), segment, ..run });
                }
            }
            messages.extend(gather(may.into_iter(), Some(ends)).into_iter().map(|message| (entrance, message)));
        }
        // Each flow has one entrance, so its order stays.
        messages.sort_by_key(|(entrance, _)| *entrance);
        let mut dropped = 0;
        let (entrances, messages): (Vec<u32>, Vec<Message<'_>>) = messages.into_iter().unzip();
        let mut rest = messages.as_slice();
        for of_one in entrances.chunk_by(|one, other| one == other) {
            let Some((now, later)) = rest.split_at_checked(of_one.len()) else { break };
            rest = later;
            let entrance = of_one.first().and_then(|number| self.entrances.get(number));
            dropped += entrance.map_or(0, |entrance| self.outbox.send(entrance.socket().as_fd(), now));
        }
        drop(messages);
        self.crew.shared.traffic.to_clients().fetch_add(bytes, Ordering::Relaxed);
        self.crew.shared.traffic.lose(dropped);
        self.forget_batch();
    }

    /// Has a flow stand at `address`, where its home was found, and sends what waited for that.
    pub(super) fn stand(&mut self, id: Id, address: Ipv6Addr) -> io::Result<()> {
        let Some(flow) = self.flows.get(id) else { return Ok(()) };
        let to = SocketAddrV6::new(address, flow.service.port, 0, 0);
        let new = match &flow.upstream {
            // The same socket: the home, wherever it is now, sees the sender that it knows.
            Some(upstream) => {
                rustix::net::connect(upstream, &to)?;
                None
            }
            None => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let upstream = UdpSocket::from(socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None)?);
                rustix::net::connect(&upstream, &to)?;
                let _ = put_together(upstream.as_fd());
                self.watch(&upstream, id.to_bits())?;
                Some(upstream)
            }
        };
        let Some(flow) = self.flows.get_mut(id) else { return Ok(()) };
        flow.upstream = new.or(flow.upstream.take());
        flow.stand = Stand::At(address);
        self.waiting = self.waiting.saturating_sub(std::mem::take(&mut flow.queued));
        let queue = std::mem::take(&mut flow.queue);
        let Some(upstream) = &flow.upstream else { return Ok(()) };
        let bytes: usize = queue.iter().map(|datagram| datagram.len()).sum();
        let messages = queue.iter().map(|datagram| Message { pieces: vec![IoSlice::new(datagram)], segment: 0, to: None });
        let dropped = self.outbox.send(upstream.as_fd(), &messages.collect::<Vec<_>>());
        self.crew.shared.traffic.to_homes().fetch_add(bytes as u64, Ordering::Relaxed);
        self.crew.shared.traffic.lose(dropped);
        Ok(())
    }

    /// A flow whose home was not found: one that never stood ends, another waits for the home to come back.
    pub(super) fn leave(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if flow.upstream.is_none() {
            return self.end(id);
        }
        flow.stand = Stand::Idle;
        self.waiting = self.waiting.saturating_sub(std::mem::take(&mut flow.queued));
        self.crew.shared.traffic.lose(std::mem::take(&mut flow.queue).len() as u64);
    }
}
