//! The messages of the link (ALPN `fourward/1`).
//!
//! One bidirectional stream carries them, each a line of JSON behind its length (two bytes, network order): few and small, so that
//! being readable and growing by fields counts for more than bytes. What only a later version knows is ignored: fields, messages, words. What
//! is ignored is not answered, so each end says first what it can do beyond the first version (`can`), and is asked nothing else.
//! The QUIC connection is the root package's.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::facts::{HomeFacts, HostFacts, known_ones};
use crate::host::Digest;
use crate::name::DnsName;
pub use crate::service::{NoService, Protocol, Service, parse_services};

/// The protocol's name in TLS (RFC 7301).
pub const ALPN: &[u8] = b"fourward/1";

/// No message comes near this.
pub const MESSAGE_LIMIT: usize = 16 * 1024;

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum FromAgent {
    /// The first message of `join`: trade a secret for the key that this connection has shown.
    Register {
        /// The host of the join string.
        host: DnsName,
        /// The join string's secret.
        secret: crate::join::Secret,
    },
    /// The first message of a link.
    Hello {
        /// The agent's version, for people.
        version: String,
        /// A random number of this run of the agent.
        instance: u64,
        /// What the gateway may open at home.
        #[serde(deserialize_with = "known_ones")]
        services: Vec<Service>,
        /// What it can do beyond the first version.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        can: Vec<String>,
    },
    /// The agent's address changed; its packets come from the new one from here on.
    Moved {
        /// The address that it claims from now on.
        claim: Ipv6Addr,
    },
    /// The agent has no address that could be a home's: what it proved before is void.
    Lost,
    /// The answer to a nonce.
    Echo {
        /// The nonce.
        nonce: u64,
        /// The address that the agent claims, if it has one.
        claim: Option<Ipv6Addr>,
    },
    /// Connect to the home, and say what came of it. Only to who can [`EXAMINES`](crate::facts::EXAMINES).
    Probe,
    /// What was asked by [`FromGateway::Examine`].
    Examined(Box<HomeFacts>),
    /// The agent ends on purpose: its lease ends with it.
    Goodbye,
    /// What only a later version says. Never sent.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// What a gateway says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum FromGateway {
    /// The secret was traded; the key is known from now on.
    Registered {
        /// The name for everyone.
        dual: DnsName,
        /// The name with the AAAA alone.
        twin: DnsName,
    },
    /// The link is the newest of its host.
    Welcome {
        /// The name for everyone.
        dual: DnsName,
        /// The epoch of the link.
        epoch: u64,
        /// What the gateway can do beyond the first version.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        can: Vec<String>,
    },
    /// To be echoed at once.
    Nonce {
        /// Random.
        nonce: u64,
    },
    /// The address is proven. It is published where the link is the authority on it.
    Proven {
        /// The home address.
        address: Ipv6Addr,
    },
    /// The claim could not be proven.
    Unproven {
        /// What the agent claims.
        claim: Ipv6Addr,
        /// Where its packets come from.
        seen: IpAddr,
    },
    /// The claim may not be published.
    Forbidden {
        /// What the agent claims.
        claim: Ipv6Addr,
        /// Why not, for people.
        reason: String,
    },
    /// What came of a [`FromAgent::Probe`], and what the gateway knows of the host.
    Probed(Box<HostFacts>),
    /// Say what you know of yourself. Only to who can [`EXAMINES`](crate::facts::EXAMINES).
    Examine,
    /// The end: what was asked for is refused.
    Refused {
        /// Why, for people.
        reason: String,
        /// Whether it makes sense to come again later without a change by hand.
        again: bool,
    },
    /// What only a later version says. Never sent.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Longer than any message.
    #[error("a message of {0} bytes; {MESSAGE_LIMIT} is the most")]
    Long(usize),
    /// No JSON, or none of ours.
    #[error("a message that is none: {0}")]
    Form(#[from] serde_json::Error),
}

/// `message` as it goes onto the stream, its length first.
///
/// # Errors
/// It would be longer than [`MESSAGE_LIMIT`].
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, MessageError> {
    let json = serde_json::to_vec(message)?;
    let length = u16::try_from(json.len()).ok().filter(|_| json.len() <= MESSAGE_LIMIT).ok_or(MessageError::Long(json.len()))?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// The length that the two bytes before a message announce.
///
/// # Errors
/// More than [`MESSAGE_LIMIT`].
pub fn length(prefix: [u8; 2]) -> Result<usize, MessageError> {
    let length = usize::from(u16::from_be_bytes(prefix));
    if length > MESSAGE_LIMIT { Err(MessageError::Long(length)) } else { Ok(length) }
}

/// The message in `bytes`, its length taken off.
///
/// # Errors
/// They are none.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, MessageError> {
    Ok(serde_json::from_slice(bytes)?)
}

/// What a gateway presents at TLS, compared with the pins of a join string.
pub fn is_pinned(pins: &[Digest], shown: &Digest) -> bool {
    pins.contains(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_stream() {
        let hello = FromAgent::Hello { version: "1".into(), instance: 7, services: Service::defaults(), can: Vec::new() };
        let bytes = encode(&hello).expect("encoded");
        let (prefix, body) = bytes.split_first_chunk().expect("prefix");
        assert_eq!(length(*prefix).expect("length"), body.len());
        assert_eq!(decode::<FromAgent>(body).expect("decoded"), hello);
    }

    #[test]
    fn what_later_versions_add_is_ignored() {
        assert!(decode::<FromGateway>(br#"{"say":"nonce","nonce":7,"colour":"red"}"#).is_ok());
        assert!(decode::<FromAgent>(br#"{"say":"hello","version":"0","instance":7,"services":[]}"#).is_ok(), "an agent of before");
        assert!(decode::<FromGateway>(br#"{"say":"welcome","dual":"a.b","epoch":1}"#).is_ok(), "a gateway of before");
        let dance = br#"{"say":"dance","with":["whom",{"you":"like"}]}"#;
        assert_eq!(decode::<FromGateway>(dance).expect("a message"), FromGateway::Unknown);
        assert_eq!(decode::<FromAgent>(dance).expect("a message"), FromAgent::Unknown);
        assert!(encode(&FromGateway::Unknown).is_err() && encode(&FromAgent::Unknown).is_err(), "it is never sent");
        let hello = br#"{"say":"hello","version":"9","instance":7,"services":["sctp/9","tcp/443",{"quic":443}]}"#;
        let Ok(FromAgent::Hello { services, .. }) = decode(hello) else { panic!("no hello") };
        assert_eq!(services, ["tcp/443".parse().expect("a service")]);
        for none in [&b"\0\xff"[..], b"{}", br#"{"say":"nonce"}"#, br#"{"say":"nonce","nonce":"x"}"#] {
            assert!(decode::<FromGateway>(none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn no_message_is_longer_than_the_limit() {
        assert!(length([0xff, 0xff]).is_err());
        let long = FromGateway::Refused { reason: "x".repeat(MESSAGE_LIMIT), again: false };
        assert!(encode(&long).is_err());
    }
}
