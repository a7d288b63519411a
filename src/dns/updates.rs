//! Updates by DNS itself (RFC 2136): who sends one is found out at once, and the answer follows the commit.
//!
//! Whose message it is, and whether it came before, is found out by whoever received it, a thread of UDP's among them: that is a MAC and a look at a
//! map. What it comes to, and the wait for the disk, is the runtime's, within bounds for each network and for all. What may be written is
//! `fourward_core::update`'s word, whose key it is `fourward_core::tsig`'s.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fourward_core::answer::{Asker, Transport};
use fourward_core::change::{Change, Refused};
use fourward_core::cookie::{ClientCookie, ServerCookie};
use fourward_core::name::DnsName;
use fourward_core::tsig::{Fault, Replays, Seen, Signature};
use fourward_core::update::{No, Reply, judge};
use fourward_core::wire::{Query, Rcode};
use fourward_core::zone::ZoneParams;
use jiff::Timestamp;
use tracing::{info, warn};

use super::keys::Keys;
use super::signed::{self, Told, cookie, now};
use crate::listener::network_of;
use crate::pace::Pace;
use crate::store::{CommitError, Store};
use crate::tally::Tally;

/// Changes of one network that wait for the disk; it takes hundreds at once, and a client sends one after the other.
const WAITING: usize = 256;

/// So often another change may come first. Each time one did, so somebody got on.
const TRIES: usize = 64;

/// What came of updates. `good` is durable, or was so already; `again` came before.
const OUTCOMES: [&str; 7] = ["good", "refused", "failed", "busy", "unsigned", "bad-signature", "again"];

/// How updates ended.
pub type Outcomes = Tally<{ OUTCOMES.len() }>;

/// Carries out updates.
pub struct Updates {
    store: Store,
    keys: Arc<Keys>,
    replays: Mutex<Replays>,
    pace: Arc<Pace>,
    outcomes: Arc<Outcomes>,
    /// Changes under way, by network.
    waiting: Mutex<HashMap<IpAddr, usize>>,
}

/// What becomes of a message.
pub(super) enum Outcome {
    /// This is said. Whoever overheard a message could have it said to somebody else, too.
    Said(Told),
    /// It is to be carried out.
    Waits(Box<Pending>),
    /// Nothing is said.
    Silence,
}

/// A message, and what an answer to it needs.
struct Asked {
    message: Vec<u8>,
    peer: IpAddr,
    transport: Transport,
    cookie: Option<(ClientCookie, ServerCookie)>,
}

/// A message by who has a key. Dropped without an answer, it may come again.
struct Signed {
    updates: Arc<Updates>,
    asked: Asked,
    signature: Signature,
    key: DnsName,
    answered: bool,
    place: Option<Place>,
}

/// A place among the changes of a network; dropping it makes room.
struct Place {
    updates: Arc<Updates>,
    network: IpAddr,
}

/// An update by who has a key, which is to be carried out.
pub(super) struct Pending {
    signed: Signed,
    params: Arc<ZoneParams>,
}

impl Updates {
    /// Updates of what is in `store` by `keys`, no more often than `pace` lets them; `None` where none of them may update anything.
    pub fn new(keys: &Arc<Keys>, store: Store, pace: Arc<Pace>) -> Option<Arc<Self>> {
        let (keys, replays) = (Arc::clone(keys), Mutex::new(Replays::new(now())));
        let outcomes = Arc::new(Tally::new(&OUTCOMES));
        keys.update().then(|| Arc::new(Self { store, keys, replays, pace, outcomes, waiting: Mutex::default() }))
    }

    /// What came of updates so far.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        Arc::clone(&self.outcomes)
    }

    /// Looks at whose `message` is, an update.
    pub(super) fn receive(self: &Arc<Self>, message: &[u8], asker: &Asker<'_>, params: &Arc<ZoneParams>) -> Outcome {
        let Some(query) = Query::parse(message) else { return Outcome::Silence };
        let asked = Asked::new(message, &query, asker);
        let (signature, key) = match self.signature_of(&asked) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.outcomes.note("unsigned");
                return Outcome::Said(asked.say(Some(No::PROHIBITED), 0));
            }
            Err(told) => {
                self.outcomes.note("bad-signature");
                return Outcome::Said(told);
            }
        };
        let place = self.place(asked.peer);
        let noted = self.replays().note(&key, signature.time(), signature.mac(), now());
        let mut signed = Signed { updates: Arc::clone(self), asked, signature, key, answered: true, place };
        match noted {
            Seen::New => signed.answered = false,
            Seen::Older => {
                self.outcomes.note("again");
                return Outcome::Said(self.faulty(&signed.asked, &signed.signature, Fault::BadTime));
            }
            Seen::Again(answer) => {
                self.outcomes.note("again");
                // Where there is no answer yet, there will be one.
                return answer.map_or(Outcome::Silence, |answer| Outcome::Said(Told::again(&answer)));
            }
            Seen::TooMany => return Outcome::Said(signed.busy("too many with this key within a second")),
        }
        if signed.place.is_none() {
            return Outcome::Said(signed.busy("too many of this network wait for the disk"));
        }
        Outcome::Waits(Box::new(Pending { signed, params: Arc::clone(params) }))
    }

    /// The signature of a message and whose it is, now; `None` where it has none.
    ///
    /// # Errors
    /// What is said to one that is not good.
    fn signature_of(&self, asked: &Asked) -> Result<Option<(Signature, DnsName)>, Told> {
        signed::signature_of(&self.keys, &asked.message, |rcode, size| asked.say(Some(rcode.into()), size).message)
    }

    /// What is said of a signature that is not good.
    fn faulty(&self, asked: &Asked, signature: &Signature, fault: Fault) -> Told {
        signed::faulty(&self.keys, signature, fault, |rcode, size| asked.say(Some(rcode.into()), size).message)
    }

    /// The change that it comes to now; `None` where all is so already.
    fn judge(&self, signed: &Signed, params: &ZoneParams) -> Result<Option<Change>, No> {
        if Query::parse(&signed.asked.message).and_then(|query| query.edns).is_some_and(|edns| edns.version > 0) {
            return Err(Rcode::BADVERS.into());
        }
        let (grant, state) = (self.keys.grant(&signed.key).ok_or(No::PROHIBITED)?, self.store.snapshot());
        let Some(change) = judge(&signed.asked.message, grant, &state, params, Timestamp::now())? else { return Ok(None) };
        // What changes nothing costs no place in the measure either.
        match self.store.tried(&state, &change) {
            Ok(touched) if touched.is_empty() => Ok(None),
            Ok(_) => Ok(Some(change)),
            Err(reason) => Err(signed.refused(&reason)),
        }
    }

    /// Whether its host has not had too many changes lately. Its network is not asked: who has a key is no stranger, and each has one host.
    fn measured(&self, signed: &Signed) -> Result<(), No> {
        let grant = self.keys.grant(&signed.key).ok_or(No::PROHIBITED)?;
        self.pace.admit(&grant.host, None, Instant::now()).map_err(|wait| {
            info!(key = %signed.key, peer = %signed.asked.peer, ?wait, "an update was refused: its host had too many changes in a short time");
            Rcode::REFUSED.into()
        })
    }

    /// A place for one more change from there.
    fn place(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let network = network_of(peer);
        let mut waiting = locked(&self.waiting);
        let count = waiting.entry(network).or_default();
        (*count < WAITING).then_some(())?;
        *count = count.saturating_add(1);
        Some(Place { updates: Arc::clone(self), network })
    }

    fn replays(&self) -> MutexGuard<'_, Replays> {
        locked(&self.replays)
    }
}

impl Told {
    /// One that was given before. Of an extended code only the lower bits are known, which hardly ever matters: nobody sends such again.
    fn again(message: &[u8]) -> Self {
        let code = message.get(3).map_or(0, |flags| u16::from(flags & 0xF));
        Self { message: message.into(), rcode: Rcode(code) }
    }
}

impl Asked {
    fn new(message: &[u8], query: &Query<'_>, asker: &Asker<'_>) -> Self {
        let cookie = cookie(query, asker);
        Self { message: message.to_vec(), peer: asker.address, transport: asker.transport, cookie }
    }

    /// The answer, with room for a signature of this size.
    fn say(&self, no: Option<No>, signature: usize) -> Told {
        let cookie = self.cookie.as_ref().map(|(client, server)| (client, *server));
        let reply = Reply { no, cookie, transport: self.transport, signature };
        let message = Query::parse(&self.message).map(|query| reply.message(&query)).unwrap_or_default();
        Told { message, rcode: no.map_or(Rcode::NOERROR, |no| no.rcode) }
    }
}

impl Signed {
    /// The signed answer, which is given again should the same message come again.
    fn answer(mut self, no: Option<No>) -> Told {
        let (key, peer) = (&self.key, self.asked.peer);
        if let Some(no) = no {
            info!(%key, %peer, rcode = no.rcode.0, "an update was not carried out");
        }
        self.updates.outcomes.note(match no {
            None => "good",
            Some(no) if no.rcode == Rcode::SERVFAIL => "failed",
            Some(_) => "refused",
        });
        let told = self.say(no);
        self.updates.replays().answered(key, self.signature.time(), self.signature.mac(), &told.message);
        self.answered = true;
        told
    }

    /// The signed answer that it cannot be done now. The same message may come again.
    fn busy(self, why: &'static str) -> Told {
        warn!(key = %self.key, peer = %self.asked.peer, why, "an update was not taken");
        self.updates.outcomes.note("busy");
        self.say(Some(Rcode::SERVFAIL.into()))
    }

    fn say(&self, no: Option<No>) -> Told {
        let mut told = self.asked.say(no, self.signature.answer_size());
        self.signature.answer(&mut told.message, now(), None, |covered| self.updates.keys.sign(&self.key, covered));
        told
    }

    fn refused(&self, reason: &Refused) -> No {
        warn!(key = %self.key, peer = %self.asked.peer, %reason, "an update was refused");
        No::PROHIBITED
    }
}

impl Drop for Signed {
    fn drop(&mut self) {
        if !self.answered {
            self.updates.replays().forget(&self.key, self.signature.time(), self.signature.mac());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = locked(&self.updates.waiting);
        let left = waiting.get_mut(&self.network).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            waiting.remove(&self.network);
        }
    }
}

impl Pending {
    /// The answer where there is no room to wait.
    pub(super) fn busy(self: Box<Self>) -> Told {
        self.signed.busy("too many wait for the disk")
    }

    /// The answer, once all is durable, or cannot be.
    pub(super) async fn done(self: Box<Self>) -> Told {
        let no = self.carried_out().await.err();
        self.signed.answer(no)
    }

    async fn carried_out(&self) -> Result<(), No> {
        let (signed, updates) = (&self.signed, &self.signed.updates);
        for tries in 0..TRIES {
            let Some(change) = updates.judge(signed, &self.params)? else { return Ok(()) };
            if tries == 0 {
                updates.measured(signed)?;
            }
            match updates.store.commit(change).await {
                Ok(_) => {
                    info!(key = %signed.key, peer = %signed.asked.peer, "updated");
                    return Ok(());
                }
                Err(CommitError::Refused(Refused::Overtaken(_))) => {}
                Err(CommitError::Refused(reason)) => return Err(signed.refused(&reason)),
                Err(error @ CommitError::Stopped { .. }) => {
                    warn!(key = %signed.key, peer = %signed.asked.peer, %error, "an update could not be kept");
                    return Err(Rcode::SERVFAIL.into());
                }
            }
        }
        warn!(key = %signed.key, peer = %signed.asked.peer, "an update was overtaken by others too often");
        Err(Rcode::SERVFAIL.into())
    }
}

impl std::fmt::Debug for Updates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Updates({:?})", self.keys)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
