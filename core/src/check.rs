//! `fourward check`: from what was seen to findings, each with what, how it was found, and what to do.
//!
//! Pure. One fault has many consequences; a finding that only follows from another is "not judged" and says from which, so that the first
//! fault that is named is the one to mend. What cannot be known from where it was looked is a note, not a fault. Gathering the facts is
//! the root package's.

mod answers;
mod dnssec;
mod home;
mod names;
mod own;
mod paths;
mod seen;
mod source;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
pub use seen::{
    Answers, Asked, Certificate, Dnssec, Gateway, Held, NameServer, Names, OwnName, Parent, Path, Referral, Resolved, Said, Seen, Tls, View,
};

/// What is examined. The words are for programs and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is explained where it is judged, and in docs/troubleshooting.md")]
pub enum Id {
    Ports,
    Server,
    ZoneDelegation,
    ZoneGlue,
    FirewallProviderDns,
    DnsUdp,
    DnsTcp,
    Dnssec,
    FirewallProviderLink,
    Link,
    Lease,
    Loop,
    InterfaceIdentifier,
    Resolver,
    A,
    Aaaa,
    Twin,
    Alias,
    Service,
    FirewallHome,
    FirewallRouter,
    SourcePrefix,
    Path4,
    Path6,
    SameServer,
    Certificate,
    Http,
    OwnCertificate,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_value(self).ok();
        f.write_str(word.as_ref().and_then(|word| word.as_str()).unwrap_or_default())
    }
}

/// One thing that was examined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was examined.
    pub id: Id,
    /// Whether there is no fault.
    pub ok: bool,
    /// Whether it is worth a look, or could not be judged, without being a fault.
    pub note: bool,
    /// What is so.
    pub what: String,
    /// How that was found.
    pub how: String,
    /// What to do; empty where there is nothing.
    pub remedy: String,
}

/// All findings about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The name.
    pub name: DnsName,
    /// From where it was looked.
    pub view: View,
    /// In the order in which they are worth reading.
    pub findings: Vec<Finding>,
}

impl Report {
    /// What `seen` comes to.
    pub fn of(seen: &Seen) -> Self {
        let mut judge = Judge { seen, findings: Vec::new() };
        judge.names();
        judge.dnssec();
        judge.home();
        judge.source();
        judge.answers();
        judge.ways();
        Self { name: seen.name.clone(), view: seen.view, findings: judge.findings }
    }

    /// Those that are faults.
    pub fn faults(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.ok)
    }
}

/// Nothing can be asked of our name servers then.
const NO_NAMES: [Id; 5] = [Id::Ports, Id::Server, Id::ZoneDelegation, Id::ZoneGlue, Id::FirewallProviderDns];

/// The home is away then.
const NO_HOME: [Id; 6] = [Id::Ports, Id::Server, Id::FirewallProviderLink, Id::Link, Id::Lease, Id::Loop];

/// Why something is not judged that the other end put in a word unknown here.
const LATER: &str = "the other end is of a later version, and says what this one does not know: update the fourward that you run this with";

/// What to do where who runs and who asks are of different versions: mostly one was updated under the other.
const RESTART: &str = "`systemctl restart fourward`, so that what runs is what is installed; if this stays, `systemctl cat fourward` has the program to run this with";

/// The findings so far.
struct Judge<'a> {
    seen: &'a Seen,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    fn good(&mut self, id: Id, what: impl Into<String>, how: impl Into<String>) {
        self.push(id, true, false, what.into(), how.into(), String::new());
    }

    fn note(&mut self, id: Id, what: impl Into<String>, how: impl Into<String>, remedy: impl Into<String>) {
        self.push(id, true, true, what.into(), how.into(), remedy.into());
    }

    fn fault(&mut self, id: Id, what: impl Into<String>, how: impl Into<String>, remedy: impl Into<String>) {
        self.push(id, false, false, what.into(), how.into(), remedy.into());
    }

    fn push(&mut self, id: Id, ok: bool, note: bool, what: String, how: String, remedy: String) {
        self.findings.push(Finding { id, ok, note, what, how, remedy });
    }

    /// The first fault among `causes`.
    fn cause(&self, causes: &[Id]) -> Option<Id> {
        self.findings.iter().find(|finding| !finding.ok && causes.contains(&finding.id)).map(|finding| finding.id)
    }

    /// Where one of `causes` is a fault, leaves `id` at that and tells so.
    fn follows(&mut self, id: Id, causes: &[Id]) -> bool {
        let Some(cause) = self.cause(causes) else { return false };
        self.note(id, "not judged", format!("it follows from {cause}"), format!("mend {cause} first"));
        true
    }

    fn not_judged(&mut self, id: Id, why: &str) {
        self.note(id, "not judged", why, "");
    }

    /// The name for everyone, for texts.
    fn dual(&self) -> &DnsName {
        self.seen.names.dual.as_ref().unwrap_or(&self.seen.name)
    }
}

/// `items` for people.
fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}

#[cfg(test)]
mod tests;
