//! Whose a datagram on UDP 443 is, by its first bytes.
//!
//! RFC 8999 fixes where the connection IDs stand in every version of QUIC. Known connection IDs come first; beginnings of
//! connections go to our own endpoint, which speaks to agents. Homes' clients were told apart before (`quic_flows`), by the name inside their Initial:
//! what comes here and is not ours is nobody's.

/// How long our own connection IDs are.
pub const OWN_ID_LENGTH: usize = 8;

/// The version that agents speak (RFC 9000). An answer to another one would only tell strangers that somebody is here.
const VERSION_1: [u8; 4] = [0, 0, 0, 1];

/// The longest connection ID of QUIC version 1 (RFC 9000 §17.2).
const ID_LIMIT: usize = 20;

/// What a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A connection of our own endpoint, or one that may begin there.
    Own,
    /// Nobody: to be dropped without an answer.
    Nobody,
}

/// Whose `datagram` is; `is_own` knows our connection IDs, of [`OWN_ID_LENGTH`] bytes.
pub fn owner(datagram: &[u8], is_own: impl Fn(&[u8]) -> bool) -> Owner {
    let Some((first, rest)) = datagram.split_first() else {
        return Owner::Nobody;
    };
    let long_header = first & 0x80 != 0;
    let own = if long_header { begins_or_continues(rest) } else { rest.get(..OWN_ID_LENGTH).is_some_and(is_own) };
    if own { Owner::Own } else { Owner::Nobody }
}

/// A long header with our version and a destination that can be one (RFC 8999 §5.1).
fn begins_or_continues(rest: &[u8]) -> bool {
    let Some((version, rest)) = rest.split_first_chunk::<4>() else { return false };
    let Some((length, rest)) = rest.split_first() else { return false };
    *version == VERSION_1 && usize::from(*length) <= ID_LIMIT && rest.len() > usize::from(*length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(datagram: &[u8]) -> Owner {
        owner(datagram, |id| id == b"our8byte")
    }

    #[test]
    fn our_connection_ids_are_known() {
        assert_eq!(whose(b"\x40our8byte and the rest"), Owner::Own);
        assert_eq!(whose(b"\x40not ours and the rest"), Owner::Nobody);
        assert_eq!(whose(b"\x40our8"), Owner::Nobody);
    }

    #[test]
    fn beginnings_come_to_us_and_garbage_does_not() {
        assert_eq!(whose(b"\xc0\0\0\0\x01\x04abcd\x00rest"), Owner::Own);
        assert_eq!(whose(b"\xc0\0\0\0\0\x04abcd\x00rest"), Owner::Nobody, "version negotiation");
        assert_eq!(whose(b"\xc0\x1a\x2a\x3a\x4a\x04abcd\x00rest"), Owner::Nobody, "a version of others");
        assert_eq!(whose(b"\xc0\0\0\0\x01\x15aaaaaaaaaaaaaaaaaaaaaaaaaa"), Owner::Nobody, "21 bytes of connection ID");
        for length in 0..10 {
            assert_eq!(whose(&b"\xc0\0\0\0\x01\x04abcd"[..length]), Owner::Nobody, "{length}");
        }
    }
}
