//! Killed at any moment, as often as is asked for, under a stream of changes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fourward_core::api::{Reply, Request};

use crate::server::{Site, add, ask, in_namespaces, set_ttl};

/// How often the server is killed, if not told otherwise by [`KILLS_VARIABLE`].
const KILLS: u32 = 1_000;

const KILLS_VARIABLE: &str = "FOURWARD_KILLS";

/// A name that is not answered for longer is a visitor who goes away. A machine that is busy with other things, or its disk, makes some late:
/// one start in so many may be.
const BACK: Duration = Duration::from_millis(500);
const ONE_IN: u32 = 50;

const WRITERS: usize = 4;
const HOSTS_EACH: usize = 8;

/// A host, with the last TTL that was asked for and the last that was acknowledged.
struct Host {
    label: String,
    sent: u32,
    acknowledged: u32,
}

#[test]
fn no_acknowledged_change_is_lost_by_a_thousand_kills() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |text| text.parse().expect(KILLS_VARIABLE));
    in_namespaces(move || kill(kills));
}

fn kill(kills: u32) {
    let site = Site::new();
    let mut hosts: Vec<Host> = (0..WRITERS * HOSTS_EACH).map(|n| Host { label: format!("h{n}"), sent: 1, acknowledged: 1 }).collect();
    let mut server = site.start(&[]);
    assert!(server.is_up(), "{}", server.said());
    for host in &hosts {
        assert!(matches!(server.ask(&add(&host.label)), Ok(Reply::Secrets(_))), "{}", host.label);
        assert!(matches!(server.ask(&set_ttl(&host.label, 1)), Ok(Reply::Host(_))), "{}", host.label);
    }
    let (mut random, mut slowest, mut late, mut in_flight) = (Random(1), Duration::ZERO, 0, 0);
    let (began, mut start, mut serial) = (Instant::now(), Duration::from_millis(50), 0);
    let mut done = 0;
    while done < kills {
        let socket = server.socket().to_owned();
        thread::scope(|scope| {
            for hosts in hosts.chunks_mut(HOSTS_EACH) {
                scope.spawn(|| write_until_killed(&socket, hosts));
            }
            thread::sleep(random.below(Duration::from_millis(40)));
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
            let ttl = server.show(&host.label).settings.ttl.expect("a TTL");
            let (sent, kept) = (host.sent, host.acknowledged);
            assert!((kept..=sent).contains(&ttl), "{}: {ttl} after kill {done}; acknowledged {kept}, sent {sent}", host.label);
            in_flight += u32::from(sent > kept);
            (host.sent, host.acknowledged) = (ttl, ttl);
        }
        let now = serial_of(&server);
        assert!(now >= serial, "the serial went back from {serial} to {now}");
        serial = now;
    }
    let changes: u64 = hosts.iter().map(|host| u64::from(host.acknowledged)).sum();
    let took = began.elapsed();
    println!("{done} kills, {changes} changes kept, {in_flight} were under way; names are back within {slowest:?}; {took:?} in all");
    assert!(late <= done / ONE_IN, "names were away for longer than {BACK:?} after {late} of {done} kills, worst {slowest:?}");
    assert!(changes > u64::from(kills) && in_flight > 0, "the stream was no stream");
}

/// Raises the TTLs of `hosts` in turn until the server is gone.
fn write_until_killed(socket: &Path, hosts: &mut [Host]) {
    for at in (0..hosts.len()).cycle() {
        let host = &mut hosts[at];
        host.sent += 1;
        match ask(socket, &set_ttl(&host.label, host.sent)) {
            Ok(Reply::Host(details)) => {
                assert_eq!(details.settings.ttl, Some(host.sent));
                host.acknowledged = host.sent;
            }
            Ok(other) => panic!("{}: {other:?}", host.label),
            Err(_) => return,
        }
    }
}

fn serial_of(server: &crate::server::Server) -> u32 {
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
