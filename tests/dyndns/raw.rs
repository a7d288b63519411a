//! Requests byte by byte over TLS, as clients send them that no HTTP library would imitate.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

use crate::machines::{VPS4, VPS6};
use crate::rig::{OWN, Rig};

/// A server that does not answer fails the test.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Who knows the server by its certificate alone, as one who was given a copy.
pub(crate) struct Raw(Arc<ClientConfig>);

impl Raw {
    pub(crate) fn new(rig: &Rig) -> Self {
        let leaf = CertificateDer::from_pem_file(&rig.ca).expect("the server's certificate");
        let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Known(leaf)));
        Self(Arc::new(config.with_no_client_auth()))
    }

    /// Sends `request` from the home's machine in the clear, and reads the reply.
    pub(crate) fn ask_plain(rig: &Rig, request: &str) -> Reply {
        let request = request.to_owned();
        let address: SocketAddr = format!("{VPS4}:80").parse().expect("an address");
        let asked = rig.machines.home.thread(move || {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("patience");
            stream.write_all(request.as_bytes()).expect("sent");
            reply(&mut stream)
        });
        asked.join().expect("a reply")
    }

    /// Sends `request` from the home's machine over IPv4, or over IPv6, and reads the reply.
    pub(crate) fn ask(&self, rig: &Rig, six: bool, request: &str) -> Reply {
        let config = Arc::clone(&self.0);
        let request = request.to_owned();
        let address: SocketAddr = format!("{}:443", if six { format!("[{VPS6}]") } else { VPS4.into() }).parse().expect("an address");
        let asked = rig.machines.home.thread(move || {
            let stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("patience");
            let name = ServerName::try_from(OWN).expect("a name");
            let mut stream = StreamOwned::new(ClientConnection::new(config, name).expect("a client"), stream);
            stream.write_all(request.as_bytes()).expect("sent");
            reply(&mut stream)
        });
        asked.join().expect("a reply")
    }
}

/// Reads head and body, and not to the end: the server may wait for another request.
fn reply(stream: &mut impl Read) -> Reply {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break String::from_utf8(bytes[..end].to_vec()).expect("ASCII");
        }
        more(stream, &mut bytes);
    };
    let length = head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).expect("a length");
    let begin = head.len() + 4;
    while bytes.len() - begin < length {
        more(stream, &mut bytes);
    }
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Reply { status, body: String::from_utf8(bytes[begin..].to_vec()).expect("text"), head }
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) {
    let mut piece = [0; 4096];
    let read = stream.read(&mut piece).expect("a reply in time");
    assert!(read > 0, "it ended early: {:?}", String::from_utf8_lossy(bytes));
    bytes.extend_from_slice(&piece[..read]);
}

#[derive(Debug)]
struct Known(CertificateDer<'static>);

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *leaf == self.0 { Ok(ServerCertVerified::assertion()) } else { Err(Error::General("another certificate".into())) }
    }

    fn verify_tls12_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        s: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(m, c, s, &rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        s: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(m, c, s, &rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
