//! Connections that begin: what has come of their hellos, and the datagrams that wait until somebody knows where they go.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::ConnectionId;
use crate::client_hello::ClientHello;
use crate::peek::Peek;
use crate::quic_initial::{Beginning, DATAGRAMS, Keys, Kind, Packet, Version, begin, packets};

/// A client sends the rest of its hello at once, and what was lost of it within a second or two.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all that wait may hold. The oldest give way: what is still missing of a hello mostly comes in the same instant, so that a flood meets few others.
const HELD: usize = 4 << 20;

/// How many there may be, those included that are our own and hold nothing.
const ALL: usize = 4096;

/// What a datagram came to.
#[derive(Debug)]
pub enum Read {
    /// It is to be dropped.
    Nothing,
    /// It is kept.
    Waits,
    /// The hello is whole: these datagrams are to go where it says.
    Says {
        /// What it says.
        hello: ClientHello,
        /// What has come of the connection, in its order.
        datagrams: Vec<Box<[u8]>>,
        /// What the client calls the server.
        first: ConnectionId,
    },
    /// It belongs to a hello that was for ourselves.
    Own,
}

/// The beginnings; `P` is what tells clients' addresses apart, `K` opens their packets.
#[derive(Debug)]
pub struct Beginnings<P, K> {
    open: HashMap<(P, ConnectionId), Open<K>>,
    /// The oldest first; some are gone.
    order: VecDeque<(P, ConnectionId, u64)>,
    next: u64,
    held: usize,
}

#[derive(Debug)]
struct Open<K> {
    number: u64,
    began: Instant,
    /// `None`: it is our own.
    beginning: Option<Beginning<K>>,
    datagrams: Vec<Box<[u8]>>,
    held: usize,
}

impl<P, K> Default for Beginnings<P, K> {
    fn default() -> Self {
        Self { open: HashMap::new(), order: VecDeque::new(), next: 0, held: 0 }
    }
}

impl<P: Copy + Eq + Hash, K: Keys> Beginnings<P, K> {
    /// Reads a datagram that came from `peer` and belongs to no flow.
    pub fn read(&mut self, peer: P, datagram: &[u8], keys: impl FnOnce(Version, &[u8]) -> Option<K>, now: Instant) -> Read {
        self.expire(now);
        let Some(Packet::Long(long)) = packets(datagram).next() else { return Read::Nothing };
        let Some(first) = ConnectionId::new(long.destination) else { return Read::Nothing };
        let peek = match self.open.get_mut(&(peer, first)) {
            Some(Open { beginning: None, .. }) => return Read::Own,
            Some(Open { beginning: Some(beginning), datagrams, .. }) => {
                if datagrams.len() >= DATAGRAMS {
                    Peek::Foreign
                } else {
                    beginning.read(datagram)
                }
            }
            None => {
                if long.kind != Kind::Initial {
                    return Read::Nothing;
                }
                let Some((beginning, peek)) = begin(datagram, keys) else { return Read::Nothing };
                self.enter((peer, first), Some(beginning), now);
                peek
            }
        };
        match peek {
            Peek::Partial => self.keep((peer, first), datagram),
            Peek::Foreign => {
                self.remove((peer, first));
                Read::Nothing
            }
            Peek::Known(hello) => {
                let mut datagrams = self.remove((peer, first));
                datagrams.push(datagram.into());
                Read::Says { hello, datagrams, first }
            }
        }
    }

    /// What `peer` sends to `first` is our own, until it knows our own name for it.
    pub fn own(&mut self, peer: P, first: ConnectionId, now: Instant) {
        self.remove((peer, first));
        self.enter((peer, first), None, now);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn enter(&mut self, key: (P, ConnectionId), beginning: Option<Beginning<K>>, now: Instant) {
        while self.open.len() >= ALL && self.drop_oldest() {}
        if self.order.len() >= 2 * ALL {
            let open = &self.open;
            self.order.retain(|(peer, first, number)| open.get(&(*peer, *first)).is_some_and(|open| open.number == *number));
        }
        self.next = self.next.wrapping_add(1);
        self.order.push_back((key.0, key.1, self.next));
        self.open.insert(key, Open { number: self.next, began: now, beginning, datagrams: Vec::new(), held: 0 });
    }

    fn keep(&mut self, key: (P, ConnectionId), datagram: &[u8]) -> Read {
        let Some(open) = self.open.get_mut(&key) else { return Read::Nothing };
        open.datagrams.push(datagram.into());
        let of_hello = open.beginning.as_ref().map_or(0, Beginning::held);
        let held = open.datagrams.iter().fold(of_hello, |sum, datagram| sum.saturating_add(datagram.len()));
        self.held = self.held.saturating_sub(open.held).saturating_add(held);
        open.held = held;
        while self.held > HELD && self.drop_oldest() {}
        // It may have been the oldest itself.
        if self.open.contains_key(&key) { Read::Waits } else { Read::Nothing }
    }

    fn remove(&mut self, key: (P, ConnectionId)) -> Vec<Box<[u8]>> {
        let Some(open) = self.open.remove(&key) else { return Vec::new() };
        self.held = self.held.saturating_sub(open.held);
        open.datagrams
    }

    /// Ends the oldest; `false` if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some((peer, first, number)) = self.order.pop_front() else { return false };
        if self.open.get(&(peer, first)).is_some_and(|open| open.number == number) {
            self.remove((peer, first));
        }
        true
    }

    fn expire(&mut self, now: Instant) {
        while let Some((peer, first, number)) = self.order.front().copied() {
            let open = self.open.get(&(peer, first)).filter(|open| open.number == number);
            if open.is_some_and(|open| now.saturating_duration_since(open.began) < PATIENCE) {
                return;
            }
            self.drop_oldest();
        }
    }
}
