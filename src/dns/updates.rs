//! Updates by DNS itself (RFC 2136): who sends one is found out at once, and the answer follows the commit.
//!
//! What can be said without a commit is said by whoever received the message, a thread of UDP's among them; a change goes to the runtime and
//! waits there for the disk, within bounds for each network. What may be written is `fourward_core::update`'s word, whose key it is
//! `fourward_core::tsig`'s.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fourward_core::answer::{Asker, Transport};
use fourward_core::change::{Change, Refused};
use fourward_core::cookie::{ClientCookie, ServerCookie};
use fourward_core::name::DnsName;
use fourward_core::state::State;
use fourward_core::tsig::{Fault, Replays, Seen, Signature};
use fourward_core::update::{No, Reply, judge};
use fourward_core::wire::{Query, Rcode};
use fourward_core::zone::ZoneParams;
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::keys::Keys;
use super::signed::now;
use super::transfer::cookie;
use crate::listener::network_of;
use crate::store::{CommitError, Store};

/// Changes of one network that wait for the disk; it takes hundreds at once, and a client sends one after the other.
const WAITING: usize = 256;

/// So often another change may come first. Each time one did, so somebody got on.
const TRIES: usize = 64;

/// Carries out updates.
pub struct Updates {
    store: Store,
    keys: Arc<Keys>,
    replays: Mutex<Replays>,
    /// Changes under way, by network.
    waiting: Mutex<HashMap<IpAddr, usize>>,
}

/// What becomes of a message.
pub(super) enum Outcome {
    /// This is said, and whether to somebody who has a key.
    Said(Told, bool),
    /// It is a change.
    Waits(Box<Pending>),
    /// Nothing is said.
    Silence,
}

/// An answer.
pub(super) struct Told {
    pub(super) message: Vec<u8>,
    pub(super) rcode: Rcode,
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
    _place: Place,
}

/// A place among the changes of a network; dropping it makes room.
struct Place {
    updates: Arc<Updates>,
    network: IpAddr,
}

/// A change that is not durable yet.
pub(super) struct Pending {
    signed: Signed,
    params: Arc<ZoneParams>,
    change: Change,
}

impl Updates {
    /// Updates of what is in `store` by `keys`; `None` where none of them may update anything.
    pub fn new(keys: &Arc<Keys>, store: Store) -> Option<Arc<Self>> {
        let (keys, replays) = (Arc::clone(keys), Mutex::new(Replays::new(now())));
        keys.update().then(|| Arc::new(Self { store, keys, replays, waiting: Mutex::default() }))
    }

    /// Looks at `message`, an update, as `state` is.
    pub(super) fn receive(self: &Arc<Self>, message: &[u8], asker: &Asker<'_>, state: &State, params: &Arc<ZoneParams>) -> Outcome {
        let Some(query) = Query::parse(message) else { return Outcome::Silence };
        let asked = Asked::new(message, &query, asker);
        let signature = match Signature::of(message) {
            Err(_) => return Outcome::Said(asked.say(Some(Rcode::FORMERR.into()), 0), false),
            Ok(None) => return Outcome::Said(asked.say(Some(No::PROHIBITED), 0), false),
            Ok(Some(signature)) => signature,
        };
        let is_of = |key: &DnsName, algorithm, covered: &[u8], mac: &[u8]| self.keys.is_of(key, algorithm, covered, mac);
        if let Err(fault) = signature.verify(message, now(), is_of) {
            return self.faulty(&asked, &signature, fault);
        }
        let Some(key) = signature.key() else { return Outcome::Silence };
        let Some(place) = self.place(asked.peer) else { return Outcome::Silence };
        let noted = self.replays().note(&key, signature.time(), signature.mac(), now());
        let mut signed = Signed { updates: Arc::clone(self), asked, signature, key, answered: true, _place: place };
        match noted {
            Seen::New => signed.answered = false,
            Seen::Older => return self.faulty(&signed.asked, &signed.signature, Fault::BadTime),
            Seen::Again(Some(answer)) => return Outcome::Said(Told::again(&answer), false),
            Seen::Again(None) | Seen::TooMany => return Outcome::Silence,
        }
        let judged =
            if query.edns.is_some_and(|edns| edns.version > 0) { Err(Rcode::BADVERS.into()) } else { self.judge(&signed, state, params) };
        match judged {
            Ok(Some(change)) => Outcome::Waits(Box::new(Pending { signed, params: Arc::clone(params), change })),
            Ok(None) => Outcome::Said(signed.answer(None), true),
            Err(no) => Outcome::Said(signed.answer(Some(no)), true),
        }
    }

    /// What is said of a signature that is not good.
    fn faulty(&self, asked: &Asked, signature: &Signature, fault: Fault) -> Outcome {
        debug!(peer = %asked.peer, ?fault, "an update whose signature is not good");
        if fault == Fault::Form {
            return Outcome::Said(asked.say(Some(Rcode::FORMERR.into()), 0), false);
        }
        let mut answer = asked.say(Some(Rcode::NOTAUTH.into()), signature.answer_size());
        let sign = |covered: &[u8]| signature.key().map_or_else(Vec::new, |key| self.keys.sign(&key, covered));
        signature.answer(&mut answer.message, now(), Some(fault), sign);
        // Whoever overheard a message could have it answered, too.
        Outcome::Said(answer, false)
    }

    /// The change that it comes to on `state`; `None` where all is so already.
    fn judge(&self, signed: &Signed, state: &State, params: &ZoneParams) -> Result<Option<Change>, No> {
        let grant = self.keys.grant(&signed.key).ok_or(No::PROHIBITED)?;
        let Some(change) = judge(&signed.asked.message, grant, state, params, Timestamp::now())? else { return Ok(None) };
        // On a copy, which is a pointer: what changes nothing costs no write, and what is refused no wait.
        match state.clone().apply(&change, &self.store.policy()) {
            Ok(touched) if touched.is_empty() => Ok(None),
            Ok(_) => Ok(Some(change)),
            Err(reason) => Err(signed.refused(&reason)),
        }
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
        let mut answer = self.asked.say(no, self.signature.answer_size());
        self.signature.answer(&mut answer.message, now(), None, |covered| self.updates.keys.sign(key, covered));
        self.updates.replays().answered(key, self.signature.time(), self.signature.mac(), &answer.message);
        self.answered = true;
        answer
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
    /// The answer, once the change is durable, or cannot be.
    pub(super) async fn done(self: Box<Self>) -> Told {
        let Self { signed, params, mut change } = *self;
        let updates = Arc::clone(&signed.updates);
        for _ in 0..TRIES {
            match updates.store.commit(change).await {
                Ok(_) => {
                    info!(key = %signed.key, peer = %signed.asked.peer, "updated");
                    return signed.answer(None);
                }
                Err(CommitError::Refused(Refused::Overtaken(_))) => {}
                Err(CommitError::Refused(reason)) => {
                    let no = signed.refused(&reason);
                    return signed.answer(Some(no));
                }
                Err(CommitError::Stopped { .. }) => break,
            }
            change = match updates.judge(&signed, &updates.store.snapshot(), &params) {
                Ok(Some(change)) => change,
                Ok(None) => return signed.answer(None),
                Err(no) => return signed.answer(Some(no)),
            };
        }
        signed.answer(Some(Rcode::SERVFAIL.into()))
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
mod tests {
    use fourward_core::policy::Policy;

    use super::*;

    #[test]
    fn a_network_has_so_many_places_and_gets_them_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Policy::default()).expect("a store");
        let (keys, replays) = (Arc::new(Keys::read(&[]).expect("none")), Mutex::new(Replays::new(0)));
        let updates = Arc::new(Updates { store, keys, replays, waiting: Mutex::default() });
        let place = |last: u8| updates.place([192, 0, 2, last].into());
        let mut held: Vec<_> = (0..WAITING).map(|_| place(1).expect("room")).collect();
        assert!(place(1).is_none(), "no more of one network");
        assert!(place(2).is_some(), "another one's are its own");
        held.pop();
        assert!(place(1).is_some(), "one is back");
        drop(held);
        assert!(locked(&updates.waiting).is_empty(), "nothing is remembered of who is gone");
    }
}
