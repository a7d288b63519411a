//! What update clients are answered, word for word.
//!
//! Some clients read the first word of a line, some its status, and some look for `good`, `nochg`, `updated` or `unchanged` anywhere: no refusal may
//! contain one of those.

use std::fmt;
use std::net::IpAddr;

use super::acme_dns::{self, BadPost};
use super::{Dialect, Malformed};
use crate::change::Refused;

/// One line of an answer. Clients read its first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is done; these addresses are published.
    Good(Vec<IpAddr>),
    /// It was so already.
    NoChange(Vec<IpAddr>),
    /// This value is in the TXT record.
    Proof {
        /// The value.
        value: String,
        /// Whether it is new there.
        news: bool,
    },
    /// The records of these types are taken away.
    Deleted(Vec<&'static str>),
    /// Not a host of these credentials.
    NoHost,
    /// Not a whole name.
    NotFqdn,
    /// Unknown user or wrong password.
    BadAuth,
    /// Too many names.
    NumHost,
    /// `offline=YES`, which is not done.
    NotOffline,
    /// Too many wrong passwords.
    Abuse,
    /// Too many changes, by this host or by its network.
    TooOften {
        /// Seconds until the next may come.
        wait: u64,
    },
    /// The client may not come this way; why, and what to do.
    BadAgent(String),
    /// What it says is refused; why.
    Refused(String),
    /// The same of what an account of acme-dns posted.
    BadPost(BadPost),
    /// The server cannot do it now.
    Fault,
}

impl Line {
    /// The first words of all lines.
    pub const WORDS: [&'static str; 12] =
        ["good", "nochg", "deleted", "nohost", "notfqdn", "badauth", "numhost", "!donator", "abuse", "badagent", "dnserr", "911"];

    /// The first word, which is what clients act on.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good(_) | Self::Proof { news: true, .. } => "good",
            Self::NoChange(_) | Self::Proof { news: false, .. } => "nochg",
            Self::Deleted(_) => "deleted",
            Self::NoHost => "nohost",
            Self::NotFqdn => "notfqdn",
            Self::BadAuth => "badauth",
            Self::NumHost => "numhost",
            Self::NotOffline => "!donator",
            Self::Abuse | Self::TooOften { .. } => "abuse",
            Self::BadAgent(_) => "badagent",
            Self::Refused(_) | Self::BadPost(_) => "dnserr",
            Self::Fault => "911",
        }
    }

    /// Whether it is done, or was so.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Good(_) | Self::NoChange(_) | Self::Proof { .. } | Self::Deleted(_))
    }
}

impl Dialect {
    /// The whole body that says `lines`.
    pub fn body(self, lines: &[Line]) -> String {
        match self {
            Self::AcmeDns => lines.first().map(acme_dns::body).unwrap_or_default(),
            Self::DynV6 if lines.iter().all(|line| matches!(line, Line::NoChange(_))) => "addresses unchanged\n".into(),
            Self::DynV6 if lines.iter().all(Line::is_done) => "addresses updated\n".into(),
            _ => lines.iter().map(|line| format!("{line}\n")).collect(),
        }
    }
}

impl From<Malformed> for Line {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Hosts => Self::NumHost,
            Malformed::Posted(bad) => Self::BadPost(bad),
            Malformed::Address { parameter, value, why } if mistaken(&value) => Self::Refused(format!("what {parameter} says {why}")),
            refused => Self::Refused(refused.to_string()),
        }
    }
}

impl From<&Refused> for Line {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::UnknownHost(_) => Self::NoHost,
            refused => Self::Refused(refused.to_string()),
        }
    }
}

/// Whether clients that look for their words anywhere would find one.
fn mistaken(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["good", "nochg", "updated", "unchanged", "deleted"].into_iter().any(|word| text.contains(word))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Good(addresses) | Self::NoChange(addresses) if addresses.is_empty() => Ok(()),
            Self::Good(addresses) | Self::NoChange(addresses) => write!(f, " {}", listed(addresses)),
            Self::Deleted(types) => write!(f, " {}", types.join(",")),
            Self::NotOffline => f.write_str(" a host here is never taken offline by an update; all is as it was"),
            Self::Abuse => f.write_str(" too many wrong passwords came from your network; try again in a minute"),
            Self::TooOften { wait } => {
                write!(f, " too many changes in a short time; the next is taken in {wait} s (a repetition is taken at any time)")
            }
            // Then the first word alone; the log has the rest.
            Self::BadAgent(reason) | Self::Refused(reason) if mistaken(reason) => Ok(()),
            Self::BadAgent(reason) | Self::Refused(reason) => write!(f, " {reason}"),
            Self::BadPost(bad) => write!(f, " {bad}"),
            Self::Proof { .. } | Self::NoHost | Self::NotFqdn | Self::BadAuth | Self::NumHost | Self::Fault => Ok(()),
        }
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
