//! What a host's owner sets: the keys of `host add` and `host set`.
//!
//! They are parsed here and nowhere else. A key that this version does not serve yet is refused by name: a setting that is
//! silently ignored is worse than none.

mod caa;
mod forward;
mod record;
mod suffix;
mod token;
mod written;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::{APEX, DnsName, NameError};
use crate::proxy_protocol::ProxyProtocol;

pub use caa::Caa;
pub use forward::Forward;
pub use record::{HostRecord, RecordData, RecordKind, Target};
pub use suffix::Suffix;

/// Below this, resolvers ask more often than the lease could matter; above, a move is seen late.
const TTL_RANGE: std::ops::RangeInclusive<u32> = 1..=86_400;

/// A host with more aliases than this is a list that belongs into DNS.
pub(crate) const ALIAS_LIMIT: usize = 100;

/// Longer lists of networks belong into a firewall, which is faster at them.
const NETWORK_LIMIT: usize = 1_000;

/// More records than this are a zone of their own…
const RECORD_LIMIT: usize = 32;

/// …and so are more bytes, names included.
const RECORD_BYTES: usize = 4096;

/// More authorities than this are no restriction.
const CAA_LIMIT: usize = 16;

/// Keys of later versions: known, so that the answer can be "not yet" and not "unknown".
const NOT_YET: [&str; 6] = ["upstream-host", "upstream-tls", "verify", "hsts", "max-rate", "mode"];

/// Keys of which today's behaviour is one value, which may be written out.
const ONLY_VALUE: [(&str, &str); 2] = [("mode", "passthrough"), ("hsts", "off")];

/// Keys of which the value is a list.
const LISTS: [&str; 8] = ["alias", "allow", "alpn", "caa", "deny", "forward", "home-port", "record"];

/// Who is the authority on a host's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressFrom {
    /// Its agent, proven on the link.
    #[default]
    Link,
    /// Its owner, by `address=`.
    Static,
    /// Whoever has its update password, by dyndns2.
    Update,
}

/// How the gateway reaches the home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// The best there is. So far that is [`Carrier::Direct`].
    #[default]
    Auto,
    /// By the home's own address.
    Direct,
}

/// Where the AAAA of the name for everyone leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Home. To the gateway only while the home cannot be reached from outside, which this version does not find out.
    #[default]
    Auto,
    /// Home, whatever happens.
    Home,
    /// To the gateway: IPv6 clients take the same way as IPv4 ones.
    Gateway,
}

/// A protocol that the host speaks behind TLS or QUIC, said in an HTTPS record (RFC 9460 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Alpn {
    /// HTTP/3.
    #[serde(rename = "h3")]
    H3,
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
}

/// The ports that the gateway dials at home, where they are not the ones that clients use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HomePort {
    /// For TLS; 443 if absent.
    pub tls: Option<u16>,
    /// For HTTP; 80 if absent.
    pub http: Option<u16>,
}

/// What the owner set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Settings {
    /// The user's own domains that lead here.
    pub alias: BTreeSet<DnsName>,
    /// Who is the authority on the address.
    pub address_from: AddressFrom,
    /// The address where `address_from` is `static`.
    pub address: Option<Ipv6Addr>,
    /// How the gateway reaches the home.
    pub carrier: Carrier,
    /// Seconds; the zone's own where absent.
    pub ttl: Option<u32>,
    /// Where the AAAA of the name for everyone leads.
    pub via: Via,
    /// The ports that the gateway dials.
    pub home_port: HomePort,
    /// The gateway's ports that lead to the home.
    pub forward: BTreeSet<Forward>,
    /// Whether every name below the host's is the host too.
    pub wildcard: bool,
    /// Whether the gateway sends HTTP clients to HTTPS itself.
    pub redirect: bool,
    /// The networks whose clients the gateway carries; all if empty.
    pub allow: BTreeSet<IpNet>,
    /// The networks whose clients the gateway does not carry, also where `allow` has them.
    pub deny: BTreeSet<IpNet>,
    /// The most connections that the gateway carries at once.
    pub max_connections: Option<u32>,
    /// Its own TXT, SRV and MX.
    pub record: BTreeSet<HostRecord>,
    /// Who may issue certificates for it; whoever the zone permits if empty.
    pub caa: BTreeSet<Caa>,
    /// What it speaks, as its HTTPS record says; none if empty.
    pub alpn: BTreeSet<Alpn>,
    /// The label of the host in the same zone whose network its address is in.
    pub follows: Option<Box<str>>,
    /// The end of its address there.
    pub suffix: Option<Suffix>,
    /// The name in somebody else's DNS that says where the home is.
    pub upstream: Option<DnsName>,
    /// How the gateway tells the home who its clients are.
    pub proxy_protocol: ProxyProtocol,
}

/// One `KEY=VALUE`, `KEY+=VALUE` or `KEY-=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Edit {
    key: String,
    how: How,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Replace,
    Add,
    Remove,
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No `=` in it.
    #[error("\"{0}\" is no setting; write KEY=VALUE, like alias=cloud.example.org")]
    Form(String),
    /// A key of a later version.
    #[error("{0}: not yet: this version does not serve it; leave it out")]
    NotYet(String),
    /// No key of any version.
    #[error(
        "{0}: no such setting; there are alias, address-from, address, allow, alpn, caa, carrier, deny, follows, forward, home-port, max-connections, proxy-protocol, record, redirect, suffix, ttl, upstream, via, wildcard"
    )]
    Unknown(String),
    /// `+=` or `-=` on what is one value.
    #[error("{0} is a single value: write {0}=VALUE")]
    NotAList(String),
    /// What stands after the `=` does not fit.
    #[error("{key}={value}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What was expected.
        reason: String,
    },
}

impl Settings {
    /// Carries out one edit.
    ///
    /// # Errors
    /// The key or the value is refused; the settings are as they were.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        if edit.how != How::Replace && !LISTS.contains(&edit.key.as_str()) {
            return Err(EditError::NotAList(edit.key.clone()));
        }
        match edit.key.as_str() {
            "alias" => edit.list(&mut self.alias, ALIAS_LIMIT, |name| name.parse().map_err(|error| format!("{error}"))),
            "allow" => edit.list(&mut self.allow, NETWORK_LIMIT, parse_network),
            "deny" => edit.list(&mut self.deny, NETWORK_LIMIT, parse_network),
            "forward" => edit.forwards(&mut self.forward),
            "home-port" => self.edit_home_port(edit),
            "alpn" => edit.list(&mut self.alpn, Alpn::ALL.len(), parse_alpn),
            "caa" => edit.one_of(&mut self.caa, |caa| within(caa.len(), CAA_LIMIT, "values")),
            "record" => edit.one_of(&mut self.record, check_records),
            "follows" => edit.set(&mut self.follows, parse_leader),
            "suffix" => edit.set(&mut self.suffix, str::parse),
            "upstream" => edit.set(&mut self.upstream, |name| name.parse().map_err(|error: NameError| error.to_string())),
            "address-from" => edit.choose(
                &mut self.address_from,
                &[("link", AddressFrom::Link), ("static", AddressFrom::Static), ("update", AddressFrom::Update)],
            ),
            "address" => edit.set(&mut self.address, |v| v.parse().map_err(|_| "expected an IPv6 address".into())),
            "ttl" => edit.set(&mut self.ttl, parse_ttl),
            "max-connections" => edit.set(&mut self.max_connections, parse_connections),
            "via" => edit.choose(&mut self.via, &[("auto", Via::Auto), ("home", Via::Home), ("gateway", Via::Gateway)]),
            "wildcard" => edit.choose(&mut self.wildcard, &[("on", true), ("off", false)]),
            "redirect" => edit.choose(&mut self.redirect, &[("on", true), ("off", false)]),
            "proxy-protocol" => edit.choose(&mut self.proxy_protocol, &ProxyProtocol::ALL.map(|version| (version.word(), version))),
            "carrier" if edit.value == "tunnel" => Err(EditError::NotYet("carrier=tunnel".into())),
            "carrier" => edit.choose(&mut self.carrier, &[("auto", Carrier::Auto), ("direct", Carrier::Direct)]),
            _ => edit.refuse_or_default(),
        }
    }

    /// Whether the gateway carries clients from `client`.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let within = |networks: &BTreeSet<IpNet>| networks.iter().any(|network| network.contains(&client));
        (self.allow.is_empty() || within(&self.allow)) && !within(&self.deny)
    }

    /// What these settings do not do, though one might think so: sentences for whoever sets them.
    pub fn remarks(&self) -> Vec<&'static str> {
        let at_the_gateway_alone = self.via != Via::Gateway;
        let always = [
            (
                self.alpn.contains(&Alpn::H3),
                "alpn=h3 is said to everybody, and the gateway carries no QUIC yet: clients that come over it go on by TCP after a try",
            ),
            (
                self.upstream.is_some(),
                "the home's address is what DNS says of upstream, and nothing proves that the home has it: it needs no agent, so the join line may be left",
            ),
            (
                self.follows.is_some(),
                "a follower's address is its leader's network and its suffix: it needs no agent and no update client of its own, so the join line may be left",
            ),
        ];
        let limits = !self.allow.is_empty() || !self.deny.is_empty() || self.max_connections.is_some();
        let remarks = [
            (
                self.home_port != HomePort::default(),
                "home-port is what the gateway dials; IPv6 clients go home by themselves, to the usual port: open that one too, or set via=gateway",
            ),
            (
                !self.forward.is_empty(),
                "forward is for those who come over the gateway; IPv6 clients go home by themselves, to the same port: open that one too, or set via=gateway",
            ),
            (
                limits,
                "allow, deny and max-connections hold at the gateway; IPv6 clients go home by themselves: filter them there too, or set via=gateway",
            ),
            (
                self.proxy_protocol != ProxyProtocol::None && self.home_port == HomePort::default(),
                "proxy-protocol stands before what the gateway carries; IPv6 clients go home by themselves, without it, and a server that expects it refuses them: give it ports of its own (home-port=tls=8443,http=8080), or set via=gateway",
            ),
            (
                self.redirect,
                "redirect holds at the gateway; IPv6 clients go home by themselves: let the web server there redirect too, or set via=gateway",
            ),
        ];
        let remarks = remarks.into_iter().filter(|_| at_the_gateway_alone).chain(always);
        remarks.filter(|(said, _)| *said).map(|(_, remark)| remark).collect()
    }

    /// Whom the host follows, and how its address ends there.
    pub fn following(&self) -> Option<(&str, Suffix)> {
        self.follows.as_deref().zip(self.suffix)
    }

    /// `tls=8443,http=8080`: a list of two keys, of which each is there once at most.
    fn edit_home_port(&mut self, edit: &Edit) -> Result<(), EditError> {
        let mut ports = if edit.how == How::Replace { HomePort::default() } else { self.home_port };
        for part in edit.parts() {
            let (service, port) = part.split_once('=').map_or((part, None), |(service, port)| (service, Some(port)));
            let place = match service {
                "tls" => &mut ports.tls,
                "http" => &mut ports.http,
                "quic" => return Err(EditError::NotYet("home-port=quic=…".into())),
                _ => return Err(edit.bad("expected tls=PORT, http=PORT or both, with a comma between them")),
            };
            let port =
                port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(|| edit.bad("expected a port from 1 to 65535")));
            *place = match (&edit.how, port.transpose()?) {
                (How::Remove, _) => None,
                (_, Some(port)) => Some(port),
                (_, None) => return Err(edit.bad("expected tls=PORT, http=PORT or both, with a comma between them")),
            };
        }
        self.home_port = ports;
        Ok(())
    }
}

/// A network, or an address alone.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| format!("\"{text}\" is no network; expected one like 198.51.100.0/24 or 2001:db8::/32"))?;
    if network != network.trunc() {
        return Err(format!("{network} has bits beyond its length; that network is {}", network.trunc()));
    }
    Ok(network)
}

fn parse_connections(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number of connections, at least 1".into())
}

fn parse_ttl(text: &str) -> Result<u32, String> {
    let ttl = text.parse().ok().filter(|ttl| TTL_RANGE.contains(ttl));
    ttl.ok_or_else(|| format!("expected seconds from {} to {}", TTL_RANGE.start(), TTL_RANGE.end()))
}

fn parse_alpn(text: &str) -> Result<Alpn, String> {
    let found = Alpn::ALL.into_iter().find(|alpn| alpn.word() == text);
    found.ok_or_else(|| format!("\"{text}\" is no protocol of HTTP; expected h3, h2, http/1.1 or several with commas between them"))
}

/// A host's name; that it is one, in the same zone, is the state's to see.
fn parse_leader(text: &str) -> Result<Box<str>, String> {
    if text == APEX {
        return Ok(text.into());
    }
    text.parse().map(|name: DnsName| name.as_str().into()).map_err(|error| error.to_string())
}

fn check_records(records: &BTreeSet<HostRecord>) -> Result<(), String> {
    within(records.len(), RECORD_LIMIT, "records")?;
    within(records.iter().map(HostRecord::size).sum(), RECORD_BYTES, "bytes in records")
}

fn within(count: usize, limit: usize, of: &str) -> Result<(), String> {
    if count > limit { Err(format!("that makes {count} {of}; {limit} is the most of a host")) } else { Ok(()) }
}

impl Edit {
    fn bad(&self, reason: &str) -> EditError {
        EditError::Value { key: self.key.clone(), value: self.value.clone(), reason: reason.into() }
    }

    /// Sets `place` to the value, or takes the setting back where it is empty.
    fn set<T>(&self, place: &mut Option<T>, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<(), EditError> {
        *place = match self.value.as_str() {
            "" => None,
            value => Some(parse(value).map_err(|reason| self.bad(&reason))?),
        };
        Ok(())
    }

    /// Sets `place` to what the value is called among `words`.
    fn choose<T: Copy>(&self, place: &mut T, words: &[(&str, T)]) -> Result<(), EditError> {
        let Some((_, chosen)) = words.iter().find(|(word, _)| *word == self.value) else {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            return Err(self.bad(&format!("expected {}", words.join(" or "))));
        };
        *place = *chosen;
        Ok(())
    }

    /// The parts of a list.
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.value.split(',').map(str::trim).filter(|part| !part.is_empty())
    }

    /// Replaces, extends or shortens `list`, which may have `limit` values.
    fn list<T: Ord + Clone>(
        &self,
        list: &mut BTreeSet<T>,
        limit: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), EditError> {
        let values = self.parts().map(parse).collect::<Result<BTreeSet<T>, _>>().map_err(|reason| self.bad(&reason))?;
        let new = match self.how {
            How::Replace => values,
            How::Add => list.union(&values).cloned().collect(),
            How::Remove => list.difference(&values).cloned().collect(),
        };
        if new.len() > limit {
            return Err(self.bad(&format!("that makes {} values; {limit} is the most", new.len())));
        }
        *list = new;
        Ok(())
    }

    /// Like [`Edit::list`] for values that commas may stand in: each `+=` and `-=` has one, and `=` replaces all by it. `new` is what `check` sees.
    fn one_of<T: Ord + Clone + FromStr<Err = String>>(
        &self,
        list: &mut BTreeSet<T>,
        check: impl Fn(&BTreeSet<T>) -> Result<(), String>,
    ) -> Result<(), EditError> {
        let value = Some(self.value.as_str()).filter(|value| !value.is_empty()).map(str::parse::<T>);
        let value = value.transpose().map_err(|reason| self.bad(&reason))?;
        let mut new = if self.how == How::Replace { BTreeSet::new() } else { list.clone() };
        match (&self.how, value) {
            (How::Remove, Some(value)) => drop(new.remove(&value)),
            (_, None) => {}
            (How::Add | How::Replace, Some(value)) => drop(new.insert(value)),
        }
        check(&new).map_err(|reason| self.bad(&reason))?;
        *list = new;
        Ok(())
    }

    fn refuse_or_default(&self) -> Result<(), EditError> {
        let key = self.key.as_str();
        if ONLY_VALUE.contains(&(key, self.value.as_str())) {
            return Ok(());
        }
        if NOT_YET.contains(&key) {
            return Err(EditError::NotYet(format!("{key}={}", self.value)));
        }
        Err(EditError::Unknown(key.into()))
    }
}

impl FromStr for Edit {
    type Err = EditError;

    fn from_str(text: &str) -> Result<Self, EditError> {
        let (key, value) = text.split_once('=').ok_or_else(|| EditError::Form(text.into()))?;
        let (key, how) = match (key.strip_suffix('+'), key.strip_suffix('-')) {
            (Some(key), _) => (key, How::Add),
            (_, Some(key)) => (key, How::Remove),
            _ => (key, How::Replace),
        };
        Ok(Self { key: key.trim().to_ascii_lowercase(), how, value: value.trim().into() })
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.how {
            How::Replace => "",
            How::Add => "+",
            How::Remove => "-",
        };
        write!(f, "{}{sign}={}", self.key, self.value)
    }
}

impl TryFrom<String> for Edit {
    type Error = EditError;

    fn try_from(text: String) -> Result<Self, EditError> {
        text.parse()
    }
}

impl From<Edit> for String {
    fn from(edit: Edit) -> String {
        edit.to_string()
    }
}

#[cfg(test)]
mod tests;
