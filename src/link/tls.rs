//! How the gateway's end of the link is set up: its raw public key, and any agent's.
//!
//! Whose key an agent shows is looked up after the handshake; here it only has to be a key that the agent really holds.

use std::sync::Arc;

use aws_lc_rs::hmac;
use fourward_core::change::Identity;
use fourward_core::link::ALPN;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, ServerConfig};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::LinkError;
use crate::quic::own::OwnIds;
use crate::{crypto, quic};

/// Beginnings of connections that wait to be taken up, which happens at once; more are dropped, and their senders try again.
const INCOMING_LIMIT: usize = 256;

/// What an endpoint needs that shows `identity`.
pub(super) fn configs(identity: &Identity) -> Result<(EndpointConfig, ServerConfig, OwnIds), LinkError> {
    let ids = OwnIds::new(&identity.reset_key);
    let mut endpoint = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &identity.reset_key)));
    let generator = ids.clone();
    endpoint.cid_generator(move || Box::new(generator.clone()));

    let resolver = AlwaysResolvesServerRawPublicKeys::new(crypto::raw_key(&identity.link_key)?);
    let mut tls = rustls::ServerConfig::builder_with_provider(crypto::tls_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyAgent))
        .with_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // A ticket would let an agent in whose key was revoked meanwhile.
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| LinkError::NoInitialCipher)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(Arc::new(quic::transport())).max_incoming(INCOMING_LIMIT).incoming_buffer_size_total(4 << 20);
    Ok((endpoint, server, ids))
}

/// Takes any agent that holds the key that it shows.
#[derive(Debug)]
struct AnyAgent;

impl ClientCertVerifier for AnyAgent {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        quic::no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        quic::verify_raw_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        quic::schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
