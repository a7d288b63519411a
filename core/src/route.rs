//! Where a connection goes that asks for a name.
//!
//! Looks in the state as it is, so that a new host, alias or address counts from the commit on. The host's address, and
//! whether it is there at all, is the dial's.

use crate::name::{DnsName, HostName, Role, role_in};
use crate::state::State;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this host's home.
    Host(HostName),
    /// To the gateway itself.
    Own,
    /// Nobody here is called so.
    Unknown,
    /// In no zone here and on no list: DNS may know it as another name of a host, see [`led_to`].
    Elsewhere,
}

/// Where whoever asks for `name` goes, on a gateway called `own`.
///
/// A twin leads nowhere: it exists to reach the home without a gateway, and one that carried it would close the circle.
pub fn route(state: &State, own: &[DnsName], name: &DnsName) -> Target {
    if own.contains(name) {
        return Target::Own;
    }
    let listed = state.alias(name).cloned();
    match listed.or_else(|| dual(state, name)).filter(|host| state.host(host).is_some() && state.zone(host.zone()).is_some()) {
        Some(host) => Target::Host(host),
        None if is_served(state, name) => Target::Unknown,
        None => Target::Elsewhere,
    }
}

/// Where whoever asks for a name from [`Target::Elsewhere`] goes, which DNS says is another name of `end`.
///
/// Only a host's dual name counts: the twin leads past every gateway, and who means the gateway itself uses its name. Good for
/// passing bytes on and nothing more: whoever answers for a name in his own right wants it listed.
pub fn led_to(state: &State, own: &[DnsName], end: &DnsName) -> Target {
    let host = dual(state, end).filter(|_| !own.contains(end));
    host.filter(|host| state.host(host).is_some()).map_or(Target::Unknown, Target::Host)
}

/// Whether `name` is in a zone that is served here: DNS knows no more of it than we do.
pub fn is_served(state: &State, name: &DnsName) -> bool {
    state.zones().any(|(zone, _)| name.within(zone).is_some())
}

/// The host whose dual name `name` would be. A host is one label below its zone, or the zone itself.
fn dual(state: &State, name: &DnsName) -> Option<HostName> {
    if state.zone(name).is_some() {
        return HostName::parse(name.as_str(), std::slice::from_ref(name)).ok();
    }
    let (_, parent) = name.as_str().split_once('.')?;
    let zone: DnsName = parent.parse().ok()?;
    state.zone(&zone)?;
    match role_in(name, &zone)? {
        Role::Dual(host) => Some(host),
        Role::Apex | Role::Twin(_) | Role::Router(_) | Role::Challenge(_) | Role::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::change::Change;
    use crate::host::{Digest, JoinSecret};
    use crate::policy::Policy;

    fn name(text: &str) -> DnsName {
        text.parse().expect("name")
    }

    fn state() -> State {
        let mut state = State::default();
        let mut apply = |change| state.apply(&change, &Policy::default()).expect("applied");
        let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
        for zone in ["dyn.example.org", "b.org"] {
            apply(Change::Serve { zone: name(zone), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH });
        }
        for (host, edits) in [("cloud.dyn.example.org", vec!["alias=owncloud.example.org"]), ("b.org", vec![])] {
            let host = HostName::parse(host, &[name("dyn.example.org"), name("b.org")]).expect("host");
            let edits = edits.into_iter().map(|edit| edit.parse().expect("edit")).collect();
            apply(Change::Add { host, edits, join, update: Digest([2; 32]), reuse: false });
        }
        state
    }

    fn target(text: &str) -> Target {
        route(&state(), &[name("gw.dyn.example.org")], &name(text))
    }

    fn host(label: &str, zone: &str) -> Target {
        Target::Host(HostName::new(label, name(zone)).expect("host"))
    }

    #[test]
    fn the_dual_name_and_aliases_lead_to_the_host() {
        let cloud = host("cloud", "dyn.example.org");
        for text in ["cloud.dyn.example.org", "CLOUD.Dyn.Example.Org.", "owncloud.example.org"] {
            assert_eq!(target(text), cloud, "{text}");
        }
        assert_eq!(target("b.org"), host("@", "b.org"), "an apex host");
    }

    #[test]
    fn the_twin_is_never_carried() {
        for text in
            ["cloud-ip6only.dyn.example.org", "ip6only.b.org", "cloud-router.dyn.example.org", "_acme-challenge.cloud.dyn.example.org"]
        {
            assert_eq!(target(text), Target::Unknown, "{text}");
        }
    }

    #[test]
    fn only_a_dual_name_is_led_to() {
        let led = |text: &str| led_to(&state(), &[name("gw.dyn.example.org")], &name(text));
        assert_eq!(led("cloud.dyn.example.org"), host("cloud", "dyn.example.org"));
        assert_eq!(led("b.org"), host("@", "b.org"), "an apex host");
        for text in [
            "cloud-ip6only.dyn.example.org",
            "ip6only.b.org",
            "cloud-router.dyn.example.org",
            "_acme-challenge.cloud.dyn.example.org",
            "gw.dyn.example.org",
            "dyn.example.org",
            "nas.dyn.example.org",
            "a.cloud.dyn.example.org",
            "owncloud.example.org",
            "example.org",
        ] {
            assert_eq!(led(text), Target::Unknown, "{text}");
        }
    }

    #[test]
    fn own_names_and_strangers_are_told_apart() {
        assert_eq!(target("gw.dyn.example.org"), Target::Own);
        for text in ["dyn.example.org", "nas.dyn.example.org", "a.cloud.dyn.example.org", "xcloud.dyn.example.org"] {
            assert_eq!(target(text), Target::Unknown, "{text}");
        }
        for text in ["example.org", "org", "xdyn.example.org", "cloud.dyn.example.org.net"] {
            assert_eq!(target(text), Target::Elsewhere, "{text}");
        }
    }
}
