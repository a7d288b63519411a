//! The secondaries of the zones, as written and as understood.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fourward_core::name::DnsName;
use fourward_core::transfer::Secondary;
use serde::Deserialize;

use super::raw::{unique, value};
use super::{ConfigError, Key};
use crate::redact;

/// Where a name server is asked, and told.
const PORT: u16 = 53;

/// Each has a task for each zone, and is told of each change.
const LIMIT: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSecondary {
    address: String,
    key: Option<String>,
}

/// The secondaries, where these are the keys: those of no host are for them alone.
pub(super) fn parse(raw: Vec<RawSecondary>, keys: &[Key], signed: bool) -> Result<Vec<Secondary>, ConfigError> {
    if !signed && !raw.is_empty() {
        // A name that has no records now is in no transfer; where the zone is signed its NSEC is.
        let why = "given, and dnssec = false: a secondary of a zone that is not signed would say of the -ip6only name of a home that is away that there is no \
                   such name, or answer as a wildcard does; take one of the two out";
        return Err(value("dns.secondaries", why));
    }
    let all = raw.into_iter().map(|one| one.parse(keys)).collect::<Result<Vec<_>, _>>()?;
    unique("dns.secondaries.address", &all.iter().map(|one| one.address).collect::<Vec<_>>())?;
    if all.len() > LIMIT {
        return Err(value("dns.secondaries", &format!("{} of them; {LIMIT} is the most", all.len())));
    }
    let is_used = |key: &&Key| key.grant.is_some() || all.iter().any(|one| one.key.as_ref() == Some(&key.name));
    match keys.iter().find(|key| !is_used(key)) {
        Some(key) => Err(value(
            "dns.keys",
            &format!("{} has neither host and types, to update, nor a secondary that uses it: it would be for nothing", key.name),
        )),
        None => Ok(all),
    }
}

impl RawSecondary {
    fn parse(self, keys: &[Key]) -> Result<Secondary, ConfigError> {
        let text = redact::long_words(&self.address);
        let address = self.address.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let refused = |reason: &str| Err(value("dns.secondaries.address", &format!("\"{text}\" {reason}")));
        let Ok(address) = address.or_else(|_| self.address.parse::<SocketAddr>()) else {
            return refused("is neither an address nor an address with a port, like \"192.0.2.53\" or \"[2001:db8::53]:5353\"");
        };
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) || address.port() == 0 {
            return refused("is no address of one server");
        }
        let Some(key) = self.key else { return Ok(Secondary { address, key: None }) };
        let name = key.parse::<DnsName>().map_err(|error| value("dns.secondaries.key", &redact::long_words(&error.to_string())))?;
        match keys.iter().find(|key| key.name == name) {
            None => Err(value(
                "dns.secondaries.key",
                &format!("there is no {name} in dns.keys; add {{ name = \"{name}\", secret-file = \"…\" }} there"),
            )),
            Some(key) if key.grant.is_some() => Err(value(
                "dns.secondaries.key",
                &format!("{name} updates a host; a secondary has a key of its own, without host and types"),
            )),
            Some(_) => Ok(Secondary { address, key: Some(name) }),
        }
    }
}
