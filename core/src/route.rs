//! Where a connection goes that asks for a name.
//!
//! Looks in the state as it is, so that a new host, alias or address counts from the commit on. The host's address, and
//! whether it is there at all, is the dial's.

use crate::name::{APEX, DnsName, Form, HostName, Role, form_of, role_in};
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
/// A twin leads nowhere: it exists to reach the home without a gateway, and one that carried it would close the circle. Nor does any
/// other name of ours, also where no host has it and a wildcard would.
pub fn route(state: &State, own: &[DnsName], name: &DnsName) -> Target {
    if own.contains(name) {
        return Target::Own;
    }
    let listed = state.alias(name).cloned();
    let known = |host: &HostName| state.host(host).is_some();
    match listed
        .or_else(|| dual(state, name))
        .filter(known)
        .or_else(|| wildcard(state, own, name))
        .filter(|host| state.host(host).is_some() && state.zone(host.zone()).is_some())
    {
        Some(host) => Target::Host(host),
        None if is_served(state, name) => Target::Unknown,
        None => Target::Elsewhere,
    }
}

/// Where whoever asks for a name from [`Target::Elsewhere`] goes, which DNS says is another name of `end`.
///
/// Only a host's dual name counts, or one below a host with a wildcard: the twin leads past every gateway, and who means the gateway itself uses its name. Good for
/// passing bytes on and nothing more: whoever answers for a name in his own right wants it listed.
pub fn led_to(state: &State, own: &[DnsName], end: &DnsName) -> Target {
    let known = |host: &HostName| state.host(host).is_some();
    let host = dual(state, end).filter(known).or_else(|| wildcard(state, own, end));
    host.filter(|_| !own.contains(end)).map_or(Target::Unknown, Target::Host)
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

/// The host with a wildcard that `name` is below, if nothing else stands between them (RFC 4592 §3.3.1, as `zone` has it).
fn wildcard(state: &State, own: &[DnsName], name: &DnsName) -> Option<HostName> {
    let (zone, left) = state.zones().find_map(|(zone, _)| Some((zone, name.within(zone)?)))?;
    let (below, top) = left.rsplit_once('.').map_or(("", left), |(below, top)| (below, top));
    if left.is_empty() || left.split('.').any(|label| label.starts_with('_')) || !matches!(form_of(top), Form::Dual(_)) {
        return None;
    }
    let (label, below) = if state.host_by(zone, top).is_some() { (top, below) } else { (APEX, left) };
    let settings = &state.host_by(zone, label).filter(|host| host.settings.wildcard)?.settings;
    let host = HostName::new(label, zone.clone()).ok()?;
    let dual = host.dual();
    // What is on the way to an own name or a record exists, and ends the wildcard's reach.
    let first = |left: &str| left.rsplit('.').next().map(str::to_owned);
    let records = settings.record.iter().filter_map(|record| record.owner.as_ref()).map(DnsName::as_str);
    let hidden = own.iter().filter_map(|own| own.within(&dual)).chain(records).any(|name| name.is_empty() || first(name) == first(below));
    (!below.is_empty() && !hidden).then_some(host)
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
    /// Where `text` leads, with these hosts in the one zone and these names of our own.
    fn with(hosts: &[(&str, &[&str])], own: &[&str], text: &str) -> Target {
        let mut state = State::default();
        let mut apply = |change| state.apply(&change, &Policy::default()).expect("applied");
        let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
        apply(Change::Serve { zone: name("z.org"), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH });
        for (label, edits) in hosts {
            let edits = edits.iter().map(|edit| edit.parse().expect("edit")).collect();
            apply(Change::Add {
                host: HostName::new(label, name("z.org")).expect("host"),
                edits,
                join,
                update: Digest([2; 32]),
                reuse: false,
            });
        }
        let own: Vec<DnsName> = own.iter().map(|own| name(own)).collect();
        route(&state, &own, &name(text))
    }

    #[test]
    fn names_below_a_wildcard_lead_to_its_host_at_any_depth() {
        let hosts: &[(&str, &[&str])] = &[("cloud", &["wildcard=on"]), ("nas", &[])];
        let own = &["gw.z.org", "deep.a.cloud.z.org"];
        for text in ["cloud.z.org", "www.cloud.z.org", "a.b.cloud.z.org", "X-ip6only.Cloud.z.org", "gw.cloud.z.org"] {
            assert_eq!(with(hosts, own, text), host("cloud", "z.org"), "{text}");
        }
        for text in [
            "www.nas.z.org",
            "www.z.org",
            "cloud-ip6only.z.org",
            "x.cloud-ip6only.z.org",
            "cloud-router.z.org",
            "_acme-challenge.cloud.z.org",
            "a._x.cloud.z.org",
            "a.cloud.z.org",
            "x.a.cloud.z.org",
            "x.gw.z.org",
        ] {
            assert_eq!(with(hosts, own, text), Target::Unknown, "{text}");
        }
        assert_eq!(with(hosts, own, "deep.a.cloud.z.org"), Target::Own);
    }

    #[test]
    fn a_record_ends_a_wildcards_reach() {
        let hosts: &[(&str, &[&str])] = &[("cloud", &["wildcard=on", "record=MX 1 @", "record+=deep.mail TXT x"])];
        assert_eq!(with(hosts, &[], "www.cloud.z.org"), host("cloud", "z.org"));
        for text in ["mail.cloud.z.org", "deep.mail.cloud.z.org", "x.mail.cloud.z.org"] {
            assert_eq!(with(hosts, &[], text), Target::Unknown, "{text}: DNS has no address there");
        }
    }

    #[test]
    fn an_apex_wildcard_takes_what_nobody_else_has() {
        let hosts: &[(&str, &[&str])] = &[("@", &["wildcard=on"]), ("nas", &[])];
        let own = &["gw.z.org"];
        for text in ["z.org", "www.z.org", "a.b.z.org"] {
            assert_eq!(with(hosts, own, text), host("@", "z.org"), "{text}");
        }
        for text in
            ["x.nas.z.org", "nas-ip6only.z.org", "ip6only.z.org", "who-ip6only.z.org", "x.who-router.z.org", "x.gw.z.org", "_a.z.org"]
        {
            assert_eq!(with(hosts, own, text), Target::Unknown, "{text}");
        }
        assert_eq!(with(hosts, own, "nas.z.org"), host("nas", "z.org"));
        assert_eq!(with(hosts, own, "gw.z.org"), Target::Own);
        assert_eq!(with(&[("cloud", &["wildcard=on"])], &["cloud.z.net"], "x.cloud.z.org"), host("cloud", "z.org"));
    }
}
