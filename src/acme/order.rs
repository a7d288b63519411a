//! One order (RFC 8555 §7.4): the name is proven, a new key is made, and what comes back is verified before it is kept.
//!
//! The proof is in our own answers the moment it is committed. When to order, and what follows a failure, is not here.

use std::collections::BTreeSet;
use std::time::Duration;

use fourward_core::change::{self, Change};
use fourward_core::renewal::Span;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tracing::{debug, info};

use super::client::Https;
use super::error::{AcmeError, Proof};
use super::{Orders, Window};
use crate::certificate::Certificate;

/// How an order is asked after: authorities look from several places, which takes seconds.
const RETRIES: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_secs(90));

/// More certificates than any chain has.
const CHAIN_LIMIT: usize = 10;

impl Orders {
    /// Orders a certificate and puts it into the store; `replaces` says whether the authority wants to know which one it is to replace.
    pub(super) async fn order(&self, client: &Https, replaces: bool) -> Result<Certificate, AcmeError> {
        match self.order_once(client, replaces).await {
            Err(error) if error.is_unknown_account() => {
                self.forget_account().await?;
                self.order_once(client, replaces).await
            }
            done => done,
        }
    }

    /// Anything that is asked of the account may be what finds it forgotten, a new e-mail address too.
    async fn order_once(&self, client: &Https, replaces: bool) -> Result<Certificate, AcmeError> {
        let account = self.account(client).await?;
        self.order_as(&account, replaces).await
    }

    async fn order_as(&self, account: &Account, replaces: bool) -> Result<Certificate, AcmeError> {
        let name = self.shown.name();
        info!(%name, directory = %self.acme.directory, proof = self.proof.name(), "ordering a certificate");
        let mut order = self.begin(account, replaces).await?;
        self.show_proofs(&mut order).await?;
        let ready = order.poll_ready(&RETRIES).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            // What went wrong is told best by the challenge itself.
            if let Some(problem) = failed_challenge(&mut order).await {
                return Err(AcmeError::refused(&problem, name, self.proof));
            }
            let state = ready.map_err(|error| self.error(error))?;
            return Err(AcmeError::Unfinished(format!("the order is {state:?}")));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut request = CertificateParams::new(vec![name.to_string()])?;
        request.distinguished_name = DistinguishedName::new();
        order.finalize_csr(request.serialize_request(&key)?.der()).await.map_err(|error| self.error(error))?;
        let pem = order.poll_certificate(&RETRIES).await.map_err(|error| self.error(error))?;
        self.take(&pem, key.serialize_der()).await
    }

    async fn begin(&self, account: &Account, replaces: bool) -> Result<Order, AcmeError> {
        let names = [Identifier::Dns(self.shown.name().to_string())];
        let replaced = self.kept().filter(|_| replaces).map(|kept| CertificateDer::from(kept.certificate.leaf().to_vec()));
        if let Some(replaced) = replaced.as_ref().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok()) {
            match account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
                Ok(order) => return Ok(order),
                // It was replaced already, or is another account's: that is no reason to have none.
                Err(Error::Api(problem)) if !problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":rateLimited")) => {
                    debug!(%problem, "the order cannot replace the certificate of before");
                }
                Err(error) => return Err(self.error(error)),
            }
        }
        account.new_order(&NewOrder::new(&names)).await.map_err(|error| self.error(error))
    }

    /// Shows the authority what proves the name, and tells it to look.
    async fn show_proofs(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.error(error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(self.proof.challenge());
            let mut challenge = challenge.ok_or(AcmeError::NoChallenge(self.proof.name()))?;
            let answer = challenge.key_authorization();
            match self.proof {
                Proof::Dns => self.publish(BTreeSet::from([answer.dns_value()])).await?,
                Proof::Http => self.tokens.put(challenge.token.clone(), answer.as_str().into()),
            }
            challenge.set_ready().await.map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// The values of our challenge in DNS from now on.
    async fn publish(&self, values: BTreeSet<String>) -> Result<(), AcmeError> {
        self.store.commit(Change::OwnChallenge { name: self.shown.name().clone(), values }).await?;
        Ok(())
    }

    /// Takes all proofs back. Those of a process that was killed too.
    pub(super) async fn take_proofs_back(&self) -> Result<(), AcmeError> {
        self.tokens.clear();
        self.publish(BTreeSet::new()).await
    }

    /// Keeps what came, if it can be shown.
    async fn take(&self, pem: &str, key: Vec<u8>) -> Result<Certificate, AcmeError> {
        let name = self.shown.name();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).take(CHAIN_LIMIT).collect();
        let chain: Vec<CertificateDer<'static>> = chain.map_err(|error| AcmeError::Certificate(error.to_string()))?;
        let certificate = Certificate::new(chain.clone(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone())))?;
        let now = Timestamp::now();
        if !certificate.is_for(name) {
            return Err(AcmeError::Certificate(format!("it is not for {name}")));
        }
        if certificate.good().until <= now {
            let until = certificate.good().until;
            return Err(AcmeError::Certificate(format!(
                "it ended on {until:.0}, says this machine's clock: is that right (`timedatectl`)?"
            )));
        }
        let chain = chain.into_iter().map(|certificate| certificate.to_vec()).collect();
        let kept = change::Certificate { chain, key, directory: self.acme.directory.clone(), at: now };
        self.store.commit(Change::Certificate { name: name.clone(), certificate: kept }).await?;
        Ok(certificate)
    }

    /// When the authority wishes the certificate renewed (RFC 9773).
    pub(super) async fn ask_window(&self, client: &Https) -> Result<Window, AcmeError> {
        let (Some(kept), Some(account)) = (self.kept(), self.existing_account(client).await?) else { return Ok(Window::unknown()) };
        let leaf = CertificateDer::from(kept.certificate.leaf().to_vec());
        let Ok(id) = CertificateIdentifier::try_from(&leaf) else { return Ok(Window::unknown()) };
        match account.renewal_info(&id).await {
            Ok((info, again)) => {
                let time = |seconds| Timestamp::from_second(seconds).ok();
                let window = info.suggested_window;
                let span = time(window.start.unix_timestamp()).zip(time(window.end.unix_timestamp()));
                Ok(Window::told(span.map(|(from, until)| Span { from, until }), again))
            }
            Err(instant_acme::Error::Unsupported(_)) => Ok(Window::unknown()),
            Err(error) => Err(self.error(error)),
        }
    }
}

async fn failed_challenge(order: &mut Order) -> Option<Problem> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Some(problem);
        }
    }
    None
}
