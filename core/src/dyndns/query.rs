//! What stands in the address line, and in the form, of an update.
//!
//! The parameters of all dialects are one union. The rules for what is empty go by name: an empty `myip` asks for the address that the request comes
//! from, an empty parameter of one family changes nothing, and nothing is ever taken away but by `-`. A placeholder that a router has left
//! in place says nothing.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::acme_dns::BadPost;
use super::prefix::{NoPlace, Place, home_prefix};
use super::{Credentials, Dialect};
use crate::change::{Said, Word};

/// Twenty names at their longest fit.
pub const TARGET_LIMIT: usize = 8 * 1024;

/// The most that any client sends is ten; deSEC's have one more for each host.
const PARAMETER_LIMIT: usize = 48;

/// What the protocol has always allowed.
const HOST_LIMIT: usize = 20;

/// Values of one TXT record: far more than an order has.
const TXT_LIMIT: usize = 8;

/// A string of a TXT record (RFC 1035 §3.3).
const TXT_LENGTH: usize = 255;

const ANY: &[&str] = &["myip", "ip", "myip2"];
const V4: &[&str] = &["myipv4", "ipv4", "ip4"];
const V6: &[&str] = &["myipv6", "ipv6", "ip6", "myip6"];
const PREFIX: &[&str] = &["ip6lanprefix", "ipv6prefix", "ip6prefix", "ipv6lanprefix", "praefix", "prefix"];
/// By the first of these that is there.
const NAMES: [&str; 7] = ["hostname", "host", "host_id", "domain", "domains", "zone", "id"];
const USER: &[&str] = &["username", "user", "login"];
/// inadyn's plugin for deSEC has that slip.
const PASSWORD: &[&str] = &["password", "passwword", "pass", "pwd", "token", "key"];

/// The parameters of a request.
pub struct Query {
    path: String,
    parameters: Vec<Parameter>,
}

struct Parameter {
    /// In lower case.
    key: String,
    /// `None`: the router had nothing to fill in.
    value: Option<String>,
}

/// What a client wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// How it wants to hear of it.
    pub dialect: Dialect,
    /// The names, as they came; none where the user is the host.
    pub hosts: Vec<String>,
    /// Where all of them are,
    pub claim: Claim,
    /// but for these.
    pub apart: Vec<(String, Claim)>,
    /// What the TXT record is to have; then nothing else is meant.
    pub txt: Option<Vec<String>>,
    /// Whether the host shall be taken offline, which nobody can here.
    pub offline: bool,
}

/// What a client says of where a host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// What becomes of the IPv4 address.
    pub v4: Family<Ipv4Addr>,
    /// What becomes of the IPv6 address.
    pub v6: Family<Ipv6Addr>,
    /// The network at home.
    pub prefix: Option<Ipv6Net>,
}

/// What a client says of its address in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family<A> {
    /// Nothing: it stays as it is.
    #[default]
    Keep,
    /// That it is where the request comes from, if that is of this family.
    Auto,
    /// Where it is.
    Set(A),
    /// That there is none.
    Clear,
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
    /// What stands where an address belongs is none.
    #[error("{parameter}={value:?} {why}")]
    Address {
        /// The parameter.
        parameter: &'static str,
        /// What it said.
        value: String,
        /// Why not.
        why: NoPlace,
    },
    /// Where a router is says nothing of the network behind it.
    #[error("{0}=auto is not guessed: the network that a router's own address is in need not be the one at home; send the prefix itself")]
    Guess(&'static str),
    /// There is no such thing to take away.
    #[error("{0}=- takes nothing away, since a prefix is not kept; ipv6=- takes the address away")]
    NoPrefix(&'static str),
    /// No text of a record.
    #[error("txt has at most {TXT_LIMIT} values of at most {TXT_LENGTH} printable characters")]
    Txt,
    /// What takes addresses away is told of a TXT record.
    #[error("/nic/delete takes addresses away, and no TXT record: an empty txt at /nic/update takes its values away")]
    DeletedTxt,
    /// What an account of acme-dns posted is none of its requests.
    #[error(transparent)]
    Posted(#[from] BadPost),
}

impl Query {
    /// Reads `target`, the path and query of a request, with its form, if it has one, after another `&`.
    ///
    /// # Errors
    /// It is too long.
    pub fn read(target: &str) -> Result<Self, Malformed> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = one_url(query);
        if target.len() > TARGET_LIMIT || query.split('&').count() > PARAMETER_LIMIT {
            return Err(Malformed::Long);
        }
        let parameters = query.split('&').map(|one| one.split_once('=').unwrap_or((one, ""))).map(|(key, value)| {
            let value = decoded(value);
            let left = !value.trim().is_empty() && listed(&value).all(is_left);
            Parameter { key: decoded(key).to_ascii_lowercase(), value: (!left).then_some(value) }
        });
        Ok(Self { path: path.into(), parameters: parameters.collect() })
    }

    /// Who the client says that it is, if it says so here.
    pub fn credentials(&self) -> Option<Credentials> {
        let password = self.first(PASSWORD).filter(|password| !password.is_empty())?.to_owned();
        Some(Credentials { user: self.first(USER).filter(|user| !user.is_empty()).map(str::to_owned), password })
    }

    /// What the client wishes.
    ///
    /// # Errors
    /// It names too many hosts, or an address is none.
    pub fn update(&self) -> Result<Update, Malformed> {
        let dialect = self.dialect();
        let txt = self.txt()?;
        if txt.is_some() && dialect == Dialect::Delete {
            return Err(Malformed::DeletedTxt);
        }
        let claim = if txt.is_some() { Claim::default() } else { self.claim("")? };
        let mut hosts = self.names();
        let mut apart = Vec::new();
        for name in self.named_apart() {
            apart.push((name.clone(), self.claim(&name)?.apart_from(claim)));
        }
        let also = apart.iter().filter(|(name, _)| !hosts.iter().any(|host| host.eq_ignore_ascii_case(name)));
        let also: Vec<String> = also.map(|(name, _)| name.clone()).collect();
        hosts.extend(also);
        if hosts.len() > HOST_LIMIT {
            return Err(Malformed::Hosts);
        }
        let yes = |value: &str| ["yes", "on", "true", "1"].contains(&value.to_ascii_lowercase().as_str());
        Ok(Update { dialect, hosts, claim, apart, txt, offline: self.first(&["offline"]).is_some_and(yes) })
    }

    /// How the client wants to hear of it.
    pub fn dialect(&self) -> Dialect {
        Dialect::of(&self.path, |key| self.parameters.iter().any(|one| one.key == key))
    }

    /// The first value of any of `keys` that is filled in.
    fn first(&self, keys: &[&str]) -> Option<&str> {
        self.parameters.iter().filter(|one| keys.contains(&one.key.as_str())).find_map(|one| one.value.as_deref())
    }

    fn names(&self) -> Vec<String> {
        // `hostname=YES` comes from clients that took the parameter for a switch.
        let right = |name: &&str| !name.eq_ignore_ascii_case("yes") && !is_left(name);
        let said = |key: &&str| self.first(&[key]).map(|names| listed(names).filter(right).map(str::to_owned).collect::<Vec<_>>());
        NAMES.iter().filter_map(said).find(|names| !names.is_empty()).unwrap_or_default()
    }

    /// The names of `myipv6:NAME=…`.
    fn named_apart(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for one in &self.parameters {
            let Some((key, name)) = one.key.split_once(':') else { continue };
            if [ANY, V4, V6].concat().contains(&key) && !name.is_empty() && !names.iter().any(|known| known == name) {
                names.push(name.into());
            }
        }
        names
    }

    /// What is said of `name` alone, or of all where it is empty.
    fn claim(&self, name: &str) -> Result<Claim, Malformed> {
        let mut claim = Claim::default();
        let mut mentioned = !name.is_empty();
        // A family's own parameter counts before one that may be of either.
        for keys in [V4, V6, PREFIX, ANY] {
            for (parameter, value) in self.parameters.iter().filter_map(|one| Some((of(keys, &one.key, name)?, &one.value))) {
                mentioned = true;
                let Some(value) = value else { continue };
                let said = match keys {
                    keys if keys == PREFIX => Claim { prefix: prefix(parameter, value)?, ..Claim::default() },
                    keys if keys == ANY => either(parameter, value)?,
                    keys => one_family(parameter, value, keys == V4)?,
                };
                claim = claim.over(said);
            }
        }
        // A request that says nothing of addresses can only mean where it comes from.
        if mentioned { Ok(claim) } else { Ok(Claim { v4: Family::Auto, v6: Family::Auto, prefix: None }) }
    }

    fn txt(&self) -> Result<Option<Vec<String>>, Malformed> {
        let all = self.parameters.iter().filter(|one| one.key == "txt").map(|one| one.value.clone().unwrap_or_default());
        let all: Vec<String> = all.collect();
        if all.is_empty() {
            return Ok(None);
        }
        let printable = |value: &String| value.len() <= TXT_LENGTH && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if all.len() > TXT_LIMIT || !all.iter().all(printable) {
            return Err(Malformed::Txt);
        }
        Ok(Some(all.into_iter().filter(|value| !value.is_empty()).collect()))
    }
}

impl Update {
    /// Reads `target`, the path and query of a request.
    ///
    /// # Errors
    /// It is too long, names too many hosts, or an address is none.
    pub fn parse(target: &str) -> Result<Self, Malformed> {
        Query::read(target)?.update()
    }

    /// What is said of the host that goes by `name`, in a request that comes from `peer`: what was said beats where it came from.
    pub fn said(&self, name: Option<&str>, peer: IpAddr) -> Said {
        let apart = name.and_then(|name| self.apart.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)));
        let said = apart.map_or(&self.claim, |(_, claim)| claim).said(peer);
        match self.dialect {
            Dialect::Delete => Said { v4: said.v4.taken_away(), v6: said.v6.taken_away(), prefix: None },
            Dialect::DynDns | Dialect::DeSec | Dialect::DynV6 | Dialect::AcmeDns => said,
        }
    }
}

impl Claim {
    /// What is claimed by a request that comes from `peer`.
    pub fn said(&self, peer: IpAddr) -> Said {
        let (peer4, peer6) = match peer.to_canonical() {
            IpAddr::V4(peer) => (Some(peer), None),
            IpAddr::V6(peer) => (None, Some(peer)),
        };
        Said { v4: self.v4.settled(peer4), v6: self.v6.settled(peer6), prefix: self.prefix }
    }

    /// This, and `less` where this says nothing.
    fn over(self, less: Self) -> Self {
        Self { v4: self.v4.or(less.v4), v6: self.v6.or(less.v6), prefix: self.prefix.or(less.prefix) }
    }

    /// This, of one host, and `all` that is said of every host in the family that this is silent of.
    fn apart_from(self, all: Self) -> Self {
        let silent = self.v6 == Family::Keep && self.prefix.is_none();
        let of6 = if silent { all } else { self };
        Self { v4: self.v4.or(all.v4), ..of6 }
    }
}

impl<A> Family<A> {
    fn or(self, less: Self) -> Self {
        match (self, less) {
            (Self::Keep, less) | (Self::Auto, less @ Self::Set(_)) => less,
            (said, _) => said,
        }
    }

    fn settled(&self, peer: Option<A>) -> Word<A>
    where
        A: Copy,
    {
        match self {
            Self::Keep => Word::Keep,
            Self::Auto => peer.map_or(Word::Keep, Word::Set),
            Self::Set(address) => Word::Set(*address),
            Self::Clear => Word::Clear,
        }
    }
}

impl<A> Word<A> {
    fn taken_away(self) -> Self {
        if matches!(self, Self::Keep) { Self::Keep } else { Self::Clear }
    }
}

/// `myip`: a list of both families, the first of each; empty is where the request comes from.
fn either(parameter: &'static str, text: &str) -> Result<Claim, Malformed> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("auto") {
        return Ok(Claim { v4: Family::Auto, v6: Family::Auto, prefix: None });
    }
    let mut claim = Claim::default();
    for item in listed(text).filter(|item| !is_left(item) && !keeps(item)) {
        claim = claim.over(place(parameter, item)?);
    }
    Ok(claim)
}

/// A parameter of one family, a list; empty is no change, as routers that lack the family send it.
fn one_family(parameter: &'static str, text: &str, v4: bool) -> Result<Claim, Malformed> {
    let mut claim = Claim::default();
    for item in listed(text).filter(|item| !is_left(item)) {
        let said = match item.to_ascii_lowercase().as_str() {
            _ if keeps(item) => Claim::default(),
            "auto" if v4 => Claim { v4: Family::Auto, ..Claim::default() },
            "auto" => Claim { v6: Family::Auto, ..Claim::default() },
            "-" if v4 => Claim { v4: Family::Clear, ..Claim::default() },
            "-" => Claim { v6: Family::Clear, ..Claim::default() },
            _ => place(parameter, item)?,
        };
        if v4 != (said.v6 == Family::Keep && said.prefix.is_none()) && said != Claim::default() {
            return Err(Malformed::Address { parameter, value: item.into(), why: NoPlace::Other });
        }
        claim = claim.over(said);
    }
    Ok(claim)
}

fn place(parameter: &'static str, item: &str) -> Result<Claim, Malformed> {
    let nothing = Claim::default();
    match Place::parse(item) {
        Ok(Place::V4(address)) => Ok(Claim { v4: Family::Set(address), ..nothing }),
        Ok(Place::V6(address)) => Ok(Claim { v6: Family::Set(address), ..nothing }),
        Ok(Place::Prefix(prefix)) => Ok(Claim { prefix: Some(prefix), ..nothing }),
        Err(why) => Err(Malformed::Address { parameter, value: item.into(), why }),
    }
}

/// A parameter that can only be a prefix.
fn prefix(parameter: &'static str, text: &str) -> Result<Option<Ipv6Net>, Malformed> {
    match text.trim().to_ascii_lowercase().as_str() {
        word if word.is_empty() || keeps(word) => Ok(None),
        "auto" => Err(Malformed::Guess(parameter)),
        "-" => Err(Malformed::NoPrefix(parameter)),
        text => home_prefix(text).map(Some).map_err(|why| Malformed::Address { parameter, value: text.into(), why }),
    }
}

/// The items of a list.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// deSEC's word, and Dynu's, for what stays as it is.
fn keeps(item: &str) -> bool {
    item.eq_ignore_ascii_case("preserve") || item.eq_ignore_ascii_case("no")
}

/// Whether a router has left this placeholder as it was.
fn is_left(item: &str) -> bool {
    item.starts_with('<') && item.ends_with('>')
}

/// Which of `keys` the parameter `key` is, said of `name`.
fn of(keys: &[&'static str], key: &str, name: &str) -> Option<&'static str> {
    let key = if name.is_empty() { key } else { key.strip_suffix(name)?.strip_suffix(':')? };
    keys.iter().copied().find(|known| *known == key)
}

/// The parameters of all the URLs in `query`: some routers that know of one URL only send the second as part of it.
fn one_url(query: &str) -> Cow<'_, str> {
    let Some((first, mut rest)) = query.split_once("%20http") else { return Cow::Borrowed(query) };
    let mut whole = first.to_owned();
    while let Some((_, parameters)) = rest.split_once('?') {
        let (parameters, more) = parameters.split_once("%20http").unwrap_or((parameters, ""));
        whole.extend(["&", parameters]);
        rest = more;
    }
    Cow::Owned(whole)
}

/// `text` without its percent-encoding. What is none is kept as it is: routers put values in as they are.
pub(super) fn decoded(text: &str) -> String {
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
