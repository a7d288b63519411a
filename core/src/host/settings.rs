//! What a host's owner sets: the keys of `host add` and `host set`.
//!
//! They are parsed here and nowhere else. A key that this version does not serve yet is refused by name: a setting that is
//! silently ignored is worse than none.

mod written;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::DnsName;

/// Below this, resolvers ask more often than the lease could matter; above, a move is seen late.
const TTL_RANGE: std::ops::RangeInclusive<u32> = 1..=86_400;

/// A host with more aliases than this is a list that belongs into DNS.
pub(crate) const ALIAS_LIMIT: usize = 100;

/// Longer lists of networks belong into a firewall, which is faster at them.
const NETWORK_LIMIT: usize = 1_000;

/// Keys of later versions: known, so that the answer can be "not yet" and not "unknown".
const NOT_YET: [&str; 14] = [
    "forward",
    "follows",
    "suffix",
    "upstream",
    "upstream-host",
    "upstream-tls",
    "verify",
    "hsts",
    "max-rate",
    "record",
    "caa",
    "alpn",
    "mode",
    "proxy-protocol",
];

/// Keys of which today's behaviour is one value, which may be written out.
const ONLY_VALUE: [(&str, &str); 3] = [("mode", "passthrough"), ("proxy-protocol", "none"), ("hsts", "off")];

/// Keys of which the value is a list.
const LISTS: [&str; 4] = ["alias", "allow", "deny", "home-port"];

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
        "{0}: no such setting; there are alias, address-from, address, allow, carrier, deny, home-port, max-connections, redirect, ttl, via, wildcard"
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
            "home-port" => self.edit_home_port(edit),
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
        let limits = !self.allow.is_empty() || !self.deny.is_empty() || self.max_connections.is_some();
        let remarks = [
            (
                self.home_port != HomePort::default(),
                "home-port is what the gateway dials; IPv6 clients go home by themselves, to the usual port: open that one too, or set via=gateway",
            ),
            (
                limits,
                "allow, deny and max-connections hold at the gateway; IPv6 clients go home by themselves: filter them there too, or set via=gateway",
            ),
            (
                self.redirect,
                "redirect holds at the gateway; IPv6 clients go home by themselves: let the web server there redirect too, or set via=gateway",
            ),
        ];
        remarks.into_iter().filter(|(said, _)| *said && at_the_gateway_alone).map(|(_, remark)| remark).collect()
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
mod tests {
    use super::*;

    fn edited(texts: &[&str]) -> Result<Settings, EditError> {
        let mut settings = Settings::default();
        for text in texts {
            settings.edit(&text.parse()?)?;
        }
        Ok(settings)
    }

    #[test]
    fn lists_grow_and_shrink() {
        let settings = edited(&["alias=a.org,b.org", "alias+=C.org", "alias-=a.org"]).expect("settings");
        let names: Vec<_> = settings.alias.iter().map(DnsName::as_str).collect();
        assert_eq!(names, ["b.org", "c.org"]);
        assert!(edited(&["alias=a.org", "alias="]).expect("settings").alias.is_empty());
    }

    #[test]
    fn what_is_not_served_yet_is_refused_by_name() {
        for key in NOT_YET {
            let error = edited(&[&format!("{key}=x")]).expect_err(key);
            assert!(error.to_string().contains("not yet") && error.to_string().contains(key), "{error}");
        }
        assert_eq!(edited(&["carrier=tunnel"]), Err(EditError::NotYet("carrier=tunnel".into())));
        assert!(matches!(edited(&["colour=red"]), Err(EditError::Unknown(_))));
    }

    #[test]
    fn what_is_the_default_anyway_may_be_written_out() {
        let default = ["mode=passthrough", "via=auto", "carrier=auto", "proxy-protocol=none", "wildcard=off", "redirect=off", "hsts=off"];
        assert_eq!(edited(&default), Ok(Settings::default()));
    }

    #[test]
    fn ports_at_home_are_a_list_of_two_keys() {
        let ports = |texts: &[&str]| edited(texts).map(|settings| (settings.home_port.tls, settings.home_port.http));
        assert_eq!(ports(&["home-port=tls=8443,http=8080"]), Ok((Some(8443), Some(8080))));
        assert_eq!(ports(&["home-port=tls=8443", "home-port+=http=8080", "home-port-=tls"]), Ok((None, Some(8080))));
        assert_eq!(ports(&["home-port=tls=8443", "home-port="]), Ok((None, None)));
        assert!(matches!(edited(&["home-port=quic=8443"]), Err(EditError::NotYet(_))));
        for text in ["home-port=8443", "home-port=tls=0", "home-port=tls=x", "home-port=ssh=22", "home-port+=tls"] {
            assert!(matches!(edited(&[text]), Err(EditError::Value { .. })), "{text}");
        }
    }

    #[test]
    fn who_is_denied_is_not_allowed_again() {
        let settings = edited(&["allow=198.51.100.0/24,2001:db8:6::/48", "deny=198.51.100.7"]).expect("settings");
        let admits = |text: &str| settings.admits(text.parse().expect("an address"));
        assert!(admits("198.51.100.4") && admits("::ffff:198.51.100.4") && admits("2001:db8:6::6"));
        assert!(!admits("198.51.100.7") && !admits("::ffff:198.51.100.7") && !admits("203.0.113.1") && !admits("2001:db8:7::1"));
        let only_denied = edited(&["deny=::/0"]).expect("settings");
        assert!(only_denied.admits("192.0.2.1".parse().expect("v4")) && !only_denied.admits("2001:db8::1".parse().expect("v6")));
    }

    #[test]
    fn what_holds_at_the_gateway_alone_is_said() {
        let remarks = |texts: &[&str]| edited(texts).expect("settings").remarks().len();
        assert_eq!(remarks(&[]), 0);
        assert_eq!(remarks(&["home-port=tls=8443", "allow=192.0.2.0/24", "max-connections=5", "redirect=on"]), 3);
        assert_eq!(remarks(&["home-port=tls=8443", "via=gateway", "deny=192.0.2.0/24"]), 0);
    }

    #[test]
    fn a_refused_value_says_what_was_expected() {
        for text in [
            "ttl=0",
            "ttl=x",
            "address=192.0.2.1",
            "alias=a b",
            "address-from=dns",
            "alias",
            "ttl+=5",
            "via=x",
            "wildcard=yes",
            "allow=x",
            "deny=192.0.2.1/24",
            "max-connections=0",
        ] {
            assert!(edited(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn an_edit_survives_its_text() {
        for text in ["alias+=a.org", "alias-=a.org", "ttl=60"] {
            let edit: Edit = text.parse().expect(text);
            assert_eq!(edit.to_string(), text);
        }
    }
}
