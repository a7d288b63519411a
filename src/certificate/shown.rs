//! Which certificate is shown on our own name now, and what is said of it.
//!
//! Each handshake asks for it anew, so another one takes its place without touching a connection.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fourward_core::api::{CertificateSource, CertificateStatus};
use fourward_core::name::DnsName;
use jiff::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::Certificate;

/// The certificate that is shown.
pub struct Shown {
    name: DnsName,
    now: RwLock<Now>,
}

struct Now {
    source: CertificateSource,
    certificate: Certificate,
    next: Option<Timestamp>,
    last_error: Option<String>,
}

impl Shown {
    /// Shows `certificate`, which comes from `source`, on `name`, and says so.
    pub fn new(name: DnsName, source: CertificateSource, certificate: Certificate) -> Arc<Self> {
        let now = Now { source, certificate, next: None, last_error: None };
        let shown = Self { name, now: RwLock::new(now) };
        shown.tell();
        Arc::new(shown)
    }

    /// The name that it is shown on.
    pub fn name(&self) -> &DnsName {
        &self.name
    }

    /// Shows `certificate` from now on. What went wrong before is forgotten.
    pub fn show(&self, source: CertificateSource, certificate: Certificate) {
        let mut now = self.write();
        let same = now.source == source && now.certificate.leaf() == certificate.leaf();
        *now = Now { source, certificate, next: None, last_error: None };
        drop(now);
        if !same {
            self.tell();
        }
    }

    /// Remembers when another one is expected.
    pub fn expect(&self, next: Timestamp) {
        self.write().next = Some(next);
    }

    /// Remembers why there is no newer one, and when that is tried again; this one stays.
    pub fn failed(&self, error: String, next: Option<Timestamp>) {
        let mut now = self.write();
        (now.last_error, now.next) = (Some(error), next);
    }

    /// What [`Shown::failed`] was told last, as long as nothing better came.
    pub fn last_error(&self) -> Option<String> {
        self.read().last_error.clone()
    }

    /// Forgets why there was no newer one: it is no longer so.
    pub fn mended(&self) {
        self.write().last_error = None;
    }

    /// The certificate, and where it comes from.
    pub fn current(&self) -> (CertificateSource, Certificate) {
        let now = self.read();
        (now.source, now.certificate.clone())
    }

    /// What the owner is told.
    pub fn status(&self) -> CertificateStatus {
        let (source, certificate) = self.current();
        let (next, last_error) = {
            let now = self.read();
            (now.next, now.last_error.clone())
        };
        CertificateStatus {
            source,
            not_after: certificate.good().until,
            public: source != CertificateSource::SelfSigned && certificate.is_public(&self.name),
            next,
            last_error: last_error.or_else(|| self.fault()),
        }
    }

    /// When the certificate that is shown ends.
    pub fn not_after(&self) -> Timestamp {
        self.read().certificate.good().until
    }

    fn tell(&self) {
        let (source, certificate) = self.current();
        let until = format!("{:.0}", certificate.good().until);
        info!(name = %self.name, %source, %until, "the certificate of our own name");
        if let Some(fault) = self.fault() {
            warn!(name = %self.name, %source, "the certificate of our own name is of no use to clients: {fault}");
        }
    }

    /// What is wrong with it. Nothing with our own: that it is ours is said already.
    fn fault(&self) -> Option<String> {
        let (source, certificate) = self.current();
        if source == CertificateSource::SelfSigned { None } else { certificate.fault(&self.name, Timestamp::now()) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Now> {
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Now> {
        self.now.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read().certificate.key())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.name)
    }
}
