//! What the two ends of a link know and find out for an examination (`fourward check`).
//!
//! They travel over the control sockets and the link, so each text and list in them is short, and every field may be missing in what an
//! older version sends. A word that a later one adds is `None` here, and left out where the facts are sent on. What follows from them is
//! `check`'s to judge.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::host::{AddressFrom, Via};
use crate::name::DnsName;
use crate::source::SourcePrefix;

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
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Connect>,
    /// Whether what was sent there came back to the gateway.
    #[serde(default)]
    pub returned: bool,
}

/// What came of a connect to a home from an address that stands for a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FromSource {
    /// The prefix that the address is in.
    pub prefix: SourcePrefix,
    /// Which port was connected to.
    pub port: u16,
    /// What came of it.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Connect>,
}

/// What the gateway knows of a host, and how it finds the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostFacts {
    /// The name for everyone.
    pub dual: DnsName,
    /// The name with the AAAA alone.
    pub twin: DnsName,
    /// The name of the host that it follows, if it follows one: that one's link or update says where both are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<DnsName>,
    /// Who is the authority on the address.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub address_from: Option<AddressFrom>,
    /// The name in somebody else's DNS that says where it is. Then nobody else is the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<DnsName>,
    /// What is wrong with what DNS says of that name, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<String>,
    /// The home address, if it is known.
    pub address: Option<Ipv6Addr>,
    /// Since when it is that one.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Where the home was before, in another network.
    #[serde(default)]
    pub before: Option<Ipv6Addr>,
    /// Where the AAAA leads.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// How the link is.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStatus>,
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
    /// What came of one more, if the gateway sends from a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_source: Option<FromSource>,
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
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub listens: Option<Listens>,
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

/// What stands there, or `None` for what only a later version knows.
fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(stands_there: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(stands_there)?).ok())
}

/// Those of a list that this version knows.
pub(crate) fn known_ones<'de, D: Deserializer<'de>, T: DeserializeOwned>(list: D) -> Result<Vec<T>, D::Error> {
    let all = Vec::<Value>::deserialize(list)?;
    Ok(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect())
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
        let facts: HostFacts =
            serde_json::from_str(r#"{"dual":"a.org","twin":"b.org","address":null,"tls":443,"http":80}"#).expect("facts");
        assert_eq!((facts.leader, facts.dials), (None, vec![]));
    }

    const LATER: &str = "word-of-a-later-version";

    fn host() -> HostFacts {
        HostFacts {
            dual: "cloud.dyn.example.org".parse().expect("name"),
            twin: "cloud-ip6only.dyn.example.org".parse().expect("name"),
            leader: "nas.dyn.example.org".parse().ok(),
            address_from: Some(AddressFrom::Update),
            upstream: "home.example.net".parse().ok(),
            unresolved: Some("no such name".into()),
            address: "2001:db8::1".parse().ok(),
            since: Some(Timestamp::UNIX_EPOCH),
            before: "2001:db8::2".parse().ok(),
            via: Some(Via::Gateway),
            link: Some(LinkStatus::Conflict),
            lease: Some(1),
            forbidden: Some("no".into()),
            tls: 443,
            http: 80,
            dials: vec![Dial { port: 443, outcome: Some(Connect::Refused), returned: false }],
            from_source: None,
        }
    }

    fn home() -> HomeFacts {
        HomeFacts {
            version: "1".into(),
            claim: "2001:db8::1".parse().ok(),
            stable_privacy: Some(true),
            linked: true,
            trouble: Some("none".into()),
            services: vec![
                Own { port: 443, listens: Some(Listens::No) },
                Own { port: 80, listens: Some(Listens::Elsewhere([127, 0, 0, 1].into())) },
            ],
            burst: Some(Burst { sent: 1, kept_out: 2, before: 3 }),
        }
    }

    /// Puts `other` in the place of each text of `facts` that is one of a closed set, one at a time, has it read and sent on, and tells how many
    /// there were.
    fn each_word<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(facts: &T, other: &Value) -> usize {
        // What people, names, addresses and times are written as.
        const FREE: [&str; 12] =
            ["dual", "twin", "leader", "upstream", "unresolved", "address", "since", "before", "forbidden", "version", "claim", "trouble"];
        fn places(value: &Value, at: &str, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) if at.ends_with("/listens") => found.extend(fields.keys().map(|_| at.to_owned())),
                Value::Object(fields) => fields
                    .iter()
                    .filter(|(key, _)| !FREE.contains(&key.as_str()))
                    .for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
                Value::Array(items) => (0..).zip(items).for_each(|(index, item): (usize, _)| places(item, &format!("{at}/{index}"), found)),
                Value::String(_) => found.push(at.to_owned()),
                _ => {}
            }
        }
        let whole = serde_json::to_value(facts).expect("JSON");
        assert_eq!(&serde_json::from_value::<T>(whole.clone()).expect("facts"), facts);
        let mut found = Vec::new();
        places(&whole, "", &mut found);
        for at in &found {
            let mut later = whole.clone();
            *later.pointer_mut(at).expect("there") = other.clone();
            let read: T = serde_json::from_value(later).unwrap_or_else(|error| panic!("{at}: {error}"));
            let mut without = whole.clone();
            let (parent, key) = at.rsplit_once('/').expect("a field");
            without.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(key);
            assert_eq!(serde_json::to_value(&read).expect("JSON"), without, "{at}: all else is as it was, and the word is not sent on");
        }
        found.len()
    }

    #[test]
    fn a_word_of_a_later_version_is_unknown_and_all_else_is_read() {
        for other in [Value::from(LATER), serde_json::json!({ LATER: 1 })] {
            assert_eq!(each_word(&host(), &other), 4);
            assert_eq!(each_word(&home(), &other), 2);
        }
    }

    #[test]
    fn texts_of_others_are_short_and_plain() {
        assert_eq!(short("a\u{1b}[2Jb\n"), "a[2Jb");
        assert_eq!(short(&"ü".repeat(1_000)).chars().count(), TEXT_LIMIT);
    }
}
