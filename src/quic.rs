//! What both ends of the link share: keys at TLS, and messages on the stream.
//!
//! The link is QUIC with raw public keys on both sides (RFC 7250, ALPN `fourward/1`). Here is how a key is checked (whether it is the
//! right one is the caller's word) and how messages are framed. Who dials, who proves and what follows is `agent`'s and `link`'s. The first packets
//! of others' connections are [`initial`]'s, what of port 443 is ours [`own`]'s.

pub mod initial;
pub mod own;

use std::time::Duration;

use fourward_core::host::Digest;
use fourward_core::link::{self, MessageError};
use quinn::{Connection, RecvStream, SendStream, TransportConfig, VarInt};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A link that hears nothing for so long is over. Shorter than a lease, so that a dead link is noticed while its lease still runs.
pub const IDLE: Duration = Duration::from_secs(15);

/// Why a message did not come or go.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The stream or its connection ended.
    #[error("the link ended: {0}")]
    Read(#[from] quinn::ReadExactError),
    /// The stream or its connection ended.
    #[error("the link ended: {0}")]
    Write(#[from] quinn::WriteError),
    /// The connection ended.
    #[error("the link ended: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// What came is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// The sending half of a link's stream.
pub struct Sender(SendStream);

/// The receiving half of a link's stream.
///
/// [`Receiver::receive`] may be cancelled: what was read stays for the next call.
pub struct Receiver {
    stream: RecvStream,
    read: Vec<u8>,
}

impl Sender {
    /// Sends on `stream`.
    pub fn new(stream: SendStream) -> Self {
        Self(stream)
    }

    /// Sends `message`.
    ///
    /// # Errors
    /// The link ended, or the message is too long.
    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), ChannelError> {
        Ok(self.0.write_all(&link::encode(message)?).await?)
    }

    /// Says that nothing more will come, and waits briefly until the other end has it all.
    pub async fn finish(mut self) {
        if self.0.finish().is_ok() {
            let _ = tokio::time::timeout(Duration::from_millis(500), self.0.stopped()).await;
        }
    }
}

impl Receiver {
    /// Receives from `stream`.
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The next message.
    ///
    /// # Errors
    /// The link ended, or what came is no message.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, ChannelError> {
        let length = link::length(self.fill(2).await?)?;
        let total = length + 2;
        while self.read.len() < total {
            self.more(total).await?;
        }
        let message = link::decode(self.read.get(2..).unwrap_or_default());
        self.read.clear();
        Ok(message?)
    }

    async fn fill(&mut self, wanted: usize) -> Result<[u8; 2], ChannelError> {
        while self.read.len() < wanted {
            self.more(wanted).await?;
        }
        Ok(self.read.first_chunk().copied().unwrap_or_default())
    }

    /// Reads on, up to `wanted` bytes in all.
    async fn more(&mut self, wanted: usize) -> Result<(), ChannelError> {
        let missing = wanted.saturating_sub(self.read.len());
        match self.stream.read_chunk(missing, true).await.map_err(quinn::ReadExactError::from)? {
            Some(chunk) => self.read.extend_from_slice(&chunk.bytes),
            None => return Err(quinn::ReadExactError::FinishedEarly(self.read.len()).into()),
        }
        Ok(())
    }
}

/// What both ends set: nothing but the one stream and small windows, so that a peer cannot make us hold much.
pub fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(64 * 1024))
        .receive_window(VarInt::from_u32(64 * 1024))
        .send_window(64 * 1024)
        .max_idle_timeout(Some(VarInt::from_u32(u32::try_from(IDLE.as_millis()).unwrap_or(15_000)).into()));
    transport
}

/// The digest of the raw public key that the other end has shown.
pub fn shown_key(connection: &Connection) -> Option<Digest> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    identity.first().map(|public| crate::crypto::sha256(public))
}

/// Checks that the other end has the private half of the key that it shows: TLS 1.3 and raw keys only.
///
/// # Errors
/// The signature is wrong.
pub fn verify_raw_signature(
    message: &[u8],
    shown: &CertificateDer<'_>,
    signature: &rustls::DigitallySignedStruct,
) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
    let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
    let algorithms = crate::crypto::tls_provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
}

/// The signature schemes that [`verify_raw_signature`] knows.
pub fn schemes() -> Vec<rustls::SignatureScheme> {
    crate::crypto::tls_provider().signature_verification_algorithms.supported_schemes()
}

/// TLS 1.2 has no raw keys, and QUIC no TLS 1.2.
///
/// # Errors
/// Always.
pub fn no_tls12() -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General("the link speaks TLS 1.3 only".into()))
}
