//! An update, whoever sent it: it changes its own key's host and nothing else, or nothing at all.

use std::sync::LazyLock;

use fourward_core::answer::Transport;
use fourward_core::host::Host;
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::Policy;
use fourward_core::state::State;
use fourward_core::update::{Grant, Reply, Writable, is_update, judge};
use fourward_core::wire::Query;
use fourward_core::zone::ZoneParams;

use super::dns_message;

static SERVED: LazyLock<(State, ZoneParams)> = LazyLock::new(|| (dns_message::state(), dns_message::params()));

const START: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

/// The keys: a host each, and what they may write.
const KEYS: [(&str, &[Writable]); 4] =
    [("away", &Writable::ALL), ("cloud", &[Writable::Challenge]), ("home.test", &Writable::ALL), ("nas", &[Writable::Aaaa, Writable::A])];

pub fn check(message: &[u8]) {
    let (state, params) = &*SERVED;
    if let Some(query) = Query::parse(message) {
        assert_eq!(is_update(message), query.opcode() == 5);
        for (signature, transport) in [(0, Transport::Udp), (300, Transport::Udp), (300, Transport::Tcp)] {
            let reply = Reply { no: None, cookie: None, transport, signature }.message(&query);
            assert!(reply.len() >= 12 && reply.len() <= message.len() + 16, "{} bytes of reply", reply.len());
            assert_eq!(reply[..2], message[..2], "another ID");
        }
    }
    for (label, types) in KEYS {
        let host = HostName::parse(label, &params.zones).expect("a host");
        let grant = Grant { host, types: types.iter().copied().collect() };
        let Ok(Some(change)) = judge(message, &grant, state, params, START) else { continue };
        let mut new = state.clone();
        match new.apply(&change, &Policy::default()) {
            Err(_) => assert!(new == *state, "a refused change leaves the state as it was"),
            Ok(touched) => {
                assert_eq!(touched.is_empty(), new == *state);
                others_are_as_they_were(state, &new, &grant.host);
                may_be_so(new.host(&grant.host).expect("there"), state.host(&grant.host).expect("there"), &grant);
            }
        }
    }
}

fn others_are_as_they_were(old: &State, new: &State, host: &HostName) {
    for (name, other) in old.hosts().filter(|(name, _)| *name != host) {
        assert_eq!(new.host(name), Some(other), "{name} changed by a key of {host}");
    }
    assert_eq!(old.hosts().count(), new.hosts().count());
    let other_zones = |state: &State| {
        state.zones().filter(|(zone, _)| *zone != host.zone()).map(|(zone, kept)| (zone.clone(), *kept)).collect::<Vec<(DnsName, _)>>()
    };
    assert_eq!(other_zones(old), other_zones(new));
}

fn may_be_so(new: &Host, old: &Host, grant: &Grant) {
    let may = |one: Writable| grant.types.contains(&one);
    assert_eq!(new.credentials, old.credentials);
    assert_eq!((new.proven, new.before), (old.proven, old.before), "what a link proved");
    assert!(may(Writable::Aaaa) || (new.updated, new.router) == (old.updated, old.router), "an address");
    assert!(may(Writable::Challenge) || new.challenge == old.challenge, "a challenge");
    let records = may(Writable::Txt) || may(Writable::Srv) || may(Writable::Mx);
    assert!(records || new.settings == old.settings, "records");
    let mut settings = new.settings.clone();
    settings.record.clone_from(&old.settings.record);
    assert_eq!(settings, old.settings, "more than records");
    assert!(new.challenge.len() <= old.challenge.len().max(16) && new.settings.record.len() <= 32);
}
