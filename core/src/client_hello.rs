//! The name and the protocols that a TLS client asks for, out of its ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2).
//!
//! Written by hand, since the bytes are passed on untouched and TLS libraries keep them: the records may be cut anywhere and the
//! message may span several. It reads what routes a connection and leaves every other extension alone. Encrypted ClientHello is
//! seen by its outer name. The record layer is [`read`]'s; QUIC, which has none, begins at [`message`].

use crate::peek::{Asked, Peek, Refusal};
use crate::reader::Reader;

/// Records, headers and all. A post-quantum hello is below 2 KiB; this is room for those to come, and a cap on what a stranger can
/// make us hold.
pub const HELLO_LIMIT: usize = 64 * 1024;

/// RFC 8446 §5.1: no plaintext record is longer.
const RECORD_LIMIT: usize = 1 << 14;

/// The records of one hello: each wake-up reads all of them anew, so a drip of tiny ones would cost more and more. Programs that hide from
/// censors make records of a byte or two, so a post-quantum hello has to fit.
const RECORDS: usize = 2048;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const HOST_NAME: u8 = 0;

/// What of a ClientHello routes a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server's name (RFC 6066 §3).
    pub name: Asked,
    /// The protocols that the client offers, dearest first (RFC 7301 §3.1).
    pub alpn: Vec<Vec<u8>>,
}

/// Reads the first bytes of a TCP connection. Never [`Peek::Partial`] from [`HELLO_LIMIT`] bytes on.
pub fn read(bytes: &[u8]) -> Peek<ClientHello> {
    let Some(handshake) = assemble(bytes) else {
        return Peek::Foreign;
    };
    match message(&handshake) {
        Peek::Partial if bytes.len() >= HELLO_LIMIT => Peek::Foreign,
        peek => peek,
    }
}

/// Reads the first bytes of a handshake, without records around them.
pub fn message(bytes: &[u8]) -> Peek<ClientHello> {
    let mut rest = Reader(bytes);
    let Some(kind) = rest.u8() else {
        return Peek::Partial;
    };
    if kind != CLIENT_HELLO {
        return Peek::Foreign;
    }
    let Some(length) = rest.u24() else {
        return Peek::Partial;
    };
    if length > HELLO_LIMIT - MESSAGE_HEADER {
        return Peek::Foreign;
    }
    match rest.take(length) {
        None => Peek::Partial,
        Some(body) => body_of(Reader(body)).map_or(Peek::Foreign, Peek::Known),
    }
}

/// The handshake bytes of the records that are here, the last of which may be cut. `None`: these are no handshake records, or too many.
fn assemble(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut handshake = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut records = 0..RECORDS;
    while !rest.is_empty() && !is_whole(&handshake) {
        records.next()?;
        let (header, after) = rest.split_at_checked(RECORD_HEADER).unwrap_or((rest, &[]));
        let length = payload_length(header)?;
        let (payload, next) = after.split_at_checked(length).unwrap_or((after, &[]));
        handshake.extend_from_slice(payload);
        rest = next;
    }
    Some(handshake)
}

/// Whether what follows belongs to later messages.
fn is_whole(handshake: &[u8]) -> bool {
    let mut rest = Reader(handshake);
    let length = rest.u8().and_then(|_| rest.u24());
    length.is_some_and(|length| rest.0.len() >= length)
}

/// The length that a record's header tells, 0 while it is cut; `None` if it is no handshake record's.
fn payload_length(header: &[u8]) -> Option<usize> {
    let fits = |at: usize, good: u8| header.get(at).is_none_or(|byte| *byte == good);
    // The minor version means nothing and must be ignored (RFC 8446 §5.1), as homes do.
    if !(fits(0, RECORD_HANDSHAKE) && fits(1, 3)) {
        return None;
    }
    let (Some(high), Some(low)) = (header.get(3), header.get(4)) else {
        return Some(0);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // Empty handshake records are forbidden, and would let a client send headers for ever.
    (1..=RECORD_LIMIT).contains(&length).then_some(length)
}

fn body_of(mut body: Reader<'_>) -> Option<ClientHello> {
    body.u16()?; // the version, which counts only without supported_versions (RFC 8446 §4.2.1), and for the home to judge
    body.take(32)?; // random
    let session = body.vec8()?;
    let suites = body.vec16()?;
    let compression = body.vec8()?;
    if session.0.len() > 32 || suites.0.len() < 2 || suites.0.len() % 2 != 0 || compression.0.is_empty() {
        return None;
    }
    let mut hello = ClientHello { name: Asked::Nothing, alpn: Vec::new() };
    if body.0.is_empty() {
        return Some(hello); // TLS 1.2 and older may have no extensions
    }
    let mut extensions = body.vec16()?;
    if !body.0.is_empty() {
        return None;
    }
    let (mut names, mut protocols) = (0, 0);
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.u16()?, extensions.vec16()?);
        match kind {
            EXTENSION_SERVER_NAME => {
                names += 1;
                hello.name = server_name(content)?;
            }
            EXTENSION_ALPN => {
                protocols += 1;
                hello.alpn = alpn(content)?;
            }
            _ => {}
        }
    }
    // Forbidden (RFC 8446 §4.2): we and the home might take different ones.
    if names > 1 || protocols > 1 {
        hello.name = Asked::Refused(Refusal::Repeated);
    }
    Some(hello)
}

fn server_name(mut content: Reader<'_>) -> Option<Asked> {
    let mut list = content.vec16()?;
    if !content.0.is_empty() || list.0.is_empty() {
        return None;
    }
    let mut asked = Asked::Nothing;
    while !list.0.is_empty() {
        let (kind, name) = (list.u8()?, list.vec16()?);
        if kind == HOST_NAME {
            asked = if asked == Asked::Nothing { Asked::from_bytes(name.0) } else { Asked::Refused(Refusal::Repeated) };
        }
    }
    Some(asked)
}

fn alpn(mut content: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = content.vec16()?;
    if !content.0.is_empty() || list.0.is_empty() {
        return None;
    }
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vec8().filter(|name| !name.0.is_empty())?.0.to_vec());
    }
    Some(protocols)
}

#[cfg(test)]
pub(crate) mod tests;
