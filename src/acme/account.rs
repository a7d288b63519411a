//! What is remembered of an ACME server: who we are there, and how the last tries went, so that a restart is no way around a wait.

use fourward_core::change::{self, Change};
use fourward_core::renewal::Setback;
use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Orders;
use super::client::Https;
use super::error::AcmeError;

/// All of it. It goes to the store as one account, under the URL of the directory.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Known {
    credentials: Option<AccountCredentials>,
    email: Option<String>,
    pub(super) setback: Option<Setback>,
}

impl Orders {
    /// What the store has.
    pub(super) fn known(&self) -> Known {
        let state = self.store.snapshot();
        let Some(account) = state.account(&self.acme.directory) else { return Known::default() };
        serde_json::from_slice(&account.0).unwrap_or_else(|_| {
            warn!(directory = %self.acme.directory, "the account in the store is not understood; a new one is made");
            Known::default()
        })
    }

    /// Puts it there.
    pub(super) async fn keep(&self, known: &Known) -> Result<(), AcmeError> {
        let account = change::Account(serde_json::to_vec(known)?);
        self.store.commit(Change::Account { directory: self.acme.directory.clone(), account }).await?;
        Ok(())
    }

    /// Remembers how the last tries went.
    pub(super) async fn keep_setback(&self, setback: Option<Setback>) -> Result<(), AcmeError> {
        self.keep(&Known { setback, ..self.known() }).await
    }

    /// The account; made if there is none.
    pub(super) async fn account(&self, client: &Https) -> Result<Account, AcmeError> {
        let Some(account) = self.existing_account(client).await? else { return self.new_account(client).await };
        if self.known().email != self.acme.email {
            account.update_contacts(&contacts(&contact(self.acme.email.as_ref()))).await.map_err(|error| self.error(error))?;
            self.keep(&Known { email: self.acme.email.clone(), ..self.known() }).await?;
        }
        Ok(account)
    }

    /// The account, if there is one.
    pub(super) async fn existing_account(&self, client: &Https) -> Result<Option<Account>, AcmeError> {
        let Some(credentials) = self.known().credentials else { return Ok(None) };
        let account = Account::builder_with_http(Box::new(client.clone())).from_credentials(credentials).await;
        Ok(Some(account.map_err(|error| AcmeError::unreached(error, &self.acme.directory))?))
    }

    /// Forgets the account, which the authority does not know any more.
    pub(super) async fn forget_account(&self) -> Result<(), AcmeError> {
        warn!(directory = %self.acme.directory, "the authority does not know our account any more; a new one is made");
        self.keep(&Known { credentials: None, ..self.known() }).await
    }

    async fn new_account(&self, client: &Https) -> Result<Account, AcmeError> {
        let contact = contact(self.acme.email.as_ref());
        let contact = contacts(&contact);
        let wish = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(client.clone()));
        let (account, credentials) = builder.create(&wish, self.acme.directory.clone(), None).await.map_err(|error| match error {
            Error::Api(problem) => AcmeError::refused(&problem, self.shown.name(), self.proof),
            error => AcmeError::unreached(error, &self.acme.directory),
        })?;
        self.keep(&Known { credentials: Some(credentials), email: self.acme.email.clone(), ..self.known() }).await?;
        info!(directory = %self.acme.directory, account = account.id(), "a new account at the authority, whose terms of service are agreed to");
        Ok(account)
    }

    pub(super) fn error(&self, error: Error) -> AcmeError {
        AcmeError::of(error, self.shown.name(), self.proof)
    }
}

fn contact(email: Option<&String>) -> Option<String> {
    email.map(|email| format!("mailto:{email}"))
}

fn contacts(contact: &Option<String>) -> Vec<&str> {
    contact.iter().map(String::as_str).collect()
}
