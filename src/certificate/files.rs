//! The owner's own certificate files, read at the start and again when they change: certbot and the like renew them under our feet.
//!
//! A pair that is broken, or half written, changes nothing: the one before stays and it is said why.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fourward_core::api::CertificateSource;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Certificate, CertificateError, Shown};

/// Between two looks. A look is two calls of `stat`; events would need a watch on every folder that a symbolic link goes through.
pub const LOOK: Duration = Duration::from_secs(10);

/// Far more than any chain has; what is longer is another file.
const SIZE_LIMIT: u64 = 1 << 20;

/// Where the owner keeps a certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate first, then those that signed it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One cannot be read.
    #[error("{key} = {path}: {source}; the file must be there and readable for the user that fourward runs as")]
    Read {
        /// The configuration's key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has not what it should.
    #[error("{key} = {path}: {reason}")]
    Content {
        /// The configuration's key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl FilesError {
    /// Whether it is a right to the file that is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl Files {
    /// What the files have now.
    ///
    /// # Errors
    /// One cannot be read, has nothing of the kind, or they do not fit.
    pub fn read(&self) -> Result<Certificate, FilesError> {
        let chain = certificates("control.certificate", &self.certificate)?;
        let pem = read("control.key", &self.key)?;
        let no_key = |error| content("control.key", &self.key, format!("there is no private key in it (PEM, without a password): {error}"));
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(no_key)?;
        Certificate::new(chain, key).map_err(|error| match error {
            CertificateError::OtherKey => {
                content("control.key", &self.key, format!("it is not the key of the first certificate in {}", self.certificate.display()))
            }
            error => content("control.certificate", &self.certificate, error.to_string()),
        })
    }

    /// Shows the files' certificate on `shown` whenever they change, until cancelled.
    pub async fn follow(self, shown: Arc<Shown>, cancel: CancellationToken) {
        // Not what they were when they were read at the start: they may have changed in between.
        let mut seen = None;
        while cancel.run_until_cancelled(sleep(LOOK)).await.is_some() {
            let stamp = Some((stamp(&self.certificate), stamp(&self.key)));
            if seen == stamp {
                continue;
            }
            match self.read() {
                Ok(certificate) => {
                    seen = stamp;
                    shown.show(CertificateSource::Files, certificate);
                }
                // Read again at the next look: what mends them need not be seen from outside.
                Err(error) => {
                    seen = None;
                    unusable(&shown, &error);
                }
            }
        }
    }
}

/// Tells, once for each reason, that the files cannot be used and that what is `shown` stays.
pub fn unusable(shown: &Shown, error: &FilesError) {
    let error = error.to_string();
    if shown.last_error().as_ref() == Some(&error) {
        return;
    }
    let (source, _) = shown.current();
    let every = LOOK.as_secs();
    warn!(
        shown = %source,
        "the certificate files cannot be used, so the certificate of before stays, or our own: {error}; `fourward config check` says when they are \
         good; they are looked at every {every} s, a restart is not needed"
    );
    shown.failed(error, None);
}

/// The certificates of authorities in the file at `path`, which `key` of the configuration names.
///
/// # Errors
/// It cannot be read, or there is none in it.
pub fn authorities(key: &'static str, path: &Path) -> Result<RootCertStore, FilesError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        roots.add(certificate).map_err(|error| content(key, path, format!("no authority's certificate: {error}")))?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let pem = read(key, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(content(key, path, "there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)".into())),
        Err(error) => Err(content(key, path, format!("it is no PEM file: {error}"))),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_LIMIT).read_to_end(&mut bytes));
    read.map_err(|source| FilesError::Read { key, path: path.into(), source })?;
    Ok(bytes)
}

fn content(key: &'static str, path: &Path, reason: String) -> FilesError {
    FilesError::Content { key, path: path.into(), reason }
}

/// What changes when a file does: when, which, how long. `None`: not there.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.mtime(), file.mtime_nsec(), file.ino(), file.len()))
}
