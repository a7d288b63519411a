//! The flows of UDP that are alive: how many, whose, for how long, and how much may be said in them.
//!
//! A flow is what passes between one client and one home. UDP has no handshake, so a sender may be forged: as long as a client has not sent
//! something after it was answered, its flow gives way to newer ones, the oldest first, and it is sent no more than three times what it sent.
//! Which flow a datagram belongs to (by its addresses, or by a connection ID) is the caller's to find out, and so is carrying it.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// A client that is not answered sends again within seconds, or has gone.
const UNANSWERED: Duration = Duration::from_secs(30);

/// NATs keep a flow that is used for at least two minutes (RFC 4787 §4.3); who wants more sends something, as WireGuard does.
const ANSWERED: Duration = Duration::from_secs(180);

/// What a client may get for each byte that it sent, before it has shown that it hears us: as in QUIC (RFC 9000 §8.1).
const AMPLIFICATION: u64 = 3;

/// After so many flows in one place their numbers begin anew; nobody asks for one of so long ago.
const GENERATIONS: u32 = u32::MAX >> 1;

/// A flow. Never that of another one, also when its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    index: u32,
    generation: u32,
}

/// Those of whom there may be so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// All flows.
    All,
    /// Those of one host, by a number.
    Host(u32),
    /// Those of one network of clients.
    Network(IpAddr),
    /// Those of one site, an IPv6 /48.
    Site(Ipv6Addr),
}

/// Why there is no room: all flows of that group have shown that their clients are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub Group);

/// The flows, each with what carries it.
#[derive(Debug)]
pub struct Flows<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    last: u64,
    groups: HashMap<Group, Members>,
    /// When each is to be looked at.
    dues: BTreeSet<(Instant, Id)>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    flow: Option<Flow<T>>,
}

#[derive(Debug)]
struct Flow<T> {
    carrier: T,
    /// Counts flows, in the order in which they began.
    number: u64,
    groups: Vec<Group>,
    trust: Trust,
    from_client: u64,
    to_client: u64,
    last: Instant,
    due: Instant,
}

/// What is known of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// It sent something.
    Unanswered,
    /// It was answered.
    Answered,
    /// It sent something after that.
    Heard,
}

/// The flows of one group.
#[derive(Debug, Default)]
struct Members {
    count: usize,
    /// Those whose clients may be forged, the oldest first.
    unheard: BTreeSet<(u64, Id)>,
}

impl Group {
    /// The higher, the fewer it may be.
    fn narrowness(self) -> u8 {
        match self {
            Self::All => 0,
            Self::Host(_) => 1,
            Self::Site(_) => 2,
            Self::Network(_) => 3,
        }
    }
}

impl Id {
    /// As one number, for those who can keep no more. Its highest bit is never set.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The flow that [`Id::to_bits`] was of.
    pub fn from_bits(bits: u64) -> Self {
        Self { index: (bits & u64::from(u32::MAX)) as u32, generation: (bits >> 32) as u32 }
    }
}

impl<T> Default for Flows<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), last: 0, groups: HashMap::new(), dues: BTreeSet::new() }
    }
}

impl<T> Flows<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.get(&Group::All).map_or(0, |all| all.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who must go for a new flow in `groups`, each of which may have so many; one after the other, and nobody any more once it has room.
    ///
    /// # Errors
    /// Nobody goes: there is no room.
    pub fn gives_way(&self, groups: &[(Group, usize)]) -> Result<Option<Id>, Full> {
        let full = |(group, most): &(Group, usize)| Some((*group, self.groups.get(group).filter(|members| members.count >= *most)?));
        let full: Vec<_> = groups.iter().filter_map(full).collect();
        // Nobody goes for one that cannot come all the same.
        if let Some((group, _)) = full.iter().find(|(_, members)| members.unheard.is_empty()) {
            return Err(Full(*group));
        }
        // Of its own first, before it costs others anything.
        let narrowest = full.iter().max_by_key(|(group, _)| group.narrowness());
        Ok(narrowest.and_then(|(_, members)| members.unheard.first()).map(|(_, id)| *id))
    }

    /// The oldest flow whose client may be forged.
    pub fn oldest_unheard(&self) -> Option<Id> {
        Some(self.groups.get(&Group::All)?.unheard.first()?.1)
    }

    /// Begins a flow in `groups`, of which [`Group::All`] is always one.
    pub fn begin(&mut self, carrier: T, groups: impl IntoIterator<Item = Group>, now: Instant) -> Id {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, flow: None });
            u32::try_from(self.places.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        self.last = self.last.wrapping_add(1);
        let groups: Vec<_> = [Group::All].into_iter().chain(groups.into_iter().filter(|group| *group != Group::All)).collect();
        let Some(place) = self.places.get_mut(index as usize) else { return Id { index, generation: 0 } };
        let id = Id { index, generation: place.generation };
        for group in &groups {
            let members = self.groups.entry(*group).or_default();
            members.count = members.count.saturating_add(1);
            members.unheard.insert((self.last, id));
        }
        let due = now + UNANSWERED;
        self.dues.insert((due, id));
        place.flow =
            Some(Flow { carrier, number: self.last, groups, trust: Trust::Unanswered, from_client: 0, to_client: 0, last: now, due });
        id
    }

    /// What carries the flow.
    pub fn get(&self, id: Id) -> Option<&T> {
        self.flow(id).map(|flow| &flow.carrier)
    }

    /// What carries the flow.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.flow_mut(id).map(|flow| &mut flow.carrier)
    }

    /// Notes that the client of the flow sent so many bytes.
    pub fn from_client(&mut self, id: Id, bytes: usize, now: Instant) {
        let Some(flow) = self.flow_mut(id) else { return };
        flow.last = now;
        flow.from_client = flow.from_client.saturating_add(bytes as u64);
        if flow.trust != Trust::Answered {
            return;
        }
        flow.trust = Trust::Heard;
        let (number, groups) = (flow.number, std::mem::take(&mut flow.groups));
        for group in &groups {
            if let Some(members) = self.groups.get_mut(group) {
                members.unheard.remove(&(number, id));
            }
        }
        if let Some(flow) = self.flow_mut(id) {
            flow.groups = groups;
        }
    }

    /// The same where what it sent does not show that it hears anything.
    pub fn from_unproven(&mut self, id: Id, bytes: usize, now: Instant) {
        let Some(flow) = self.flow_mut(id) else { return };
        flow.last = now;
        flow.from_client = flow.from_client.saturating_add(bytes as u64);
    }

    /// How many of `datagrams`, by their bytes, may go to the client now: as many as are counted as sent.
    pub fn to_client(&mut self, id: Id, datagrams: impl IntoIterator<Item = usize>, now: Instant) -> usize {
        let Some(flow) = self.flow_mut(id) else { return 0 };
        flow.last = now;
        let mut count = 0_usize;
        for bytes in datagrams {
            let sent = flow.to_client.saturating_add(bytes as u64);
            if flow.trust != Trust::Heard && sent > flow.from_client.saturating_mul(AMPLIFICATION) {
                break;
            }
            flow.to_client = sent;
            count = count.saturating_add(1);
        }
        if count > 0 && flow.trust == Trust::Unanswered {
            flow.trust = Trust::Answered;
        }
        count
    }

    /// Ends a flow.
    pub fn end(&mut self, id: Id) -> Option<T> {
        let place = self.places.get_mut(id.index as usize).filter(|place| place.generation == id.generation)?;
        let flow = place.flow.take()?;
        place.generation = place.generation.wrapping_add(1) & GENERATIONS;
        self.free.push(id.index);
        self.dues.remove(&(flow.due, id));
        for group in &flow.groups {
            let Some(members) = self.groups.get_mut(group) else { continue };
            members.count = members.count.saturating_sub(1);
            members.unheard.remove(&(flow.number, id));
            if members.count == 0 {
                self.groups.remove(group);
            }
        }
        Some(flow.carrier)
    }

    /// A flow in which nothing has passed for too long, if there is one: it is to be ended.
    pub fn expired(&mut self, now: Instant) -> Option<Id> {
        loop {
            let (due, id) = self.dues.first().copied().filter(|(due, _)| *due <= now)?;
            let Some(flow) = self.flow_mut(id) else {
                self.dues.remove(&(due, id));
                continue;
            };
            let until = flow.last + if flow.trust == Trust::Unanswered { UNANSWERED } else { ANSWERED };
            if until <= now {
                return Some(id);
            }
            flow.due = until;
            self.dues.remove(&(due, id));
            self.dues.insert((until, id));
        }
    }

    /// When [`Flows::expired`] is to be asked again.
    pub fn next_due(&self) -> Option<Instant> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// All flows for which `holds`.
    pub fn ids(&self, holds: impl Fn(&T) -> bool) -> Vec<Id> {
        let all = self.dues.iter().map(|(_, id)| *id);
        all.filter(|id| self.get(*id).is_some_and(&holds)).collect()
    }

    fn flow(&self, id: Id) -> Option<&Flow<T>> {
        self.places.get(id.index as usize).filter(|place| place.generation == id.generation)?.flow.as_ref()
    }

    fn flow_mut(&mut self, id: Id) -> Option<&mut Flow<T>> {
        self.places.get_mut(id.index as usize).filter(|place| place.generation == id.generation)?.flow.as_mut()
    }
}

#[cfg(test)]
mod tests;
