//! The stored form of a zone's keys and signatures.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::dnssec;
use crate::host::Digest;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ZoneKeys {
    keys: Vec<ZoneKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ZoneKey {
    /// Its number in the registry.
    algorithm: u8,
    phase: Phase,
    since: Timestamp,
    public: Secret,
    private: Secret,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Published,
    Active,
    Retired,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Signatures {
    signatures: Secret,
}

impl From<&dnssec::ZoneKeys> for ZoneKeys {
    fn from(keys: &dnssec::ZoneKeys) -> Self {
        let keys = keys.iter().map(|key| {
            let dnssec::ZoneKey { algorithm, phase, since, public, private, digest } = key.clone();
            let phase = match phase {
                dnssec::Phase::Published => Phase::Published,
                dnssec::Phase::Active => Phase::Active,
                dnssec::Phase::Retired => Phase::Retired,
            };
            ZoneKey { algorithm: algorithm.number(), phase, since, public: Secret(public.into()), private: Secret(private.into()), digest }
        });
        Self { keys: keys.collect() }
    }
}

impl TryFrom<ZoneKeys> for dnssec::ZoneKeys {
    type Error = String;

    fn try_from(keys: ZoneKeys) -> Result<Self, String> {
        let keys = keys.keys.into_iter().map(|key| {
            let ZoneKey { algorithm, phase, since, public: Secret(public), private: Secret(private), digest } = key;
            let algorithm = dnssec::Algorithm::of(algorithm).ok_or_else(|| format!("the algorithm {algorithm} is unknown here"))?;
            let phase = match phase {
                Phase::Published => dnssec::Phase::Published,
                Phase::Active => dnssec::Phase::Active,
                Phase::Retired => dnssec::Phase::Retired,
            };
            Ok(dnssec::ZoneKey { algorithm, phase, since, public: public.into(), private: private.into(), digest })
        });
        Self::new(keys.collect::<Result<_, String>>()?).map_err(|error| error.to_string())
    }
}

impl From<&dnssec::Signatures> for Signatures {
    fn from(signatures: &dnssec::Signatures) -> Self {
        Self { signatures: Secret(signatures.as_bytes().to_vec()) }
    }
}

impl TryFrom<Signatures> for dnssec::Signatures {
    type Error = String;

    fn try_from(signatures: Signatures) -> Result<Self, String> {
        Self::read(&signatures.signatures.0).ok_or_else(|| "the signatures are not whole".into())
    }
}
