//! What the two ends of a link know and find out for an examination (`fourward check`).
//!
//! They travel over the control sockets and the link, so each text and list in them is short, and every field may be missing in what an
//! older version sends. What follows from them is `check`'s to judge.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::host::{AddressFrom, Via};
use crate::name::DnsName;

/// What an end of a link calls its ability to take part in an examination.
pub const EXAMINES: &str = "examine";

/// More services of a home than this are not looked at.
pub const SERVICES: usize = 64;

/// Connects of one burst: enough to stand out of what else comes, few enough for the smallest service.
pub const BURST: u32 = 12;

/// The longest text that is taken from the other end.
const TEXT_LIMIT: usize = 300;

/// How a host's link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkStatus {
    /// No agent ever joined.
    NotJoined,
    /// The agent is not there.
    #[default]
    Down,
    /// The agent is there.
    Up,
    /// The agent is there and did not answer the last nonce.
    Silent,
    /// A second agent with the same key was turned away.
    Conflict,
}

/// What came of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connect {
    /// It stands.
    Open,
    /// Somebody says that nobody listens: the machine, or a firewall in its name.
    Refused,
    /// Somebody on the way says that it is not permitted.
    Prohibited,
    /// Somebody on the way says that it cannot be reached.
    Unreachable,
    /// Nobody says anything.
    Silent,
    /// This machine has no way there at all.
    NoRoute,
}

/// What came of connects to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// The port.
    pub port: u16,
    /// The best that came of them.
    pub outcome: Connect,
    /// Whether what was sent there came back to the gateway.
    #[serde(default)]
    pub returned: bool,
}

/// What the gateway knows of a host, and how it finds the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostFacts {
    /// The name for everyone.
    pub dual: DnsName,
    /// The name with the AAAA alone.
    pub twin: DnsName,
    /// Who is the authority on the address.
    pub address_from: AddressFrom,
    /// The home address, if it is known.
    pub address: Option<Ipv6Addr>,
    /// Since when it is that one.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Where the home was before, in another network.
    #[serde(default)]
    pub before: Option<Ipv6Addr>,
    /// Where the AAAA leads.
    pub via: Via,
    /// How the link is.
    pub link: LinkStatus,
    /// For how many seconds the address still counts as proven.
    #[serde(default)]
    pub lease: Option<u64>,
    /// Why the address may not be dialled, if it may not.
    #[serde(default)]
    pub forbidden: Option<String>,
    /// The port that TLS is dialled at.
    pub tls: u16,
    /// The port that HTTP is dialled at.
    pub http: u16,
    /// What came of connects to the home, just now.
    #[serde(default)]
    pub dials: Vec<Dial>,
}

/// Whether a service can be reached at an address of its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listens {
    /// It takes connections there.
    Yes,
    /// Nobody listens on the port.
    No,
    /// Somebody does, on IPv4 alone.
    Ipv4Only,
    /// Somebody does, at another address.
    Elsewhere(IpAddr),
    /// It listens, and does not answer even its own machine.
    Stuck,
}

/// A service, as its own machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// Its TCP port.
    pub port: u16,
    /// Whether it can be reached.
    pub listens: Listens,
}

/// Packets that came to a machine and were not let in, while others were sent to it on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// How many were sent.
    pub sent: u32,
    /// How many were not let in meanwhile.
    pub kept_out: u64,
    /// How many were not let in during as long a time before.
    pub before: u64,
}

impl Burst {
    /// Whether the machine itself keeps out what was sent: three of four that were sent came and stopped there, which noise or a
    /// few lost ones do not change.
    pub fn stopped_here(&self) -> bool {
        self.kept_out.saturating_sub(self.before) >= u64::from(self.sent) * 3 / 4 && self.sent > 0
    }
}

/// What the home's agent knows of itself and its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HomeFacts {
    /// The agent's version.
    pub version: String,
    /// The address that it claims.
    pub claim: Option<Ipv6Addr>,
    /// Whether the kernel made that address from its network's prefix and a secret (RFC 7217), if it says.
    #[serde(default)]
    pub stable_privacy: Option<bool>,
    /// Whether it has a link.
    pub linked: bool,
    /// Why not, or why its address is not published, for people.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What it offers, as it sees that itself.
    #[serde(default)]
    pub services: Vec<Own>,
    /// What became of the gateway's connects.
    #[serde(default)]
    pub burst: Option<Burst>,
}

/// `text`, no longer than what is taken from another machine, and without what moves a terminal's cursor.
pub fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_stands_out_of_noise() {
        let stopped = |kept_out, before| Burst { sent: BURST, kept_out, before }.stopped_here();
        assert!(stopped(12, 0) && stopped(14, 2) && stopped(9, 0));
        assert!(!stopped(0, 0) && !stopped(8, 0) && !stopped(14, 8));
        assert!(!Burst { sent: 0, kept_out: 5, before: 0 }.stopped_here(), "nothing was sent");
    }

    #[test]
    fn what_an_older_version_leaves_out_is_absent() {
        let facts: HomeFacts = serde_json::from_str(r#"{"version":"1","claim":null,"linked":false,"later":1}"#).expect("facts");
        assert_eq!(facts, HomeFacts { version: "1".into(), ..HomeFacts::default() });
    }

    #[test]
    fn texts_of_others_are_short_and_plain() {
        assert_eq!(short("a\u{1b}[2Jb\n"), "a[2Jb");
        assert_eq!(short(&"ü".repeat(1_000)).chars().count(), TEXT_LIMIT);
    }
}
