//! Whose the gateway's ports are: each leads to one host at most, and those that the gateway needs itself to none.

use crate::change::Refused;
use crate::host::{Forward, Host};
use crate::name::HostName;
use crate::policy::Policy;
use crate::service::Protocol;

use super::State;

impl State {
    /// Every forward of every host, by protocol and port.
    pub fn forwards(&self) -> impl Iterator<Item = (&Forward, &HostName)> {
        self.forwards.values().map(|(forward, host)| (forward, host))
    }

    /// Checks that `host`, called `name`, forwards no port that is the gateway's own or another host's.
    pub(super) fn check_forwards(&self, name: &HostName, host: &Host, policy: &Policy) -> Result<(), Refused> {
        for forward in &host.settings.forward {
            if let Some(own) = policy.own_ports.iter().find(|own| forward.takes(**own)) {
                return Err(Refused::ForwardOwn { forward: *forward, port: *own });
            }
            if let Some((other, host)) = self.forwarded(forward).find(|(_, host)| *host != name) {
                return Err(Refused::ForwardTaken { forward: *forward, other: *other, host: host.clone() });
            }
        }
        Ok(())
    }

    /// The forwards that have a port of `forward`'s.
    fn forwarded(&self, forward: &Forward) -> impl Iterator<Item = (&Forward, &HostName)> {
        // None meets another, so they end in the order in which they begin.
        let upwards = self.forwards.range((Protocol::Tcp, 0)..=(forward.protocol(), forward.outside().1));
        upwards.rev().map(|(_, (other, host))| (other, host)).take_while(move |(other, _)| other.meets(forward))
    }

    pub(super) fn note_forwards(&mut self, name: &HostName, host: &Host) {
        for forward in &host.settings.forward {
            self.forwards.insert_mut((forward.protocol(), forward.outside().0), (*forward, name.clone()));
        }
    }

    pub(super) fn forget_forwards(&mut self, host: &Host) {
        for forward in &host.settings.forward {
            self.forwards.remove_mut(&(forward.protocol(), forward.outside().0));
        }
    }
}
