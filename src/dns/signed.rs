//! Questions that are signed (TSIG, RFC 8945): whose they are, and the signatures of what is answered. Updates see to their own.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fourward_core::answer::Transport;
use fourward_core::name::DnsName;
use fourward_core::tsig::{Fault, Signature};
use fourward_core::update::{No, Reply};
use fourward_core::wire::{Query, Rcode};

use super::keys::Keys;

/// What a look at a question finds.
pub(super) enum Checked {
    /// It is not signed.
    Plain,
    /// It is by who has a key.
    By(Session),
    /// It is signed, and not well: what is answered.
    Bad(Vec<u8>, Rcode),
}

/// A question by who has a key, and the messages of its answer.
pub(super) struct Session {
    keys: Arc<Keys>,
    key: DnsName,
    /// The last of the signatures: each covers the one before.
    last: Signature,
    begun: bool,
}

/// Looks at `message`, which came by `transport`.
pub(super) fn check(keys: &Arc<Keys>, message: &[u8], transport: Transport) -> Checked {
    let (Some(query), found) = (Query::parse(message), Signature::of(message)) else { return Checked::Plain };
    let reply = |rcode: Rcode, signature| Reply { no: Some(No::from(rcode)), cookie: None, transport, signature }.message(&query);
    let formless = || Checked::Bad(reply(Rcode::FORMERR, 0), Rcode::FORMERR);
    let signature = match found {
        Ok(Some(signature)) => signature,
        // What is no question at all is answered as such.
        Err(_) if query.sound => return formless(),
        Ok(None) | Err(_) => return Checked::Plain,
    };
    let is_of = |key: &DnsName, algorithm, covered: &[u8], mac: &[u8]| keys.is_of(key, algorithm, covered, mac);
    match (signature.verify(message, now(), is_of), signature.key()) {
        (Ok(()), Some(key)) => Checked::By(Session { keys: Arc::clone(keys), key, last: signature, begun: false }),
        (Err(Fault::Form), _) | (Ok(()), None) => formless(),
        (Err(fault), key) => {
            let mut answer = reply(Rcode::NOTAUTH, signature.answer_size());
            signature.answer(&mut answer, now(), Some(fault), |covered| key.map_or_else(Vec::new, |key| keys.sign(&key, covered)));
            Checked::Bad(answer, Rcode::NOTAUTH)
        }
    }
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
