//! Finding a gateway: the link's connection, over IPv6 from the home address where that goes, over IPv4 else.
//!
//! The gateway shows a raw public key that the join string pinned; no certificate authority and no DNS has a say. Attempts start
//! one after the other and run side by side, so that a family that is down costs a moment only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fourward_core::host::Digest;
use fourward_core::join::Peer;
use fourward_core::link::{ALPN, is_pinned};
use fourward_core::name::DnsName;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::{crypto, quic};

/// The next attempt starts so long after the last; also how often one gateway is called while it does not answer, so that it is found
/// soon after it is back.
const STAGGER: Duration = Duration::from_millis(700);

/// So many rounds through all addresses: a hello that was lost is sent again by QUIC after a second only, then two.
const ROUNDS: usize = 3;

/// IPv6 gets so long once the gateway has answered over IPv4, which proves nothing: a gateway that was away for a moment answers whichever
/// was tried first after that. Less than it takes until IPv6 is tried again.
const HEAD_START: Duration = Duration::from_millis(500);

/// How long one attempt may take: several round trips of the slowest lines.
const ATTEMPT: Duration = Duration::from_secs(4);

/// The agent speaks so often, so that it notices within a second that its gateway was restarted (stateless reset), and
/// that a NAT on the way forgets nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing answered.
    #[error(
        "no gateway answered at {tried} (UDP); last: {last}; is fourward running there, and is its UDP port open in the provider's firewall?"
    )]
    NoAnswer {
        /// The addresses.
        tried: String,
        /// What the last attempt said.
        last: String,
    },
    /// Somebody answered who is not the gateway of the join string.
    #[error(
        "{gateway} at {address} shows another key than the one that this home was told: it was set up anew, the join string is of \
         another gateway, or somebody stands in between; make a new join string with `fourward host token` on the gateway and join again"
    )]
    OtherKey {
        /// Its name.
        gateway: String,
        /// Where it answers.
        address: IpAddr,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] crypto::KeyError),
    /// TLS cannot be set up.
    #[error("the link's TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS lacks a cipher.
    #[error("the TLS library lacks QUIC's initial cipher suite")]
    NoInitialCipher,
}

/// IPv6 that just came up may need a moment; IPv6 that is broken for long is asked for seldom.
const IPV6_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A connection to a gateway, with the socket behind it.
#[derive(Debug)]
pub(crate) struct Dialled {
    /// Rebinds to other addresses.
    pub(crate) endpoint: Endpoint,
    /// The link's connection.
    pub(crate) connection: Connection,
    /// The home address that was chosen for it; over IPv6 its socket is bound to that.
    pub(crate) source: Option<Ipv6Addr>,
}

impl Dialled {
    /// Whether packets of it can prove where this home is.
    fn over_ipv6(&self) -> bool {
        self.connection.remote_address().is_ipv6()
    }
}

/// Connects to one of `gateways` as the holder of `key` (PKCS #8), over IPv6 from `source` if there is such an address.
pub(crate) async fn dial(gateways: &[Peer], key: &[u8], source: Option<Ipv6Addr>) -> Result<Dialled, DialError> {
    let key = crypto::raw_key(key)?;
    let begin = |peer: &Peer, address| -> Result<_, DialError> {
        let (peer, pinned) = (peer.clone(), Arc::new(Pinned { pins: peer.pins.clone(), other: AtomicBool::new(false) }));
        let config = client_config(Arc::clone(&pinned), &key)?;
        Ok(async move {
            let outcome = attempt(&peer, address, source, config).await;
            outcome.map_err(|error| (error, pinned.other.load(Ordering::Relaxed).then(|| (peer.name.to_string(), address))))
        })
    };
    let mut attempts = FuturesUnordered::new();
    let all = targets(gateways);
    let mut targets = std::iter::repeat_n(&all, ROUNDS).flatten();
    let mut last = String::from("no address of that kind on this machine");
    let mut impostor = None;
    loop {
        let next = targets.next();
        let done = next.is_none();
        if let Some((peer, address)) = next {
            attempts.push(begin(peer, *address)?);
        }
        if done && attempts.is_empty() {
            if let Some((gateway, address)) = impostor {
                return Err(DialError::OtherKey { gateway, address });
            }
            let tried: Vec<_> = gateways.iter().flat_map(|peer| &peer.addresses).map(IpAddr::to_string).collect();
            return Err(DialError::NoAnswer { tried: tried.join(", "), last });
        }
        tokio::select! {
            Some(outcome) = attempts.next() => match outcome {
                Ok(dialled) if source.is_none() || dialled.over_ipv6() => return Ok(dialled),
                Ok(dialled) => {
                    drop(attempts);
                    let over_ipv6 = all.iter().filter(|(_, address)| address.is_ipv6()).map(|(peer, address)| begin(peer, *address));
                    let over_ipv6: FuturesUnordered<_> = over_ipv6.collect::<Result<_, _>>()?;
                    let over_ipv6 = over_ipv6.filter_map(async |outcome| outcome.ok());
                    return Ok(timeout(HEAD_START, pin!(over_ipv6).next()).await.ok().flatten().unwrap_or(dialled));
                }
                Err((error, other)) => {
                    last = error;
                    impostor = impostor.or(other);
                }
            },
            () = sleep(STAGGER), if !done => {}
        }
    }
}

/// Whether somebody answers as a gateway does at `address` (UDP), within `patience`. Whose key that is does not matter.
pub async fn answers(name: &DnsName, address: IpAddr, port: u16, patience: Duration) -> bool {
    let peer = Peer { name: name.clone(), addresses: vec![address], pins: Vec::new(), port: Some(port) };
    let Ok(key) = crypto::new_link_key() else { return false };
    let answer = timeout(patience, dial(std::slice::from_ref(&peer), &key, None)).await;
    matches!(answer, Ok(Ok(_) | Err(DialError::OtherKey { .. })))
}

/// Keeps trying until one of `gateways` is reached over IPv6 from `source`: what a link over IPv4 waits for.
pub(crate) async fn dial_ipv6(mut gateways: Vec<Peer>, key: Vec<u8>, source: Ipv6Addr) -> Dialled {
    gateways.iter_mut().for_each(|peer| peer.addresses.retain(IpAddr::is_ipv6));
    let (mut pause, longest) = IPV6_PAUSES;
    loop {
        sleep(pause).await;
        match dial(&gateways, &key, Some(source)).await {
            Ok(dialled) => return dialled,
            Err(error) => debug!(%error, "still no IPv6"),
        }
        pause = (pause * 2).min(longest);
    }
}

/// Every address of every gateway, IPv6 first.
fn targets(gateways: &[Peer]) -> Vec<(&Peer, IpAddr)> {
    let mut all: Vec<_> = gateways.iter().flat_map(|peer| peer.addresses.iter().map(move |address| (peer, *address))).collect();
    all.sort_by_key(|(_, address)| address.is_ipv4());
    all
}

async fn attempt(peer: &Peer, address: IpAddr, source: Option<Ipv6Addr>, config: ClientConfig) -> Result<Dialled, String> {
    let endpoint = bind(address, source).and_then(endpoint).map_err(|error| error.to_string())?;
    let connecting = endpoint.connect_with(config, SocketAddr::new(address, peer.port()), peer.name.as_str());
    let connecting = connecting.map_err(|error| error.to_string())?;
    match timeout(ATTEMPT, connecting).await {
        Ok(Ok(connection)) => Ok(Dialled { endpoint, connection, source }),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: no answer within {} s", ATTEMPT.as_secs())),
    }
}

fn bind(to: IpAddr, source: Option<Ipv6Addr>) -> io::Result<UdpSocket> {
    let from = match to {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(source.unwrap_or(Ipv6Addr::UNSPECIFIED)),
    };
    UdpSocket::bind(SocketAddr::new(from, 0))
}

fn endpoint(socket: UdpSocket) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
}

fn client_config(pinned: Arc<Pinned>, key: &Arc<CertifiedKey>) -> Result<ClientConfig, DialError> {
    let resolver = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(key));
    let mut tls = rustls::ClientConfig::builder_with_provider(crypto::tls_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).map_err(|_| DialError::NoInitialCipher)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = quic::transport();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Takes the gateway whose key was pinned, and no other.
#[derive(Debug)]
struct Pinned {
    pins: Vec<Digest>,
    /// Whether another key was shown: QUIC's error does not tell it from other faults.
    other: AtomicBool,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if is_pinned(&self.pins, &crypto::sha256(shown)) {
            return Ok(ServerCertVerified::assertion());
        }
        self.other.store(true, Ordering::Relaxed);
        Err(CertificateError::ApplicationVerificationFailure.into())
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
