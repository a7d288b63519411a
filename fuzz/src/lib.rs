//! What must hold for any bytes that come from the network, from a person or from the disk: a function of bytes each, which panics
//! where it does not hold.
//!
//! The fuzz targets call them with what a fuzzer makes up, and `tests/corpora.rs`, which includes this file as a module, with the
//! corpora that are kept. A target is a module here, a file in `fuzz_targets`, a `[[bin]]` in `Cargo.toml` and a row of
//! [`TARGETS`].
#![allow(unreachable_pub, reason = "public to the targets, private in the test")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a check that does not hold says so by panicking")]

use std::fmt::Debug;

use fourward_core::peek::Peek;

pub mod client_hello;
pub mod demux;
pub mod dns_message;
pub mod dns_reply;
pub mod dyndns;
pub mod host_line;
pub mod http_head;
pub mod join;
pub mod link_message;
pub mod proxy_protocol;
pub mod quic_initial;
pub mod stored_record;
pub mod tsig;
pub mod update;

/// What must hold for any bytes.
pub type Check = fn(&[u8]);

/// Every target by its name, which is also its corpus's.
pub const TARGETS: [(&str, Check); 14] = [
    ("client_hello", client_hello::check),
    ("demux", demux::check),
    ("dns_message", dns_message::check),
    ("dns_reply", dns_reply::check),
    ("dyndns", dyndns::check),
    ("host_line", host_line::check),
    ("http_head", http_head::check),
    ("join", join::check),
    ("link_message", link_message::check),
    ("proxy_protocol", proxy_protocol::check),
    ("quic_initial", quic_initial::check),
    ("stored_record", stored_record::check),
    ("tsig", tsig::check),
    ("update", update::check),
];

/// A verdict on a beginning stands, whatever comes after it.
fn verdicts_stand<T: PartialEq + Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Peek<T>) {
    let whole = read(bytes);
    // Each cut is a reading anew: of long inputs a sample, with the ends.
    let step = bytes.len() / 64 + 1;
    let cuts = (0..bytes.len()).filter(|cut| cut % step == 0 || *cut < 16 || bytes.len() - cut < 16);
    for cut in cuts {
        let beginning = read(&bytes[..cut]);
        assert!(beginning == Peek::Partial || beginning == whole, "{cut} of {}: {beginning:?}, then {whole:?}", bytes.len());
    }
}
