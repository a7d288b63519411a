//! The few bytes that probes speak: one DNS question, one HTTP request, one TLS ClientHello.
//!
//! By hand, because a probe every 20 ms must cost little and know the moment of the first byte.

use std::net::Ipv6Addr;

/// A question for AAAA, without recursion: for an authoritative server.
pub(crate) fn aaaa_question(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label of at most 63 bytes"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 28, 0, 1]);
    message
}

/// The first AAAA record of the answer to `aaaa_question(id, …)`.
pub(crate) fn first_aaaa(question: &[u8], answer: &[u8]) -> Option<Ipv6Addr> {
    if answer.get(..2)? != question.get(..2)? {
        return None;
    }
    // The answer section begins behind the question, which comes back as it was sent.
    let mut rest = answer.get(question.len()..)?;
    while !rest.is_empty() {
        rest = rest.get(name_length(rest)?..)?;
        let length = usize::from(u16::from_be_bytes([*rest.get(8)?, *rest.get(9)?]));
        let data = rest.get(10..10 + length)?;
        if rest.get(..2)? == [0, 28] {
            return Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?));
        }
        rest = rest.get(10 + length..)?;
    }
    None
}

/// How many bytes an owner name takes, compressed or not.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xC0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// A request for the page at `/`, on a connection that ends with the answer.
pub(crate) fn http_request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A TLS 1.2 ClientHello for `host`, enough for any server to begin a handshake.
pub(crate) fn client_hello(host: &str) -> Vec<u8> {
    let name = [&[0][..], &with_length16(host.as_bytes())].concat();
    let extensions = [
        extension(0, &with_length16(&name)),
        // Groups P-256 and X25519; uncompressed points; ECDSA and RSA-PSS with SHA-256.
        extension(10, &[0, 4, 0, 0x17, 0, 0x1d]),
        extension(11, &[1, 0]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
    ]
    .concat();
    // ECDHE with AES-128-GCM, for either kind of certificate; no compression.
    let body = [&[3, 3][..], &[0x2a; 32], &[0], &[0, 4, 0xc0, 0x2b, 0xc0, 0x2f], &[1, 0], &with_length16(&extensions)].concat();
    let handshake = [&[1, 0][..], &with_length16(&body)].concat();
    [&[22, 3, 1][..], &with_length16(&handshake)].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length16(content)].concat()
}

fn with_length16(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("at most 64 KiB");
    [&length.to_be_bytes()[..], content].concat()
}
