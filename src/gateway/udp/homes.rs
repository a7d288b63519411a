//! Whether homes are where they are said to be, asked before a flow's first byte goes there, as with every dial.
//!
//! Flows that begin while the link is being asked share its next answer: a nonce must have left after a flow began. When a home moves, all of its
//! flows wait until it is found at its new address, and go on there.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use fourward_core::flows::Id;
use fourward_core::link::Service;
use fourward_core::name::HostName;
use fourward_core::state::{State, Whereabouts};
use tracing::{debug, info, warn};

use super::flow::Stand;
use super::{Carrier, Teller, Word};
use crate::gateway::Reason;
use crate::leases::{Admission, Leases};
use crate::telemetry::Seldom;

/// What is short here is short for all homes.
static FAILURES: Seldom = Seldom::every(Duration::from_secs(60));

/// Fewer that wait are not worth a look at who is still there.
const FORGOTTEN: usize = 1024;

/// A host with forwards or flows.
pub(super) struct Home {
    host: HostName,
    /// The link is being asked for these.
    asked: Vec<Id>,
    /// These began since.
    wanting: Vec<Id>,
    /// Where the flows were led last; a change is told in the log.
    at: Option<Ipv6Addr>,
}

/// Where a home was found, told when this is dropped: a question that ends by a defect is answered too, or its home would be asked no more.
struct Answer {
    teller: Teller,
    number: u32,
    at: Option<Whereabouts>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.teller.tell(Word::Found(self.number, self.at.take()));
    }
}

impl Home {
    pub(super) fn host(&self) -> &HostName {
        &self.host
    }
}

impl Carrier {
    /// The number of a host.
    pub(super) fn home_of(&mut self, host: &HostName) -> u32 {
        if let Some(number) = self.homes.get(host) {
            return *number;
        }
        let number = self.next_home;
        self.next_home = self.next_home.wrapping_add(1);
        self.homes.insert(host.clone(), number);
        self.by_number.insert(number, Home { host: host.clone(), asked: Vec::new(), wanting: Vec::new(), at: None });
        number
    }

    pub(super) fn forget_home(&mut self, host: &HostName) {
        let Some(number) = self.homes.get(host).copied() else { return };
        // It may have flows of QUIC.
        if self.flows.ids(|flow| flow.home == number).is_empty() {
            self.homes.remove(host);
            self.by_number.remove(&number);
        }
    }

    /// Whether somebody vouches for the home of `host`, and its agent offers the service.
    pub(super) fn is_there(&self, host: &HostName, service: Service, state: &State) -> bool {
        if state.home(host).is_none() {
            return false;
        }
        let Some(presence) = self.crew.shared.leases.presence(host) else { return true };
        let offered = presence.services.contains(&service);
        if !offered && presence.tell() {
            warn!(%host, %service, "not offered: add it to services under [agent] in the configuration at home, and restart the agent");
        }
        offered
    }

    /// Has the home of a flow found.
    pub(super) fn want(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.stand != Stand::Asked) else { return };
        flow.stand = Stand::Asked;
        let number = flow.home;
        let Some(home) = self.by_number.get_mut(&number) else { return };
        if home.wanting.len() >= FORGOTTEN && home.wanting.len() > 2 * self.flows.len() {
            // A flood's, which gave way meanwhile.
            home.wanting.retain(|id| self.flows.get(*id).is_some());
        }
        home.wanting.push(id);
        self.ask(number);
    }

    /// Asks the link of a home, unless it is being asked.
    fn ask(&mut self, number: u32) {
        let shared = std::sync::Arc::clone(&self.crew.shared);
        let Some(home) = self.by_number.get_mut(&number).filter(|home| home.asked.is_empty() && !home.wanting.is_empty()) else { return };
        home.asked = std::mem::take(&mut home.wanting);
        let host = home.host.clone();
        let aim = shared.store.snapshot().whereabouts(&host).filter(|aim| shared.store.policy().addresses.check(aim.address).is_ok());
        let Some(Whereabouts { proof: Some(proof), .. }) = &aim else {
            // Nobody vouches for it but its owner, or nobody at all.
            return self.found(number, aim);
        };
        let (proof, deadline) = (proof.clone(), Instant::now() + shared.config.timeouts.dial);
        let mut answer = Answer { teller: self.teller.clone(), number, at: None };
        self.runtime.spawn(async move {
            let found = is_at(&shared.leases, &proof.host, proof.address, deadline).await;
            answer.at = aim.filter(|_| found);
            drop(answer);
        });
    }

    /// Goes on with the flows for which a home was asked, which was found there, or nowhere.
    pub(super) fn found(&mut self, number: u32, at: Option<Whereabouts>) {
        let Some(home) = self.by_number.get_mut(&number) else { return };
        let asked = std::mem::take(&mut home.asked);
        let now = self.crew.shared.store.snapshot().whereabouts(&home.host);
        match &at {
            // The store knows more by now.
            Some(_) if now.is_some() && now != at => home.wanting.extend(asked),
            Some(at) if now.is_some() => {
                if home.at.replace(at.address).is_some_and(|before| before != at.address) {
                    info!(host = %home.host, at = %at.address, flows = asked.len(), "flows go on at the new address");
                }
                for id in asked {
                    self.settle(id, at.address);
                }
            }
            _ => {
                debug!(host = %home.host, flows = asked.len(), "away");
                self.crew.shared.traffic.refuse(Reason::Away);
                for id in asked {
                    self.leave(id);
                }
            }
        }
        self.ask(number);
    }

    /// Has a flow go on to where its home was found, if that offers it.
    fn settle(&mut self, id: Id, address: Ipv6Addr) {
        let state = self.crew.shared.store.snapshot();
        let of_flow = self.flows.get(id).and_then(|flow| Some((&self.by_number.get(&flow.home)?.host, flow.service)));
        // A link that came up meanwhile has not been asked yet.
        if !of_flow.is_some_and(|(host, service)| self.is_there(host, service, &state)) {
            return self.leave(id);
        }
        if let Err(error) = self.stand(id, address) {
            if FAILURES.may(Instant::now()) {
                warn!(%error, "a datagram cannot be sent on; see that `ip -6 route` finds a way, and raise LimitNOFILE where files are too many");
            }
            self.leave(id);
        }
    }

    /// Judges the flows of `host` anew: its owner's rules, or where it is, are others.
    pub(super) fn changed(&mut self, host: &HostName) {
        let Some(number) = self.homes.get(host).copied() else { return };
        let state = self.crew.shared.store.snapshot();
        let Some(known) = state.host(host) else {
            for id in self.flows.ids(|flow| flow.home == number) {
                self.end(id);
            }
            return;
        };
        let home = state.home(host);
        for id in self.flows.ids(|flow| flow.home == number) {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            if !known.settings.admits(flow.ends.peer.ip()) {
                self.end(id);
                continue;
            }
            if matches!(flow.stand, Stand::At(address) if Some(address) == home) || flow.stand == Stand::Asked {
                continue;
            }
            flow.stand = Stand::Idle;
            if home.is_some() {
                self.want(id);
            }
        }
    }
}

/// Whether the link of `host` says by `deadline`, asked from now on, that it is at `address`.
async fn is_at(leases: &Leases, host: &HostName, address: Ipv6Addr, deadline: Instant) -> bool {
    let began = Instant::now();
    leases.ask(host);
    leases.admit(host, address, began, began, deadline).await == Admission::Granted
}
