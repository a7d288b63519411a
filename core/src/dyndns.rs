//! dyndns2 and its dialects, in which routers and update clients say where they are.
//!
//! What came is parsed into an [`Update`], within bounds (`query`), with the credentials that came with it (`credentials`); whose credentials
//! and host names those are is looked up in the state; what is answered is a [`Line`] for each host name (`answer`). One parser reads all
//! dialects: their parameters are a union, and only the words of the answer differ. Passwords are compared, and changes made, by whoever
//! has the store. docs/updates.md is the whole table.

pub mod acme_dns;
mod answer;
mod credentials;
mod prefix;
mod query;

use crate::name::{APEX, DnsName, HostName, Role, role_in};
use crate::state::State;
use crate::update_line::{DELETE, DYNV6};

pub use crate::update_line::{LINE_LIMIT, is_update, mended};
pub use answer::Line;
pub use credentials::Credentials;
pub use prefix::NoPlace;
pub use query::{Claim, Family, Malformed, Query, TARGET_LIMIT, Update};

/// In which words a client wants to hear how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A line for each host name.
    DynDns,
    /// The same, with a status to each; all of the names or none.
    DeSec,
    /// `addresses updated`, `addresses unchanged`.
    DynV6,
    /// nsupdate.info's way to take an address away.
    Delete,
    /// acme-dns's JSON, for the TXT record alone.
    AcmeDns,
}

impl Dialect {
    /// The dialect of a request for `path`, of whose parameters `has` tells whether they are there.
    fn of(path: &str, has: impl Fn(&str) -> bool) -> Self {
        let dynv6 = ["token", "zone", "ipv4", "ipv6", "ipv6prefix"];
        match path {
            DELETE => Self::Delete,
            DYNV6 if !has("myip") && dynv6.into_iter().any(&has) => Self::DynV6,
            "/" => Self::DeSec,
            "/update" if has("username") || has("host_id") => Self::DeSec,
            _ => Self::DynDns,
        }
    }
}

/// The host that goes by `text`: by its label in the first of `zones`, by any of its names, or by an alias.
pub fn host_of(state: &State, zones: &[DnsName], text: &str) -> Option<HostName> {
    let served = |host: &HostName| is_served(state, host);
    if let Some(host) = HostName::parse(text, zones).ok().filter(served) {
        return Some(host);
    }
    let name: DnsName = text.parse().ok()?;
    let by_form = |zone| match role_in(&name, zone)? {
        Role::Twin(host) | Role::Router(host) => Some(host),
        Role::Apex | Role::Dual(_) | Role::Challenge(_) | Role::Other => None,
    };
    state.alias(&name).cloned().or_else(|| zones.iter().find_map(by_form)).filter(served)
}

/// The host that a TXT record at `text` proves. Never the zone's own: it would speak for every host.
pub fn proven_by(state: &State, zones: &[DnsName], text: &str) -> Option<HostName> {
    let name: DnsName = text.parse().ok()?;
    let by_form = |zone: &DnsName| match role_in(&name, zone)? {
        Role::Challenge(host) if host.label() != APEX => Some(host),
        _ => None,
    };
    zones.iter().find_map(by_form).filter(|host| is_served(state, host))
}

/// The host that `update` means by `name`. An account of acme-dns may name its host, or the record itself.
pub fn named(state: &State, zones: &[DnsName], update: &Update, name: &str) -> Option<HostName> {
    match (update.dialect, &update.txt) {
        (Dialect::AcmeDns, _) => host_of(state, zones, name).or_else(|| proven_by(state, zones, name)),
        (_, Some(_)) => proven_by(state, zones, name),
        (_, None) => host_of(state, zones, name),
    }
}

/// What `name` in `update` is answered whose credentials are those of `host`, if it is not a name of `host`.
pub fn stranger(state: &State, zones: &[DnsName], host: &HostName, update: &Update, name: &str) -> Option<Line> {
    let whole = update.dialect != Dialect::AcmeDns;
    let no_name = || is_no_name(name).filter(|_| whole);
    no_name().or_else(|| (named(state, zones, update, name).as_ref() != Some(host)).then_some(Line::NoHost))
}

fn is_no_name(name: &str) -> Option<Line> {
    (!name.trim_end_matches('.').contains('.') || name.parse::<DnsName>().is_err()).then_some(Line::NotFqdn)
}

fn is_served(state: &State, host: &HostName) -> bool {
    state.host(host).is_some() && state.zone(host.zone()).is_some()
}

#[cfg(test)]
mod tests;
