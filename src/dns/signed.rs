//! Messages that are signed (TSIG, RFC 8945): whose they are, and the signatures of what is answered.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fourward_core::answer::Asker;
use fourward_core::cookie::{ClientCookie, ServerCookie};
use fourward_core::name::DnsName;
use fourward_core::tsig::{Fault, Signature};
use fourward_core::update::Reply;
use fourward_core::wire::{Query, Rcode};
use tracing::debug;

use super::keys::Keys;

/// What is said to a message.
pub(super) struct Told {
    pub(super) message: Vec<u8>,
    pub(super) rcode: Rcode,
}

/// What a look at a question finds.
pub(super) enum Checked {
    /// It is not signed.
    Plain,
    /// It is by who has a key.
    By(Session),
    /// It is signed, and not well: what is answered.
    Bad(Told),
}

/// A question by who has a key, and the messages of its answer.
pub(super) struct Session {
    keys: Arc<Keys>,
    key: DnsName,
    /// The last of the signatures: each covers the one before.
    last: Signature,
    begun: bool,
}

/// Looks at `message`, a question of `asker`.
pub(super) fn check(keys: &Arc<Keys>, message: &[u8], asker: &Asker<'_>) -> Checked {
    let Some(query) = Query::parse(message) else { return Checked::Plain };
    let cookie = cookie(&query, asker);
    let say = |rcode: Rcode, signature| {
        let cookie = cookie.as_ref().map(|(client, server)| (client, *server));
        Reply { no: Some(rcode.into()), cookie, transport: asker.transport, signature }.message(&query)
    };
    match signature_of(keys, message, say) {
        Ok(None) => Checked::Plain,
        Ok(Some((last, key))) => Checked::By(Session { keys: Arc::clone(keys), key, last, begun: false }),
        Err(told) => Checked::Bad(told),
    }
}

/// The signature of `message` and whose it is, now; `None` where it has none. `say` makes an answer with that code, and room for a signature.
///
/// # Errors
/// What is said to one that is not good.
pub(super) fn signature_of(
    keys: &Keys,
    message: &[u8],
    say: impl Fn(Rcode, usize) -> Vec<u8>,
) -> Result<Option<(Signature, DnsName)>, Told> {
    let malformed = || Told { message: say(Rcode::FORMERR, 0), rcode: Rcode::FORMERR };
    let Some(signature) = Signature::of(message).map_err(|_| malformed())? else { return Ok(None) };
    let is_of = |key: &DnsName, algorithm, covered: &[u8], mac: &[u8]| keys.is_of(key, algorithm, covered, mac);
    match (signature.verify(message, now(), is_of), signature.key()) {
        (Ok(()), Some(key)) => Ok(Some((signature, key))),
        (Ok(()), None) | (Err(Fault::Form), _) => Err(malformed()),
        (Err(fault), _) => Err(faulty(keys, &signature, fault, say)),
    }
}

/// What is said of a signature that is not good.
pub(super) fn faulty(keys: &Keys, signature: &Signature, fault: Fault, say: impl Fn(Rcode, usize) -> Vec<u8>) -> Told {
    debug!(?fault, "a message whose signature is not good");
    let mut message = say(Rcode::NOTAUTH, signature.answer_size());
    let sign = |covered: &[u8]| signature.key().map_or_else(Vec::new, |key| keys.sign(&key, covered));
    signature.answer(&mut message, now(), Some(fault), sign);
    Told { message, rcode: Rcode::NOTAUTH }
}

/// The client's cookie, and ours.
pub(super) fn cookie(query: &Query<'_>, asker: &Asker<'_>) -> Option<(ClientCookie, ServerCookie)> {
    let ((client, _), secrets) = query.edns.and_then(|edns| edns.cookie).zip(asker.secrets)?;
    Some((*client, secrets.make(client, asker.address, asker.now)))
}

impl Session {
    /// The key.
    pub(super) fn key(&self) -> &DnsName {
        &self.key
    }

    /// The most that a signature adds to a message.
    pub(super) fn size(&self) -> usize {
        self.last.answer_size()
    }

    /// Signs the next message of the answer.
    pub(super) fn seal(&mut self, message: &mut Vec<u8>) {
        let sign = |covered: &[u8]| self.keys.sign(&self.key, covered);
        self.last = if std::mem::replace(&mut self.begun, true) {
            self.last.following(message, now(), sign)
        } else {
            self.last.answer(message, now(), None, sign)
        };
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
