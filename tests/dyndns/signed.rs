//! Updates in DNS's own words, made by hand: one record each, signed with HMAC-SHA256 or not at all (RFC 2136, RFC 8945).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

const ALGORITHM: &str = "hmac-sha256";

/// What is written is an address.
pub(crate) const AAAA: u16 = 28;
/// A record is added.
pub(crate) const IN: u16 = 1;

/// An update of `zone` by `record`, signed by the key of this name and secret if there is one.
pub(crate) fn update(zone: &str, record: &[u8], key: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut message = [&[0, 7, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 0][..], &name(zone), &[0, 6, 0, 1], record].concat();
    let Some((key, secret)) = key else { return message };
    let (key, algorithm) = (name(key), name(ALGORITHM));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let timers = [&now.to_be_bytes()[2..], &[1, 44]].concat();
    let covered = [&message[..], &key, &[0, 255, 0, 0, 0, 0], &algorithm, &timers, &[0; 4]].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &covered);
    let data = [&algorithm[..], &timers, &[0, 32], mac.as_ref(), &[0, 7], &[0; 4]].concat();
    message[11] = 1;
    [&message[..], &key, &[0, 250, 0, 255, 0, 0, 0, 0], &length(&data), &data].concat()
}

/// A record, on the wire.
pub(crate) fn record(owner: &str, kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    [&name(owner)[..], &kind.to_be_bytes(), &class.to_be_bytes(), &ttl.to_be_bytes(), &length(data), data].concat()
}

/// A name, on the wire.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).expect("short")], label.as_bytes()].concat();
    text.split('.').flat_map(label).chain([0]).collect()
}

/// How long `bytes` are, in two of them.
pub(crate) fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("short").to_be_bytes()
}
