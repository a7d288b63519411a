//! The secrets of DNS cookies: derived from the server's own, a new one every day, so that nothing of them is kept or shared.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use fourward_core::cookie::Secrets;

/// What the derived secrets are for: no other use of the same root has this.
const PURPOSE: &[u8] = b"fourward DNS cookies";

/// Makes the secrets of any day.
#[derive(Clone)]
pub(super) struct Jar(Prk);

/// The length of a secret.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        16
    }
}

impl Jar {
    /// `root` is this server's, kept over restarts.
    pub(super) fn new(root: &[u8; 32]) -> Self {
        Self(Salt::new(HKDF_SHA256, PURPOSE).extract(root))
    }

    /// The secrets at `now`, in seconds since 1970.
    pub(super) fn secrets(&self, now: u32) -> Secrets {
        Secrets::at(now, |period| self.derive(&period.to_be_bytes()))
    }

    /// What `what` alone leads to.
    pub(super) fn derive(&self, what: &[u8]) -> [u8; 16] {
        let mut secret = [0; 16];
        // Of so short a secret it cannot fail; a fixed one would only make cookies worthless.
        let _ = self.0.expand(&[what], Length).and_then(|okm| okm.fill(&mut secret));
        secret
    }
}

#[cfg(test)]
mod tests {
    use fourward_core::cookie::ROTATION;

    use super::*;

    #[test]
    fn each_day_and_each_server_has_its_own_and_keeps_it() {
        let of = |root: u8, now: u32| Jar::new(&[root; 32]).secrets(now).make(&[1; 8], [192, 0, 2, 1].into(), 0);
        assert_eq!(of(1, 100), of(1, ROTATION - 1));
        assert_ne!(of(1, 100), of(1, 2 * ROTATION));
        assert_ne!(of(1, 100), of(2, 100));
        assert_ne!(of(1, 100)[8..], [0; 8]);
    }
}
