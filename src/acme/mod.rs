//! A certificate for our own name, ordered by ACME (RFC 8555) and renewed in time.
//!
//! `core::renewal` decides when, `order` is one order, `account` what is remembered of the authority, `client` the way to it. The name is
//! proven in our own zone, or on our own port 80 where it is in somebody else's. Before a try, it is written down as failed: a
//! crash, or a loop of restarts, cannot try more often than failures may. Homes' certificates are not ordered yet.

mod account;
mod client;
mod error;
mod order;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fourward_core::api::CertificateSource;
use fourward_core::change;
use fourward_core::name::DnsName;
use fourward_core::renewal::{self, Failure, Setback, Span};
use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::certificate::{Certificate, LOOK, Shown, Tokens, authorities, public_authorities};
use crate::config::{Acme, Server};
use crate::crypto;
use crate::store::Store;

use client::Https;
pub use error::AcmeError;
use error::Proof;

/// For a whole try, with all waiting.
const TRY: Duration = Duration::from_secs(300);

/// The longest sleep: the clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(600);

/// Whoever just started has better things to do than to ask when to renew.
const FIRST_ASK: SignedDuration = SignedDuration::from_secs(15);

/// After an answer that says nothing, or none.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(6);

/// Orders the certificate of our own name, and renews it.
pub struct Orders {
    acme: Acme,
    /// Of a private server; the public ones are looked up when they are needed.
    roots: Option<RootCertStore>,
    proof: Proof,
    store: Store,
    shown: Arc<Shown>,
    tokens: Arc<Tokens>,
}

/// A certificate that was ordered before.
struct Kept {
    certificate: Certificate,
    came: Timestamp,
}

/// What the authority says of renewal, and when to ask it again.
struct Window {
    span: Option<Span>,
    ask: Timestamp,
}

impl Window {
    fn unknown() -> Self {
        Self { span: None, ask: Timestamp::now() + ASK_AGAIN }
    }

    fn told(span: Option<Span>, again: Duration) -> Self {
        let again = SignedDuration::try_from(again).unwrap_or(ASK_AGAIN);
        Self { span, ask: Timestamp::now() + again.clamp(SignedDuration::from_hours(1), SignedDuration::from_hours(24)) }
    }
}

/// The certificate for `name` that the store has of an order before, whichever authority it was at.
pub fn kept(store: &Store, name: &DnsName) -> Option<Certificate> {
    let state = store.snapshot();
    let read = usable(state.certificate(name)?);
    let certificate = read.inspect_err(|error| warn!(%name, "the certificate in the store cannot be used: {error}")).ok()?;
    Some(certificate).filter(|certificate| certificate.is_for(name))
}

fn usable(kept: &change::Certificate) -> Result<Certificate, crate::certificate::CertificateError> {
    let chain = kept.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Certificate::new(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(kept.key.clone())))
}

impl Orders {
    /// Orders at `acme` for the name of `shown`, which `server` has.
    pub fn new(server: &Server, acme: Acme, store: Store, shown: Arc<Shown>, tokens: Arc<Tokens>) -> Self {
        let inside = server.zones().iter().any(|zone| shown.name().within(zone).is_some());
        let proof = if inside { Proof::Dns } else { Proof::Http };
        Self { acme, roots: None, proof, store, shown, tokens }
    }

    /// Orders and renews until cancelled.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Infallible> {
        if let Some(path) = self.acme.root.clone() {
            let Some(roots) = cancel.run_until_cancelled(self.usable_roots(&path)).await else { return Ok(()) };
            self.roots = Some(roots);
        }
        let mut free = self.known().setback.map(|setback| setback.next_after_restart(Timestamp::now()));
        let mut window = Window { span: None, ask: Timestamp::now() + FIRST_ASK };
        while !cancel.is_cancelled() {
            free = self.free(free);
            let due = self.due(window.span, free);
            self.shown.expect(due);
            let wake = if self.kept().is_some() { due.min(window.ask) } else { due };
            let now = Timestamp::now();
            let left = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
            if !left.is_zero() {
                let _ = cancel.run_until_cancelled(sleep(left.min(NAP))).await;
            } else if due <= now {
                self.attempt(window.span.is_some(), &cancel).await;
                free = None;
                window = Window { span: None, ask: Timestamp::now() + FIRST_ASK };
            } else {
                window = self.ask(window, &cancel).await;
            }
        }
        Ok(())
    }

    /// The authorities in `acme.root`, once they can be used. Nothing is asked of anybody until then, so that no try counts as failed.
    async fn usable_roots(&self, path: &Path) -> RootCertStore {
        let mut told = None;
        loop {
            match authorities("acme.root", path) {
                Ok(roots) => {
                    if told.is_some() {
                        info!(path = %path.display(), "acme.root can be used now");
                        self.shown.mended();
                    }
                    return roots;
                }
                Err(error) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        let every = LOOK.as_secs();
                        warn!(
                            "no certificate is ordered as long as this is so: {error}; the file is looked at every {every} s, a restart is not needed"
                        );
                        self.shown.failed(error.clone(), None);
                        told = Some(error);
                    }
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Until when no try is free after those that failed. Never later than it was `before`, whatever becomes of the clock.
    fn free(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        let next = self.known().setback?.next(Timestamp::now());
        Some(before.map_or(next, |before| before.min(next)))
    }

    /// When to order.
    fn due(&self, window: Option<Span>, free: Option<Timestamp>) -> Timestamp {
        let wished = self.kept().map_or_else(Timestamp::now, |kept| {
            let entropy = entropy_of(kept.certificate.leaf());
            renewal::renewal(kept.certificate.good(), kept.came, window, entropy)
        });
        free.map_or(wished, |free| free.max(wished))
    }

    /// What was ordered at this authority.
    fn kept(&self) -> Option<Kept> {
        let state = self.store.snapshot();
        let kept = state.certificate(self.shown.name()).filter(|kept| kept.directory == self.acme.directory)?;
        let certificate = usable(kept).ok().filter(|certificate| certificate.is_for(self.shown.name()))?;
        Some(Kept { certificate, came: kept.at })
    }

    async fn attempt(&self, replaces: bool, cancel: &CancellationToken) {
        let before = self.known().setback;
        let setback = |failure, asked| Setback::after(before, failure, asked, Timestamp::now(), entropy());
        if let Err(error) = self.keep_setback(Some(setback(Failure::Refused, None))).await {
            return self.tell(&error, None);
        }
        let tried = match self.client() {
            Ok(client) => {
                let order = cancel.run_until_cancelled(timeout(TRY, self.order(&client, replaces))).await;
                order.map(|order| (order.unwrap_or(Err(AcmeError::TooSlow)), client.asked()))
            }
            Err(error) => Some((Err(error), None)),
        };
        if let Err(error) = self.take_proofs_back().await {
            self.tell(&error, None);
        }
        // Cut off by the end of the process: what was written down before stands.
        let Some((result, asked)) = tried else { return };
        let setback = match result {
            Ok(certificate) => {
                self.shown.show(CertificateSource::Acme, certificate);
                None
            }
            Err(error) => {
                let setback = setback(error.failure(), asked);
                self.tell(&error, Some(setback.next));
                Some(setback)
            }
        };
        if let Err(error) = self.keep_setback(setback).await {
            self.tell(&error, None);
        }
    }

    fn tell(&self, error: &AcmeError, next: Option<Timestamp>) {
        let (source, _) = self.shown.current();
        let again = next.map_or_else(String::new, |next| format!("{next:.0}"));
        warn!(name = %self.shown.name(), shown = %source, %again, "no new certificate: {error}");
        self.shown.failed(error.to_string(), next);
    }

    async fn ask(&self, before: Window, cancel: &CancellationToken) -> Window {
        let Ok(client) = self.client() else { return Window::unknown() };
        let asked = cancel.run_until_cancelled(timeout(TRY, self.ask_window(&client))).await;
        match asked {
            Some(Ok(Ok(window))) => {
                if window.span != before.span {
                    info!(name = %self.shown.name(), window = ?window.span, "the authority says when to renew");
                }
                window
            }
            Some(Ok(Err(error))) => {
                debug!(%error, "the authority does not say when to renew");
                Window { span: before.span, ..Window::unknown() }
            }
            Some(Err(_)) | None => Window { span: before.span, ..Window::unknown() },
        }
    }

    fn client(&self) -> Result<Https, AcmeError> {
        // Only the private authority where there is one: no public one has a say in what is ours.
        Ok(Https::new(self.roots.clone().unwrap_or_else(public_authorities))?)
    }
}

/// From the certificate itself: a restart does not draw again.
fn entropy_of(leaf: &[u8]) -> u32 {
    let digest = crypto::sha256(leaf).0;
    digest.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

fn entropy() -> u32 {
    // Without randomness nothing else would work either; the jitter is a courtesy.
    crypto::random().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
