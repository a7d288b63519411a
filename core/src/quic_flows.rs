//! Whose a datagram of QUIC is, by the connection IDs that both ends have shown and by its addresses.
//!
//! A client's first packets go where its hello says ([`Beginnings`]). From there on it names the connection ID that the home chose in its first answer; IDs
//! that the home gives it later are sealed, so they are learned when the client uses one, from an address that is known. A client whose address changes is
//! known by its ID; such an address begins anew with what it may be sent, since the one who shows an ID there may only have seen it. What flows there are,
//! and how long they live, is `flows`'.

mod beginnings;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use crate::flows::Id;
use crate::quic_initial::{ID_LIMIT, Kind, LEAST, Long, Packet, packets};
pub use beginnings::{Beginnings, Read};

/// A client is followed to another address by an ID of at least so many bytes: shorter ones are met by chance, or by a home that wants to.
const FOLLOWED: usize = 4;

/// IDs that are remembered of one flow, besides the one that the client made up: the newest.
const IDS: usize = 8;

/// Flows that one address of a client's is looked for in.
const FLOWS_OF_PEER: usize = 64;

/// A connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    bytes: [u8; ID_LIMIT],
    length: u8,
}

/// Whose a client's datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A flow's. `proves`: its sender has read what the home sent it there.
    Flow {
        /// Which.
        id: Id,
        /// See above.
        proves: bool,
    },
    /// It goes where this flow goes, but comes from another address.
    Moved(Id),
    /// It may begin a connection.
    Begins,
    /// Nobody's.
    Nobody,
}

/// The flows by what datagrams show; `P` is what tells clients' addresses apart.
#[derive(Debug)]
pub struct Routes<P> {
    flows: HashMap<Id, Flow<P>>,
    /// The one used last comes last.
    by_peer: HashMap<P, Vec<Id>>,
    by_id: HashMap<ConnectionId, Id>,
    /// How many IDs of each length `by_id` has.
    lengths: [usize; ID_LIMIT + 1],
}

#[derive(Debug)]
struct Flow<P> {
    peer: P,
    /// What the client called the home before it knew better.
    first: ConnectionId,
    /// What the home calls itself, the newest last.
    ids: Vec<ConnectionId>,
    /// It goes on where another one was.
    moved: bool,
}

impl ConnectionId {
    /// `None`: too long.
    pub fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; ID_LIMIT];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { bytes, length: u8::try_from(id.len()).ok()? })
    }

    /// How many bytes it has.
    fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether what is behind a short header's first byte is for it.
    fn begins(&self, rest: &[u8]) -> bool {
        self.length > 0 && self.bytes.get(..self.length()).is_some_and(|id| rest.starts_with(id))
    }
}

impl<P> Default for Routes<P> {
    fn default() -> Self {
        Self { flows: HashMap::new(), by_peer: HashMap::new(), by_id: HashMap::new(), lengths: [0; ID_LIMIT + 1] }
    }
}

impl<P: Copy + Eq + Hash> Routes<P> {
    /// Whose `datagram` is, which came from `peer`.
    pub fn whose(&mut self, peer: P, datagram: &[u8]) -> Whose {
        match packets(datagram).next() {
            Some(Packet::Short(rest)) => self.by_short(peer, rest, datagram.len()),
            Some(Packet::Long(long)) => match ConnectionId::new(long.destination).and_then(|to| self.by_long(peer, to)) {
                Some(Whose::Flow { id, proves }) => {
                    Whose::Flow { id, proves: proves && long.kind == Kind::Handshake && self.is_proof(id, datagram.len()) }
                }
                Some(whose) => whose,
                None if matches!(long.kind, Kind::Initial | Kind::ZeroRtt) => Whose::Begins,
                None => Whose::Nobody,
            },
            Some(Packet::Foreign { destination, .. }) => match ConnectionId::new(destination).and_then(|to| self.by_long(peer, to)) {
                Some(Whose::Flow { id, .. }) => Whose::Flow { id, proves: false },
                _ => Whose::Nobody,
            },
            Some(Packet::Negotiation) | None => Whose::Nobody,
        }
    }

    /// A flow begins, of a client at `peer` whose first packets went to `first`.
    pub fn begin(&mut self, id: Id, peer: P, first: ConnectionId) {
        self.enter(id, Flow { peer, first, ids: Vec::new(), moved: false });
    }

    /// What was the flow `from` goes on as `to`, with the client at `peer`. The former lives on beside it: the client may be back.
    pub fn moved(&mut self, from: Id, to: Id, peer: P) {
        let Some(old) = self.flows.get(&from) else { return };
        let flow = Flow { peer, first: old.first, ids: old.ids.clone(), moved: true };
        for known in &flow.ids {
            self.by_id.entry(*known).and_modify(|id| *id = to);
        }
        self.enter(to, flow);
    }

    /// Learns what the home of a flow calls itself, from what it sends.
    pub fn from_home(&mut self, id: Id, datagram: &[u8]) {
        if datagram.first().is_none_or(|first| first & 0x80 == 0) {
            return;
        }
        for packet in packets(datagram) {
            let (Packet::Long(Long { source, .. }) | Packet::Foreign { source, .. }) = packet else { return };
            if let Some(source) = ConnectionId::new(source) {
                self.learn(id, source);
            }
        }
    }

    /// A flow ended.
    pub fn end(&mut self, id: Id) {
        let Some(flow) = self.flows.remove(&id) else { return };
        if let Some(ids) = self.by_peer.get_mut(&flow.peer) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_peer.remove(&flow.peer);
            }
        }
        for known in flow.ids {
            self.forget(id, known);
        }
    }

    fn enter(&mut self, id: Id, flow: Flow<P>) {
        let ids = self.by_peer.entry(flow.peer).or_default();
        if ids.len() == FLOWS_OF_PEER {
            ids.remove(0);
        }
        ids.push(id);
        self.flows.insert(id, flow);
    }

    fn by_long(&mut self, peer: P, to: ConnectionId) -> Option<Whose> {
        let flows = &self.flows;
        let knows = |id: &Id| flows.get(id).is_some_and(|flow| flow.first == to || flow.ids.contains(&to));
        if let Some(id) = Self::use_of_peer(&mut self.by_peer, peer, knows) {
            let proves = self.flows.get(&id).is_some_and(|flow| flow.first != to && to.length() >= FOLLOWED);
            return Some(Whose::Flow { id, proves });
        }
        self.by_id.get(&to).filter(|_| to.length() >= FOLLOWED).map(|id| Whose::Moved(*id))
    }

    fn by_short(&mut self, peer: P, rest: &[u8], length: usize) -> Whose {
        let flows = &self.flows;
        let knows = |id: &Id| flows.get(id).is_some_and(|flow| flow.ids.iter().any(|known| known.begins(rest)));
        if let Some(id) = Self::use_of_peer(&mut self.by_peer, peer, knows) {
            return Whose::Flow { id, proves: self.is_proof(id, length) };
        }
        for length in (FOLLOWED..=ID_LIMIT).rev().filter(|length| self.lengths.get(*length).is_some_and(|count| *count > 0)) {
            let shown = rest.get(..length).and_then(ConnectionId::new);
            if let Some(id) = shown.and_then(|shown| self.by_id.get(&shown)) {
                return Whose::Moved(*id);
            }
        }
        let Some(of_peer) = self.by_peer.get(&peer) else { return Whose::Nobody };
        let Some(id) = of_peer.last().copied() else { return Whose::Nobody };
        // With several it is the likelier one, and nothing that could be learned.
        let length = self.flows.get(&id).and_then(|flow| flow.ids.first()).filter(|_| of_peer.len() == 1).map(ConnectionId::length);
        if let Some(new) = length.filter(|length| *length > 0).and_then(|length| rest.get(..length)).and_then(ConnectionId::new) {
            self.learn(id, new);
        }
        Whose::Flow { id, proves: false }
    }

    /// The newest flow of `peer` that `holds`; it is the one used last from now on.
    fn use_of_peer(by_peer: &mut HashMap<P, Vec<Id>>, peer: P, holds: impl Fn(&Id) -> bool) -> Option<Id> {
        let ids = by_peer.get_mut(&peer)?;
        let at = ids.iter().rposition(holds)?;
        let last = ids.len().checked_sub(1)?;
        ids.swap(at, last);
        ids.last().copied()
    }

    /// Whether a datagram of `length` bytes with an ID of the home's shows that its sender hears it. One who moved knew the ID before: the home asks it to
    /// answer from there, which takes a datagram that is filled up (RFC 9000 §8.2.2).
    fn is_proof(&self, id: Id, length: usize) -> bool {
        self.flows.get(&id).is_some_and(|flow| !flow.moved || length >= LEAST)
    }

    fn learn(&mut self, id: Id, new: ConnectionId) {
        let Some(flow) = self.flows.get_mut(&id).filter(|flow| !flow.ids.contains(&new)) else { return };
        // The first stays: its length is the others', too.
        let old = (flow.ids.len() == IDS).then(|| flow.ids.remove(1));
        flow.ids.push(new);
        if let Some(old) = old {
            self.forget(id, old);
        }
        if let Entry::Vacant(place) = self.by_id.entry(new) {
            place.insert(id);
            if let Some(count) = self.lengths.get_mut(new.length()) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn forget(&mut self, id: Id, known: ConnectionId) {
        if self.by_id.get(&known) == Some(&id) {
            self.by_id.remove(&known);
            if let Some(count) = self.lengths.get_mut(known.length()) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
