//! Killed at any moment, as often as is asked for, under a stream of changes: commands over the socket, routers' updates over HTTP, and updates by DNS.

use std::net::Ipv6Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fourward_core::api::{Reply, Request};

use crate::keys;
use crate::server::{Server, Site, add, add_updated, ask, in_namespaces, set_ttl, update};

/// How often the server is killed, if not told otherwise by [`KILLS_VARIABLE`].
const KILLS: u32 = 1_000;

const KILLS_VARIABLE: &str = "FOURWARD_KILLS";

/// A name that is not answered for longer is a visitor who goes away. A machine that is busy with other things, or its disk, makes some late:
/// one start in so many may be.
const BACK: Duration = Duration::from_millis(500);
const ONE_IN: u32 = 50;

/// The last of them has keys of updates by DNS, the one before is a network of routers.
const WRITERS: usize = 5;

const COMMANDS: usize = 3;
const KEYS: usize = 4;

/// So many that no router and no key comes near the 30 changes that it may say at once: a server lives for a few hundredths of a second, and a new
/// one counts anew.
const HOSTS_EACH: usize = 8;

/// Who changes a host.
enum Writer {
    /// A command: its TTL is the number.
    Command,
    /// Its router, by this password: its address ends in the number.
    Router(String),
    /// Who has its key, in the same way.
    Key,
}

/// A host, with the last number that was asked for and the last that was acknowledged.
struct Host {
    label: String,
    writer: Writer,
    sent: u32,
    acknowledged: u32,
}

impl Host {
    /// One that has the number 1.
    fn new(server: &Server, at: usize) -> Self {
        let label = format!("h{at}");
        let of = at / HOSTS_EACH;
        let request = if of < COMMANDS { add(&label) } else { add_updated(&label) };
        let Ok(Reply::Secrets(secrets)) = server.ask(&request) else { panic!("{label} is not added") };
        let writer = match of {
            COMMANDS => Writer::Router(secrets.update.password),
            KEYS => Writer::Key,
            _ => Writer::Command,
        };
        let mut host = Self { label, writer, sent: 0, acknowledged: 0 };
        host.raise(server.socket());
        assert_eq!(host.acknowledged, 1, "{}", host.label);
        host
    }

    /// Asks for the next number. `false`: the server is gone.
    fn raise(&mut self, socket: &Path) -> bool {
        self.sent += 1;
        let done = match &self.writer {
            Writer::Command => ask(socket, &set_ttl(&self.label, self.sent)).map(|reply| match reply {
                Reply::Host(details) => assert_eq!(details.settings.ttl, Some(self.sent)),
                other => panic!("{}: {other:?}", self.label),
            }),
            Writer::Key => keys::update(&self.label, address_of(self.sent)).map(|code| assert_eq!(code, 0, "{}", self.label)),
            Writer::Router(password) => {
                let address = address_of(self.sent);
                update(&self.label, password, address).map(|line| assert_eq!(line, format!("good {address}"), "{}", self.label))
            }
        };
        if done.is_ok() {
            self.acknowledged = self.sent;
        }
        done.is_ok()
    }

    /// The number that the server has.
    fn kept(&self, server: &Server) -> u32 {
        let shown = server.show(&self.label);
        match self.writer {
            Writer::Command => shown.settings.ttl.expect("a TTL"),
            Writer::Router(_) | Writer::Key => number_of(shown.entry.address.expect("an address")),
        }
    }
}

/// Where a home is that has moved so often.
fn address_of(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0).to_bits() | u128::from(number))
}

fn number_of(address: Ipv6Addr) -> u32 {
    u32::try_from(address.to_bits() & u128::from(u32::MAX)).expect("32 bits")
}

#[test]
fn no_acknowledged_change_is_lost_by_a_thousand_kills() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |text| text.parse().expect(KILLS_VARIABLE));
    in_namespaces(move || kill(kills));
}

fn kill(kills: u32) {
    let site = Site::new();
    keys::add(&site.config(), (KEYS * HOSTS_EACH..WRITERS * HOSTS_EACH).map(|at| format!("h{at}")));
    let mut server = site.start(&[]);
    assert!(server.is_up(), "{}", server.said());
    let mut hosts: Vec<Host> = (0..WRITERS * HOSTS_EACH).map(|at| Host::new(&server, at)).collect();
    let (mut random, mut slowest, mut late, mut in_flight) = (Random(1), Duration::ZERO, 0, 0);
    let (began, mut start, mut serial) = (Instant::now(), Duration::from_millis(50), 0);
    let mut done = 0;
    while done < kills {
        let socket = server.socket().to_owned();
        thread::scope(|scope| {
            for hosts in hosts.chunks_mut(HOSTS_EACH) {
                scope.spawn(|| write_until_killed(&socket, hosts));
            }
            thread::sleep(random.below(Duration::from_millis(60)));
            server.kill();
        });
        done += 1;
        server = site.start(&[]);
        // Every fourth is killed again on its way up, while it repairs and takes over its file.
        if done % 4 == 0 {
            thread::sleep(random.below(start));
            server.kill();
            done += 1;
            server = site.start(&[]);
        }
        let (took, ttl) = server.until_it_answers(&hosts[0].label);
        late += u32::from(took > BACK);
        assert!((hosts[0].acknowledged..=hosts[0].sent).contains(&ttl), "a TTL of {ttl} is answered");
        (start, slowest) = (took, slowest.max(took));
        assert!(server.is_up(), "{}", server.said());
        for host in &mut hosts {
            let (number, sent, acknowledged) = (host.kept(&server), host.sent, host.acknowledged);
            assert!(
                (acknowledged..=sent).contains(&number),
                "{}: {number} after kill {done}; acknowledged {acknowledged}, sent {sent}",
                host.label
            );
            in_flight += u32::from(sent > acknowledged);
            (host.sent, host.acknowledged) = (number, number);
        }
        let now = serial_of(&server);
        assert!(now >= serial, "the serial went back from {serial} to {now}");
        serial = now;
    }
    let all = |hosts: &[Host]| hosts.iter().map(|host| u64::from(host.acknowledged)).sum::<u64>();
    let (commands, updates) = hosts.split_at(COMMANDS * HOSTS_EACH);
    let (updates, by_key) = updates.split_at(HOSTS_EACH);
    let (commands, updates, by_key, took) = (all(commands), all(updates), all(by_key), began.elapsed());
    println!(
        "{done} kills, {commands} commands, {updates} updates and {by_key} by DNS kept, {in_flight} were under way; names are back within {slowest:?}; {took:?} in all"
    );
    assert!(late <= done / ONE_IN, "names were away for longer than {BACK:?} after {late} of {done} kills, worst {slowest:?}");
    assert!(commands > u64::from(kills) && updates.min(by_key) > u64::from(kills) / 5 && in_flight > 0, "the stream was no stream");
}

/// Changes `hosts` in turn until the server is gone.
fn write_until_killed(socket: &Path, hosts: &mut [Host]) {
    for at in (0..hosts.len()).cycle() {
        if !hosts[at].raise(socket) {
            return;
        }
    }
}

fn serial_of(server: &Server) -> u32 {
    match server.ask(&Request::Status) {
        Ok(Reply::Status(status)) => status.zones[0].serial,
        other => panic!("{other:?}"),
    }
}

/// The same moments on every run, as far as the machine lets them be.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        limit.mul_f64((self.0 >> 33) as f64 / f64::from(1_u32 << 31))
    }
}
