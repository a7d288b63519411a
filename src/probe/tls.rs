//! One TLS handshake, whoever answers, and what the certificate says.
//!
//! Any certificate is taken, and judged afterwards. That is no client to copy.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fourward_core::check::{Certificate, Tls};
use fourward_core::facts::Connect;
use fourward_core::name::DnsName;
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::outcome;
use crate::crypto;

/// For one connect, with one SYN sent anew.
const CONNECT: Duration = Duration::from_millis(2_500);

/// For the handshake: the gateway dials the home meanwhile, for which it has 5 s.
const HANDSHAKE: Duration = Duration::from_secs(6);

/// A certificate for more names than this is named by the first of them.
const NAMES: usize = 5;

/// What is found at `to` under `name`.
pub async fn visit(to: SocketAddr, name: &DnsName) -> Tls {
    let stream = match timeout(CONNECT, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Tls::No(outcome(Err(error))),
        Err(_) => return Tls::No(Connect::Silent),
    };
    let Ok(server) = ServerName::try_from(name.as_str().to_owned()) else { return Tls::Broken("the name fits no TLS".into()) };
    let config = match config() {
        Ok(config) => config,
        Err(error) => return Tls::Broken(error.to_string()),
    };
    let handshake = TlsConnector::from(Arc::new(config)).connect(server.clone(), stream);
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => shown(stream.get_ref().1.peer_certificates().unwrap_or_default(), &server),
        Ok(Err(error)) => failed(&error),
        Err(_) => Tls::Broken(format!("the handshake was not done after {} s", HANDSHAKE.as_secs())),
    }
}

/// Whether a byte comes back when `request` is sent to `to` in TLS for `name`. Until then this takes as long as it takes.
pub async fn answers(to: SocketAddr, name: &DnsName, request: &str) -> bool {
    let Ok(server) = ServerName::try_from(name.as_str().to_owned()) else { return false };
    let (Ok(config), Ok(stream)) = (config(), TcpStream::connect(to).await) else { return false };
    let Ok(stream) = TlsConnector::from(Arc::new(config)).connect(server, stream).await else { return false };
    super::answered(stream, request).await
}

fn failed(error: &io::Error) -> Tls {
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => Tls::Alert((*alert).into()),
        Some(other) => Tls::Broken(fourward_core::facts::short(&other.to_string())),
        None => Tls::Broken(error.to_string()),
    }
}

fn shown(chain: &[CertificateDer<'_>], server: &ServerName<'_>) -> Tls {
    let Some((leaf, rest)) = chain.split_first() else { return Tls::Broken("no certificate was shown".into()) };
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Tls::Broken("what was shown is no certificate".into()) };
    let moment = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let fits = ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, server).is_ok());
    Tls::Stands(Certificate {
        digest: crypto::sha256(leaf).to_string(),
        from: moment(parsed.validity().not_before.timestamp()),
        until: moment(parsed.validity().not_after.timestamp()),
        fits,
        names: names(&parsed),
        trusted: is_trusted(leaf, rest, server),
    })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(fourward_core::facts::short(name)),
        _ => None,
    };
    names.filter_map(text).take(NAMES).collect()
}

/// Whether an authority that this machine trusts has signed it. Its dates and its name are judged apart from that.
fn is_trusted(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], server: &ServerName<'_>) -> bool {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), crypto::tls_provider()).build() else { return false };
    verifier.verify_server_cert(leaf, rest, server, &[], UnixTime::now()).is_ok()
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let any = Arc::new(Any(crypto::tls_provider().signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(crypto::tls_provider()).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(any).with_no_client_auth())
}

/// Takes any certificate whose key is really there.
#[derive(Debug)]
struct Any(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
