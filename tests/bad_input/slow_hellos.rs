//! 2,000 strangers who send half a ClientHello, a byte a second.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clients::Good;
use crate::clock::{figure, wait_for};
use crate::hello;
use crate::machines::{DUAL, Machines, Role, VPS4};

const STRANGERS: usize = 2_000;
/// The default of `gateway.timeouts.hello`.
const DEADLINE: Duration = Duration::from_secs(5);
/// For the kernel, the scheduler and our own looking, also where the machine has much else to do.
const GRACE: Duration = Duration::from_secs(3);
const BYTE: Duration = Duration::from_secs(1);
/// Between two looks at all of them: short against the grace.
const LOOK: Duration = Duration::from_millis(50);
/// Of memory for each: a task, a socket, a first read of 2 KiB.
const KIB_EACH: u64 = 16;

/// One stranger: what it still has to say, and how long it was borne.
struct Stranger {
    stream: TcpStream,
    unsaid: Vec<u8>,
    began: Instant,
    borne: Option<Duration>,
}

#[test]
fn two_thousand_half_hellos_end_at_the_deadline_and_a_good_client_is_served_throughout() {
    // Times are measured: the lab and we take turns.
    let turn = File::create(std::env::temp_dir().join("fourward-lab.lock")).expect("open the labs' lock");
    turn.lock().expect("wait for the labs' lock");
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("as many descriptors as strangers");
    let machines = Machines::new();
    // All come from one network, of which a quarter may be half-open: else the first would give way to the others.
    let config = machines.init();
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(
        &config,
        text.replace("\n[gateway]\n", "\n[gateway]\nlimits = { connections = 9_000, half-open = 9_000, per-network = 9_000 }\n"),
    )
    .expect("a configuration");
    let server = machines.server_by(&config);
    let _home = machines.home_of(&server);
    Good::start(&machines).stop(GRACE);
    let settled = || server.ask(&["status"])["gateway"]["connections"] == 0;
    wait_for("the gateway is idle", GRACE * 2, settled);
    let (descriptors, memory) = (server.daemon.descriptors(), server.daemon.memory());

    let good = Good::start(&machines);
    let first = storm(&machines, &server);
    wait_for("every descriptor is given back", GRACE, || server.daemon.descriptors() < descriptors + STRANGERS / 2);
    let second = storm(&machines, &server);
    let served = good.stop(GRACE);
    wait_for("every descriptor is given back", GRACE, || server.daemon.descriptors() == descriptors);

    assert!(first.memory < memory + STRANGERS as u64 * KIB_EACH, "{first:?}, {memory} KiB before");
    // Not to the byte: a relay more or less, a page that is given back a second later.
    let more = second.memory.saturating_sub(first.memory);
    assert!(more < (first.memory - memory) / 2 + 1024, "what the first storm took is used again: {memory} KiB, {first:?}, {second:?}");
    assert!(first.descriptors.min(second.descriptors) > descriptors + STRANGERS, "all at once: {first:?}, {second:?}");
    assert_eq!(server.ask(&["host", "show", "cloud"])["link"], "up");
    figure("2,000 half ClientHellos borne, twice", format!("{:?} to {:?}", first.shortest, first.longest.max(second.longest)));
    figure("good client meanwhile", format!("{} visits, none failed, worst {:?}", served.visits, served.worst));
    let after = server.daemon.memory();
    figure(
        "server's memory in KiB",
        format!("{memory} before, {} at most, {} the second time, {after} after", first.memory, second.memory),
    );
}

/// The most that the server held meanwhile, and how long it bore the strangers.
#[derive(Debug, Default)]
struct Storm {
    descriptors: usize,
    memory: u64,
    shortest: Duration,
    longest: Duration,
}

/// Has all strangers come at once, and waits until all are gone.
fn storm(machines: &Machines, server: &Role) -> Storm {
    let mut strangers = machines.home.thread(|| (0..STRANGERS).map(Stranger::come).collect::<Vec<_>>()).join().expect("the strangers");
    let mut storm = Storm::default();
    let mut next_byte = Instant::now() + BYTE;
    while strangers.iter().any(|stranger| stranger.borne.is_none()) {
        let talk = Instant::now() >= next_byte;
        next_byte += if talk { BYTE } else { Duration::ZERO };
        strangers.iter_mut().filter(|stranger| stranger.borne.is_none()).for_each(|stranger| stranger.go_on(talk));
        storm.descriptors = storm.descriptors.max(server.daemon.descriptors());
        storm.memory = storm.memory.max(server.daemon.memory());
        let oldest = strangers.iter().filter(|stranger| stranger.borne.is_none()).map(|stranger| stranger.began.elapsed()).max();
        assert!(oldest.is_none_or(|age| age < DEADLINE + GRACE), "a stranger is still there after {oldest:?}");
        thread::sleep(LOOK);
    }
    let borne = || strangers.iter().filter_map(|stranger| stranger.borne);
    (storm.shortest, storm.longest) = (borne().min().expect("strangers"), borne().max().expect("strangers"));
    assert!(storm.shortest > DEADLINE - Duration::from_millis(200), "who is slow has all of the time: {storm:?}");
    storm
}

impl Stranger {
    /// Every other one says half of it at once, and only then dribbles.
    fn come(number: usize) -> Self {
        let hello = hello::asking_for(DUAL.as_bytes());
        let half = &hello[..hello.len() / 2];
        let (said, unsaid) = if number.is_multiple_of(2) { (half, &hello[half.len()..]) } else { (&half[..1], &half[1..]) };
        let mut stream = TcpStream::connect((VPS4, 443)).expect("a connection to the gateway");
        stream.set_nonblocking(true).expect("a socket that does not block");
        stream.write_all(said).expect("the first bytes");
        Self { stream, unsaid: unsaid.to_vec(), began: Instant::now(), borne: None }
    }

    fn go_on(&mut self, talk: bool) {
        match self.stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(length @ 1..) => panic!("half a hello was answered with {length} bytes"),
            Ok(0) | Err(_) => return self.borne = Some(self.began.elapsed()),
        }
        if talk {
            // One that was closed this moment is seen at the next look.
            let _ = self.stream.write(&self.unsaid.drain(..1).collect::<Vec<_>>());
        }
    }
}
