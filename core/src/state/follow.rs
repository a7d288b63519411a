//! Followers: hosts whose address is the network of another host's and an end of their own.
//!
//! Nothing is stored of where a follower is: it follows from its leader whenever it is asked for, so that both move in one commit. What is kept
//! is who follows whom, for a move must tell of the followers too, and costs no look at all other hosts; and where no home may be, of whoever
//! would be there: a leader that moves is not held up by whom that hides.

use std::net::Ipv6Addr;
use std::sync::Arc;

use rpds::RedBlackTreeSetSync as OrdSet;

use super::State;
use crate::change::{Key, Refused};
use crate::host::{AddressFrom, Host};
use crate::name::{DnsName, HostName};
use crate::policy::Policy;

/// So many followers are named when their leader cannot go.
const NAMED: usize = 5;

/// Where a home is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The home address.
    pub address: Ipv6Addr,
    /// The link that vouches for it; none where updates or the owner do.
    pub proof: Option<Proof>,
}

/// What a link proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whose link it is: the host's own, or its leader's.
    pub host: HostName,
    /// Where that host is.
    pub address: Ipv6Addr,
}

impl State {
    /// The home address of the host called `name`: what is published and dialled, if anything is.
    pub fn home(&self, name: &HostName) -> Option<Ipv6Addr> {
        self.home_of(name.zone(), self.host(name)?)
    }

    /// The home address of `host`, which is in `zone` or would be.
    pub fn home_of(&self, zone: &DnsName, host: &Host) -> Option<Ipv6Addr> {
        match host.settings.following() {
            None => host.home(),
            Some(_) => self.beside_leader(zone, host).filter(|address| host.barred != Some(*address)),
        }
    }

    /// Where `host`, which is in `zone`, would be by its leader.
    fn beside_leader(&self, zone: &DnsName, host: &Host) -> Option<Ipv6Addr> {
        let (leader, suffix) = host.settings.following()?;
        self.host_by(zone, leader)?.home().map(|leader| suffix.beside(leader))
    }

    /// Where `host`, called `name`, would be by its leader and may not be.
    pub(super) fn barred(&self, name: &HostName, host: &Host, policy: &Policy) -> Option<Ipv6Addr> {
        self.beside_leader(name.zone(), host).filter(|address| policy.addresses.check(*address).is_err())
    }

    /// Judges anew where the host called `name` would be; whether that made a difference.
    pub(super) fn judge(&mut self, name: &HostName, policy: &Policy) -> bool {
        let Some(host) = self.host(name) else { return false };
        let barred = self.barred(name, host, policy);
        if barred == host.barred {
            return false;
        }
        let judged = Host { barred, ..Host::clone(host) };
        self.put(name, Arc::new(judged));
        true
    }

    /// The home address of the host called `name`, and whose link vouches for it.
    pub fn whereabouts(&self, name: &HostName) -> Option<Whereabouts> {
        let address = self.home(name)?;
        let (host, by) = self.voucher_of(name, self.host(name)?);
        let proof = by.home().filter(|_| by.by_link()).map(|address| Proof { host, address });
        Some(Whereabouts { address, proof })
    }

    /// The host by which `host`, called `name`, is found: its leader if it follows one that is there, else itself.
    pub fn voucher_of<'a>(&'a self, name: &HostName, host: &'a Host) -> (HostName, &'a Host) {
        let leader = host.settings.following().and_then(|(leader, _)| self.named_host_by(name.zone(), leader));
        leader.map_or_else(|| (name.clone(), host), |(name, host)| (name.clone(), host.as_ref()))
    }

    /// Where `name` is when a link that vouched for `before` proves `address` instead, which the state may not know yet.
    pub fn whereabouts_after(&self, name: &HostName, before: &Whereabouts, address: Ipv6Addr) -> Option<Whereabouts> {
        let proof = before.proof.as_ref().map(|proof| Proof { host: proof.host.clone(), address });
        Some(Whereabouts { address: self.home_beside(name, address)?, proof })
    }

    /// Where `name` is when the host by which it is found is at `address`.
    pub fn home_beside(&self, name: &HostName, address: Ipv6Addr) -> Option<Ipv6Addr> {
        Some(self.host(name)?.settings.following().map_or(address, |(_, suffix)| suffix.beside(address)))
    }

    /// The hosts that follow `leader`.
    pub fn followers(&self, leader: &HostName) -> impl Iterator<Item = &HostName> {
        self.followers.get(leader).into_iter().flat_map(OrdSet::iter)
    }

    /// The followers of `leader` that its move from `old` to `new` moves, shows or hides.
    pub(super) fn carry_along(&mut self, leader: &HostName, old: Option<Ipv6Addr>, new: Option<Ipv6Addr>, policy: &Policy) -> Vec<Key> {
        if old == new {
            return Vec::new();
        }
        let moves = |state: &Self, name: &HostName| {
            let suffix = state.host(name).and_then(|host| host.settings.following()).map(|(_, suffix)| suffix);
            suffix.is_some_and(|suffix| old.map(|old| suffix.beside(old)) != new.map(|new| suffix.beside(new)))
        };
        let followers = self.followers.get(leader).cloned().unwrap_or_default();
        followers.iter().filter(|name| self.judge(name, policy) || moves(self, name)).cloned().map(Key::Host).collect()
    }

    /// Makes the settings of `host` say whom it follows by label alone, and checks that they fit each other and everybody else's.
    pub(super) fn check_following(&self, name: &HostName, host: &mut Host) -> Result<(), Refused> {
        let settings = &mut host.settings;
        if settings.follows.is_some() != settings.suffix.is_some() {
            return Err(Refused::HalfFollower(name.clone()));
        }
        let Some(said) = settings.follows.as_deref() else { return Ok(()) };
        let leader = HostName::parse(said, std::slice::from_ref(name.zone()));
        let leader = leader.map_err(|_| Refused::NoLeader { host: name.clone(), leader: said.into() })?;
        if settings.address.is_some() || settings.address_from != AddressFrom::Link {
            return Err(Refused::FollowerElsewhere(name.clone()));
        }
        if leader == *name {
            return Err(Refused::FollowsItself(leader));
        }
        // One step only, in both directions: a chain would hide whose link it hangs on.
        if let Some((other, _)) = self.host(&leader).and_then(|leader| leader.settings.following()) {
            return Err(Refused::LeaderFollows { leader, other: other.into() });
        }
        if self.followers(name).next().is_some() {
            return Err(Refused::Leads { host: name.clone(), followers: self.named_followers(name) });
        }
        settings.follows = Some(leader.label().into());
        // What its own link or an update said is void.
        (host.proven, host.updated) = (None, None);
        Ok(())
    }

    /// Checks that whom `host` follows is there, and that it may be where that puts it, if this is new. Not asked of an import, where the leader may be
    /// on a later page.
    pub(super) fn check_leader(&self, name: &HostName, host: &Host, old: &Host, policy: &Policy) -> Result<(), Refused> {
        let Some((leader, suffix)) = host.settings.following() else { return Ok(()) };
        let Some(by) = self.host_by(name.zone(), leader) else {
            return Err(Refused::NoLeader { host: name.clone(), leader: leader.into() });
        };
        if host.settings.following() == old.settings.following() {
            return Ok(());
        }
        let judged = by.home().map_or(Ok(()), |by| policy.addresses.check(suffix.beside(by)));
        judged.map_err(|reason| Refused::FollowerAt { host: name.clone(), leader: leader.into(), reason })
    }

    /// Checks that nobody would be left without a leader.
    pub(super) fn check_unfollowed(&self, name: &HostName) -> Result<(), Refused> {
        match self.followers(name).next() {
            Some(_) => Err(Refused::Followed { host: name.clone(), followers: self.named_followers(name) }),
            None => Ok(()),
        }
    }

    fn named_followers(&self, leader: &HostName) -> String {
        let names: Vec<String> = self.followers(leader).take(NAMED).map(ToString::to_string).collect();
        let more = self.followers.get(leader).map_or(0, OrdSet::size).saturating_sub(NAMED);
        if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
    }

    pub(super) fn note_follower(&mut self, name: &HostName, host: &Host) {
        let Some(leader) = leader_of(name, host) else { return };
        let mut followers = self.followers.get(&leader).cloned().unwrap_or_default();
        followers.insert_mut(name.clone());
        self.followers.insert_mut(leader, followers);
    }

    pub(super) fn forget_follower(&mut self, name: &HostName, host: &Host) {
        let Some(leader) = leader_of(name, host) else { return };
        let mut followers = self.followers.get(&leader).cloned().unwrap_or_default();
        followers.remove_mut(name);
        if followers.is_empty() {
            self.followers.remove_mut(&leader);
        } else {
            self.followers.insert_mut(leader, followers);
        }
    }
}

fn leader_of(name: &HostName, host: &Host) -> Option<HostName> {
    HostName::new(host.settings.following()?.0, name.zone().clone()).ok()
}
