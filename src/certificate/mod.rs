//! The certificate of the server's own name: what it is, where it can come from, and the one place that says which is shown.
//!
//! It comes from files of the owner's (`files`), from an order (the `acme` role) or, where there is neither, from our own key
//! (`self_signed`). `shown` is what the handshakes of our own name ask; it changes while they go on. Ordering is not here.

mod files;
mod self_signed;
mod shown;
mod tokens;

use std::sync::Arc;

use fourward_core::name::DnsName;
use fourward_core::renewal::Span;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use crate::crypto;

pub use files::{Files, FilesError, LOOK, authorities, unusable};
pub use self_signed::self_signed;
pub use shown::Shown;
pub use tokens::{Tokens, is_challenge};

/// A certificate with what signed it, and its key.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    good: Span,
}

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is none.
    #[error("there is no certificate in it")]
    Empty,
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Form(String),
    /// Two things that do not belong together.
    #[error("the key does not fit the certificate")]
    OtherKey,
    /// It cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Tls(rustls::Error),
    /// It cannot be made.
    #[error("the self-signed certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl Certificate {
    /// The certificate at the head of `chain`, with its `key`.
    ///
    /// # Errors
    /// It cannot be read, or the key is another one's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, CertificateError> {
        let good = validity(chain.first().ok_or(CertificateError::Empty)?)?;
        Self::with(chain, key, good)
    }

    /// The same, of a chain that is known to be good for so long.
    fn with(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>, good: Span) -> Result<Self, CertificateError> {
        let key = CertifiedKey::from_der(chain, key, &crypto::tls_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::OtherKey,
            error => CertificateError::Tls(error),
        })?;
        Ok(Self { key: Arc::new(key), good })
    }

    /// From when until when it is good.
    pub fn good(&self) -> Span {
        self.good
    }

    /// The certificate itself, in DER.
    pub fn leaf(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |leaf| leaf.as_ref())
    }

    /// What is wrong with it as the certificate of `name` at `now`, if anything is.
    pub fn fault(&self, name: &DnsName, now: Timestamp) -> Option<String> {
        if !self.is_for(name) {
            return Some(format!("it is not for {name}, which clients ask for"));
        }
        if now >= self.good.until {
            return Some(format!("it ended on {:.0}", self.good.until));
        }
        (now < self.good.from).then(|| format!("it begins on {:.0}; is this machine's clock right?", self.good.from))
    }

    /// Whether `name` is one of its names.
    pub fn is_for(&self, name: &DnsName) -> bool {
        let Some(leaf) = self.key.cert.first() else { return false };
        let (Ok(leaf), Ok(name)) = (ParsedCertificate::try_from(leaf), ServerName::try_from(name.as_str())) else { return false };
        rustls::client::verify_server_name(&leaf, &name).is_ok()
    }

    /// Whether a client that knows nothing but the public authorities takes it for `name` now.
    pub fn is_public(&self, name: &DnsName) -> bool {
        let (Some((leaf, rest)), Ok(name)) = (self.key.cert.split_first(), ServerName::try_from(name.as_str())) else { return false };
        let roots = Arc::new(public_authorities());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, crypto::tls_provider()).build();
        verifier.is_ok_and(|verifier| verifier.verify_server_cert(leaf, rest, &name, &[], UnixTime::now()).is_ok())
    }

    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// What the public authorities sign with, as this version knows them. Made when it is needed: most of the time it is not.
pub fn public_authorities() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn validity(leaf: &CertificateDer<'_>) -> Result<Span, CertificateError> {
    let (_, parsed) = parse_x509_certificate(leaf).map_err(|error| CertificateError::Form(error.to_string()))?;
    let time = |seconds| Timestamp::from_second(seconds).map_err(|error| CertificateError::Form(error.to_string()));
    let dates = parsed.validity();
    Ok(Span { from: time(dates.not_before.timestamp())?, until: time(dates.not_after.timestamp())? })
}

#[cfg(test)]
mod tests;
