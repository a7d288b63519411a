//! How one key of a zone follows another: shown beside it first, then in its place, then alone.
//!
//! The order is that of RFC 6781 §4.1.2 for a key that signs both the keys and the zone: nobody who remembers something of before may miss
//! what it needs. Each step waits for what is remembered to be forgotten, and for the zone above to say what it must; it is the owner who
//! carries it there. Which time it is and what the zone above says comes from outside.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{BadKeys, KEY_TTL, Phase, ZoneKey, ZoneKeys};
use crate::name::DnsName;

/// A successor is shown for so long at least: until nobody remembers the keys without it, where a secondary that missed its NOTIFY asks twice until it
/// hears of it (`Soa::REFRESH`, `Soa::RETRY`).
pub const SHOWN: SignedDuration = SignedDuration::from_secs(14_400 + 3_600 + KEY_TTL as i64);

/// What came before is kept for so long at least: until nobody remembers a signature of it, or that the zone above vouched for it alone. Our
/// own records live for a day at most, a DS mostly for one, rarely for two.
pub const KEPT: SignedDuration = SignedDuration::from_hours(48);

/// What a zone above says of a key (RFC 4034 §5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ds {
    /// The key's tag.
    pub tag: u16,
    /// The key's algorithm.
    pub algorithm: u8,
    /// How the digest was made.
    pub digest_type: u8,
    /// The digest; hexadecimal in text.
    #[serde(with = "hexadecimal")]
    pub digest: Vec<u8>,
}

mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&super::Hex(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
        let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>();
        bytes.ok_or_else(|| D::Error::custom("expected hexadecimal digits"))
    }
}

/// Bytes as text, in capitals.
pub(crate) struct Hex<'b>(pub(crate) &'b [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl std::fmt::Display for Ds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.tag, self.algorithm, self.digest_type, Hex(&self.digest))
    }
}

/// What the zone above says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parent {
    /// It could not be asked.
    Unknown,
    /// The owner vouches for what it says.
    Assumed,
    /// This, each of its name servers alike.
    Says(BTreeSet<Ds>),
}

/// A step of a rollover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A new key is shown.
    Show,
    /// It takes over.
    Replace,
    /// The old one goes.
    Drop,
}

/// Why a step is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// Somebody remembers what was before.
    #[error(
        "{zone}: not before {until:.0}: until then resolvers may remember what the zone was like before the last step; nothing was changed"
    )]
    Early {
        /// The zone.
        zone: DnsName,
        /// When it may be tried again.
        until: Timestamp,
    },
    /// Who vouches is not known.
    #[error(
        "{0}: the name servers of the zone above could not be asked for its DS, so nothing was changed; try again where DNS works, or say with --ds-seen \
         that you have looked yourself"
    )]
    Unseen(DnsName),
    /// The new key is trusted by nobody yet.
    #[error(
        "{zone}: the zone above does not have the DS of the new key yet, and nothing was changed. Add it at the registrar, beside the one that is there: {ds}"
    )]
    Unvouched {
        /// The zone.
        zone: DnsName,
        /// What is missing.
        ds: Ds,
    },
    /// The old key is trusted still.
    #[error("{zone}: the zone above still has the DS of the old key, and nothing was changed. Take it out at the registrar: {ds}")]
    Vouched {
        /// The zone.
        zone: DnsName,
        /// What is too much.
        ds: Ds,
    },
    /// No key that would fit.
    #[error(transparent)]
    Keys(#[from] BadKeys),
}

impl ZoneKey {
    /// What the zone above is to say of it.
    pub fn ds(&self) -> Ds {
        Ds { tag: self.tag(), algorithm: self.algorithm.number(), digest_type: super::DIGEST_TYPE, digest: self.digest.0.to_vec() }
    }
}

impl ZoneKeys {
    /// The next step.
    pub fn step(&self) -> Step {
        if self.in_phase(Phase::Published).is_some() {
            return Step::Replace;
        }
        if self.in_phase(Phase::Retired).is_some() { Step::Drop } else { Step::Show }
    }

    /// Before when the next step is not taken.
    pub fn due(&self) -> Option<Timestamp> {
        let (key, wait) = match self.step() {
            Step::Show => return None,
            Step::Replace => (self.in_phase(Phase::Published)?, SHOWN),
            Step::Drop => (self.in_phase(Phase::Retired)?, KEPT),
        };
        key.since.checked_add(wait).ok()
    }

    fn in_phase(&self, phase: Phase) -> Option<&ZoneKey> {
        self.iter().find(|key| key.phase == phase)
    }

    /// The keys of `zone` after [`Step::Replace`] or [`Step::Drop`], which is taken at `at`.
    ///
    /// # Errors
    /// It is too early, or the zone above is not ready.
    pub fn roll(&self, zone: &DnsName, parent: &Parent, at: Timestamp) -> Result<Self, NotNow> {
        if let Some(until) = self.due().filter(|until| at < *until) {
            return Err(NotNow::Early { zone: zone.clone(), until });
        }
        let says = match parent {
            Parent::Unknown => return Err(NotNow::Unseen(zone.clone())),
            // Without any, nobody goes by these keys.
            Parent::Says(says) => Some(says).filter(|says| !says.is_empty()),
            Parent::Assumed => None,
        };
        let (new, old) = match self.step() {
            Step::Show => return Ok(self.clone()),
            Step::Replace => (self.in_phase(Phase::Published), None),
            Step::Drop => (self.active(), self.in_phase(Phase::Retired)),
        };
        if let Some(ds) = new.map(ZoneKey::ds).filter(|ds| says.is_some_and(|says| !says.contains(ds))) {
            return Err(NotNow::Unvouched { zone: zone.clone(), ds });
        }
        if let Some(ds) = old.map(ZoneKey::ds).filter(|ds| says.is_some_and(|says| says.contains(ds))) {
            return Err(NotNow::Vouched { zone: zone.clone(), ds });
        }
        let turned = |key: &ZoneKey| match (self.step(), key.phase) {
            (Step::Replace, Phase::Published) => Some(ZoneKey { phase: Phase::Active, since: at, ..key.clone() }),
            (Step::Replace, Phase::Active) => Some(ZoneKey { phase: Phase::Retired, since: at, ..key.clone() }),
            (Step::Drop, Phase::Retired) => None,
            _ => Some(key.clone()),
        };
        Ok(Self::new(self.iter().filter_map(turned).collect())?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::key;
    use super::*;
    use crate::dnssec::Algorithm;
    use crate::host::Digest;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    fn named(phase: Phase, byte: u8) -> ZoneKey {
        ZoneKey { digest: Digest([byte; 32]), ..key(Algorithm::Ed25519, phase, &[byte; 32]) }
    }

    #[test]
    fn each_step_waits_for_what_is_remembered_and_for_the_zone_above() {
        let zone: DnsName = "dyn.example.org".parse().expect("name");
        let (old, new) = (named(Phase::Active, 1), named(Phase::Published, 2));
        let says = |keys: &[&ZoneKey]| Parent::Says(keys.iter().map(|key| key.ds()).collect());
        let alone = ZoneKeys::new(vec![old.clone()]).expect("keys");
        assert_eq!((alone.step(), alone.due()), (Step::Show, None));
        let shown = ZoneKeys::new(vec![old.clone(), new.clone()]).expect("keys");
        assert_eq!((shown.step(), shown.due()), (Step::Replace, Some(at(6))));
        let both = says(&[&old, &new]);
        assert_eq!(shown.roll(&zone, &both, at(5)), Err(NotNow::Early { zone: zone.clone(), until: at(6) }));
        assert_eq!(shown.roll(&zone, &Parent::Unknown, at(6)), Err(NotNow::Unseen(zone.clone())));
        assert_eq!(shown.roll(&zone, &says(&[&old]), at(6)), Err(NotNow::Unvouched { zone: zone.clone(), ds: new.ds() }));
        // Either that the zone above vouches, or that nobody asks it, or that the owner says so.
        for parent in [&both, &says(&[&new]), &says(&[]), &Parent::Assumed] {
            assert!(shown.roll(&zone, parent, at(6)).is_ok(), "{parent:?}");
        }
        let replaced = shown.roll(&zone, &both, at(6)).expect("it is time");
        assert_eq!(replaced.active().map(ZoneKey::tag), Some(new.tag()));
        assert_eq!(replaced.for_parent().map(ZoneKey::tag).collect::<Vec<_>>(), [new.tag()], "the old one may go");
        assert_eq!(replaced.iter().count(), 2, "and is there for those who remember it");
        assert_eq!((replaced.step(), replaced.due()), (Step::Drop, Some(at(54))));
        assert_eq!(replaced.roll(&zone, &says(&[&new]), at(53)), Err(NotNow::Early { zone: zone.clone(), until: at(54) }));
        assert_eq!(replaced.roll(&zone, &both, at(54)), Err(NotNow::Vouched { zone: zone.clone(), ds: old.ds() }));
        assert!(matches!(replaced.roll(&zone, &says(&[&old]), at(54)), Err(NotNow::Unvouched { .. })), "the new one was taken out");
        let dropped = replaced.roll(&zone, &says(&[&new]), at(54)).expect("it is time");
        assert_eq!(dropped.iter().map(ZoneKey::tag).collect::<Vec<_>>(), [new.tag()]);
        assert_eq!(dropped.step(), Step::Show);
    }

    #[test]
    fn a_ds_is_written_as_registrars_read_it() {
        let ds = named(Phase::Active, 0xA1).ds();
        let json = serde_json::to_string(&ds).expect("JSON");
        assert!(json.contains(&"A1".repeat(32)), "{json}");
        assert_eq!(serde_json::from_str::<Ds>(&json).expect("read again"), ds);
        assert!(serde_json::from_str::<Ds>(&json.replacen("A1A1A1", "A1A1A", 1)).is_err());
        assert_eq!(ds.to_string(), format!("{} 15 2 {}", named(Phase::Active, 0xA1).tag(), "A1".repeat(32)));
    }
}
