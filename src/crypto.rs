//! Randomness, digests and keys: the few calls of the cryptographic library that the rest needs.
//!
//! Both ends of the link show raw public keys (RFC 7250) and know each other by the SHA-256 of the SubjectPublicKeyInfo: there is
//! no name to certify and no date to renew. Certificates for browsers are made elsewhere.

use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::{digest, rand};
use fourward_core::host::Digest;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// Why a key is unusable.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// The bytes are no private key.
    #[error("the bytes are no private key (PKCS #8)")]
    Form,
}

/// The one TLS provider of this program; others are linked by dependencies and not used.
pub fn tls_provider() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    Digest(hash)
}

/// `N` random bytes.
///
/// # Errors
/// The system gives none.
pub fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

/// `N` random bytes as text, hexadecimal.
///
/// # Errors
/// The system gives none.
pub fn random_text<const N: usize>() -> Result<String, KeyError> {
    Ok(random::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A new Ed25519 key (PKCS #8), for either end of a link.
///
/// # Errors
/// The system gives no randomness.
pub fn new_link_key() -> Result<Vec<u8>, KeyError> {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let key = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| KeyError::Random)?;
    Ok(key.as_ref().to_vec())
}

/// What an end of a link shows of its key: the raw public key with what signs for it.
///
/// # Errors
/// `pkcs8` is no private key.
pub fn raw_key(pkcs8: &[u8]) -> Result<Arc<CertifiedKey>, KeyError> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    let key = tls_provider().key_provider.load_private_key(der).map_err(|_| KeyError::Form)?;
    let public = key.public_key().ok_or(KeyError::Form)?;
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], key)))
}

/// The digest by which the other end knows `key`.
pub fn pin_of(key: &CertifiedKey) -> Digest {
    sha256(key.cert.first().map_or(&[], |public| public.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_public_half() {
        let pkcs8 = new_link_key().expect("key");
        let pin = pin_of(&raw_key(&pkcs8).expect("key"));
        assert_eq!(pin, pin_of(&raw_key(&pkcs8).expect("key")));
        assert_ne!(pin, pin_of(&raw_key(&new_link_key().expect("key")).expect("key")));
        assert!(raw_key(b"no key").is_err());
    }
}
