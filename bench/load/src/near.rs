//! The clients: each does one thing, and prints what it saw.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::json;

use crate::speech::{ASK, NAME, Wish, connected, give, take};

/// `number` bytes down or up, on so many connections at once.
pub(crate) fn bulk(to: SocketAddr, tls: bool, letter: u8, number: u64, connections: u64) {
    let began = Instant::now();
    let wish = Wish { letter, number: number / connections };
    let all: Vec<_> = (0..connections).map(|_| thread::spawn(move || if tls { over_tls(to, wish) } else { plain(to, wish) })).collect();
    for one in all {
        one.join().expect("no panic").unwrap_or_else(|error| panic!("bulk through {to}: {error}"));
    }
    println!("{}", json!({ "seconds": began.elapsed().as_secs_f64(), "bytes": number }));
}

fn plain(to: SocketAddr, wish: Wish) -> io::Result<()> {
    let mut stream = connected(to);
    stream.write_all(&wish.hello())?;
    finish(wish, &mut stream)
}

fn over_tls(to: SocketAddr, wish: Wish) -> io::Result<()> {
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), NAME.try_into().expect("a name")).expect("a session");
    let mut stream = StreamOwned::new(session, connected(to));
    stream.write_all(&wish.bytes())?;
    finish(wish, &mut stream)
}

fn finish(wish: Wish, stream: &mut (impl Read + Write)) -> io::Result<()> {
    if wish.letter == b'd' {
        return take(stream, wish.number);
    }
    give(stream, wish.number)?;
    take(stream, 1)
}

/// `count` connections, `at_once` at a time: a hello, one byte back, the end.
pub(crate) fn connect(to: SocketAddr, count: u64, at_once: u64) {
    let (left, began) = (Arc::new(AtomicU64::new(count)), Instant::now());
    let one = || {
        let left = Arc::clone(&left);
        thread::spawn(move || {
            let (mut took, hello) = (Vec::new(), Wish { letter: b'1', number: 0 }.hello());
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let began = Instant::now();
                let mut stream = connected(to);
                stream.write_all(&hello).and_then(|()| stream.read_exact(&mut [0])).unwrap_or_else(|error| panic!("through {to}: {error}"));
                took.push(began.elapsed());
                // Both sides are done then, and the next has the place.
                let _ = stream.read(&mut [0]);
            }
            took
        })
    };
    let all: Vec<_> = (0..at_once).map(|_| one()).collect();
    let took = all.into_iter().flat_map(|one| one.join().expect("no panic")).collect();
    report(took, began.elapsed());
}

/// `count` questions of `size` bytes on one connection, one after the other.
pub(crate) fn ping(to: SocketAddr, count: u64, size: usize) {
    let mut stream = connected(to);
    let (ask, mut answer) = (vec![1; size], vec![0; size]);
    stream.write_all(&Wish { letter: b'e', number: 0 }.hello()).expect("sent");
    let began = Instant::now();
    let took = (0..count).map(|_| asked(&mut stream, &ask, &mut answer)).collect();
    report(took, began.elapsed());
}

/// `rounds` of `bulk` bytes each way on one connection, and short questions right behind them: how long these take.
pub(crate) fn beside(to: SocketAddr, rounds: u64, bulk: u64) {
    let mut stream = connected(to);
    stream.write_all(&Wish { letter: b'm', number: bulk }.hello()).expect("sent");
    let (mut took, began) = (Vec::new(), Instant::now());
    for _ in 0..rounds {
        stream.write_all(&[b'd'; ASK]).and_then(|()| take(&mut stream, bulk)).expect("bulk down");
        took.extend((0..20).map(|_| asked(&mut stream, &[b'?'; ASK], &mut [0; ASK])));
        stream
            .write_all(&[b'u'; ASK])
            .and_then(|()| give(&mut stream, bulk))
            .and_then(|()| take(&mut stream, ASK as u64))
            .expect("bulk up");
        took.extend((0..20).map(|_| asked(&mut stream, &[b'?'; ASK], &mut [0; ASK])));
    }
    report(took, began.elapsed());
}

fn asked(stream: &mut TcpStream, ask: &[u8], answer: &mut [u8]) -> Duration {
    let began = Instant::now();
    stream.write_all(ask).and_then(|()| stream.read_exact(answer)).expect("an answer");
    began.elapsed()
}

/// So many connections that said hello and nothing more, until standard input ends.
pub(crate) fn hold(to: SocketAddr, count: u64) {
    let hello = Wish { letter: b'i', number: 0 }.hello();
    let held: Vec<_> = (0..count)
        .map(|_| {
            let mut stream = connected(to);
            stream.write_all(&hello).expect("sent");
            stream
        })
        .collect();
    println!("{}", json!({ "held": held.len() }));
    io::stdin().lock().lines().for_each(drop);
    let is_open = |stream: &&TcpStream| {
        stream.set_nonblocking(true).expect("a socket");
        stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    println!("{}", json!({ "held": held.iter().filter(is_open).count() }));
}

fn report(mut took: Vec<Duration>, all: Duration) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{}", json!({ "seconds": all.as_secs_f64(), "count": took.len(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) }));
}

/// Whoever is there will do: what is measured is the way.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
