//! What a host's owner set, in the store.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::host::{self, AddressFrom, Alpn, Caa, Carrier, Forward, HostRecord, Suffix, Via};
use crate::name::DnsName;
use crate::proxy_protocol::ProxyProtocol;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    alias: BTreeSet<DnsName>,
    address_from: AddressFrom,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Ipv6Addr>,
    carrier: Carrier,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    via: Via,
    #[serde(skip_serializing_if = "is_default")]
    home_port: HomePort,
    /// As they are typed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    forward: BTreeSet<Forward>,
    #[serde(skip_serializing_if = "is_default")]
    wildcard: bool,
    #[serde(skip_serializing_if = "is_default")]
    redirect: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    allow: BTreeSet<IpNet>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    deny: BTreeSet<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<u32>,
    /// As they are typed; so are the next ones. What was once understood must be for ever.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    record: BTreeSet<HostRecord>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    caa: BTreeSet<Caa>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    alpn: BTreeSet<Alpn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<Suffix>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<DnsName>,
    #[serde(skip_serializing_if = "is_default")]
    proxy_protocol: ProxyProtocol,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct HomePort {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<u16>,
}

// Each is taken apart whole, so that a setting that is new in memory cannot be forgotten here.
impl From<host::Settings> for Settings {
    fn from(settings: host::Settings) -> Self {
        let host::Settings {
            alias,
            address_from,
            address,
            carrier,
            ttl,
            via,
            home_port,
            forward,
            wildcard,
            redirect,
            allow,
            deny,
            max_connections,
            record,
            caa,
            alpn,
            follows,
            suffix,
            upstream,
            proxy_protocol,
        } = settings;
        let host::HomePort { tls, http } = home_port;
        let home_port = HomePort { tls, http };
        Self {
            alias,
            address_from,
            address,
            carrier,
            ttl,
            via,
            home_port,
            forward,
            wildcard,
            redirect,
            allow,
            deny,
            max_connections,
            record,
            caa,
            alpn,
            follows,
            suffix,
            upstream,
            proxy_protocol,
        }
    }
}

impl From<Settings> for host::Settings {
    fn from(settings: Settings) -> Self {
        let Settings {
            alias,
            address_from,
            address,
            carrier,
            ttl,
            via,
            home_port,
            forward,
            wildcard,
            redirect,
            allow,
            deny,
            max_connections,
            record,
            caa,
            alpn,
            follows,
            suffix,
            upstream,
            proxy_protocol,
        } = settings;
        let HomePort { tls, http } = home_port;
        let home_port = host::HomePort { tls, http };
        Self {
            alias,
            address_from,
            address,
            carrier,
            ttl,
            via,
            home_port,
            forward,
            wildcard,
            redirect,
            allow,
            deny,
            max_connections,
            record,
            caa,
            alpn,
            follows,
            suffix,
            upstream,
            proxy_protocol,
        }
    }
}
