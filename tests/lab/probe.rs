//! Fresh connections at a steady beat, and fresh questions to the authoritative server.
//!
//! Each attempt is a thread of its own in its machine's namespace, so that one that hangs delays no
//! other; all share this process's clock with the renumbering. The answers of the home and of the gateway
//! are told apart: a gateway that apologises quickly has not reached the home.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::topology::Node::{Dns, Phone4};
use crate::topology::VPS4;
use crate::web::HOME_HEADER;
use crate::wire::{aaaa_question, client_hello, first_aaaa, http_request};

/// Between two fresh connections.
pub(crate) const BEAT: Duration = Duration::from_millis(20);
/// Between two questions to the name server: finer than what it is to be measured against, 200 ms.
const DNS_BEAT: Duration = Duration::from_millis(5);
/// After which an attempt counts as hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A whole HTTP request.
    Http,
    /// A ClientHello, and nothing after it.
    Tls,
}

/// Who answered an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The home over HTTP, at this address.
    Home(Ipv6Addr),
    /// Somebody began a TLS handshake.
    Handshake,
    /// The gateway, with a page of its own or a TLS alert.
    Gateway,
    /// Nobody: refused, closed without a byte, or silent.
    Nobody(ErrorKind),
}

/// One fresh connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) began: Instant,
    /// When its first byte came, or when it was given up.
    pub(crate) answered: Instant,
    pub(crate) reply: Reply,
}

/// A running series of attempts; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Prober {
    attempts: Receiver<Attempt>,
    stop: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl Lab {
    /// Phone4 connects to the gateway for `host`, afresh at every beat.
    pub(crate) fn probe(&self, speech: Speech, host: &'static str) -> Prober {
        let (send, attempts) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ticker = self.ns(Phone4).thread(move || tick(&stopped, speech, host, &send));
        Prober { attempts, stop, ticker: Some(ticker) }
    }

    /// One fresh connection from phone4 to the gateway.
    pub(crate) fn attempt(&self, speech: Speech, host: &'static str) -> Attempt {
        self.ns(Phone4).thread(move || attempt(gateway(speech), speech, host)).join().expect("an attempt")
    }

    /// Watches the authoritative server until it answers `expected` for the AAAA of `name`, and tells
    /// when; begins at once, ends with the given time.
    pub(crate) fn when_published(&self, name: &'static str, expected: Ipv6Addr, limit: Duration) -> JoinHandle<Option<Instant>> {
        self.ns(Dns).thread(move || {
            let deadline = Instant::now() + limit;
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a UDP socket");
            socket.connect((VPS4, 53)).expect("an address for the socket");
            socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
            let (mut id, mut buffer) = (0, [0; 1500]);
            while Instant::now() < deadline {
                let next = Instant::now() + DNS_BEAT;
                id += 1;
                let question = aaaa_question(id, name);
                let asked = socket.send(&question).and_then(|_| socket.recv(&mut buffer));
                if asked.is_ok_and(|length| first_aaaa(&question, &buffer[..length]) == Some(expected)) {
                    return Some(Instant::now());
                }
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            None
        })
    }
}

impl Prober {
    /// The moment of the first byte that any attempt begun after `since` got from the home at `address`.
    pub(crate) fn first_byte_from(&self, address: Ipv6Addr, since: Instant, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            match self.attempts.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(attempt) if attempt.began >= since && attempt.reply == Reply::Home(address) => return Some(attempt.answered),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("the prober has ended"),
            }
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

/// Starts an attempt at every beat. `PATIENCE` ends those that hang, so that there are never more than some hundred.
fn tick(stop: &AtomicBool, speech: Speech, host: &'static str, attempts: &Sender<Attempt>) {
    let target = gateway(speech);
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let attempts = attempts.clone();
        // A thread is born into the namespace of its parent.
        thread::spawn(move || attempts.send(attempt(target, speech, host)));
        next = (next + BEAT).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn gateway(speech: Speech) -> SocketAddr {
    let port = if speech == Speech::Http { 80 } else { 443 };
    SocketAddr::new(VPS4.parse::<IpAddr>().expect("the gateway's address"), port)
}

fn attempt(target: SocketAddr, speech: Speech, host: &str) -> Attempt {
    let began = Instant::now();
    let answer = converse(target, speech, host);
    let (answered, reply) = answer.unwrap_or_else(|error| (Instant::now(), Reply::Nobody(error.kind())));
    Attempt { began, answered, reply }
}

fn converse(target: SocketAddr, speech: Speech, host: &str) -> std::io::Result<(Instant, Reply)> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = match speech {
        Speech::Http => http_request(host),
        Speech::Tls => client_hello(host),
    };
    stream.write_all(&request)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    let answered = Instant::now();
    let reply = match (speech, first) {
        (Speech::Tls, [22]) => Reply::Handshake,
        (Speech::Tls, _) => Reply::Gateway,
        (Speech::Http, _) => {
            let mut head = Vec::new();
            // What has come until a reset tells as much as a clean end.
            let _ = stream.take(4096).read_to_end(&mut head);
            home_of(&head).map_or(Reply::Gateway, Reply::Home)
        }
    };
    Ok((answered, reply))
}

/// The address that the home says it was reached at.
fn home_of(head: &[u8]) -> Option<Ipv6Addr> {
    let head = String::from_utf8_lossy(head);
    let line = head.lines().find_map(|line| line.strip_prefix(HOME_HEADER)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}
