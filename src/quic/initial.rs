//! The ciphers that open the first packets of any QUIC client (RFC 9001 §5.2, RFC 9369 §3.3): what they show, whoever is on the way can know.

use fourward_core::quic_initial::{self, Version};
use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{self, DirectionalKeys};

/// Opens the Initial packets of one client.
pub struct InitialKeys(DirectionalKeys);

impl InitialKeys {
    /// For a client that speaks `version` and sends its first packets to `destination`. `None`: the TLS library has no such cipher.
    pub fn new(version: Version, destination: &[u8]) -> Option<Self> {
        let version = match version {
            Version::V1 => quic::Version::V1,
            Version::V2 => quic::Version::V2,
        };
        let suite = TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()?;
        Some(Self(suite.keys(destination, Side::Server, version).remote))
    }
}

impl quic_initial::Keys for InitialKeys {
    fn unmask(&self, sample: &[u8], first: &mut u8, number: &mut [u8]) -> bool {
        self.0.header.decrypt_in_place(sample, first, number).is_ok()
    }

    fn open(&self, number: u64, header: &[u8], payload: &mut [u8]) -> Option<usize> {
        self.0.packet.decrypt_in_place(number, header, payload).ok().map(<[u8]>::len)
    }
}

#[cfg(test)]
mod tests;
