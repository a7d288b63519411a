//! Which certificate our own name begins with, and who keeps it up to date: files win over orders, and without either it is self-signed. Files that
//! cannot be used are no reason not to serve the homes: then it begins as self-signed, and the files are shown once they can be.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use fourward_core::api::CertificateSource;
use fourward_core::change::{Change, Identity};
use fourward_core::name::DnsName;
use tracing::{info, warn};

use crate::acme::{self, Orders};
use crate::certificate::{CertificateError, Files, Shown, Tokens, self_signed, unusable};
use crate::config::Server;
use crate::store::{CommitError, Store};
use crate::supervisor::Roles;

/// The certificate of our own name, before its role starts.
pub(super) struct OwnCertificate {
    pub(super) shown: Arc<Shown>,
    pub(super) tokens: Arc<Tokens>,
    keeper: Keeper,
}

/// Who keeps it up to date.
enum Keeper {
    /// The self-signed one needs nobody.
    Nobody,
    /// The owner, by files.
    Files(Files),
    /// We, by ACME.
    Orders(Box<Orders>),
}

impl OwnCertificate {
    /// What `server`, with the secrets of `identity`, shows at its start.
    ///
    /// # Errors
    /// The self-signed one cannot be made.
    pub(super) fn new(server: &Server, store: &Store, identity: &Identity) -> Result<Self, CertificateError> {
        let name = server.public.name.clone();
        let tokens = Arc::new(Tokens::default());
        if let Some(files) = server.control.certificate.clone() {
            if server.acme.is_some() {
                info!("no certificate is ordered: control.certificate names one");
            }
            let shown = match files.read() {
                Ok(certificate) => Shown::new(name, CertificateSource::Files, certificate),
                Err(error) => {
                    let shown = own(name, identity)?;
                    unusable(&shown, &error);
                    shown
                }
            };
            return Ok(Self { shown, tokens, keeper: Keeper::Files(files) });
        }
        let kept = server.acme.as_ref().and_then(|_| acme::kept(store, &name));
        let shown = match kept {
            Some(kept) => Shown::new(name, CertificateSource::Acme, kept),
            None => own(name, identity)?,
        };
        let keeper = match server.acme.clone() {
            Some(acme) => {
                let orders = Orders::new(server, acme, store.clone(), Arc::clone(&shown), Arc::clone(&tokens));
                Keeper::Orders(Box::new(orders))
            }
            None => Keeper::Nobody,
        };
        Ok(Self { shown, tokens, keeper })
    }

    /// Starts what keeps it up to date. The zones must be served: an authority asks there.
    ///
    /// # Errors
    /// The store does not take it.
    pub(super) async fn start(self, roles: &mut Roles, store: &Store) -> Result<(), CommitError> {
        let name = self.shown.name();
        if store.snapshot().challenge(name).is_some() {
            warn!(%name, "an order was cut off; what proved the name is taken back");
            store.commit(Change::OwnChallenge { name: name.clone(), values: BTreeSet::new() }).await?;
        }
        let end = roles.end_token();
        match self.keeper {
            Keeper::Nobody => {}
            Keeper::Files(files) => roles.start("certificate", async move {
                files.follow(self.shown, end).await;
                Ok::<_, Infallible>(())
            }),
            Keeper::Orders(orders) => roles.start("acme", orders.run(end)),
        }
        Ok(())
    }
}

fn own(name: DnsName, identity: &Identity) -> Result<Arc<Shown>, CertificateError> {
    let certificate = self_signed(&name, &identity.certificate_key)?;
    Ok(Shown::new(name, CertificateSource::SelfSigned, certificate))
}
