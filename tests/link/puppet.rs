//! An agent whose every word is the test's, and whose datagrams can bear another sender.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use fourward::crypto;
use fourward::quic::{self, Receiver, Sender};
use fourward_core::link::{ALPN, FromAgent, FromGateway, Service};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, Runtime, TokioRuntime, UdpPoller};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::time::timeout;

use super::rig::{Home, within};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn hello(instance: u64) -> FromAgent {
    FromAgent::Hello { version: "test".into(), instance, services: Service::defaults(), can: Vec::new() }
}

/// A hand-played agent.
pub(crate) struct Puppet {
    pub(crate) connection: Connection,
    sender: Sender,
    receiver: Receiver,
    mask: Arc<Mask>,
    _endpoint: Endpoint,
}

/// Whether datagrams bear another sender, and how many did.
#[derive(Default)]
pub(crate) struct Mask {
    on: AtomicBool,
    sent: AtomicUsize,
}

impl Puppet {
    /// One at `address`, with the key of `home`.
    pub(crate) async fn connect(home: &Home, address: Ipv6Addr) -> Self {
        Self::masked(home, address, address).await
    }

    /// One at `address` that can send as if it were at `other`.
    pub(crate) async fn masked(home: &Home, address: Ipv6Addr, other: Ipv6Addr) -> Self {
        let (connection, endpoint, mask) = handshake(home, address, other).await;
        let (sender, receiver) = connection.open_bi().await.expect("stream");
        Self { connection, sender: Sender::new(sender), receiver: Receiver::new(receiver), mask, _endpoint: endpoint }
    }

    pub(crate) async fn say(&mut self, message: &FromAgent) {
        self.sender.send(message).await.expect("said");
    }

    pub(crate) async fn hear(&mut self) -> FromGateway {
        timeout(PATIENCE, self.receiver.receive()).await.expect("in time").expect("a message")
    }

    /// Says what no version knows yet.
    pub(crate) async fn say_unknown(&mut self) {
        self.sender.send(&serde_json::json!({ "say": "dance", "with": ["whom", { "you": "like" }] })).await.expect("said");
    }

    /// Waits for the next nonce.
    pub(crate) async fn nonce(&mut self) -> u64 {
        loop {
            if let FromGateway::Nonce { nonce } = self.hear().await {
                return nonce;
            }
        }
    }

    pub(crate) async fn is_shut_out(&mut self) {
        let ended = timeout(PATIENCE, self.receiver.receive::<FromGateway>()).await.expect("in time");
        assert!(ended.is_err(), "{ended:?}");
    }

    /// Whether to send as if it were elsewhere.
    pub(crate) fn mask(&self, on: bool) {
        self.mask.on.store(on, Ordering::SeqCst);
    }

    /// Says it as if it were elsewhere from now on, and comes back once it has left.
    pub(crate) async fn say_masked(&mut self, message: &FromAgent) {
        let before = self.mask.sent.load(Ordering::SeqCst);
        self.mask(true);
        self.say(message).await;
        within(PATIENCE, "it has left", || self.mask.sent.load(Ordering::SeqCst) > before).await;
    }
}

/// A connection that has said nothing.
pub(crate) async fn handshake(home: &Home, address: Ipv6Addr, other: Ipv6Addr) -> (Connection, Endpoint, Arc<Mask>) {
    let wrap = |address| TokioRuntime.wrap_udp_socket(UdpSocket::bind(SocketAddr::from((address, 0))).expect("socket")).expect("wrapped");
    let mask = Arc::new(Mask::default());
    let socket = Masked { socket: wrap(address), other: wrap(other), mask: Arc::clone(&mask) };
    let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, Arc::new(socket), Arc::new(TokioRuntime));
    let endpoint = endpoint.expect("endpoint");
    let to = SocketAddr::new(home.peer.addresses[0], home.peer.port());
    let connecting = endpoint.connect_with(config(&home.key), to, home.peer.name.as_str()).expect("begun");
    (timeout(PATIENCE, connecting).await.expect("in time").expect("connected"), endpoint, mask)
}

fn config(key: &[u8]) -> ClientConfig {
    let resolver = AlwaysResolvesClientRawPublicKeys::new(crypto::raw_key(key).expect("key"));
    let mut tls = rustls::ClientConfig::builder_with_provider(crypto::tls_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyGateway))
        .with_client_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("cipher")));
    let mut transport = quic::transport();
    transport.keep_alive_interval(Some(Duration::from_secs(1)));
    config.transport_config(Arc::new(transport));
    config
}

/// Sends from one of two sockets, and hears on the first alone: as who makes up the sender of a datagram does.
struct Masked {
    socket: Arc<dyn AsyncUdpSocket>,
    other: Arc<dyn AsyncUdpSocket>,
    mask: Arc<Mask>,
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masked")
    }
}

impl AsyncUdpSocket for Masked {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.mask.on.load(Ordering::SeqCst) {
            return self.socket.try_send(transmit);
        }
        self.other.try_send(transmit)?;
        self.mask.sent.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Pins are the agent's business, which this is not.
#[derive(Debug)]
struct AnyGateway;

impl ServerCertVerifier for AnyGateway {
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
