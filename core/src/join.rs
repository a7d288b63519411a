//! The join string: everything that a home needs to find its gateway, to know it, and to be let in once.
//!
//! `fw1.` + base64url of JSON, one line that survives copy and paste; a checksum in it tells a damaged one from a wrong one
//! before anybody is asked. The root package makes the randomness and asks the gateway; this module only writes and reads.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::host::Digest;
use crate::name::DnsName;

/// What every join string of this form begins with.
const PREFIX: &str = "fw1.";

/// What stands between the fields and their checksum, which is the last of them. It is of the text before it, so that fields of
/// later versions are covered too.
const CHECK: &str = ",\"check\":";

/// A few gateways with a few addresses each; more is no join string.
const LENGTH_LIMIT: usize = 8 * 1024;

/// A gateway as an agent knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peer {
    /// Its own name, the SNI of the link.
    pub name: DnsName,
    /// Where it listens, so that the link needs no DNS.
    pub addresses: Vec<IpAddr>,
    /// Digests of the public keys that it may show.
    pub pins: Vec<Digest>,
    /// The UDP port of the link, 443 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Peer {
    /// The UDP port of the link.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(443)
    }
}

/// What `host add` prints and `join` reads. Its secret never shows in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JoinString {
    /// Where to register.
    pub gateways: Vec<Peer>,
    /// The host to register for: its dual name.
    pub host: DnsName,
    /// The single-use secret, 64 hexadecimal digits.
    pub secret: Secret,
}

/// 256 random bits. Shown by [`Secret::reveal`] alone.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Digest);

/// Why a text is no join string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Another text altogether.
    #[error("this is no join string: it begins with \"{PREFIX}\"; copy the whole line that `fourward host add` printed")]
    Prefix,
    /// Longer than any.
    #[error("this is no join string: it is longer than {LENGTH_LIMIT} characters")]
    Long,
    /// Characters missing or changed.
    #[error("the join string is damaged (cut or altered on the way); copy the whole line that `fourward host add` printed")]
    Damaged,
    /// Readable, but names no gateway.
    #[error("the join string names no gateway; make a new one with `fourward host token`")]
    NoGateway,
}

impl Secret {
    /// A secret of these random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Digest(bytes))
    }

    /// The bytes, for hashing and for the wire.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinString({})", self.host)
    }
}

impl JoinString {
    /// The string as a line of text. It is a secret: print it for the owner only.
    pub fn reveal(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let fields = json.strip_suffix('}').unwrap_or_default();
        let checked = format!("{fields}{CHECK}{}}}", checksum(fields));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(checked))
    }
}

impl FromStr for JoinString {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        // A mail program may have broken the line.
        let text: String = text.chars().filter(|c| !c.is_whitespace()).take(LENGTH_LIMIT + 1).collect();
        if text.len() > LENGTH_LIMIT {
            return Err(JoinError::Long);
        }
        let body = text.strip_prefix(PREFIX).ok_or(JoinError::Prefix)?;
        let json = URL_SAFE_NO_PAD.decode(body).ok().and_then(|json| String::from_utf8(json).ok()).ok_or(JoinError::Damaged)?;
        let (fields, check) = json.rsplit_once(CHECK).ok_or(JoinError::Damaged)?;
        if check.strip_suffix('}') != Some(checksum(fields).to_string().as_str()) {
            return Err(JoinError::Damaged);
        }
        let join: Self = serde_json::from_str(&json).map_err(|_| JoinError::Damaged)?;
        if join.gateways.iter().all(|gateway| gateway.addresses.is_empty() || gateway.pins.is_empty()) {
            return Err(JoinError::NoGateway);
        }
        Ok(join)
    }
}

/// CRC-32 (IEEE 802.3): against accidents only; whom to trust is the pins' affair.
fn checksum(text: &str) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !text.bytes().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> JoinString {
        let gateway = Peer {
            name: "gw.dyn.example.org".parse().expect("name"),
            addresses: vec!["2001:db8:a::11".parse().expect("v6"), "192.0.2.11".parse().expect("v4")],
            pins: vec![Digest([7; 32])],
            port: None,
        };
        JoinString { gateways: vec![gateway], host: "cloud.dyn.example.org".parse().expect("name"), secret: Secret::new([9; 32]) }
    }

    #[test]
    fn a_join_string_survives_a_broken_line() {
        let mut text = join().reveal();
        text.insert_str(40, "\r\n  ");
        assert_eq!(text.parse(), Ok(join()));
    }

    #[test]
    fn every_cut_is_noticed() {
        let text = join().reveal();
        for end in 0..text.len() {
            assert!(text[..end].parse::<JoinString>().is_err(), "{end}");
        }
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let text = join().reveal();
        for at in 0..text.len() {
            for other in ["A", "z", "0", "9", "-", "_", ".", "=", "ü"].into_iter().filter(|other| !text[at..].starts_with(other)) {
                let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert!(altered.parse::<JoinString>().is_err(), "{other} at {at}");
            }
        }
    }

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(checksum("123456789"), 0xCBF4_3926);
    }

    #[test]
    fn its_secret_does_not_show() {
        assert!(!format!("{:?}", join()).contains("0909"));
    }
}
