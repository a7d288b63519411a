//! Names: any DNS name that we meet, and the names of hosts.
//!
//! Both are lower-case and without the root's dot from the moment they exist, so that a comparison
//! is never wrong by case. Wire format and escapes are `wire`'s; names with bytes outside
//! letters, digits, hyphen and underscore are nobody's here and are refused.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a name is called when it stands for its zone's own apex (`host add @`).
pub const APEX: &str = "@";

/// The end of a twin's label: the name with the AAAA alone.
pub const TWIN_SUFFIX: &str = "-ip6only";

/// The end of the label under which a router's own report is published.
pub const ROUTER_SUFFIX: &str = "-router";

/// An apex host's twin.
pub const APEX_TWIN: &str = "ip6only";

/// Where an apex host's router is published: no host's own label, since it is reserved.
pub const APEX_ROUTER: &str = "ip6only-router";

/// RFC 1035 §2.3.4, in text without the final dot.
const NAME_LIMIT: usize = 253;

/// RFC 1035 §2.3.4.
const LABEL_LIMIT: usize = 63;

/// A host's label leaves room for the longest suffix of ours within [`LABEL_LIMIT`].
const HOST_LABEL_LIMIT: usize = LABEL_LIMIT - TWIN_SUFFIX.len();

/// A domain name in text: lower-case, no final dot, 1 to 253 characters.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(Arc<str>);

/// Why a text is no name of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between two dots, or nothing at all.
    #[error("\"{0}\" is no name: a part between dots is empty; write it like home.example.org")]
    EmptyLabel(String),
    /// RFC 1035 §2.3.4.
    #[error("\"{0}\" is no name: a part is longer than {LABEL_LIMIT} characters")]
    LongLabel(String),
    /// RFC 1035 §2.3.4.
    #[error("the name is {0} characters long; {NAME_LIMIT} is the most that DNS carries")]
    LongName(usize),
    /// Anything but letters, digits, hyphen and underscore.
    #[error("\"{name}\" is no name: it has {found:?}; letters, digits and hyphens only (other scripts as xn--…)")]
    Character {
        /// The text as given.
        name: String,
        /// The first character that may not stand in a name.
        found: char,
    },
    /// A hyphen at the end of a label (RFC 952).
    #[error("\"{0}\" is no name: a part begins or ends with a hyphen")]
    Hyphen(String),
    /// An address where a name belongs.
    #[error("\"{0}\" is an address, not a name")]
    Address(String),
    /// A name with a meaning of its own here.
    #[error("\"{0}\" is reserved: gw, ip6only, _*, *{TWIN_SUFFIX} and *{ROUTER_SUFFIX} have a meaning of their own; choose another")]
    Reserved(String),
    /// A host is one label below its zone.
    #[error("\"{0}\" is not one label: a host is a single part, like cloud, in a zone served here")]
    NotOneLabel(String),
    /// The twin's label would not fit.
    #[error(
        "\"{0}\" is too long: a host's name has at most {HOST_LABEL_LIMIT} characters, so that \"{0}{TWIN_SUFFIX}\" still fits a label"
    )]
    LongHost(String),
}

impl DnsName {
    /// The name in text, lower-case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its labels from the left.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// What stands left of `zone` in this name: `Some("")` for the zone itself, `None` outside it.
    pub fn within(&self, zone: &DnsName) -> Option<&str> {
        let rest = self.0.strip_suffix(zone.as_str())?;
        if rest.is_empty() {
            return Some(rest);
        }
        rest.strip_suffix('.')
    }

    /// `label` in front of this name.
    ///
    /// # Errors
    /// As [`DnsName::from_str`] has them, of the whole.
    pub fn child(&self, label: &str) -> Result<DnsName, NameError> {
        format!("{label}.{self}").parse()
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > NAME_LIMIT {
            return Err(NameError::LongName(name.len()));
        }
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(NameError::Address(text.into()));
        }
        for label in name.split('.') {
            check_label(label, text)?;
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

fn check_label(label: &str, whole: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel(whole.into()));
    }
    if label.len() > LABEL_LIMIT {
        return Err(NameError::LongLabel(whole.into()));
    }
    if let Some(found) = label.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        return Err(NameError::Character { name: whole.into(), found });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Hyphen(whole.into()));
    }
    Ok(())
}

impl TryFrom<String> for DnsName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> String {
        name.0.as_ref().into()
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A host: one label (or `@`) in a zone. Sorted by zone, then label; stored as that pair.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(String, DnsName)", into = "(String, DnsName)")]
pub struct HostName {
    zone: DnsName,
    label: Arc<str>,
}

/// What a name in a zone stands for, by its form alone: whether the host exists is the state's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The zone itself; also an apex host's dual name.
    Apex,
    /// The name for everyone: A = gateway, AAAA = home.
    Dual(HostName),
    /// The name with the AAAA alone.
    Twin(HostName),
    /// What the host's router reported.
    Router(HostName),
    /// Below `_acme-challenge`, for the host that it proves.
    Challenge(HostName),
    /// Nothing of ours.
    Other,
}

/// A [`Role`] without the zone, with the host's label alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// As [`Role::Apex`].
    Apex,
    /// As [`Role::Dual`].
    Dual(&'a str),
    /// As [`Role::Twin`].
    Twin(&'a str),
    /// As [`Role::Router`].
    Router(&'a str),
    /// As [`Role::Challenge`].
    Challenge(&'a str),
    /// As [`Role::Other`].
    Other,
}

/// A host's name as a key to look it up with: a question is answered with borrowed parts, without a copy of them.
pub(crate) trait HostKey {
    /// Its zone, and its label in lower case (`@` at the apex).
    fn parts(&self) -> (&DnsName, &str);
}

impl HostKey for HostName {
    fn parts(&self) -> (&DnsName, &str) {
        (&self.zone, &self.label)
    }
}

impl HostKey for (&DnsName, &str) {
    fn parts(&self) -> (&DnsName, &str) {
        *self
    }
}

impl<'a> Borrow<dyn HostKey + 'a> for HostName {
    fn borrow(&self) -> &(dyn HostKey + 'a) {
        self
    }
}

impl PartialEq for dyn HostKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn HostKey + '_ {}

impl Hash for dyn HostKey + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialOrd for dyn HostKey + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn HostKey + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl HostName {
    /// The host that `text` names: a label, `@`, or a whole name that ends in one of `zones`.
    /// A bare label belongs to the first zone.
    ///
    /// # Errors
    /// The name is none, reserved, or not exactly one label below a zone.
    pub fn parse(text: &str, zones: &[DnsName]) -> Result<Self, NameError> {
        let Some(first) = zones.first() else {
            return Err(NameError::NotOneLabel(text.into()));
        };
        if text == APEX {
            return Self::new(APEX, first.clone());
        }
        let name: DnsName = text.parse()?;
        for zone in zones {
            match name.within(zone) {
                Some("") => return Self::new(APEX, zone.clone()),
                Some(label) => return Self::new(label, zone.clone()),
                None => {}
            }
        }
        Self::new(name.as_str(), first.clone())
    }

    /// The host `label` in `zone`.
    ///
    /// # Errors
    /// The label is none, too long for the names made of it, or reserved.
    pub fn new(label: &str, zone: DnsName) -> Result<Self, NameError> {
        if label == APEX {
            zone.child(APEX_ROUTER)?;
            return Ok(Self { zone, label: APEX.into() });
        }
        if label.contains('.') {
            return Err(NameError::NotOneLabel(label.into()));
        }
        let label = label.to_ascii_lowercase();
        check_label(&label, &label)?;
        if is_reserved(&label) {
            return Err(NameError::Reserved(label));
        }
        if label.len() > HOST_LABEL_LIMIT {
            return Err(NameError::LongHost(label));
        }
        zone.child(&format!("{label}{TWIN_SUFFIX}"))?;
        Ok(Self { zone, label: label.into() })
    }

    /// The zone that it is in.
    pub fn zone(&self) -> &DnsName {
        &self.zone
    }

    /// Its label, `@` at the apex.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name for everyone.
    pub fn dual(&self) -> DnsName {
        if &*self.label == APEX {
            return self.zone.clone();
        }
        DnsName(format!("{}.{}", self.label, self.zone).into())
    }

    /// The name with the AAAA alone.
    pub fn twin(&self) -> DnsName {
        if &*self.label == APEX {
            return DnsName(format!("{APEX_TWIN}.{}", self.zone).into());
        }
        DnsName(format!("{}{TWIN_SUFFIX}.{}", self.label, self.zone).into())
    }

    /// The name of what its router reported.
    pub fn router(&self) -> DnsName {
        if &*self.label == APEX {
            return DnsName(format!("{APEX_ROUTER}.{}", self.zone).into());
        }
        DnsName(format!("{}{ROUTER_SUFFIX}.{}", self.label, self.zone).into())
    }

    /// The name of the TXT record that proves it (RFC 8555 §8.4).
    ///
    /// # Errors
    /// The zone's name is so long that there is none.
    pub fn challenge(&self) -> Result<DnsName, NameError> {
        self.dual().child("_acme-challenge")
    }
}

impl TryFrom<(String, DnsName)> for HostName {
    type Error = NameError;

    fn try_from((label, zone): (String, DnsName)) -> Result<Self, NameError> {
        Self::new(&label, zone)
    }
}

impl From<HostName> for (String, DnsName) {
    fn from(host: HostName) -> Self {
        (host.label.as_ref().into(), host.zone)
    }
}

/// What `name` stands for in `zone`; `None` when it is outside the zone.
pub fn role_in(name: &DnsName, zone: &DnsName) -> Option<Role> {
    let host = |label: &str| HostName { zone: zone.clone(), label: label.into() };
    Some(match form_of(name.within(zone)?) {
        Form::Apex => Role::Apex,
        Form::Dual(label) => Role::Dual(host(label)),
        Form::Twin(label) => Role::Twin(host(label)),
        Form::Router(label) => Role::Router(host(label)),
        Form::Challenge(label) => Role::Challenge(host(label)),
        Form::Other => Role::Other,
    })
}

/// What `left`, the lower-case text in front of a zone, stands for there.
pub fn form_of(left: &str) -> Form<'_> {
    match left {
        "" => return Form::Apex,
        APEX_TWIN => return Form::Twin(APEX),
        APEX_ROUTER => return Form::Router(APEX),
        "_acme-challenge" => return Form::Challenge(APEX),
        _ => {}
    }
    if let Some(label) = left.strip_prefix("_acme-challenge.") {
        return if label.contains('.') || is_reserved(label) { Form::Other } else { Form::Challenge(label) };
    }
    if left.contains('.') {
        return Form::Other;
    }
    if let Some(label) = left.strip_suffix(TWIN_SUFFIX) {
        return if is_reserved(label) { Form::Other } else { Form::Twin(label) };
    }
    if let Some(label) = left.strip_suffix(ROUTER_SUFFIX) {
        return if is_reserved(label) { Form::Other } else { Form::Router(label) };
    }
    if is_reserved(left) { Form::Other } else { Form::Dual(left) }
}

fn is_reserved(label: &str) -> bool {
    label == "gw" || label == APEX_TWIN || label.starts_with('_') || label.ends_with(TWIN_SUFFIX) || label.ends_with(ROUTER_SUFFIX)
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.label == APEX {
            return write!(f, "{}", self.zone);
        }
        write!(f, "{}.{}", self.label, self.zone)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests;
