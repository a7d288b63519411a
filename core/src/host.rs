//! A host: what its owner set, who may speak for it, and where it is.
//!
//! The keys of `host add` and `host set` are parsed here and nowhere else. A key that this version
//! does not serve yet is refused by name: a setting that is silently ignored is worse than none.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{DnsName, NameError};

/// Below this, resolvers ask more often than the lease could matter; above, a move is seen late.
const TTL_RANGE: std::ops::RangeInclusive<u32> = 1..=86_400;

/// A host with more aliases than this is a list that belongs into DNS.
pub(crate) const ALIAS_LIMIT: usize = 100;

/// Keys of later versions: known, so that the answer can be "not yet" and not "unknown".
const NOT_YET: [&str; 22] = [
    "forward",
    "home-port",
    "follows",
    "suffix",
    "upstream",
    "upstream-host",
    "upstream-tls",
    "verify",
    "wildcard",
    "redirect",
    "hsts",
    "allow",
    "deny",
    "max-connections",
    "max-rate",
    "record",
    "caa",
    "alpn",
    "mode",
    "proxy-protocol",
    "via",
    "carrier",
];

/// Keys of which today's behaviour is one value, which may be written out.
const ONLY_VALUE: [(&str, &str); 6] =
    [("mode", "passthrough"), ("proxy-protocol", "none"), ("via", "auto"), ("wildcard", "off"), ("redirect", "off"), ("hsts", "off")];

/// A SHA-256 digest of a secret or of a public key: 32 bytes, hexadecimal in text.
///
/// Compared plainly: what is hashed are 256 random bits, so that time tells nothing of use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// A host's credentials, all of them as digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Credentials {
    /// The join string's secret, until it is spent or too old.
    pub join: JoinSecret,
    /// The public key of the agent that joined (digest of its SubjectPublicKeyInfo).
    pub agent: Option<Digest>,
    /// The update password of dyndns2.
    pub update: Digest,
}

/// A join string's secret: good once, and not for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JoinSecret {
    /// Digest of the secret.
    pub secret: Digest,
    /// From then on it is refused.
    pub expires: Timestamp,
    /// The key that spent it. The same key may come again: its first answer may have been lost.
    pub spent_by: Option<Digest>,
}

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
}

/// Where a home was proven to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proven {
    /// The home address.
    pub address: Ipv6Addr,
    /// When it was first proven there.
    pub since: Timestamp,
}

/// Where an update put a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Updated {
    /// The home address.
    pub address: Ipv6Addr,
    /// When it was first reported.
    pub since: Timestamp,
}

/// What an update client last said. Published under the host's router name, for routers that verify themselves by DNS; never dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reported {
    /// Its IPv4 address, if it ever told one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, if it ever told one.
    pub v6: Option<Ipv6Addr>,
    /// When one of them last changed. A report that repeats them costs no write.
    pub at: Timestamp,
}

/// One host, as the state keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// What the owner set.
    pub settings: Settings,
    /// Who may speak for it.
    pub credentials: Credentials,
    /// Where its agent proved to be; withdrawn when the lease ends.
    pub proven: Option<Proven>,
    /// Where an update put it, while updates are the authority.
    pub updated: Option<Updated>,
    /// What an update client last said.
    pub router: Option<Reported>,
    /// The values of `_acme-challenge` TXT.
    pub challenge: BTreeSet<String>,
}

impl Host {
    /// The home address: what is published and dialled, if anything is.
    pub fn home(&self) -> Option<Ipv6Addr> {
        match self.settings.address_from {
            AddressFrom::Static => self.settings.address,
            AddressFrom::Link => self.proven.map(|proven| proven.address),
            AddressFrom::Update => self.updated.map(|updated| updated.address),
        }
    }
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
    #[error("{0}: no such setting; there are alias, address-from, address, carrier, ttl")]
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
        if edit.how != How::Replace && edit.key != "alias" {
            return Err(EditError::NotAList(edit.key.clone()));
        }
        match edit.key.as_str() {
            "alias" => self.edit_alias(edit),
            "address-from" => {
                self.address_from = match edit.value.as_str() {
                    "link" => AddressFrom::Link,
                    "static" => AddressFrom::Static,
                    "update" => AddressFrom::Update,
                    _ => return Err(edit.bad("expected link, update or static")),
                };
                Ok(())
            }
            "address" => {
                self.address = edit.optional(|v| v.parse().map_err(|_| "expected an IPv6 address".into()))?;
                Ok(())
            }
            "ttl" => {
                self.ttl = edit.optional(parse_ttl)?;
                Ok(())
            }
            "carrier" if matches!(edit.value.as_str(), "auto" | "direct") => {
                self.carrier = if edit.value == "auto" { Carrier::Auto } else { Carrier::Direct };
                Ok(())
            }
            _ => edit.refuse_or_default(),
        }
    }

    fn edit_alias(&mut self, edit: &Edit) -> Result<(), EditError> {
        let names = edit.value.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names: Result<BTreeSet<DnsName>, NameError> = names.map(str::parse).collect();
        let names = names.map_err(|error| edit.bad(&error.to_string()))?;
        let mut alias = if edit.how == How::Replace { BTreeSet::new() } else { self.alias.clone() };
        for name in names {
            if edit.how == How::Remove {
                alias.remove(&name);
            } else {
                alias.insert(name);
            }
        }
        if alias.len() > ALIAS_LIMIT {
            return Err(edit.bad(&format!("that makes {} aliases; {ALIAS_LIMIT} is the most", alias.len())));
        }
        self.alias = alias;
        Ok(())
    }
}

fn parse_ttl(text: &str) -> Result<u32, String> {
    let ttl = text.parse().ok().filter(|ttl| TTL_RANGE.contains(ttl));
    ttl.ok_or_else(|| format!("expected seconds from {} to {}", TTL_RANGE.start(), TTL_RANGE.end()))
}

impl Edit {
    fn bad(&self, reason: &str) -> EditError {
        EditError::Value { key: self.key.clone(), value: self.value.clone(), reason: reason.into() }
    }

    /// The value, `None` where it is empty (which takes the setting back).
    fn optional<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, EditError> {
        if self.value.is_empty() {
            return Ok(None);
        }
        parse(&self.value).map(Some).map_err(|reason| self.bad(&reason))
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

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct NoDigest;

impl TryFrom<String> for Digest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NoDigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
        assert_eq!(edited(&["mode=passthrough", "via=auto", "carrier=auto", "proxy-protocol=none"]), Ok(Settings::default()));
    }

    #[test]
    fn a_refused_value_says_what_was_expected() {
        for text in ["ttl=0", "ttl=x", "address=192.0.2.1", "alias=a b", "address-from=dns", "alias", "ttl+=5"] {
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
