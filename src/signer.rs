//! Signs the zones: keys, signatures that go out with the change that they belong to, and new ones before the old ones end.
//!
//! What is to be signed is decided in core, and a signature is a change like any other. Here are the randomness, the arithmetic, and the time. A
//! commit is completed by the store's one writer, so that no state without its signatures is ever on disk or in an answer. A zone that is too
//! large to be signed anew with one change is signed piece by piece: before it is served at all ([`Signer::sign_all`]), or, where either of two
//! keys will do, while it is ([`Signer::keep_fresh`]).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use fourward_core::change::{Change, Key};
use fourward_core::dnssec::{Algorithm, BadKeys, Phase, SIGNATURE, Unit, ZoneKey, ZoneKeys};
use fourward_core::name::DnsName;
use fourward_core::signing::{self, Plan};
use fourward_core::state::State;
use fourward_core::zone::{ZoneParams, ZoneView};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::crypto::{KeyError, sha256};
use crate::store::{CommitError, Finish, Store, Unfinished};

/// A zone of so many units is signed anew as a whole in one commit; the writer is held up for a fraction of a second then.
const AT_ONCE: usize = 4_096;

/// So many units are looked at in one go…
const STEP: usize = 1_024;

/// …and so many of them signed in one commit while updates come in between.
const BATCH: usize = 64;

/// Fewer than that are not worth another thread.
const PER_THREAD: usize = 16;

/// All units are looked at once in such a time. Signatures are renewed days before they end.
const ROUND: Duration = Duration::from_secs(signing::ROUND as u64);

/// As often it is looked whether somebody set the clock…
const TICK: Duration = Duration::from_secs(60);

/// …by so many seconds, forth or back: then all signatures are looked at at once.
const LEAP: u32 = 1_800;

/// Tags are 16 bits: a key that would have another's is made anew.
const KEY_TRIES: usize = 16;

/// Signs the zones of one server.
pub struct Signer {
    params: ZoneParams,
    random: SystemRandom,
    /// Read once, by the public key.
    pairs: Mutex<BTreeMap<Box<[u8]>, Arc<Pair>>>,
    /// Something was left to [`Signer::keep_fresh`].
    left: Notify,
    /// Seconds since 1970 as signatures have them, which wrap in 2106 (RFC 4034 §3.1.5).
    now: fn() -> u32,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a zone has no new key.
#[derive(Debug, thiserror::Error)]
pub enum NewKeyError {
    /// No randomness.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It does not fit beside the others.
    #[error(transparent)]
    Beside(#[from] BadKeys),
}

/// A new key for `zone`, in `phase` since `at`.
///
/// # Errors
/// The system gives no randomness.
fn new_key(zone: &DnsName, algorithm: Algorithm, phase: Phase, at: Timestamp) -> Result<ZoneKey, KeyError> {
    let random = SystemRandom::new();
    let made = match algorithm {
        Algorithm::EcdsaP256Sha256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
    };
    let private: Box<[u8]> = made.map_err(|_| KeyError::Random)?.as_ref().into();
    let public = match Pair::read(algorithm, &private)? {
        // RFC 6605 §4: without the byte that says how the point is written.
        Pair::Ecdsa(pair) => pair.public_key().as_ref().get(1..).unwrap_or_default().into(),
        Pair::Ed25519(pair) => pair.public_key().as_ref().into(),
    };
    let key = ZoneKey { algorithm, phase, since: at, public, private, digest: sha256(b"") };
    Ok(ZoneKey { digest: sha256(&key.ds_input(zone)), ..key })
}

/// The keys `beside` with a new one for `zone`.
///
/// # Errors
/// The system gives no randomness, or there are as many keys as a zone may have.
pub fn with_new_key(
    zone: &DnsName,
    beside: Option<&ZoneKeys>,
    algorithm: Algorithm,
    phase: Phase,
    at: Timestamp,
) -> Result<ZoneKeys, NewKeyError> {
    let mut tries = KEY_TRIES;
    loop {
        let new = new_key(zone, algorithm, phase, at)?;
        let all = beside.into_iter().flat_map(ZoneKeys::iter).cloned().chain([new]).collect();
        match ZoneKeys::new(all) {
            Err(BadKeys::SameTag) if tries > 0 => tries = tries.saturating_sub(1),
            made => return Ok(made?),
        }
    }
}

impl Pair {
    fn read(algorithm: Algorithm, private: &[u8]) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::EcdsaP256Sha256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).map(Self::Ecdsa).map_err(|_| KeyError::Form)
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(private).map(Self::Ed25519).map_err(|_| KeyError::Form),
        }
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Result<[u8; SIGNATURE], KeyError> {
        let signed = match self {
            Self::Ecdsa(pair) => pair.sign(random, message).map_err(|_| KeyError::Random)?,
            Self::Ed25519(pair) => pair.sign(message),
        };
        signed.as_ref().try_into().map_err(|_| KeyError::Form)
    }
}

impl Signer {
    /// One for the zones of `params`.
    pub fn new(params: ZoneParams) -> Arc<Self> {
        Arc::new(Self {
            params,
            random: SystemRandom::new(),
            pairs: Mutex::default(),
            left: Notify::new(),
            now: || Timestamp::now().as_second() as u32,
        })
    }

    fn pair(&self, key: &ZoneKey) -> Result<Arc<Pair>, KeyError> {
        // Each critical section leaves the map whole, so a poisoned one is still good.
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = pairs.get(&key.public) {
            return Ok(Arc::clone(pair));
        }
        let pair = Arc::new(Pair::read(key.algorithm, &key.private)?);
        pairs.insert(key.public.clone(), Arc::clone(&pair));
        Ok(pair)
    }

    fn plan<'a>(&'a self, state: &'a State, unit: &'a Unit, now: u32) -> Option<Plan<'a>> {
        let view = ZoneView::new(self.params.zones.iter().find(|zone| *zone == unit.zone())?, state, &self.params)?;
        signing::plan(&view, unit, now)
    }

    fn sign(&self, state: &State, unit: &Unit, now: u32) -> Result<Option<Change>, KeyError> {
        let Some(plan) = self.plan(state, unit, now) else { return Ok(None) };
        plan.sign(|key, message| self.pair(key)?.sign(message, &self.random)).map(Some)
    }

    /// Has the next units after `cursor` signed where they must, `batch` of them in a commit. Returns how many were, or `None` at the end.
    async fn step(self: &Arc<Self>, store: &Store, cursor: &mut Cursor, batch: usize) -> Result<Option<usize>, CommitError> {
        let state = store.snapshot();
        let (zone, units) = loop {
            let Some(zone) = self.params.zones.get(cursor.zone).filter(|_| self.params.dnssec) else { return Ok(None) };
            let units = state.units_after(zone, cursor.last.as_ref(), STEP);
            cursor.last = units.last().cloned();
            if !units.is_empty() {
                break (zone, units);
            }
            cursor.zone = cursor.zone.saturating_add(1);
        };
        let signer = Arc::clone(self);
        let due = tokio::task::spawn_blocking(move || signer.due(&state, units)).await.unwrap_or_else(|error| {
            warn!(%error, "some signatures were not looked at");
            Vec::new()
        });
        for due in due.chunks(batch) {
            store.sign(zone, due.to_vec()).await?;
        }
        Ok(Some(due.len()))
    }

    /// Those of `units` that lack a signature, or will soon.
    fn due(&self, state: &State, units: Vec<Unit>) -> Vec<Unit> {
        let now = (self.now)();
        let due = in_parallel(&units, |unit| Ok::<_, KeyError>(self.plan(state, unit, now).map(|_| unit.clone())));
        due.unwrap_or_default()
    }

    /// How long to rest after each step, so that a round of all takes an hour: each zone has a last step that is not full.
    fn rest(&self, state: &State) -> Duration {
        let steps = state.host_count().div_ceil(STEP).saturating_add(self.params.zones.len()).max(1);
        ROUND.checked_div(u32::try_from(steps).unwrap_or(u32::MAX)).unwrap_or(ROUND)
    }

    /// Signs all that is not signed, before anybody asks. `told` hears of each step.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn sign_all(self: &Arc<Self>, store: &Store, told: impl Fn()) -> Result<(), CommitError> {
        let (mut cursor, mut all) = (Cursor::default(), 0_usize);
        while let Some(signed) = self.step(store, &mut cursor, AT_ONCE).await? {
            all = all.saturating_add(signed);
            told();
        }
        if all > 0 {
            info!(hosts = all, "signed before the start");
        }
        Ok(())
    }

    /// Has signatures made anew before they end, until `end`.
    ///
    /// # Errors
    /// The store does not take them.
    pub async fn keep_fresh(self: Arc<Self>, store: Store, end: CancellationToken) -> Result<(), CommitError> {
        let (mut cursor, mut hurry, mut all) = (Cursor::default(), false, 0_usize);
        // At once: the clock may have been set since all was looked at before the start, which takes a while where there is much.
        let (mut clock, mut next) = (Clock { wall: (self.now)(), at: Instant::now() }, Instant::now());
        loop {
            tokio::select! {
                () = end.cancelled() => return Ok(()),
                () = self.left.notified() => (cursor, hurry) = (Cursor::default(), true),
                () = tokio::time::sleep_until(next.min(Instant::now() + TICK)), if !hurry => {}
                () = std::future::ready(()), if hurry => {}
            }
            if clock.leaps_to((self.now)()) {
                (cursor, hurry) = (Cursor::default(), true);
            }
            if !hurry && Instant::now() < next {
                continue;
            }
            next = Instant::now() + self.rest(&store.snapshot());
            match self.step(&store, &mut cursor, BATCH).await {
                Ok(Some(signed)) => all = all.saturating_add(signed),
                Ok(None) => {
                    if all > 0 {
                        info!(hosts = all, "signed anew");
                    }
                    (cursor, hurry, all) = (Cursor::default(), false, 0);
                }
                // The store ends the process by itself.
                Err(error @ CommitError::Stopped { .. }) => return Err(error),
                Err(CommitError::Refused(error)) => warn!(%error, "signatures were not made anew; it is tried again"),
            }
        }
    }
}

/// When it was which time.
struct Clock {
    wall: u32,
    at: Instant,
}

impl Clock {
    /// Whether somebody set the clock since it was looked at last; now it is `wall`.
    fn leaps_to(&mut self, wall: u32) -> bool {
        let passed = u32::try_from(self.at.elapsed().as_secs()).unwrap_or(u32::MAX);
        let leap = wall.wrapping_sub(self.wall.wrapping_add(passed)).cast_signed().unsigned_abs();
        (self.wall, self.at) = (wall, Instant::now());
        leap > LEAP
    }
}

/// How far a round of all units is.
#[derive(Default)]
struct Cursor {
    /// Which of the zones.
    zone: usize,
    /// Its last unit that was looked at.
    last: Option<Unit>,
}

impl Finish for Signer {
    fn finish(&self, before: &State, after: &State, touched: &BTreeSet<Key>, due: BTreeSet<Unit>) -> Result<Vec<Change>, Unfinished> {
        let scope = signing::scope(before, after, &self.params, touched);
        let mut units = scope.units;
        units.extend(due);
        for zone in &scope.whole {
            let all = after.units_after(zone, None, AT_ONCE.saturating_add(1));
            if all.len() > AT_ONCE {
                self.left.notify_one();
            } else {
                units.extend(all);
            }
        }
        let (units, now) = (units.into_iter().collect::<Vec<_>>(), (self.now)());
        in_parallel(&units, |unit| self.sign(after, unit, now)).map_err(|error| Unfinished(error.to_string()))
    }
}

/// What `make` makes of each of `units`, in their order.
fn in_parallel<T: Send, E: Send>(units: &[Unit], make: impl Fn(&Unit) -> Result<Option<T>, E> + Sync) -> Result<Vec<T>, E> {
    let some = |units: &[Unit]| units.iter().filter_map(|unit| make(unit).transpose()).collect::<Result<Vec<_>, _>>();
    // How many processors there are takes longer to find out than to sign one.
    if units.len() <= PER_THREAD {
        return some(units);
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(units.len().div_ceil(PER_THREAD));
    let parts = units.chunks(units.len().div_ceil(threads));
    let made: Vec<Result<Vec<T>, E>> = thread::scope(|scope| {
        let started: Vec<_> = parts.map(|part| scope.spawn(|| some(part))).collect();
        started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut all = Vec::new();
    for part in made {
        all.extend(part?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
