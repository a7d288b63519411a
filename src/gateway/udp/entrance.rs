//! Which flow a datagram belongs to that comes in at a forwarded port: the one of its two ends, or a new one.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use fourward_core::flows::{Full, Group, Id};
use fourward_core::link::Service;
use fourward_core::name::HostName;
use fourward_core::state::State;
use rustix::net::sockopt;
use tracing::warn;

use super::flow::Flow;
use super::{Carrier, ENTRANCE, Entrance};
use crate::crowd::site_of;
use crate::gateway::Reason;
use crate::listener::{is_echo, network_of};
use crate::mmsg::segments::{Ends, SIZE, put_together};
use crate::mmsg::tell_destination;

/// A burst waits here while the thread has others in hand or the processor is somebody else's.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Batches from one entrance before the others are looked at: a flood on one port does not silence another.
const TURNS: usize = 16;

/// The share of all connections that may be flows: a flood of forged senders leaves the rest to TCP.
const FLOWS_SHARE: usize = 4;

/// The share of all flows that one host, or one network, may have.
const SHARE_OF_ONE: usize = 2;

/// A site, an IPv6 /48, has as many flows as so many networks.
const NETWORKS_OF_SITE: usize = 4;

impl Entrance {
    /// What is read.
    pub(super) fn socket(&self) -> &UdpSocket {
        match self {
            Self::Port { socket, .. } => socket,
            Self::Named(doorway) => &doorway.socket,
        }
    }

    /// The one host that it leads to, if it is one.
    pub(super) fn host(&self) -> Option<&HostName> {
        match self {
            Self::Port { host, .. } => Some(host),
            Self::Named(_) => None,
        }
    }

    /// Sets the socket up.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let socket = self.socket();
        let address = socket.local_addr()?.ip();
        if address.is_unspecified() {
            tell_destination(socket.as_fd(), address)?;
        }
        // A kernel that cannot hands out each by itself.
        let _ = put_together(socket.as_fd());
        // More than net.core.rmem_max wants CAP_NET_ADMIN; others get as much as that.
        if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?;
        }
        Ok(())
    }
}

impl Carrier {
    pub(super) fn open(&mut self, number: u32, entrance: Entrance) {
        if let Err(error) = self.watch(entrance.socket(), ENTRANCE | u64::from(number)) {
            warn!(host = ?entrance.host(), %error, "a UDP port cannot be served");
            return;
        }
        entrance.host().map(|host| self.home_of(host));
        self.entrances.insert(number, entrance);
    }

    pub(super) fn close(&mut self, number: u32) {
        for id in self.flows.ids(|flow| flow.entrance == number) {
            self.end(id);
        }
        let Some(entrance) = self.entrances.remove(&number) else { return };
        if let Some(host) = entrance.host().filter(|host| !self.entrances.values().any(|other| other.host() == Some(host))) {
            self.forget_home(host);
        }
    }

    pub(super) fn drain(&mut self) {
        self.is_draining = true;
        let ports = self.entrances.iter().filter(|(_, entrance)| entrance.host().is_some());
        for number in ports.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.close(number);
        }
    }

    /// Takes what has come to an entrance, up to a limit.
    pub(super) fn upwards(&mut self, number: u32) {
        for _ in 0..TURNS {
            // What came from homes goes first: it was there first.
            self.flush();
            let Some(entrance) = self.entrances.get(&number) else { return };
            let Ok((count, more)) = self.inbox.receive(entrance.socket().as_fd(), SIZE) else { return };
            let named = matches!(entrance, Entrance::Named(_));
            let mut found: Vec<(Id, usize)> = Vec::with_capacity(count);
            for at in 0..count {
                let Some((ends, bytes)) = self.inbox.run(at).and_then(|run| Some((run.ends?, run.bytes.len()))) else { continue };
                if named {
                    found.extend(self.sort(number, ends, at).map(|id| (id, at)));
                    continue;
                }
                let Some(id) = self.by_ends.get(&(number, ends)).copied().or_else(|| self.begin(number, ends)) else { continue };
                self.flows.from_client(id, bytes, self.now);
                found.push((id, at));
            }
            // Each flow's own order stays.
            found.sort_by_key(|(id, _)| *id);
            for of_one in found.chunk_by(|(one, _), (other, _)| one == other) {
                self.carry_home(of_one);
            }
            self.inbox.clear();
            if !more {
                return;
            }
        }
    }

    /// A new flow, where its host's owner wants it and there is room.
    fn begin(&mut self, number: u32, ends: Ends) -> Option<Id> {
        if is_echo(ends.peer.port()) {
            return None;
        }
        let Entrance::Port { host, service, .. } = self.entrances.get(&number)? else { return None };
        let (host, service) = (host.clone(), *service);
        let id = self.begin_at(number, &host, service, ends)?;
        self.by_ends.insert((number, ends), id);
        Some(id)
    }

    /// A new flow to `host`, of whatever entrance.
    pub(super) fn begin_at(&mut self, number: u32, host: &HostName, service: Service, ends: Ends) -> Option<Id> {
        if self.is_draining {
            return None;
        }
        let home = self.home_of(host);
        let state = self.crew.shared.store.snapshot();
        let groups = match self.groups(host, service, home, ends.peer, &state) {
            Ok(groups) => groups,
            Err(reason) => return self.refuse(reason),
        };
        loop {
            match self.flows.gives_way(&groups) {
                Ok(None) => break,
                Ok(Some(id)) => self.end(id),
                Err(Full(Group::Host(_))) => return self.refuse(Reason::Full),
                Err(Full(_)) => return self.refuse(Reason::Crowded),
            }
        }
        let mut permit = self.crew.permits.clone().try_acquire_owned();
        if permit.is_err() {
            // Connections have taken all.
            let oldest = self.flows.oldest_unheard();
            oldest.into_iter().for_each(|id| self.end(id));
            permit = self.crew.permits.clone().try_acquire_owned();
        }
        let Ok(permit) = permit else { return self.refuse(Reason::Crowded) };
        let flow = Flow::new(number, (home, service), ends, permit);
        Some(self.flows.begin(flow, groups.into_iter().map(|(group, _)| group), self.now))
    }

    /// Of whom the flow of a client at `client` would be one, and how many there may be of each.
    fn groups(
        &self,
        name: &HostName,
        service: Service,
        home: u32,
        client: SocketAddr,
        state: &State,
    ) -> Result<Vec<(Group, usize)>, Reason> {
        let Some(host) = state.host(name) else { return Err(Reason::Away) };
        if !host.settings.admits(client.ip()) {
            return Err(Reason::Denied);
        }
        if !self.is_there(name, service, state) {
            return Err(Reason::Away);
        }
        let config = &self.crew.shared.config;
        let all = (config.connections / FLOWS_SHARE).max(1);
        let share = (all / SHARE_OF_ONE).max(1);
        let of_host = host.settings.max_connections.map_or(share, |most| share.min(most as usize));
        let (network, of_one) = (network_of(client.ip()), share.min(config.per_network));
        let mut groups = vec![(Group::All, all), (Group::Host(home), of_host), (Group::Network(network), of_one)];
        groups.extend(site_of(network).map(|site| (Group::Site(site), of_one.saturating_mul(NETWORKS_OF_SITE))));
        Ok(groups)
    }

    pub(super) fn refuse(&self, reason: Reason) -> Option<Id> {
        self.crew.shared.traffic.refuse(reason);
        None
    }
}
