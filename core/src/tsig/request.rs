//! Messages of ours that are signed, and their answers (RFC 8945 §5.1, §5.3).

use super::{Algorithm, Fault, Signature, counted};
use crate::name::DnsName;
use crate::wire::Canonical;

impl Signature {
    /// Signs `message`, a request of ours, at `now` with the key that both sides call `key`. `make` gives the MAC of what it is given.
    pub fn request(key: &DnsName, algorithm: Algorithm, message: &mut Vec<u8>, now: u64, make: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let mut own = Self::unmade((Canonical::of(key), algorithm.on_the_wire()), message, now);
        let mut covered = message.clone();
        own.variables(&mut covered);
        own.mac = make(&covered);
        own.append(message);
        own
    }

    /// Whether `answer` comes from who has the key, now, and to the request that this is of. `is_of` is [`Signature::verify`]'s.
    ///
    /// # Errors
    /// Why it is not good; one that has no signature is of no key.
    pub fn verify_answer(
        &self,
        answer: &[u8],
        now: u64,
        is_of: impl FnOnce(&DnsName, Algorithm, &[u8], &[u8]) -> Option<bool>,
    ) -> Result<(), Fault> {
        let other = Self::of(answer).map_err(|_| Fault::Form)?.ok_or(Fault::BadKey)?;
        if (&other.key, &other.algorithm) != (&self.key, &self.algorithm) || other.error != 0 {
            return Err(Fault::BadKey);
        }
        let mut covered = Vec::new();
        counted(&mut covered, &self.mac);
        covered.extend(other.covered(answer));
        other.check(covered, now, is_of)
    }
}

impl Algorithm {
    fn on_the_wire(self) -> Canonical {
        Canonical::of_labels([self.word()])
    }
}
