//! A client that has nothing to do with an attack, and what it notices of it; and what the attack costs the gateway.
//!
//! It sits in another network than the attackers, fetches the home's page over fresh connections, in the clear and over TLS, and asks fresh
//! questions, each at a steady beat, and keeps the time that each took.

use std::fmt::{self, Display, Formatter};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};

use crate::clock::{figure, try_until, wait_for};
use crate::lab::Lab;
use crate::many::gateway;
use crate::roles::{DUAL, Role};
use crate::topology::Node::Dns;
use crate::web::{self, PAGE};
use crate::wire::{aaaa_question, first_aaaa, http_request};

/// What 99 of a hundred visits and questions must take at most, while an attack is on.
const P99: Duration = Duration::from_millis(50);
/// Unless they take long without any attack, since somebody else computes here: then so many times as long. On a machine of our own that is
/// less. A machine so busy that it would take more than three times [`P99`] cannot show anything, and fails.
const SLOWER: u32 = 5;
/// As many of each at least.
const ENOUGH: usize = 200;
/// Between two of them.
const BEAT: Duration = Duration::from_millis(10);
/// A visit that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// For all that an attack took to be given back: the longest wait of the gateway for a hello, and the allocator's second.
const SETTLED: Duration = Duration::from_secs(15);
/// What may mostly stay resident, in KiB: code that ran for the first time, buffers that are kept for the next, stacks.
pub(crate) const LEFT: u64 = 3 << 10;
/// How nice an attack is to the processes beside it.
const BEHIND: i32 = 10;
/// A machine this busy with something else may fail once.
const TRIES: usize = 2;

/// How far an attack may drive the gateway: what its limits promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Memory beyond what it had before, in KiB.
    pub(crate) memory: u64,
    /// Descriptors beyond those it had before.
    pub(crate) descriptors: usize,
    /// Memory that may stay resident, in KiB.
    pub(crate) left: u64,
}

/// One thing that a bystander does again and again; it tells how long that took, unless it failed.
type Look = Box<dyn FnMut() -> Option<Duration> + Send>;

/// What somebody noticed.
#[derive(Debug, Default)]
struct Noticed {
    what: &'static str,
    times: Vec<Duration>,
    failed: usize,
}

impl Noticed {
    fn p99(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(Duration::MAX)
    }

    fn is_well(&self, at_rest: &Self) -> bool {
        self.failed == 0 && self.p99() <= at_rest.p99().saturating_mul(SLOWER).clamp(P99, 3 * P99)
    }
}

impl Display for Noticed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, p99 {:.1?}, {} failed", self.times.len(), self.what, self.p99(), self.failed)
    }
}

/// The most that the gateway held.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    memory: u64,
    descriptors: usize,
}

impl Lab {
    /// Has `attack` go on in full, and asserts that a bystander is served well meanwhile, that the gateway never takes more than its bound,
    /// and that it gives all back.
    pub(crate) fn bear(&self, vps: &Role, name: &str, bound: Bound, attack: impl Fn() -> JoinHandle<()>) {
        for (what, look) in self.looks() {
            let looked = self.ns(Dns).thread(look).join();
            assert!(looked.expect("a look").is_some(), "{what} before the attack");
        }
        wait_for("the gateway is idle", SETTLED, || vps.connections() == 0);
        let before = Peak { memory: vps.daemon.memory(), descriptors: vps.daemon.descriptors() };
        for tries in 1..=TRIES {
            let (at_rest, _) = self.watch(vps, thread::spawn(|| {}));
            let (noticed, peak) = self.watch(vps, behind_others(&attack));
            let after = Instant::now();
            let told = noticed.iter().map(Noticed::to_string).collect::<Vec<_>>().join("; ");
            let (memory, descriptors) = (peak.memory.saturating_sub(before.memory), peak.descriptors.saturating_sub(before.descriptors));
            let cost = format!("{} KiB + {memory} KiB, {} descriptors + {descriptors}", before.memory, before.descriptors);
            assert!(descriptors <= bound.descriptors, "{name}: {cost}");
            // A build with debug assertions is bigger and is nobody's gateway.
            assert!(cfg!(debug_assertions) || memory <= bound.memory, "{name}: {cost}");
            let back = try_until(SETTLED, || {
                let memory = cfg!(debug_assertions) || vps.daemon.memory() <= before.memory + bound.left;
                memory && vps.daemon.descriptors() <= before.descriptors
            });
            let now = format!("{} KiB and {} descriptors after {:.1?}", vps.daemon.memory(), vps.daemon.descriptors(), after.elapsed());
            figure(name, format_args!("{told}; at most {cost}; {now}"));
            assert!(back, "{name}: not given back: before {before:?}, now {now}");
            if noticed.iter().zip(&at_rest).all(|(noticed, at_rest)| noticed.is_well(at_rest)) {
                return;
            }
            assert!(
                tries < TRIES,
                "{name}: a bystander suffered: {told}; without it {at_rest:.1?}",
                at_rest = at_rest.iter().map(Noticed::p99).collect::<Vec<_>>()
            );
        }
    }

    fn looks(&self) -> [(&'static str, Look); 3] {
        let tls = web::clients(self.dir());
        [("visits", Box::new(fetch)), ("visits over TLS", Box::new(move || fetch_over_tls(&tls))), ("questions", Box::new(ask))]
    }

    /// Watches until the attack is over and enough was seen.
    fn watch(&self, vps: &Role, attack: JoinHandle<()>) -> (Vec<Noticed>, Peak) {
        let stop = Arc::<AtomicBool>::default();
        let watchers = self.looks().map(|(what, mut look)| {
            let (stop, seen) = (Arc::clone(&stop), Arc::<AtomicUsize>::default());
            let count = Arc::clone(&seen);
            let watcher = self.ns(Dns).thread(move || {
                let mut noticed = Noticed { what, ..Noticed::default() };
                while !stop.load(Ordering::Relaxed) {
                    let next = Instant::now() + BEAT;
                    match look() {
                        Some(took) => noticed.times.push(took),
                        None => noticed.failed += 1,
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                noticed
            });
            (seen, watcher)
        });
        let mut peak = Peak::default();
        while !attack.is_finished() || watchers.iter().any(|(seen, _)| seen.load(Ordering::Relaxed) < ENOUGH) {
            peak.memory = peak.memory.max(vps.daemon.memory());
            peak.descriptors = peak.descriptors.max(vps.daemon.descriptors());
            thread::sleep(BEAT * 5);
        }
        stop.store(true, Ordering::Relaxed);
        attack.join().expect("the attack");
        (watchers.into_iter().map(|(_, watcher)| watcher.join().expect("a bystander")).collect(), peak)
    }
}

/// Whoever attacks computes elsewhere, not on the gateway's machine: what is started here takes what the gateway and its clients leave.
fn behind_others<T>(start: impl FnOnce() -> T) -> T {
    let be_nice = |nice| setpriority_process(None, nice).expect("a priority; root may");
    let own = getpriority_process(None).expect("a priority");
    be_nice(own + BEHIND);
    let started = start();
    be_nice(own);
    started
}

/// The page, over a fresh connection through the gateway to the home, the link's echo for it included.
fn fetch() -> Option<Duration> {
    let began = Instant::now();
    let page = request(&mut connect(80)?)?;
    page.ends_with(PAGE).then(|| began.elapsed())
}

/// The same, found by SNI: a handshake in full with the home, whose certificate is verified.
fn fetch_over_tls(config: &Arc<ClientConfig>) -> Option<Duration> {
    let began = Instant::now();
    let mut stream = connect(443)?;
    let mut connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(DUAL).ok()?).ok()?;
    let page = request(&mut Stream::new(&mut connection, &mut stream))?;
    page.ends_with(PAGE).then(|| began.elapsed())
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&gateway(port), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// The whole answer; one that is cut is none.
fn request(stream: &mut (impl Read + Write)) -> Option<String> {
    stream.write_all(&http_request(DUAL)).ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// The home's address, from the authoritative server.
fn ask() -> Option<Duration> {
    static ID: AtomicUsize = AtomicUsize::new(0);
    let began = Instant::now();
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(gateway(53)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let question = aaaa_question(u16::try_from(ID.fetch_add(1, Ordering::Relaxed) & 0xffff).ok()?, DUAL);
    socket.send(&question).ok()?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).ok()?;
    first_aaaa(&question, &answer[..length]).map(|_| began.elapsed())
}
