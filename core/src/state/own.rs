//! What the state keeps of the server itself: its secrets, and what it needs for a certificate of its own name.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::State;
use crate::change::{Account, Certificate, Identity, Key, Refused, Zone};
use crate::name::DnsName;

impl State {
    /// The values of `_acme-challenge` TXT below an own name.
    pub fn challenge(&self, own: &DnsName) -> Option<&BTreeSet<String>> {
        self.challenges.get(own).map(AsRef::as_ref)
    }

    /// The account at the ACME server with this directory.
    pub fn account(&self, directory: &str) -> Option<&Arc<Account>> {
        self.accounts.get(directory)
    }

    /// The certificate of an own name, if one was ordered.
    pub fn certificate(&self, own: &DnsName) -> Option<&Arc<Certificate>> {
        self.certificates.get(own)
    }

    /// The server's secrets, once made.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    pub(super) fn own_challenge(&mut self, name: &DnsName, values: &BTreeSet<String>) -> Vec<Key> {
        if self.challenge(name).map_or(values.is_empty(), |kept| kept == values) {
            return Vec::new();
        }
        if values.is_empty() {
            self.challenges.remove_mut(name);
        } else {
            self.challenges.insert_mut(name.clone(), Arc::new(values.clone()));
        }
        let mut touched = vec![Key::Challenge(name.clone())];
        let zones: Vec<_> =
            self.zones.iter().filter(|(zone, _)| name.within(zone).is_some()).map(|(zone, kept)| (zone.clone(), *kept)).collect();
        for (zone, kept) in zones {
            self.zones.insert_mut(zone.clone(), Zone { serial: kept.serial.next(), ..kept });
            touched.push(Key::Zone(zone));
        }
        touched
    }

    pub(super) fn keep_account(&mut self, directory: &str, account: &Account) -> Vec<Key> {
        if self.account(directory).is_some_and(|kept| **kept == *account) {
            return Vec::new();
        }
        self.accounts.insert_mut(directory.into(), Arc::new(account.clone()));
        vec![Key::Account(directory.into())]
    }

    pub(super) fn keep_certificate(&mut self, name: &DnsName, certificate: &Certificate) -> Vec<Key> {
        if self.certificate(name).is_some_and(|kept| **kept == *certificate) {
            return Vec::new();
        }
        self.certificates.insert_mut(name.clone(), Arc::new(certificate.clone()));
        vec![Key::Certificate(name.clone())]
    }

    pub(super) fn identify(&mut self, identity: &Identity) -> Result<Vec<Key>, Refused> {
        if self.identity.is_some() {
            return Err(Refused::Identified);
        }
        self.identity = Some(Arc::new(identity.clone()));
        Ok(vec![Key::Identity])
    }
}
