//! dyndns2, the dialect in which routers and update clients say where they are.
//!
//! What came is parsed into an [`Update`], within bounds; whose credentials and host names those are is looked up in the state; what is
//! answered is a [`Line`] for each host name. A family that is not mentioned is kept. Parameters without a meaning here (`mx`, `backmx`,
//! `wildcard`, `system`) are ignored. Passwords are compared, and changes made, by whoever has the store.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::name::{DnsName, HostName, Role, role_in};
use crate::state::State;

/// Where clients go; `/nic/update` is the oldest and what we print.
const PATHS: [&str; 5] = ["/nic/update", "/v3/update", "/update", "/api/update", "/v2/update"];

/// Twenty names at their longest fit.
const TARGET_LIMIT: usize = 8 * 1024;

/// The most that any client sends is ten.
const PARAMETER_LIMIT: usize = 32;

/// What the protocol has always allowed.
const HOST_LIMIT: usize = 20;

/// A host's name and a password, in base64, with room.
const CREDENTIALS_LIMIT: usize = 1024;

/// What a client wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The names in `hostname`, as they came.
    pub hosts: Vec<String>,
    /// What becomes of the IPv4 address.
    pub v4: Family<Ipv4Addr>,
    /// What becomes of the IPv6 address.
    pub v6: Family<Ipv6Addr>,
    /// Whether the host shall be taken offline, which nobody can here.
    pub offline: bool,
}

/// What a client says of its address in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family<A> {
    /// Nothing: it stays as it is.
    Keep,
    /// That it is where the request comes from, if that is of this family.
    Auto,
    /// Where it is.
    Set(A),
}

/// Why a request says nothing that could be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than any client's.
    #[error("the request is longer than {TARGET_LIMIT} characters or has more than {PARAMETER_LIMIT} parameters")]
    Long,
    /// More names than the protocol allows.
    #[error("more than {HOST_LIMIT} names in hostname")]
    Hosts,
    /// No name at all.
    #[error("no name in hostname")]
    NoHost,
    /// What stands where an address belongs is none.
    #[error("{parameter}={value:?} is no address of that kind")]
    Address {
        /// The parameter.
        parameter: &'static str,
        /// What it said.
        value: String,
    },
}

/// Who a client says that it is. The password never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; a bearer's token has none.
    pub user: Option<String>,
    /// The update password.
    pub password: String,
}

/// One line of an answer. Clients read its first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is done; these addresses are published.
    Good(Vec<IpAddr>),
    /// It was so already.
    NoChange(Vec<IpAddr>),
    /// Not a host of these credentials.
    NoHost,
    /// Not a whole name.
    NotFqdn,
    /// Unknown user or wrong password.
    BadAuth,
    /// Too many names.
    NumHost,
    /// `offline=YES`, which is not done.
    NotOffline,
    /// Too many wrong passwords.
    Abuse,
    /// The client may not come this way; why, and what to do.
    BadAgent(String),
    /// The address is refused; why.
    Refused(String),
    /// The server cannot do it now.
    Fault,
}

/// Whether `target` (path and query) is an update's.
pub fn is_update(target: &str) -> bool {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    PATHS.contains(&path)
}

/// The host that goes by `text`: by its label in the first of `zones`, by any of its names, or by an alias.
pub fn host_of(state: &State, zones: &[DnsName], text: &str) -> Option<HostName> {
    let served = |host: &HostName| state.host(host).is_some() && state.zone(host.zone()).is_some();
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

/// What `name` in a request is answered whose credentials are those of `host`, if it is not a name of `host`.
pub fn stranger(state: &State, zones: &[DnsName], host: &HostName, name: &str) -> Option<Line> {
    if !name.trim_end_matches('.').contains('.') || name.parse::<DnsName>().is_err() {
        return Some(Line::NotFqdn);
    }
    (host_of(state, zones, name).as_ref() != Some(host)).then_some(Line::NoHost)
}

impl Update {
    /// Reads `target`, the path and query of a request.
    ///
    /// # Errors
    /// It is too long, names no host or too many, or an address is none.
    pub fn parse(target: &str) -> Result<Self, Malformed> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        if target.len() > TARGET_LIMIT || query.split('&').count() > PARAMETER_LIMIT {
            return Err(Malformed::Long);
        }
        let parameters: Vec<(&str, String)> =
            query.split('&').map(|one| one.split_once('=').unwrap_or((one, ""))).map(|(key, value)| (key, decoded(value))).collect();
        let last = |keys: &[&str]| parameters.iter().rev().find(|(key, _)| keys.contains(key)).map(|(_, value)| value.as_str());
        let names = last(&["hostname"]).unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
        let hosts: Vec<String> = names.map(str::to_owned).collect();
        if hosts.is_empty() {
            return Err(Malformed::NoHost);
        }
        if hosts.len() > HOST_LIMIT {
            return Err(Malformed::Hosts);
        }
        let offline = last(&["offline"]).is_some_and(|value| ["yes", "on", "true", "1"].contains(&value.to_ascii_lowercase().as_str()));
        let (any, v4, v6) = (last(&["myip", "ip"]), last(&["myipv4", "ipv4", "ip4"]), last(&["myipv6", "ipv6", "ip6"]));
        // A request that says nothing of addresses can only mean where it comes from.
        let any = any.or_else(|| (v4.is_none() && v6.is_none()).then_some(""));
        let (any4, any6) = any.map_or(Ok((Family::Keep, Family::Keep)), both)?;
        let v4 = v4.map_or(Ok(Family::Keep), |text| one("myipv4", text))?;
        let v6 = v6.map_or(Ok(Family::Keep), |text| one("myipv6", text))?;
        Ok(Self { hosts, v4: v4.or(any4), v6: v6.or(any6), offline })
    }

    /// The addresses to set when the request comes from `peer`: what was said beats where it came from.
    pub fn addresses(&self, peer: IpAddr) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let (peer4, peer6) = match peer.to_canonical() {
            IpAddr::V4(peer) => (Some(peer), None),
            IpAddr::V6(peer) => (None, Some(peer)),
        };
        (self.v4.settled(peer4), self.v6.settled(peer6))
    }
}

impl<A> Family<A> {
    fn or(self, less: Self) -> Self {
        match (self, less) {
            (Self::Keep, less) | (Self::Auto, less @ Self::Set(_)) => less,
            (said, _) => said,
        }
    }

    fn settled(&self, peer: Option<A>) -> Option<A>
    where
        A: Copy,
    {
        match self {
            Self::Keep => None,
            Self::Auto => peer,
            Self::Set(address) => Some(*address),
        }
    }
}

/// `myip`: a list of both families, the first of each; empty is where the request comes from.
fn both(text: &str) -> Result<(Family<Ipv4Addr>, Family<Ipv6Addr>), Malformed> {
    if text.is_empty() || text.eq_ignore_ascii_case("auto") {
        return Ok((Family::Auto, Family::Auto));
    }
    let (mut v4, mut v6) = (Family::Keep, Family::Keep);
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match plain(item).parse() {
            Ok(IpAddr::V4(address)) => v4 = v4.or(Family::Set(address)),
            Ok(IpAddr::V6(address)) => v6 = v6.or(Family::Set(address)),
            Err(_) => return Err(Malformed::Address { parameter: "myip", value: item.into() }),
        }
    }
    Ok((v4, v6))
}

/// A parameter of one family: its first address; empty is no change, as routers that lack the family send it.
fn one<A: std::str::FromStr>(parameter: &'static str, text: &str) -> Result<Family<A>, Malformed> {
    let text = text.split(',').map(str::trim).find(|item| !item.is_empty()).unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "" | "preserve" | "no" => Ok(Family::Keep),
        "auto" => Ok(Family::Auto),
        _ => plain(text).parse().map(Family::Set).map_err(|_| Malformed::Address { parameter, value: text.into() }),
    }
}

/// An address without the brackets that it has in a URL.
fn plain(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

/// `text` without its percent-encoding. What is none is kept as it is: routers put values in as they are.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.split_at_checked(2).filter(|_| *first == b'%');
        match pair.and_then(|(pair, after)| Some((hexadecimal(pair)?, after))) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

impl Credentials {
    /// Reads the value of an `Authorization` header: Basic, or Bearer with the update password as its token.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, value) = header.trim().split_once(' ').filter(|_| header.len() <= CREDENTIALS_LIMIT)?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self { user: None, password: value.into() });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self { user: Some(user.into()), password: password.into() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, secret)", self.user)
    }
}

impl From<Malformed> for Line {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::NoHost => Self::NotFqdn,
            Malformed::Hosts => Self::NumHost,
            refused @ (Malformed::Long | Malformed::Address { .. }) => Self::Refused(refused.to_string()),
        }
    }
}

impl Line {
    /// The first words of all lines.
    pub const WORDS: [&'static str; 11] =
        ["good", "nochg", "nohost", "notfqdn", "badauth", "numhost", "!donator", "abuse", "badagent", "dnserr", "911"];

    /// The first word, which is what clients act on.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good(_) => "good",
            Self::NoChange(_) => "nochg",
            Self::NoHost => "nohost",
            Self::NotFqdn => "notfqdn",
            Self::BadAuth => "badauth",
            Self::NumHost => "numhost",
            Self::NotOffline => "!donator",
            Self::Abuse => "abuse",
            Self::BadAgent(_) => "badagent",
            Self::Refused(_) => "dnserr",
            Self::Fault => "911",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Good(addresses) | Self::NoChange(addresses) => write!(f, " {}", listed(addresses)),
            Self::NotOffline => f.write_str(" a host here is never taken offline by an update; nothing changed"),
            Self::Abuse => f.write_str(" too many wrong passwords came from your network; try again in a minute"),
            Self::BadAgent(reason) | Self::Refused(reason) => write!(f, " {reason}"),
            Self::NoHost | Self::NotFqdn | Self::BadAuth | Self::NumHost | Self::Fault => Ok(()),
        }
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
