//! A host as a line of text: what `host export` prints and `host import` reads, for backup, migration and loads in bulk.
//!
//! A line is one JSON object. A host's settings stand in it as on the command line, so that one set of rules judges both; its credentials are
//! the digests that the state keeps. A removed name has a line of its own kind. Unknown fields are refused: whoever wrote them meant something. Not in
//! it: challenges, which live for minutes, and what belongs to the server itself. Pages, files and sockets are the root package's.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::api::Cursor;
use crate::change::Entry;
use crate::host::{self, Credentials, Digest, Edit, EditError, Host, JoinSecret, Settings};
use crate::name::{DnsName, HostName, NameError};
use crate::state::State;
use crate::stored::{Join, Proven, Reported};

/// The longest line: far above a host with all the aliases and networks that it may have.
pub const LINE_LIMIT: usize = 256 * 1024;

/// The digest of a secret that nobody has: no text is known to have it.
const NOBODYS: Digest = Digest([0; 32]);

/// Lines of an export, and where the next ones begin; `None` after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// To be asked for next.
    pub next: Option<Cursor>,
}

/// Why a line is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is too long to be one.
    #[error("it is longer than {LINE_LIMIT} bytes; is the file an export?")]
    Long,
    /// It is no JSON, or has a field that is unknown or malformed.
    #[error("{0}; `fourward host export` shows what a line looks like")]
    Form(String),
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A setting does not fit.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// A host. What is absent is as on a new one that nobody has joined.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HostLine {
    zone: DnsName,
    host: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settings: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join: Option<Join>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proven: Option<Proven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Ipv6Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<Proven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    router: Option<Reported>,
}

/// A removed name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TombstoneLine {
    zone: DnsName,
    removed: String,
    at: Timestamp,
}

/// Tells the two kinds apart.
#[derive(Deserialize)]
struct Kind {
    removed: Option<IgnoredAny>,
}

/// What `line` says. Whether that fits the state and the policy is `apply`'s word.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &str) -> Result<Entry, LineError> {
    if line.len() > LINE_LIMIT {
        return Err(LineError::Long);
    }
    let malformed = |error: serde_json::Error| LineError::Form(said(&error));
    if serde_json::from_str::<Kind>(line).map_err(malformed)?.removed.is_some() {
        let line: TombstoneLine = serde_json::from_str(line).map_err(malformed)?;
        return Ok(Entry::Tombstone { name: HostName::new(&line.removed, line.zone)?, removed: line.at });
    }
    let line: HostLine = serde_json::from_str(line).map_err(malformed)?;
    let edits = line.settings.iter().map(|edit| edit.parse()).collect::<Result<Vec<Edit>, _>>()?;
    Ok(Entry::Host { name: HostName::new(&line.host, line.zone.clone())?, edits, host: Box::new(line.into()) })
}

/// The next lines of an export of `state`, as many as fit both limits, and at least one where there is any.
///
/// # Errors
/// None that a state of today can cause.
pub fn page(state: &State, after: Option<&Cursor>, most: usize, bytes: usize) -> Result<Page, serde_json::Error> {
    let (host, tombstone) = match after {
        None => (None, None),
        Some(Cursor::Host(name)) => (Some(name), None),
        Some(Cursor::Tombstone(name)) => (None, Some(name)),
    };
    let hosts = tombstone.is_none().then(|| state.hosts_after(host)).into_iter().flatten();
    let hosts = hosts.map(|(name, host)| (Cursor::Host(name.clone()), of_host(name, host)));
    let tombstones = state.tombstones_after(tombstone);
    let tombstones = tombstones.map(|(name, removed)| (Cursor::Tombstone(name.clone()), of_tombstone(name, *removed)));
    let (mut page, mut length) = (Page { lines: Vec::new(), next: None }, 0_usize);
    let mut last = None;
    for (cursor, line) in hosts.chain(tombstones) {
        let line = line?;
        if last.is_some() && (page.lines.len() >= most || length.saturating_add(line.len()) > bytes) {
            page.next = last;
            break;
        }
        length = length.saturating_add(line.len());
        page.lines.push(line);
        last = Some(cursor);
    }
    Ok(page)
}

fn of_host(name: &HostName, host: &Host) -> Result<String, serde_json::Error> {
    // Taken apart whole, so that a new field cannot be forgotten.
    let Host { settings, credentials, proven, before, updated, router, barred: _, challenge: _ } = host;
    let Credentials { join, agent, update, proof } = *credentials;
    let at = |address, since| Proven { address, since };
    serde_json::to_string(&HostLine {
        zone: name.zone().clone(),
        host: name.label().into(),
        settings: settings.edits().iter().map(ToString::to_string).collect(),
        join: (join != nobodys()).then_some(Join { secret: join.secret, expires: join.expires, spent_by: join.spent_by }),
        agent,
        update: Some(update).filter(|update| *update != NOBODYS),
        proof,
        proven: proven.map(|host::Proven { address, since }| at(address, since)),
        before: *before,
        updated: updated.map(|host::Updated { address, since }| at(address, since)),
        router: router.map(|host::Reported { v4, v6, at }| Reported { v4, v6, at }),
    })
}

fn of_tombstone(name: &HostName, removed: Timestamp) -> Result<String, serde_json::Error> {
    serde_json::to_string(&TombstoneLine { zone: name.zone().clone(), removed: name.label().into(), at: removed })
}

impl From<HostLine> for Host {
    fn from(line: HostLine) -> Self {
        let join = line.join.map_or(nobodys(), |Join { secret, expires, spent_by }| JoinSecret { secret, expires, spent_by });
        Self {
            settings: Settings::default(),
            credentials: Credentials { join, agent: line.agent, update: line.update.unwrap_or(NOBODYS), proof: line.proof },
            proven: line.proven.map(|Proven { address, since }| host::Proven { address, since }),
            before: line.before,
            updated: line.updated.map(|Proven { address, since }| host::Updated { address, since }),
            router: line.router.map(|Reported { v4, v6, at }| host::Reported { v4, v6, at }),
            barred: None,
            challenge: BTreeSet::new(),
        }
    }
}

/// The join string's secret of a line without one: good for nobody, at no time.
fn nobodys() -> JoinSecret {
    JoinSecret { secret: NOBODYS, expires: Timestamp::UNIX_EPOCH, spent_by: None }
}

/// The parser's words, without its place: a line is one line.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| format!("{what} (column {})", error.column()))
}

#[cfg(test)]
mod tests;
