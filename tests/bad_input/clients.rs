//! A good client: while something bad goes on it fetches over TLS and HTTP through the gateway, and asks for a name.
//!
//! The home echoes, so that a fetch proves that every byte arrived there and came back.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::hello;
use crate::machines::{DUAL, Machines, VPS4};

/// A client that waits for longer was not served.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two visits.
const PAUSE: Duration = Duration::from_millis(20);

/// A good client at work, until [`Good::stop`].
pub(crate) struct Good {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Served>,
}

/// How it was served.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) visits: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) worst: Duration,
}

impl Good {
    /// Starts one at home, over IPv4.
    pub(crate) fn start(machines: &Machines) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = machines.home.thread(move || {
            let mut served = Served::default();
            loop {
                [over_tls, over_http, by_name].into_iter().for_each(|visit| served.note(visit));
                if ended.load(Ordering::Relaxed) {
                    return served;
                }
                thread::sleep(PAUSE);
            }
        });
        Self { stop, thread }
    }

    /// Ends it. Every visit must have succeeded, and none may have taken longer than `limit`.
    #[track_caller]
    pub(crate) fn stop(self, limit: Duration) -> Served {
        self.stop.store(true, Ordering::Relaxed);
        let served = self.thread.join().expect("the good client");
        assert!(served.failures.is_empty() && served.visits > 0, "{served:?}");
        assert!(served.worst <= limit, "{served:?}");
        served
    }
}

impl Served {
    fn note(&mut self, visit: fn() -> Result<(), String>) {
        let began = Instant::now();
        if let Err(error) = visit() {
            self.failures.push(error);
        }
        self.visits += 1;
        self.worst = self.worst.max(began.elapsed());
    }
}

/// Sends a ClientHello and gets it back from home.
fn over_tls() -> Result<(), String> {
    echoed(443, &hello::asking_for(DUAL.as_bytes()))
}

fn over_http() -> Result<(), String> {
    echoed(80, format!("GET / HTTP/1.1\r\nHost: {DUAL}\r\n\r\n").as_bytes())
}

/// The A record of the host is the gateway.
fn by_name() -> Result<(), String> {
    let failed = |error: std::io::Error| format!("DNS: {error}");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    socket.send_to(&question(), vps(53)).map_err(failed)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).map_err(failed)?;
    let a = &answer[length.saturating_sub(4)..length];
    if a == [192, 0, 2, 11] { Ok(()) } else { Err(format!("DNS: {:?}", &answer[..length])) }
}

fn question() -> Vec<u8> {
    let name: Vec<u8> = DUAL.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat()).collect();
    [&[0x47, 0x11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &name, &[0, 0, 1, 0, 1]].concat()
}

fn echoed(port: u16, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("port {port}: {error}");
    let mut stream = TcpStream::connect_timeout(&vps(port), PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(bytes).map_err(failed)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).map_err(failed)?;
    if back == bytes { Ok(()) } else { Err(format!("port {port}: {}", String::from_utf8_lossy(&back))) }
}

fn vps(port: u16) -> SocketAddr {
    SocketAddr::new(VPS4.parse::<IpAddr>().expect("an address"), port)
}
