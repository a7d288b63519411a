//! The clients of the figure: what a phone or a laptop does to open the page, and what it sees of its path.
//!
//! Each fetch is as the first one of a machine just switched on: a new lookup, a new connection, a whole TLS handshake
//! with verification. Nothing is remembered between two fetches.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::home_service::{Greeting, PHOTO, PHOTO_LENGTH};
use super::lookup::{Family, LookupError, lookup};
use super::namespace::Place;

/// The name that all clients use.
pub(super) const NAME: &str = "cloud.dyn.example.org";

/// How often a client that was cut off tries again.
const POLL: Duration = Duration::from_millis(20);

/// After this a single fetch counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// No answer is longer: head, line, photo.
const ANSWER_LIMIT: u64 = PHOTO_LENGTH as u64 + 16 * 1024;

/// A client of the figure.
#[derive(Clone)]
pub(super) struct Client {
    /// Its name in the figure.
    pub(super) name: &'static str,
    /// Where it is.
    pub(super) place: Place,
    /// What it can use.
    pub(super) family: Family,
    /// The name server that it asks.
    pub(super) resolver: SocketAddr,
    /// The port of HTTPS where the name leads it.
    pub(super) tls_port: u16,
    /// The port of HTTP where the name leads it.
    pub(super) http_port: u16,
    /// What it trusts, and how it connects.
    pub(super) tls: TlsConnector,
}

/// How to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Plainly.
    Http,
    /// With TLS, verified.
    Https,
}

/// A page that a client got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched {
    /// What the service said.
    pub(super) greeting: Greeting,
    /// The client's own end of the connection.
    pub(super) own: SocketAddr,
    /// From before the lookup to the first byte of the answer.
    pub(super) took: Duration,
    /// When that byte came.
    pub(super) first_byte: Instant,
    /// Bytes after the line.
    pub(super) rest: usize,
}

/// Why a client got none.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The name led nowhere.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Nobody there.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The connection ended, or showed another certificate than this name's.
    #[error("talking to {address}: {source}")]
    Talk {
        /// With whom.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// Something else answered.
    #[error("{address} answered something else than the home service: {start}")]
    Stranger {
        /// Who.
        address: SocketAddr,
        /// How the answer begins.
        start: String,
    },
    /// A part of the photo is missing.
    #[error("{address} sent {got} bytes of {PHOTO_LENGTH}")]
    Pieces {
        /// Who.
        address: SocketAddr,
        /// How many came.
        got: usize,
    },
    /// Silence.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// A connector that trusts `roots` alone and makes each handshake a whole one.
///
/// # Errors
/// The TLS library has no common version with itself.
pub(super) fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Client {
    /// What a visitor does: the photo over HTTPS, by which the path shows, and a line over HTTP. What the photo was like.
    ///
    /// # Errors
    /// One of them did not come, or not whole.
    pub(super) async fn open(&self) -> Result<Fetched, FetchError> {
        let photo = self.fetch(Scheme::Https, PHOTO).await?;
        if photo.rest != PHOTO_LENGTH {
            return Err(FetchError::Pieces { address: photo.greeting.home, got: photo.rest });
        }
        self.fetch(Scheme::Http, "/").await?;
        Ok(photo)
    }

    /// Looks the name up, connects and fetches `path`.
    ///
    /// # Errors
    /// Any of these steps failed or took too long.
    async fn fetch(&self, scheme: Scheme, path: &str) -> Result<Fetched, FetchError> {
        timeout(PATIENCE, self.fetch_patiently(scheme, path)).await.unwrap_or(Err(FetchError::Late))
    }

    /// Fetches afresh again and again until the service answers at `home`. Tries overlap: one that hangs delays no other.
    ///
    /// # Errors
    /// That did not happen until `deadline`; why the last try failed.
    pub(super) async fn fetch_from(&self, home: IpAddr, deadline: Instant) -> Result<Fetched, FetchError> {
        let mut tries = JoinSet::new();
        let mut ticks = interval(POLL);
        let mut last = FetchError::Late;
        loop {
            tokio::select! {
                () = sleep_until(deadline) => return Err(last),
                _ = ticks.tick() => {
                    let client = self.clone();
                    tries.spawn(async move { client.fetch(Scheme::Https, "/").await });
                }
                Some(Ok(tried)) = tries.join_next() => match tried {
                    Ok(fetched) if fetched.greeting.home.ip() == home => return Ok(fetched),
                    Ok(_) => {}
                    Err(error) => last = error,
                },
            }
        }
    }

    async fn fetch_patiently(&self, scheme: Scheme, path: &str) -> Result<Fetched, FetchError> {
        let began = Instant::now();
        let ip = lookup(&self.place, self.resolver, NAME, self.family).await?;
        let port = if scheme == Scheme::Https { self.tls_port } else { self.http_port };
        let address = SocketAddr::new(ip, port);
        let stream = self.connect(address).await.map_err(|source| FetchError::Connect { address, source })?;
        let talked = self.talk(stream, scheme, path).await;
        let (own, first_byte, answer) = talked.map_err(|source| FetchError::Talk { address, source })?;
        let Some((greeting, rest)) = read_answer(&answer) else {
            let start = String::from_utf8_lossy(answer.get(..200).unwrap_or(&answer)).escape_debug().to_string();
            return Err(FetchError::Stranger { address, start });
        };
        Ok(Fetched { greeting, own, took: first_byte.duration_since(began), first_byte, rest })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.place.visit(|| if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?;
        socket.connect(address).await
    }

    async fn talk(&self, stream: TcpStream, scheme: Scheme, path: &str) -> io::Result<(SocketAddr, Instant, Vec<u8>)> {
        let own = stream.local_addr()?;
        let (first_byte, answer) = match scheme {
            Scheme::Http => exchange(stream, path).await?,
            Scheme::Https => {
                let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
                exchange(self.tls.connect(name, stream).await?, path).await?
            }
        };
        Ok((own, first_byte, answer))
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> io::Result<(Instant, Vec<u8>)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(ANSWER_LIMIT);
    if bounded.read_buf(&mut answer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let first_byte = Instant::now();
    bounded.read_to_end(&mut answer).await?;
    Ok((first_byte, answer))
}

/// The service's line and how many bytes follow it.
fn read_answer(answer: &[u8]) -> Option<(Greeting, usize)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, rest) = body.split_once('\n')?;
    let greeting = serde_json::from_str(line).ok()?;
    head.starts_with("HTTP/1.1 200 ").then_some((greeting, rest.len()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tokio::net::UdpSocket;

    use super::*;
    use crate::demo::home_service::{HomeService, Identity};

    /// A name server that leads every name to `::1`, for as long as the test lasts.
    async fn resolver() -> SocketAddr {
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut asked = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut asked).await {
                // Without its OPT record, which is 11 bytes long.
                let mut answer = asked[..length - 11].to_vec();
                answer[2] = 0x84;
                answer[7] = 1;
                answer[11] = 0;
                answer.extend(b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10");
                answer.extend(Ipv6Addr::LOCALHOST.octets());
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        address
    }

    async fn client(service: &HomeService, trusted: &Identity) -> Client {
        Client {
            name: "phone6",
            place: Place::Here,
            family: Family::V6,
            resolver: resolver().await,
            tls_port: service.tls,
            http_port: service.http,
            tls: connector(trusted.roots()).unwrap(),
        }
    }

    fn service(identity: &Identity) -> HomeService {
        HomeService::start(&Place::Here, Ipv6Addr::LOCALHOST.into(), 0, 0, identity).unwrap()
    }

    #[tokio::test]
    async fn a_visitor_gets_the_whole_photo_and_learns_his_own_address() {
        let identity = Identity::new(NAME).unwrap();
        let service = service(&identity);
        let photo = client(&service, &identity).await.open().await.unwrap();
        assert_eq!(photo.greeting.peer, photo.own);
        assert_eq!(photo.greeting.home.port(), service.tls);
    }

    #[tokio::test]
    async fn a_visitor_trusts_no_other_authority() {
        let service = service(&Identity::new(NAME).unwrap());
        let refused = client(&service, &Identity::new(NAME).unwrap()).await.open().await.unwrap_err();
        assert!(matches!(refused, FetchError::Talk { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_visitor_trusts_no_other_name() {
        let identity = Identity::new("gw.dyn.example.org").unwrap();
        let refused = client(&service(&identity), &identity).await.open().await.unwrap_err();
        assert!(matches!(refused, FetchError::Talk { .. }), "{refused}");
    }

    #[tokio::test]
    async fn who_is_cut_off_for_good_learns_why() {
        let identity = Identity::new(NAME).unwrap();
        let client = client(&service(&identity), &identity).await;
        let elsewhere = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let given_up = client.fetch_from(elsewhere, Instant::now() + Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(given_up, FetchError::Connect { .. }), "the service is gone: {given_up}");
    }
}
