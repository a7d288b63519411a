//! What a record looks like in the store: a table, a key in text, a value of bytes, and back.
//!
//! A value is `v1 ` and JSON, readable by people. The structures of that version stand here, apart from
//! those in memory, so that the latter may change while every store ever written stays readable: what is added later
//! has a default, what changes its meaning gets a new version. Fields that are unknown here are refused: writing the
//! record back would lose them. Files and transactions are the store's.

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
use crate::host::{self, AddressFrom, Carrier, Digest};
use crate::name::{DnsName, HostName};

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
    /// The server's secrets, by `self`.
    Identity,
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
    /// Every table there is.
    pub const ALL: [Self; 4] = [Self::Zones, Self::Hosts, Self::Tombstones, Self::Identity];

    /// What it is called in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::Hosts => "hosts",
            Self::Tombstones => "tombstones",
            Self::Identity => "identity",
        }
    }
}

/// Where the record of `key` is kept: the table, and the key in it.
pub fn place(key: &Key) -> (Table, String) {
    match key {
        Key::Zone(name) => (Table::Zones, name.to_string()),
        Key::Host(name) => (Table::Hosts, host_key(name)),
        Key::Tombstone(name) => (Table::Tombstones, host_key(name)),
        Key::Identity => (Table::Identity, SELF.into()),
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
        Record::Identity(identity) => v1(&Identity::from(identity.as_ref())),
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
        Table::Identity if key == SELF => {
            // The parser's own words would quote the secret.
            let identity = read::<Identity>(json).map_err(|_| "the secrets are not in their form")?;
            Ok(Record::Identity(Arc::new(identity.into())))
        }
        Table::Identity => Err(format!("expected the key {SELF:?}")),
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn host_key(name: &HostName) -> String {
    format!("{}/{}", name.zone(), name.label())
}

fn parse_host_key(key: &str) -> Result<HostName, String> {
    let (zone, label) = key.split_once('/').ok_or("expected a key like dyn.example.org/cloud")?;
    let name = zone.parse().and_then(|zone| HostName::new(label, zone));
    canonical(key, name, host_key)
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
    proven: Option<Proven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<Proven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    router: Option<Reported>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    challenge: BTreeSet<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    alias: BTreeSet<DnsName>,
    address_from: AddressFrom,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Ipv6Addr>,
    carrier: Carrier,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Join {
    secret: Digest,
    expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_by: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Proven {
    address: Ipv6Addr,
    since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Reported {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v4: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v6: Option<Ipv6Addr>,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Identity {
    link_key: Secret,
    reset_key: Secret<[u8; 32]>,
    certificate_key: Secret,
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
        let host::Host { settings, credentials, proven, updated, router, challenge } = host.clone();
        let host::Settings { alias, address_from, address, carrier, ttl } = settings;
        let host::Credentials { join, agent, update } = credentials;
        let host::JoinSecret { secret, expires, spent_by } = join;
        Self {
            settings: Settings { alias, address_from, address, carrier, ttl },
            join: Join { secret, expires, spent_by },
            agent,
            update,
            proven: proven.map(|host::Proven { address, since }| Proven { address, since }),
            updated: updated.map(|host::Updated { address, since }| Proven { address, since }),
            router: router.map(|host::Reported { v4, v6, at }| Reported { v4, v6, at }),
            challenge,
        }
    }
}

impl From<Host> for host::Host {
    fn from(host: Host) -> Self {
        let Settings { alias, address_from, address, carrier, ttl } = host.settings;
        let Join { secret, expires, spent_by } = host.join;
        let join = host::JoinSecret { secret, expires, spent_by };
        Self {
            settings: host::Settings { alias, address_from, address, carrier, ttl },
            credentials: host::Credentials { join, agent: host.agent, update: host.update },
            proven: host.proven.map(|Proven { address, since }| host::Proven { address, since }),
            updated: host.updated.map(|Proven { address, since }| host::Updated { address, since }),
            router: host.router.map(|Reported { v4, v6, at }| host::Reported { v4, v6, at }),
            challenge: host.challenge,
        }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOUD: &str = "dyn.example.org/cloud";

    fn digest(byte: u8) -> String {
        Digest([byte; 32]).to_string()
    }

    fn arbitrary_host() -> impl Strategy<Value = host::Host> {
        let digest = || any::<[u8; 32]>().prop_map(Digest);
        let time = || (0i64..4_000_000_000_000).prop_map(|ms| Timestamp::from_millisecond(ms).expect("time"));
        let address = || any::<u128>().prop_map(Ipv6Addr::from);
        let names = prop::collection::btree_set("[a-z][a-z0-9]{0,9}\\.org".prop_map(|text| text.parse().expect("name")), 0..4);
        let authority = prop::sample::select(vec![AddressFrom::Link, AddressFrom::Static, AddressFrom::Update]);
        let settings = (names, authority, prop::option::of(address()), any::<bool>(), prop::option::of(1u32..86_400));
        let credentials = (digest(), time(), prop::option::of(digest()), prop::option::of(digest()), digest());
        let proven = prop::option::of((address(), time()));
        let updated = prop::option::of((address(), time()));
        let router = prop::option::of((prop::option::of(any::<u32>().prop_map(Ipv4Addr::from)), prop::option::of(address()), time()));
        let challenge = prop::collection::btree_set(any::<String>(), 0..4);
        (settings, credentials, proven, updated, router, challenge).prop_map(
            |(settings, credentials, proven, updated, router, challenge)| {
                let (alias, address_from, address, auto, ttl) = settings;
                let (secret, expires, spent_by, agent, update) = credentials;
                let carrier = if auto { Carrier::Auto } else { Carrier::Direct };
                host::Host {
                    settings: host::Settings { alias, address_from, address, carrier, ttl },
                    credentials: host::Credentials { join: host::JoinSecret { secret, expires, spent_by }, agent, update },
                    proven: proven.map(|(address, since)| host::Proven { address, since }),
                    updated: updated.map(|(address, since)| host::Updated { address, since }),
                    router: router.map(|(v4, v6, at)| host::Reported { v4, v6, at }),
                    challenge,
                }
            },
        )
    }

    fn arbitrary_record() -> impl Strategy<Value = (Key, Record)> {
        let name =
            || "([a-f][a-z0-9]{0,20}|@)".prop_map(|label| HostName::new(&label, "dyn.example.org".parse().expect("zone")).expect("host"));
        let zone = ("[a-z]{1,20}\\.org", any::<u32>(), any::<[u8; 32]>()).prop_map(|(name, serial, apex)| {
            let name: DnsName = name.parse().expect("name");
            (Key::Zone(name.clone()), Record::Zone(name, change::Zone { serial: Serial(serial), apex: Digest(apex) }))
        });
        let host = (name(), arbitrary_host()).prop_map(|(name, host)| (Key::Host(name.clone()), Record::Host(name, Arc::new(host))));
        let tombstone = (name(), 0i64..4_000_000_000)
            .prop_map(|(name, at)| (Key::Tombstone(name.clone()), Record::Tombstone(name, Timestamp::from_second(at).expect("time"))));
        let bytes = || prop::collection::vec(any::<u8>(), 0..100);
        let identity = (bytes(), any::<[u8; 32]>(), bytes()).prop_map(|(link_key, reset_key, certificate_key)| {
            (Key::Identity, Record::Identity(Arc::new(change::Identity { link_key, reset_key, certificate_key })))
        });
        prop_oneof![zone, host, tombstone, identity]
    }

    proptest! {
        #[test]
        fn every_record_comes_back_as_it_was((key, record) in arbitrary_record()) {
            let (table, text) = place(&key);
            let value = encode(&record).expect("encoded");
            prop_assert_eq!(decode(table, &text, &value), Ok(record));
        }

        #[test]
        fn no_bytes_make_it_panic(key in any::<String>(), value in prop::collection::vec(any::<u8>(), 0..200)) {
            for table in Table::ALL {
                let _ = decode(table, &key, &value);
                let _ = decode(table, &key, &[V1, &value].concat());
            }
        }
    }

    #[test]
    fn the_first_versions_bytes_stay_readable() {
        let (one, two) = (digest(1), digest(2));
        let least = format!(r#"v1 {{"join":{{"secret":"{one}","expires":"2026-01-02T00:00:00Z"}},"update":"{two}"}}"#);
        let Ok(Record::Host(name, host)) = decode(Table::Hosts, CLOUD, least.as_bytes()) else { panic!("no host") };
        assert_eq!((name.dual().as_str(), host.settings.clone()), ("cloud.dyn.example.org", host::Settings::default()));
        let full = format!(
            r#"v1 {{"settings":{{"alias":["owncloud.example.org"],"address-from":"static","address":"2001:db8:1::11","carrier":"direct","ttl":30}},"join":{{"secret":"{one}","expires":"2026-01-02T00:00:00Z","spent-by":"{two}"}},"agent":"{two}","update":"{two}","proven":{{"address":"2001:db8:1::12","since":"2026-01-01T00:00:00Z"}},"challenge":["x"]}}"#
        );
        let record = decode(Table::Hosts, CLOUD, full.as_bytes()).expect("host");
        assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(full));
    }

    #[test]
    fn a_record_of_before_updates_opens_and_one_with_them_reads_as_written() {
        let digest = digest(1);
        let before = format!(
            r#"v1 {{"settings":{{"address-from":"link","carrier":"auto"}},"join":{{"secret":"{digest}","expires":"2026-01-02T00:00:00Z"}},"update":"{digest}","proven":{{"address":"2001:db8:1::12","since":"2026-01-01T00:00:00Z"}}}}"#
        );
        let record = decode(Table::Hosts, CLOUD, before.as_bytes()).expect("host");
        let Record::Host(_, host) = &record else { panic!("no host") };
        assert_eq!((host.updated, host.router), (None, None));
        assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(before), "and is written as it was");
        let with = format!(
            r#"v1 {{"settings":{{"address-from":"update","carrier":"auto"}},"join":{{"secret":"{digest}","expires":"2026-01-02T00:00:00Z"}},"update":"{digest}","updated":{{"address":"2001:db8:1::12","since":"2026-01-01T00:00:00Z"}},"router":{{"v4":"100.64.0.7","v6":"2001:db8:1::12","at":"2026-01-01T00:00:00Z"}}}}"#
        );
        let record = decode(Table::Hosts, CLOUD, with.as_bytes()).expect("host");
        let Record::Host(_, host) = &record else { panic!("no host") };
        assert_eq!(host.home(), "2001:db8:1::12".parse().ok());
        assert_eq!(String::from_utf8(encode(&record).expect("encoded")), Ok(with));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let good = format!(r#"v1 {{"serial":7,"apex":"{}"}}"#, digest(0));
        assert!(decode(Table::Zones, "dyn.example.org", good.as_bytes()).is_ok());
        for (key, value) in [
            ("dyn.example.org", good.replace("v1", "v2")),
            ("dyn.example.org", good.replace("serial", "cereal")),
            ("dyn.example.org", good.replace("7,", "7,\"later\":1,")),
            ("Dyn.example.org", good.clone()),
            ("dyn..org", good.clone()),
        ] {
            let error = decode(Table::Zones, key, value.as_bytes()).expect_err(&value);
            assert!(error.to_string().starts_with(&format!("record {key:?} in zones: ")), "{error}");
        }
    }

    #[test]
    fn a_damaged_secret_is_not_quoted() {
        let value = r#"v1 {"link-key":"c2VjcmV0","reset-key":5,"cid-key":"hush","certificate-key":""}"#;
        let error = decode(Table::Identity, SELF, value.as_bytes()).expect_err("damaged").to_string();
        assert!(!error.contains("hush") && !error.contains("c2VjcmV0"), "{error}");
    }
}
