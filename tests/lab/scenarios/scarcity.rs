//! The gateway has no descriptor left, and the machine's clock is not to be trusted.

use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clock::{figure, throughout, wait_for};
use crate::faketime;
use crate::lab::Lab;
use crate::many::{connect_from, gateway};
use crate::netns::succeed;
use crate::probe::{Reply, Speech};
use crate::roles::{DUAL, Role, TWIN, said};
use crate::topology::Node::{Dns, Phone4};
use crate::topology::{Node, PHONE4, VPS4};

/// Long against the pause between two tries to accept.
const WHILE: Duration = Duration::from_secs(3);
/// For what was short to be there again, and for things to settle.
const SOON: Duration = Duration::from_secs(5);
/// Of one core, while it can do nothing: far less than a loop would take.
const BUSY: Duration = Duration::from_millis(500);
/// A lease, and what is granted to notice its end.
const LEASE: Duration = Duration::from_secs(30 + 4);
/// What is left of it at least when its agent dies: it was renewed within the last five seconds.
const SHORTEST: Duration = Duration::from_secs(30 - 5 - 1);

#[test]
fn a_gateway_without_descriptors_carries_on_and_accepts_again_when_there_are_some() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    // A relay that stands, kept alive by an upload that never ends.
    let mut relay = lab.ns(Phone4).thread(|| connect_from(PHONE4.parse().expect("an address"), gateway(80))).join();
    let relay = relay.as_mut().expect("a thread").as_mut().expect("a connection");
    relay.write_all(format!("GET / HTTP/1.1\r\nHost: {DUAL}\r\n\r\n").as_bytes()).expect("asked");
    assert_ne!(relay.read(&mut [0; 4096]).expect("answered"), 0);

    wait_for("nothing else is going on", SOON, || vps.connections() == 1);
    let before = vps.daemon.processor_time();
    limit_descriptors(&vps, "0");
    let waiting = lab.ns(Phone4).thread(|| {
        let mut stream = connect_from(PHONE4.parse().expect("an address"), gateway(80)).expect("the kernel takes it");
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {DUAL}\r\nConnection: close\r\n\r\n").as_bytes()).expect("asked");
        let mut page = String::new();
        stream.read_to_string(&mut page).map(|_| page)
    });
    throughout(Instant::now() + WHILE, || {
        assert_eq!(lab.dig(Dns, Some(VPS4), TWIN, "AAAA").of("AAAA"), [lab.home().to_string().as_str()], "names are answered");
        relay.write_all(format!("GET / HTTP/1.1\r\nHost: {DUAL}\r\n\r\n").as_bytes()).expect("asked");
        assert_ne!(relay.read(&mut [0; 4096]).expect("the relay goes on"), 0);
    });
    let busy = vps.daemon.processor_time() - before;
    assert!(!waiting.is_finished(), "nobody was turned away");
    limit_descriptors(&vps, "1024");
    let page = waiting.join().expect("a thread").expect("who waited is served");
    assert!(page.contains("This is the cloud at home."), "{page}");
    let log = fs::read_to_string(lab.log("fourward-vps")).expect("the gateway's log");
    let told = log.lines().filter(|line| line.contains("no connection can be accepted")).count();
    assert_eq!((told, log.lines().filter(|line| line.contains("accepting again")).count()), (1, 1), "{log}");
    figure("processor time in 3 s without a descriptor", format_args!("{busy:.1?}"));
    assert!(busy < BUSY, "{busy:?}");
}

fn limit_descriptors(vps: &Role, limit: &str) {
    succeed(Command::new("prlimit").args(["--pid", &vps.daemon.pid().to_string(), &format!("--nofile={limit}:")]));
}

/// The clock on the wall as the programs see it; the other, by which leases are counted, goes on.
struct Wall {
    file: String,
}

impl Wall {
    /// A clock that is right so far.
    fn new(lab: &Lab, name: &str) -> Self {
        let wall = Self { file: lab.dir().join(name).display().to_string() };
        wall.set("+0");
        wall
    }

    fn set(&self, offset: &str) {
        fs::write(&self.file, offset).expect("set the clock");
    }

    /// Starts `role` again under this clock.
    fn rule(&self, lab: &Lab, role: Role, name: &str) -> Role {
        role.under(lab, name, &faketime::by(&format!("FAKETIME_TIMESTAMP_FILE={}", self.file)))
    }
}

#[test]
fn a_clock_that_jumps_an_hour_forth_and_back_moves_no_lease() {
    let lab = Lab::beside_others();
    let wall = Wall::new(&lab, "clock");
    let (vps, home) = lab.start_figure();
    let (vps, home) = (wall.rule(&lab, vps, "vps"), wall.rule(&lab, home, "home"));
    let is_served = || lab.attempt(Speech::Http, DUAL).reply == Reply::Home(lab.home());
    wait_for("the home is served under this clock", SOON * 3, is_served);
    let join = vps.add_host("late", &[]);
    for offset in ["+3600", "-3600", "+0"] {
        wall.set(offset);
        throughout(Instant::now() + WHILE, || {
            assert_eq!(lab.dig(Dns, Some(VPS4), TWIN, "AAAA").of("AAAA"), [lab.home().to_string().as_str()], "{offset}");
            assert!(is_served(), "{offset}");
        });
    }
    // What is promised in hours is judged by the clock on the wall.
    wall.set("+90000");
    let refused = lab.try_to_join("late", Phone4, &join);
    assert!(!refused.status.success() && said(&refused).contains("ended on"), "{}", said(&refused));
    wall.set("+0");
    let taken = lab.try_to_join("late", Phone4, &join);
    assert!(taken.status.success(), "{}", said(&taken));

    assert_lease_ends(&lab, home, "the clock an hour back", || wall.set("-3600"));
}

#[test]
fn a_servers_clock_that_jumps_an_hour_forth_moves_no_lease() {
    one_clock_jumps(Node::Vps, "+3600");
}

#[test]
fn a_servers_clock_that_jumps_an_hour_back_moves_no_lease() {
    one_clock_jumps(Node::Vps, "-3600");
}

#[test]
fn an_agents_clock_that_jumps_an_hour_forth_moves_no_lease() {
    one_clock_jumps(Node::Server, "+3600");
}

#[test]
fn an_agents_clock_that_jumps_an_hour_back_moves_no_lease() {
    one_clock_jumps(Node::Server, "-3600");
}

/// One of the two has its own idea of the time, and then the right one: longer than a lease each, so that one that is not renewed would
/// end; and the clock jumps once more while a lease runs out.
fn one_clock_jumps(whose: Node, offset: &'static str) {
    let lab = Lab::beside_others();
    let wall = Wall::new(&lab, "clock");
    let (mut vps, mut home) = lab.start_figure();
    if whose == Node::Vps {
        vps = wall.rule(&lab, vps, "vps")
    } else {
        home = wall.rule(&lab, home, "home")
    }
    wait_for("the home is served under this clock", SOON * 3, || lab.attempt(Speech::Http, DUAL).reply == Reply::Home(lab.home()));
    let before = vps.serial();
    for (now, span) in [(offset, LEASE), ("+0", WHILE)] {
        wall.set(now);
        throughout(Instant::now() + span, || {
            assert_eq!(lab.attempt(Speech::Http, DUAL).reply, Reply::Home(lab.home()), "{whose:?} at {now}");
            assert_eq!(vps.serial(), before, "no lease was lost, not even for a moment: {whose:?} at {now}");
        });
    }
    wall.set(offset);
    assert_lease_ends(&lab, home, &format!("{}'s clock {offset} s", whose.name()), || wall.set("+0"));
}

/// A dead home's lease ends when it does, though the clock says that it had only begun, or was over long ago.
fn assert_lease_ends(lab: &Lab, mut home: Role, clock: &str, jump: impl FnOnce()) {
    home.daemon.kill();
    let died = Instant::now();
    jump();
    wait_for("the dead home's address is withdrawn", LEASE, || lab.dig(Dns, Some(VPS4), DUAL, "AAAA").is_no_data());
    let took = died.elapsed();
    figure(&format!("a dead home's address withdrawn, {clock}"), format_args!("{took:.1?}"));
    assert!(took > SHORTEST, "a lease is no shorter than an echo less: {took:?}");
    assert_eq!(lab.dig(Dns, Some(VPS4), DUAL, "A").of("A"), [VPS4], "the gateway answers for it");
    for speech in [Speech::Http, Speech::Tls] {
        let attempt = lab.attempt(speech, DUAL);
        assert_eq!(attempt.reply, Reply::Gateway, "{speech:?}");
        assert!(attempt.answered - attempt.began < Duration::from_secs(1), "{speech:?}");
    }
}
