//! What a record looks like in the store: a table, a key in text, a value of bytes, and back.
//!
//! A value is `v1 ` and JSON, readable by people. The structures of that version stand here, apart from
//! those in memory, so that the latter may change while every store ever written stays readable: what is added later
//! has a default, what changes its meaning gets a new version. Fields that are unknown here are refused: writing the
//! record back would lose them. Files and transactions are the store's.

mod settings;
mod signed;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::change;
use crate::change::{Key, Record, Serial};
use crate::dnssec::Unit;
use crate::host::{self, Digest};
use crate::name::{DnsName, HostName};
use settings::Settings;

/// Stands before the JSON of every value of this version.
const V1: &[u8] = b"v1 ";

/// The key of the only record in [`Table::Identity`].
const SELF: &str = "self";

/// Where a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Zones, by name.
    Zones,
    /// Hosts, by `zone/label`.
    Hosts,
    /// When a host was removed, by `zone/label`.
    Tombstones,
    /// The values of the challenges of own names, by name.
    Challenges,
    /// Accounts at ACME servers, by the URL of the directory.
    Accounts,
    /// The certificates of own names, by name.
    Certificates,
    /// The server's secrets, by `self`.
    Identity,
    /// The keys of zones, by name.
    ZoneKeys,
    /// Signatures, by `zone` for what is the zone's own and `zone/label` for a host's. Behind the hosts, without which they are nobody's.
    Signatures,
}

/// Why a stored record is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {key:?} in {}: {reason}", table.name())]
pub struct Undecodable {
    /// The table that it is in.
    pub table: Table,
    /// Its key.
    pub key: String,
    /// What is wrong with it. Shows nothing of a secret.
    pub reason: String,
}

/// Why a record has no stored form. No record that exists today is refused.
#[derive(Debug, thiserror::Error)]
#[error("a record cannot be written as JSON: {0}")]
pub struct Unencodable(#[from] serde_json::Error);

impl Table {
    /// Every table there is, in the order in which they must be read.
    pub const ALL: [Self; 9] = [
        Self::Zones,
        Self::Hosts,
        Self::Tombstones,
        Self::Challenges,
        Self::Accounts,
        Self::Certificates,
        Self::Identity,
        Self::ZoneKeys,
        Self::Signatures,
    ];

    /// Whether every store has it: the others came later, and a store that lacks them has no record of theirs.
    pub fn is_of_the_first_version(self) -> bool {
        matches!(self, Self::Zones | Self::Hosts | Self::Tombstones | Self::Identity)
    }

    /// What it is called in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::Hosts => "hosts",
            Self::Tombstones => "tombstones",
            Self::Challenges => "challenges",
            Self::Accounts => "accounts",
            Self::Certificates => "certificates",
            Self::Identity => "identity",
            Self::ZoneKeys => "zone-keys",
            Self::Signatures => "signatures",
        }
    }
}

/// Where the record of `key` is kept: the table, and the key in it.
pub fn place(key: &Key) -> (Table, String) {
    match key {
        Key::Zone(name) => (Table::Zones, name.to_string()),
        Key::Host(name) => (Table::Hosts, host_key(name)),
        Key::Tombstone(name) => (Table::Tombstones, host_key(name)),
        Key::Challenge(name) => (Table::Challenges, name.to_string()),
        Key::Account(url) => (Table::Accounts, url.clone()),
        Key::Certificate(name) => (Table::Certificates, name.to_string()),
        Key::Identity => (Table::Identity, SELF.into()),
        Key::ZoneKeys(name) => (Table::ZoneKeys, name.to_string()),
        Key::Signatures(unit) => (Table::Signatures, unit_key(unit)),
    }
}

/// The bytes that are kept for `record`.
///
/// # Errors
/// None that a record of today can cause.
pub fn encode(record: &Record) -> Result<Vec<u8>, Unencodable> {
    match record {
        Record::Zone(_, zone) => v1(&Zone::from(zone)),
        Record::Host(_, host) => v1(&Host::from(host.as_ref())),
        Record::Tombstone(_, removed) => v1(&Tombstone { removed: *removed }),
        Record::Challenge(_, values) => v1(&Challenge { values: BTreeSet::clone(values) }),
        Record::Account(_, account) => v1(&Account { account: Secret(account.0.clone()) }),
        Record::Certificate(_, certificate) => v1(&Certificate::from(certificate.as_ref())),
        Record::Identity(identity) => v1(&Identity::from(identity.as_ref())),
        Record::ZoneKeys(_, keys) => v1(&signed::ZoneKeys::from(keys.as_ref())),
        Record::Signatures(_, signatures) => v1(&signed::Signatures::from(signatures.as_ref())),
    }
}

/// The record that is kept as `value` under `key` in `table`.
///
/// # Errors
/// Which record is not understood, and why.
pub fn decode(table: Table, key: &str, value: &[u8]) -> Result<Record, Undecodable> {
    decoded(table, key, value).map_err(|reason| Undecodable { table, key: key.into(), reason })
}

fn v1(stored: &impl Serialize) -> Result<Vec<u8>, Unencodable> {
    let mut value = V1.to_vec();
    serde_json::to_writer(&mut value, stored)?;
    Ok(value)
}

fn decoded(table: Table, key: &str, value: &[u8]) -> Result<Record, String> {
    let json = value.strip_prefix(V1).ok_or("its version is unknown here; a later version of fourward may have written it")?;
    match table {
        Table::Zones => {
            let name: DnsName = canonical(key, key.parse(), DnsName::to_string)?;
            Ok(Record::Zone(name, read::<Zone>(json)?.into()))
        }
        Table::Hosts => Ok(Record::Host(parse_host_key(key)?, Arc::new(read::<Host>(json)?.into()))),
        Table::Tombstones => Ok(Record::Tombstone(parse_host_key(key)?, read::<Tombstone>(json)?.removed)),
        Table::Challenges => {
            let name: DnsName = canonical(key, key.parse(), DnsName::to_string)?;
            Ok(Record::Challenge(name, Arc::new(read::<Challenge>(json)?.values)))
        }
        Table::Accounts => {
            let Account { account: Secret(account) } = read_secret(json)?;
            Ok(Record::Account(key.into(), Arc::new(change::Account(account))))
        }
        Table::Certificates => {
            let name: DnsName = canonical(key, key.parse(), DnsName::to_string)?;
            Ok(Record::Certificate(name, Arc::new(read_secret::<Certificate>(json)?.into())))
        }
        Table::Identity if key == SELF => Ok(Record::Identity(Arc::new(read_secret::<Identity>(json)?.into()))),
        Table::Identity => Err(format!("expected the key {SELF:?}")),
        Table::ZoneKeys => {
            let name: DnsName = canonical(key, key.parse(), DnsName::to_string)?;
            Ok(Record::ZoneKeys(name, Arc::new(read_secret::<signed::ZoneKeys>(json)?.try_into()?)))
        }
        Table::Signatures => {
            let signatures = read::<signed::Signatures>(json)?.try_into()?;
            Ok(Record::Signatures(parse_unit_key(key)?, Arc::new(signatures)))
        }
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// Like [`read`], and silent on what it read: the parser's own words would quote the secret.
fn read_secret<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    read(json).map_err(|_| "the secrets are not in their form".into())
}

fn host_key(name: &HostName) -> String {
    format!("{}/{}", name.zone(), name.label())
}

fn parse_host_key(key: &str) -> Result<HostName, String> {
    let (zone, label) = key.split_once('/').ok_or("expected a key like dyn.example.org/cloud")?;
    let name = zone.parse().and_then(|zone| HostName::new(label, zone));
    canonical(key, name, host_key)
}

fn unit_key(unit: &Unit) -> String {
    match unit {
        Unit::Zone(zone) => zone.to_string(),
        Unit::Host(host) => host_key(host),
    }
}

fn parse_unit_key(key: &str) -> Result<Unit, String> {
    if key.contains('/') {
        return parse_host_key(key).map(Unit::Host);
    }
    canonical(key, key.parse(), DnsName::to_string).map(Unit::Zone)
}

/// The name that `key` stands for. One name has one key, else two records could claim to be the same one.
fn canonical<N, E: ToString>(key: &str, name: Result<N, E>, write: impl Fn(&N) -> String) -> Result<N, String> {
    let name = name.map_err(|error| error.to_string())?;
    let expected = write(&name);
    if expected == key { Ok(name) } else { Err(format!("expected the key {expected:?}")) }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Zone {
    serial: u32,
    apex: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Tombstone {
    removed: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Host {
    #[serde(default)]
    settings: Settings,
    join: Join,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<Digest>,
    update: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proven: Option<Proven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Ipv6Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<Proven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    barred: Option<Ipv6Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    router: Option<Reported>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    challenge: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Join {
    pub(crate) secret: Digest,
    pub(crate) expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spent_by: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Proven {
    pub(crate) address: Ipv6Addr,
    pub(crate) since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Reported {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v4: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v6: Option<Ipv6Addr>,
    pub(crate) at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Identity {
    link_key: Secret,
    reset_key: Secret<[u8; 32]>,
    certificate_key: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Challenge {
    values: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Account {
    account: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Certificate {
    chain: Vec<Secret>,
    key: Secret,
    directory: String,
    at: Timestamp,
}

/// Bytes that are base64 in the store.
struct Secret<B = Vec<u8>>(B);

impl<B: AsRef<[u8]>> Serialize for Secret<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de, B: TryFrom<Vec<u8>>> Deserialize<'de> for Secret<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("expected base64"))?;
        bytes.try_into().map(Self).map_err(|_| D::Error::custom("wrong length"))
    }
}

impl From<&change::Zone> for Zone {
    fn from(zone: &change::Zone) -> Self {
        Self { serial: zone.serial.0, apex: zone.apex }
    }
}

impl From<Zone> for change::Zone {
    fn from(zone: Zone) -> Self {
        Self { serial: Serial(zone.serial), apex: zone.apex }
    }
}

// Each structure is taken apart whole, so that a field that is new in memory cannot be forgotten here.
impl From<&host::Host> for Host {
    fn from(host: &host::Host) -> Self {
        let host::Host { settings, credentials, proven, before, updated, barred, router, challenge } = host.clone();
        let host::Credentials { join, agent, update, proof } = credentials;
        let host::JoinSecret { secret, expires, spent_by } = join;
        Self {
            settings: settings.into(),
            join: Join { secret, expires, spent_by },
            agent,
            update,
            proof,
            proven: proven.map(|host::Proven { address, since }| Proven { address, since }),
            before,
            updated: updated.map(|host::Updated { address, since }| Proven { address, since }),
            barred,
            router: router.map(|host::Reported { v4, v6, at }| Reported { v4, v6, at }),
            challenge,
        }
    }
}

impl From<Host> for host::Host {
    fn from(host: Host) -> Self {
        let Join { secret, expires, spent_by } = host.join;
        let join = host::JoinSecret { secret, expires, spent_by };
        Self {
            settings: host.settings.into(),
            credentials: host::Credentials { join, agent: host.agent, update: host.update, proof: host.proof },
            proven: host.proven.map(|Proven { address, since }| host::Proven { address, since }),
            before: host.before,
            updated: host.updated.map(|Proven { address, since }| host::Updated { address, since }),
            barred: host.barred,
            router: host.router.map(|Reported { v4, v6, at }| host::Reported { v4, v6, at }),
            challenge: host.challenge,
        }
    }
}

impl From<&change::Certificate> for Certificate {
    fn from(certificate: &change::Certificate) -> Self {
        let change::Certificate { chain, key, directory, at } = certificate.clone();
        Self { chain: chain.into_iter().map(Secret).collect(), key: Secret(key), directory, at }
    }
}

impl From<Certificate> for change::Certificate {
    fn from(certificate: Certificate) -> Self {
        let Certificate { chain, key: Secret(key), directory, at } = certificate;
        Self { chain: chain.into_iter().map(|Secret(der)| der).collect(), key, directory, at }
    }
}

impl From<&change::Identity> for Identity {
    fn from(identity: &change::Identity) -> Self {
        let change::Identity { link_key, reset_key, certificate_key } = identity.clone();
        Self { link_key: Secret(link_key), reset_key: Secret(reset_key), certificate_key: Secret(certificate_key) }
    }
}

impl From<Identity> for change::Identity {
    fn from(identity: Identity) -> Self {
        let Identity { link_key: Secret(link_key), reset_key: Secret(reset_key), certificate_key: Secret(certificate_key) } = identity;
        Self { link_key, reset_key, certificate_key }
    }
}

#[cfg(test)]
mod tests;
