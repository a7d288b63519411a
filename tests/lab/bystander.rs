//! A client that has nothing to do with an attack, and what it notices of it; and what the attack costs the gateway.
//!
//! It sits in another network than the attackers, makes fresh connections and asks fresh questions at a steady beat, and
//! keeps the time that each took.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::clock::{figure, try_until, wait_for};
use crate::lab::Lab;
use crate::many::gateway;
use crate::roles::{DUAL, Role};
use crate::topology::Node::Dns;
use crate::web::PAGE;
use crate::wire::{aaaa_question, first_aaaa, http_request};

/// What 99 of a hundred visits and questions must take at most, while an attack is on.
const P99: Duration = Duration::from_millis(50);
/// As many of each at least.
const ENOUGH: usize = 200;
/// Between two of them.
const BEAT: Duration = Duration::from_millis(10);
/// A visit that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// For all that an attack took to be given back: the longest wait of the gateway for a hello, and the allocator's second.
const SETTLED: Duration = Duration::from_secs(15);
/// What may stay resident, in KiB: code that ran for the first time, buffers that are kept for the next, stacks.
const LEFT: u64 = 3 << 10;
/// A machine this busy with something else may fail once.
const TRIES: usize = 2;

/// How far an attack may drive the gateway: what its limits promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Memory beyond what it had before, in KiB.
    pub(crate) memory: u64,
    /// Descriptors beyond those it had before.
    pub(crate) descriptors: usize,
}

/// What somebody noticed.
#[derive(Debug, Default)]
struct Noticed {
    times: Vec<Duration>,
    failed: usize,
}

impl Noticed {
    fn p99(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(Duration::MAX)
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
        assert!(self.ns(Dns).thread(fetch).join().expect("a visit").is_some(), "the home is served before the attack");
        wait_for("the gateway is idle", SETTLED, || vps.connections() == 0);
        let before = Peak { memory: vps.daemon.memory(), descriptors: vps.daemon.descriptors() };
        for tries in 1..=TRIES {
            let (visits, questions, peak) = self.watch(vps, attack());
            let after = Instant::now();
            let told = format!(
                "{} visits, p99 {:.1?}, {} failed; {} questions, p99 {:.1?}, {} failed",
                visits.times.len(),
                visits.p99(),
                visits.failed,
                questions.times.len(),
                questions.p99(),
                questions.failed
            );
            let (memory, descriptors) = (peak.memory.saturating_sub(before.memory), peak.descriptors.saturating_sub(before.descriptors));
            let cost = format!("{} KiB + {memory} KiB, {} descriptors + {descriptors}", before.memory, before.descriptors);
            assert!(descriptors <= bound.descriptors, "{name}: {cost}");
            // A build with debug assertions is bigger and is nobody's gateway.
            assert!(cfg!(debug_assertions) || memory <= bound.memory, "{name}: {cost}");
            let back = try_until(SETTLED, || {
                let memory = cfg!(debug_assertions) || vps.daemon.memory() <= before.memory + LEFT;
                memory && vps.daemon.descriptors() <= before.descriptors
            });
            let now = format!("{} KiB and {} descriptors after {:.1?}", vps.daemon.memory(), vps.daemon.descriptors(), after.elapsed());
            figure(name, format_args!("{told}; at most {cost}; {now}"));
            assert!(back, "{name}: not given back: before {before:?}, now {now}");
            let well = |noticed: &Noticed| noticed.failed == 0 && noticed.p99() <= P99;
            if well(&visits) && well(&questions) {
                return;
            }
            assert!(tries < TRIES, "{name}: a bystander suffered: {told}");
        }
    }

    /// Watches until the attack is over and enough was seen.
    fn watch(&self, vps: &Role, attack: JoinHandle<()>) -> (Noticed, Noticed, Peak) {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<[AtomicUsize; 2]>::default());
        let watcher = |which: usize, look: fn() -> Option<Duration>| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            self.ns(Dns).thread(move || {
                let mut noticed = Noticed::default();
                while !stop.load(Ordering::Relaxed) {
                    let next = Instant::now() + BEAT;
                    match look() {
                        Some(took) => noticed.times.push(took),
                        None => noticed.failed += 1,
                    }
                    seen[which].fetch_add(1, Ordering::Relaxed);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                noticed
            })
        };
        let (visits, questions) = (watcher(0, fetch), watcher(1, ask));
        let mut peak = Peak::default();
        while !attack.is_finished() || seen.iter().any(|count| count.load(Ordering::Relaxed) < ENOUGH) {
            peak.memory = peak.memory.max(vps.daemon.memory());
            peak.descriptors = peak.descriptors.max(vps.daemon.descriptors());
            thread::sleep(BEAT * 5);
        }
        stop.store(true, Ordering::Relaxed);
        attack.join().expect("the attack");
        (visits.join().expect("visits"), questions.join().expect("questions"), peak)
    }
}

/// The page, over a fresh connection through the gateway to the home, the link's echo for it included.
fn fetch() -> Option<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&gateway(80), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(&http_request(DUAL)).ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    page.ends_with(PAGE).then(|| began.elapsed())
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
