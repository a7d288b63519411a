//! `zone ds|roll`: the keys of a zone, for its registrar, and how one follows another. When that may be is decided in core.

use fourward_core::api::{KeyEntry, Reply, SignedZone};
use fourward_core::change::Change;
use fourward_core::dnssec::{Algorithm, Parent, Phase, Step, ZoneKey};
use fourward_core::name::DnsName;
use fourward_core::state::State;
use jiff::Timestamp;
use tracing::info;

use super::Failure;
use crate::signer::{NewKeyError, with_new_key};
use crate::store::Store;

/// The keys of `zone`.
///
/// # Errors
/// It has none.
pub(super) fn show(state: &State, zone: DnsName) -> Result<Reply, Failure> {
    let Some(keys) = state.zone_keys(&zone) else { return Err(Failure::Unsigned(zone)) };
    let entries = keys.iter().map(entry).collect();
    Ok(Reply::ZoneKeys(SignedZone { zone, keys: entries, next: keys.step(), not_before: keys.due() }))
}

fn entry(key: &ZoneKey) -> KeyEntry {
    KeyEntry {
        tag: key.tag(),
        algorithm: key.algorithm.name().into(),
        phase: key.phase,
        since: key.since,
        ds: key.ds(),
        dnskey: key.text(),
    }
}

/// Takes the next step of the rollover of `zone`, whose parent says `parent`; a new key signs by `algorithm`.
///
/// # Errors
/// It is not the time for it, or the store does not take it.
pub(super) async fn roll(store: &Store, zone: DnsName, algorithm: Algorithm, parent: &Parent, at: Timestamp) -> Result<Reply, Failure> {
    let state = store.snapshot();
    let Some(keys) = state.zone_keys(&zone) else { return Err(Failure::Unsigned(zone)) };
    let step = keys.step();
    let new = match step {
        Step::Show => with_new_key(&zone, Some(keys), algorithm, Phase::Published, at)?,
        Step::Replace | Step::Drop => keys.roll(&zone, parent, at)?,
    };
    let state = store.commit(Change::ZoneKeys { zone: zone.clone(), keys: Some(new) }).await?;
    info!(%zone, ?step, "a step of a rollover");
    show(&state, zone)
}

impl From<NewKeyError> for Failure {
    fn from(error: NewKeyError) -> Self {
        match error {
            NewKeyError::Key(error) => Self::Random(error),
            NewKeyError::Beside(error) => Self::Rollover(error.into()),
        }
    }
}
