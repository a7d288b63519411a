//! Requests byte by byte over TLS, as clients send them that no HTTP library would imitate.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::machines::{VPS4, VPS6};
use crate::rig::{OWN, Rig};

/// A server that does not answer fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Who trusts the authority that `host add` told them to fetch.
pub(crate) struct Raw(Arc<ClientConfig>);

impl Raw {
    pub(crate) fn new(rig: &Rig) -> Self {
        let chain = CertificateDer::pem_file_iter(&rig.ca).expect("what was fetched");
        let mut roots = RootCertStore::empty();
        roots.add(chain.last().expect("an authority").expect("good PEM")).expect("an authority");
        Self(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
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
        let raw = Self(Arc::clone(&self.0));
        let request = request.to_owned();
        let address: SocketAddr = format!("{}:443", if six { format!("[{VPS6}]") } else { VPS4.into() }).parse().expect("an address");
        let asked = rig.machines.home.thread(move || {
            let stream = TcpStream::connect(address).expect("a connection");
            let mut stream = raw.over(stream);
            stream.write_all(request.as_bytes()).expect("sent");
            reply(&mut stream)
        });
        asked.join().expect("a reply")
    }

    /// TLS over `stream`, for any number of requests.
    pub(crate) fn over(&self, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        stream.set_read_timeout(Some(PATIENCE)).expect("patience");
        let name = ServerName::try_from(OWN).expect("a name");
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.0), name).expect("a client"), stream)
    }
}

/// Reads head and body, and not to the end: the server may wait for another request.
pub(crate) fn reply(stream: &mut impl Read) -> Reply {
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
