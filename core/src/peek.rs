//! What the first bytes of a connection say so far, and the name that they ask for.
//!
//! Shared by every protocol that is looked at before it is passed on. Pure: bytes in, verdict out. The gateway owns the
//! socket, the buffer and the deadline; what a name leads to is `route`'s.

use crate::name::{DnsName, NameError};

/// What a beginning is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peek<T> {
    /// Settled: later bytes cannot change it.
    Known(T),
    /// A valid beginning, below the protocol's limit. Read more and ask again.
    Partial,
    /// Another protocol, or a broken or oversized one.
    Foreign,
}

/// The name that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// None at all.
    Nothing,
    /// This one.
    Name(DnsName),
    /// Something that no host of ours can be called, or that two readers could take for two names.
    Refused(Refusal),
}

/// Why what a client asks for is not looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The field stands there twice, or names two hosts.
    #[error("the name is given more than once")]
    Repeated,
    /// Not even text.
    #[error("the name is no text")]
    NoText,
    /// A NUL, an address, an empty label, 254 characters and the like.
    #[error(transparent)]
    NoName(#[from] NameError),
    /// A request to a proxy (CONNECT), or a user's name in an authority.
    #[error("this is no proxy")]
    Proxy,
}

impl Asked {
    /// Judges the bytes of a name as a client sent them. Case and one final dot do not count.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self::Refused(Refusal::NoText);
        };
        match text.parse() {
            Ok(name) => Self::Name(name),
            Err(error) => Self::Refused(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_host_is_refused_with_its_reason() {
        assert_eq!(Asked::from_bytes(b"Cloud.Example.ORG."), Asked::Name("cloud.example.org".parse().expect("name")));
        assert_eq!(Asked::from_bytes(b"\xff.org"), Asked::Refused(Refusal::NoText));
        for bytes in [&b""[..], b"a\0b.org", b"192.0.2.1", b"::1", b"[::1]", b"a..org", &[b'a'; 300], b"a b", b"."] {
            assert!(matches!(Asked::from_bytes(bytes), Asked::Refused(Refusal::NoName(_))), "{bytes:?}");
        }
    }
}
