//! What an update client says of a host, and what becomes of it.
//!
//! Where updates are the authority it moves the home; for every host it is what its router's name shows. A prefix moves the home within what
//! is known of its address, so that one commit moves whoever follows it, too.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use jiff::Timestamp;

use super::{State, network};
use crate::change::{Key, Refused, Rewrite, Said, Word};
use crate::host::{AddressFrom, Host, Reported, Updated};
use crate::name::{APEX, HostName};
use crate::policy::Policy;

/// `old` as it is once its client `said` that.
pub(super) fn told(name: &HostName, old: &Host, said: Said, at: Timestamp, policy: &Policy) -> Result<Host, Refused> {
    check_reported(said, policy)?;
    let mut new = old.clone();
    if new.settings.address_from == AddressFrom::Update {
        match home(name, old, said)? {
            Word::Keep => {}
            Word::Set(address) => {
                policy.addresses.check(address)?;
                let same = new.updated.filter(|updated| updated.address == address);
                let moved = new.updated.map(|updated| updated.address).filter(|old| network(*old) != network(address));
                new.before = moved.or(new.before);
                new.updated = same.or(Some(Updated { address, since: at }));
            }
            Word::Clear => {
                // Kept for the prefix that may come next.
                new.before = new.updated.map(|updated| updated.address).or(new.before);
                new.updated = None;
            }
        }
    }
    let before = new.router.unwrap_or(Reported { v4: None, v6: None, at });
    let now = Reported { v4: said.v4.after(before.v4), v6: said.v6.after(before.v6), at };
    if (now.v4, now.v6) != (before.v4, before.v6) {
        new.router = Some(now);
    }
    Ok(new)
}

impl State {
    /// All of it or nothing, and nothing where something came between its judgement and this.
    pub(super) fn rewrite(&mut self, rewrite: &Rewrite, policy: &Policy) -> Result<Vec<Key>, Refused> {
        let Rewrite { host, seen, serial, said, challenge, edits, at } = rewrite;
        let known = self.known(host)?;
        if known != seen || serial.is_some() && *serial != self.zone(host.zone()).map(|zone| zone.serial) {
            return Err(Refused::Overtaken(host.clone()));
        }
        if host.label() == APEX && known.challenge != *challenge {
            return Err(Refused::ApexChallenge(host.zone().clone()));
        }
        let mut new = told(host, known, *said, *at, policy)?;
        new.challenge.clone_from(challenge);
        let new = self.edited(host, &new, edits, policy)?;
        Ok(self.publish(host, Some(new), policy))
    }
}

/// What becomes of the home address. The address of a router outside the home's prefix is the router's alone: its network towards the provider is
/// not the one at home.
fn home(name: &HostName, host: &Host, said: Said) -> Result<Word<Ipv6Addr>, Refused> {
    let Some(prefix) = said.prefix else { return Ok(said.v6) };
    match said.v6 {
        Word::Clear => Ok(Word::Clear),
        Word::Keep | Word::Set(_) if prefix.addr() != prefix.network() => Ok(Word::Set(prefix.addr())),
        Word::Set(address) if prefix.contains(&address) => Ok(Word::Set(address)),
        Word::Keep | Word::Set(_) => {
            let known = host.updated.map(|updated| updated.address).or(host.before);
            let known = known.ok_or_else(|| Refused::PrefixAlone { host: name.clone(), prefix })?;
            Ok(Word::Set(within(prefix, known)))
        }
    }
}

/// `address` in `prefix`: what the prefix does not say stays.
fn within(prefix: Ipv6Net, address: Ipv6Addr) -> Ipv6Addr {
    let kept = prefix.hostmask().to_bits();
    Ipv6Addr::from_bits(prefix.network().to_bits() | (address.to_bits() & kept))
}

/// A hint may be any address that somebody could have: routers report private ones too.
pub(super) fn check_reported(said: Said, policy: &Policy) -> Result<(), Refused> {
    let nowhere4 = said.v4.set().filter(|v4| v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast());
    // The demo on loopback has its homes there.
    let loopback = |v6: &Ipv6Addr| v6.is_loopback() && policy.addresses.check(*v6).is_err();
    let nowhere6 = said.v6.set().filter(|v6| v6.is_unspecified() || v6.is_multicast() || loopback(v6));
    match nowhere4.map(IpAddr::V4).or(nowhere6.map(IpAddr::V6)) {
        Some(nowhere) => Err(Refused::NoAddress(nowhere)),
        None => Ok(()),
    }
}
