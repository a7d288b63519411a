//! The keys of updates by DNS and of secondaries, and how zones are signed, as written and as understood.

use std::path::PathBuf;

use fourward_core::dnssec::Algorithm as Signing;
use fourward_core::name::{DnsName, HostName};
use fourward_core::tsig::Algorithm;
use fourward_core::update::{Grant, Writable};
use serde::Deserialize;

use super::ConfigError;
use super::raw::{unique, value};
use crate::redact;

/// A key that signs messages (RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What both sides call it.
    pub name: DnsName,
    /// How it signs.
    pub algorithm: Algorithm,
    /// Where the secret is.
    pub secret_file: PathBuf,
    /// What it may update; nothing where it is a secondary's.
    pub grant: Option<Grant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawKey {
    name: String,
    algorithm: Option<String>,
    secret_file: PathBuf,
    host: Option<String>,
    types: Option<Vec<String>>,
}

/// The keys, where these are the zones.
pub(super) fn parse(keys: Vec<RawKey>, zones: &[DnsName]) -> Result<Vec<Key>, ConfigError> {
    let keys = keys.into_iter().map(|key| key.parse(zones)).collect::<Result<Vec<_>, _>>()?;
    unique("dns.keys.name", &keys.iter().map(|key| &key.name).collect::<Vec<_>>())?;
    Ok(keys)
}

impl RawKey {
    fn parse(self, zones: &[DnsName]) -> Result<Key, ConfigError> {
        // Somebody may have put the secret where a name belongs.
        let no_name = |key: &str, error: &dyn std::fmt::Display| value(key, &redact::long_words(&error.to_string()));
        let name = self.name.parse::<DnsName>().map_err(|error| no_name("dns.keys.name", &error))?;
        if !self.secret_file.is_absolute() {
            return Err(value(
                "dns.keys.secret-file",
                &format!("of {name}: expected the whole path of a file that has the secret, like /etc/fourward/{name}.key"),
            ));
        }
        let algorithm = self.algorithm.as_deref().unwrap_or(Algorithm::HmacSha256.word());
        let algorithm = one_of("dns.keys.algorithm", algorithm, &Algorithm::ALL, Algorithm::word)?;
        let grant = match (self.host, self.types) {
            (None, None) => None,
            (Some(host), Some(types)) => {
                let host = HostName::parse(&host, zones).map_err(|error| no_name("dns.keys.host", &error))?;
                let types = types.iter().map(|word| one_of("dns.keys.types", word, &Writable::ALL, Writable::word));
                Some(Grant { host, types: types.collect::<Result<_, _>>()? })
            }
            (Some(_), None) => {
                return Err(value("dns.keys.types", &format!("of {name}: missing; {}", expected(&Writable::ALL, Writable::word))));
            }
            (None, Some(_)) => return Err(value("dns.keys.host", &format!("of {name}: missing: whose records may it write?"))),
        };
        if grant.as_ref().is_some_and(|grant| grant.types.is_empty()) {
            return Err(value(
                "dns.keys.types",
                &format!("of {name}: empty, so it could write nothing; {}", expected(&Writable::ALL, Writable::word)),
            ));
        }
        Ok(Key { name, algorithm, secret_file: self.secret_file, grant })
    }
}

/// How zones are signed, which they are unless the configuration says otherwise.
pub(super) fn dnssec(on: Option<bool>, algorithm: Option<&str>) -> Result<Option<Signing>, ConfigError> {
    if let (Some(false), Some(_)) = (on, algorithm) {
        return Err(value("dns.dnssec-algorithm", "given, and dnssec = false: take one of the two out"));
    }
    let by = match algorithm {
        None | Some("ecdsap256sha256") => Signing::EcdsaP256Sha256,
        Some("ed25519") => Signing::Ed25519,
        Some(other) => {
            return Err(value("dns.dnssec-algorithm", &format!("{other} is not known; expected \"ecdsap256sha256\" or \"ed25519\"")));
        }
    };
    Ok(Some(by).filter(|_| on != Some(false)))
}

fn one_of<T: Copy>(key: &str, word: &str, all: &[T], called: fn(T) -> &'static str) -> Result<T, ConfigError> {
    let found = all.iter().copied().find(|one| called(*one).eq_ignore_ascii_case(word));
    found.ok_or_else(|| value(key, &format!("\"{}\" is none; {}", redact::long_words(word), expected(all, called))))
}

fn expected<T: Copy>(all: &[T], called: fn(T) -> &'static str) -> String {
    let words: Vec<&str> = all.iter().map(|one| called(*one)).collect();
    format!("there are {}", words.join(", "))
}
