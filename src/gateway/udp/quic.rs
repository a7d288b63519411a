//! QUIC on UDP 443: a client's first packets say whom it wants, connection IDs lead the others.
//!
//! Whose a datagram is, is `fourward_core::quic_flows`'; here is what is done with it. What is nobody's gets no answer. Retry, version negotiation and whatever
//! follows are between the client and its home.

use fourward_core::client_hello::ClientHello;
use fourward_core::demux::OWN_ID_LENGTH;
use fourward_core::flows::Id;
use fourward_core::link::Protocol::Udp;
use fourward_core::link::{ALPN, Service};
use fourward_core::name::HostName;
use fourward_core::peek::Asked;
use fourward_core::quic_flows::{Beginnings, ConnectionId, Read, Routes, Whose};
use fourward_core::quic_initial::{Packet, packets};
use fourward_core::route::{self, Target};

use super::{Carrier, Entrance};
use crate::gateway::Reason;
use crate::mmsg::segments::Ends;
use crate::quic::initial::InitialKeys;

/// The port that homes have open by default.
const PORT: u16 = 443;

/// An entrance, and who sends to it.
type Peer = (u32, Ends);

/// What is known of the connections.
#[derive(Default)]
pub(super) struct Quic {
    pub(super) routes: Routes<Peer>,
    beginnings: Beginnings<Peer, InitialKeys>,
}

/// Where a connection goes.
enum Goes {
    Own,
    Home(HostName, Service),
    Nowhere(Reason),
}

impl Carrier {
    /// The flow that a run is for, all of it. Where its datagrams are for several or for none they go their ways from here.
    pub(super) fn sort(&mut self, number: u32, ends: Ends, at: usize) -> Option<Id> {
        let run = self.inbox.run(at)?;
        let (mut all, mut proven) = (None, false);
        let of_one = run.datagrams().all(|datagram| match self.quic.routes.whose((number, ends), datagram) {
            Whose::Flow { id, proves } => {
                proven |= proves;
                *all.get_or_insert(id) == id
            }
            Whose::Moved(_) | Whose::Begins | Whose::Nobody => false,
        });
        if let Some(id) = all.filter(|_| of_one) {
            self.note(id, run.bytes.len(), proven);
            return Some(id);
        }
        let datagrams: Vec<Box<[u8]>> = run.datagrams().map(Into::into).collect();
        for datagram in datagrams {
            self.lead(number, ends, &datagram);
        }
        None
    }

    fn note(&mut self, id: Id, bytes: usize, proven: bool) {
        if proven {
            self.flows.from_client(id, bytes, self.now);
        } else {
            self.flows.from_unproven(id, bytes, self.now);
        }
    }

    /// Leads one datagram where it belongs.
    fn lead(&mut self, number: u32, ends: Ends, datagram: &[u8]) {
        match self.quic.routes.whose((number, ends), datagram) {
            Whose::Flow { id, proves } => self.send_home(id, datagram, proves),
            Whose::Moved(from) => {
                let Some((host, service)) = self.home_of_flow(from) else { return };
                let Some(id) = self.begin_at(number, &host, service, ends) else { return };
                self.quic.routes.moved(from, id, (number, ends));
                self.send_home(id, datagram, false);
            }
            Whose::Begins | Whose::Nobody if self.hand_over(number, ends, datagram) => {}
            Whose::Begins => self.read(number, ends, datagram),
            Whose::Nobody => {}
        }
    }

    fn send_home(&mut self, id: Id, datagram: &[u8], proven: bool) {
        self.note(id, datagram.len(), proven);
        self.carry_one(id, datagram);
    }

    fn home_of_flow(&self, id: Id) -> Option<(HostName, Service)> {
        let flow = self.flows.get(id)?;
        Some((self.by_number.get(&flow.home)?.host().clone(), flow.service))
    }

    /// Gives a datagram to our own endpoint if it bears our mark.
    fn hand_over(&self, number: u32, ends: Ends, datagram: &[u8]) -> bool {
        let Some(Entrance::Named(doorway)) = self.entrances.get(&number) else { return false };
        let own = match packets(datagram).next() {
            Some(Packet::Long(long)) => doorway.ids.know(long.destination),
            Some(Packet::Short(rest)) => rest.get(..OWN_ID_LENGTH).is_some_and(|id| doorway.ids.know(id)),
            Some(Packet::Foreign { .. } | Packet::Negotiation) | None => false,
        };
        if own {
            doorway.hand_over(datagram, ends);
        }
        own
    }

    /// Reads a datagram with which a connection begins.
    fn read(&mut self, number: u32, ends: Ends, datagram: &[u8]) {
        match self.quic.beginnings.read((number, ends), datagram, InitialKeys::new, self.now) {
            Read::Nothing | Read::Waits => {}
            Read::Own => self.give(number, ends, datagram),
            Read::Says { hello, datagrams, first } => self.begin_quic(number, ends, &hello, &datagrams, first),
        }
    }

    fn give(&self, number: u32, ends: Ends, datagram: &[u8]) {
        if let Some(Entrance::Named(doorway)) = self.entrances.get(&number) {
            doorway.hand_over(datagram, ends);
        }
    }

    fn begin_quic(&mut self, number: u32, ends: Ends, hello: &ClientHello, datagrams: &[Box<[u8]>], first: ConnectionId) {
        match self.goes(hello, ends) {
            Goes::Own => {
                self.quic.beginnings.own((number, ends), first, self.now);
                datagrams.iter().for_each(|datagram| self.give(number, ends, datagram));
            }
            Goes::Home(host, service) => {
                let Some(id) = self.begin_at(number, &host, service, ends) else { return };
                self.crew.shared.leases.returns.arrives(&host, ends.peer.ip());
                self.quic.routes.begin(id, (number, ends), first);
                for datagram in datagrams {
                    self.send_home(id, datagram, false);
                }
            }
            Goes::Nowhere(reason) => {
                self.refuse(reason);
            }
        }
    }

    /// Where a client goes that says `hello`. A name that is listed nowhere is not looked up in DNS: its client comes by TCP.
    fn goes(&self, hello: &ClientHello, ends: Ends) -> Goes {
        if hello.alpn.iter().any(|protocol| protocol == ALPN) {
            return Goes::Own;
        }
        let shared = &self.crew.shared;
        let Asked::Name(name) = &hello.name else { return Goes::Nowhere(Reason::Unknown) };
        let state = shared.store.snapshot();
        match route::route(&state, &shared.own_names, name) {
            Target::Own => Goes::Own,
            Target::Host(host) if ends.peer.ip().to_canonical().is_ipv6() && !shared.takes_ipv6(&host) => Goes::Nowhere(Reason::Direct),
            Target::Host(host) => {
                // Servers that speak both do so on one port.
                let own = state.host(&host).and_then(|host| host.settings.home_port.tls);
                Goes::Home(host, Service { protocol: Udp, port: own.unwrap_or(PORT) })
            }
            Target::Unknown | Target::Elsewhere => Goes::Nowhere(Reason::Unknown),
        }
    }
}
