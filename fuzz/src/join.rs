//! A join string: what is read can be written and read again, and does not show its secret.
//!
//! Bytes that do not begin like one are the fields of one, so that a fuzzer gets behind the checksum.

use std::fmt::Write as _;

use fourward_core::join::JoinString;

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let line = if text.starts_with("fw1.") { text.to_owned() } else { sealed(text) };
    let Ok(join) = line.parse::<JoinString>() else { return };
    let again: JoinString = join.reveal().parse().expect("what we write ourselves");
    assert_eq!(again, join);
    let secret = join.secret.reveal().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    assert!(!format!("{join:?}").contains(&secret));
}

/// `fields` (`{"gateways":…,"secret":"…"`) with their checksum, as a line.
fn sealed(fields: &str) -> String {
    format!("fw1.{}", base64url(format!("{fields},\"check\":{}}}", crc32(fields.as_bytes())).as_bytes()))
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

fn base64url(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        (0..=chunk.len()).for_each(|at| text.push(char::from(alphabet[(bits >> (18 - 6 * at) & 63) as usize])));
    }
    text
}
