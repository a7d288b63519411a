//! A disk that fails: any call that writes or syncs is made to fail, one at a time, by strace.
//!
//! A fault is a call, an error and a count. The count goes up until a run has no such call any more, so that every call site is met,
//! also those that are added later. strace counts by thread: a start is run under it as a whole, the store's thread when the server
//! is up.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fourward_core::api::{Reply, Request};

use crate::server::{Server, Site, add, add_updated, in_namespaces, set_ttl, update};

/// Every call by which the store changes its file or directory, and makes that durable. redb's and ours.
const CALLS: [&str; 6] = ["pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "mkdir"];

const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// No run has more calls of a kind: the loop ends, whatever strace does.
const CALL_LIMIT: u32 = 500;

const PATIENCE: Duration = Duration::from_secs(20);

/// Where routers say that their hosts are.
const HOME: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);

/// What was asked for, in order, and how far it was acknowledged.
#[derive(Default)]
struct Asked {
    hosts: Vec<String>,
    ttl: u32,
    /// The hosts whose routers were told that it is done.
    updated: Vec<String>,
    /// The answer that was no acknowledgement.
    refusal: Option<Refusal>,
}

/// What who asked was told instead.
#[derive(Debug)]
enum Refusal {
    Command(String),
    /// A router hears one word, or nothing if the server ends before it says it.
    Update(io::Result<String>),
}

#[test]
fn a_start_on_a_disk_that_fails_ends_clearly_and_loses_nothing() {
    in_namespaces(|| each_fault(|site, strace| site.start(strace), Site::new, 5));
}

#[test]
fn a_start_on_an_old_store_and_a_disk_that_fails_ends_clearly_and_loses_nothing() {
    in_namespaces(|| each_fault(|site, strace| site.start(strace), crashed, 1));
}

#[test]
fn a_change_on_a_disk_that_fails_is_not_acknowledged_and_ends_the_server_clearly() {
    in_namespaces(|| each_fault(attached, full_to_the_brim, 3));
}

/// Each call, error and count, on a site of its own by `site`, until a run has no such call any more. At least `least` kinds of
/// faults must have been met.
fn each_fault(start: impl Fn(&Site, &[&str]) -> Server, site: impl Fn() -> Site, least: usize) {
    let (mut met, mut told) = (Vec::new(), Vec::new());
    for call in CALLS {
        for error in ERRORS {
            let mut count = 0;
            while count < CALL_LIMIT && one_fault(&start, &site(), call, error, count + 1, &mut told) {
                count += 1;
            }
            assert!(count < CALL_LIMIT, "{call} without an end");
            met.extend((count > 0).then(|| format!("{count}× {call} {error}")));
        }
    }
    println!("{}; routers were told {} times", met.join(", "), told.len());
    assert!(met.len() >= least * ERRORS.len(), "fewer faults than the store has calls: {met:?}");
    assert!(told.iter().any(|line| line == "911"), "no router was told: {told:?}");
}

/// Whether there was such a call. If so, the server must have ended clearly, and the next must have all that was acknowledged. What a
/// router was told in this case goes to `told`.
fn one_fault(start: &impl Fn(&Site, &[&str]) -> Server, site: &Site, call: &str, error: &str, count: u32, told: &mut Vec<String>) -> bool {
    let context = format!("{call} fails with {error}, call {count}");
    let trace = site.path("trace");
    let (traced, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={count}"));
    let out = trace.to_str().expect("UTF-8");
    let mut server = start(site, &["strace", "-D", "-f", "-qq", "-o", out, "-e", &traced, "-e", &inject]);
    let asked = if server.is_up() { ask_for_more(&server) } else { Asked::default() };
    let failed = fs::read_to_string(&trace).unwrap_or_default().contains("(INJECTED)");
    if failed {
        server.failed_clearly(&[site.state().to_str().expect("UTF-8")], &context);
        // Either the command was answered, or there was none yet.
        match &asked.refusal {
            Some(Refusal::Command(reason)) => assert!(reason.contains("was not stored"), "{context}: {reason}"),
            Some(Refusal::Update(Ok(line))) => {
                assert_eq!(line, "911", "{context}");
                told.push(line.clone());
            }
            Some(Refusal::Update(Err(error))) => told.push(error.to_string()),
            None => {}
        }
    } else {
        assert!(asked.refusal.is_none(), "{context}, but there was none: {:?}; {}", asked.refusal, server.said());
        server.kill();
    }
    let mut next = site.start(&[]);
    assert!(next.is_up(), "{context}: the next start fails: {}", next.said());
    for (at, host) in asked.hosts.iter().enumerate() {
        let ttl = next.show(host).settings.ttl;
        assert!(at + 1 == asked.hosts.len() || ttl.is_some(), "{context}: {host}'s TTL is lost");
    }
    if let (Some(last), true) = (asked.hosts.last(), asked.ttl > 0) {
        let ttl = next.show(last).settings.ttl.unwrap_or(0);
        assert!((asked.ttl..=asked.ttl + 1).contains(&ttl), "{context}: acknowledged {}, kept {ttl}", asked.ttl);
    }
    for host in &asked.updated {
        assert_eq!(next.show(host).entry.address, Some(HOME), "{context}: {host}'s address is lost");
    }
    assert!(matches!(next.ask(&add("after")), Ok(Reply::Secrets(_))), "{context}: the next takes no change");
    failed
}

/// Asks for changes until one is not acknowledged, or for some of every kind.
fn ask_for_more(server: &Server) -> Asked {
    let mut asked = Asked::default();
    for host in ["a", "b"] {
        let Some(Reply::Secrets(secrets)) = asked.acknowledged(server, &add_updated(host)) else { return asked };
        asked.hosts.push(host.into());
        asked.ttl = 0;
        for ttl in 1..=2 {
            if asked.acknowledged(server, &set_ttl(host, ttl)).is_none() {
                return asked;
            }
            asked.ttl = ttl;
        }
        match update(host, &secrets.update.password, HOME) {
            Ok(line) if line == format!("good {HOME}") => asked.updated.push(host.into()),
            other => {
                asked.refusal = Some(Refusal::Update(other));
                return asked;
            }
        }
    }
    asked
}

impl Asked {
    fn acknowledged(&mut self, server: &Server, request: &Request) -> Option<Reply> {
        match server.ask(request) {
            Ok(reply @ (Reply::Secrets(_) | Reply::Host(_))) => return Some(reply),
            Ok(Reply::Failed(reason)) => self.refusal = Some(Refusal::Command(reason)),
            Ok(other) => panic!("{request:?}: {other:?}"),
            Err(error) => panic!("{request:?} is left without an answer: {error}; {}", server.said()),
        }
        None
    }
}

/// A site whose server was killed, so that the next start has something to repair.
fn crashed() -> Site {
    let site = Site::new();
    crash(&site);
    site
}

fn crash(site: &Site) {
    let mut server = site.start(&[]);
    assert!(server.is_up(), "{}", server.said());
    assert!(matches!(server.ask(&add("old")), Ok(Reply::Secrets(_))));
    server.kill();
}

/// One whose zone is not signed: then a few changes are enough for its file to grow.
fn full_to_the_brim() -> Site {
    let site = Site::unsigned();
    crash(&site);
    site
}

/// A server that is up, and its store's thread under `strace`.
fn attached(site: &Site, strace: &[&str]) -> Server {
    let mut server = site.start(&[]);
    assert!(server.is_up(), "{}", server.said());
    let store = thread_of(server.child.id(), "store");
    let (program, options) = strace.split_first().expect("strace");
    let mut tracer = Command::new(program);
    tracer.args(options.iter().filter(|option| !["-D", "-f"].contains(*option))).args(["-p", &store.to_string()]);
    tracer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tracer = tracer.spawn().expect("strace");
    let since = Instant::now();
    let status = format!("/proc/{}/task/{store}/status", server.child.id());
    while !fs::read_to_string(&status).expect("status").lines().any(|line| line == format!("TracerPid:\t{}", tracer.id())) {
        assert!(since.elapsed() < PATIENCE && tracer.try_wait().expect("wait").is_none(), "strace does not attach");
        thread::sleep(Duration::from_millis(1));
    }
    // It ends with what it traces.
    thread::spawn(move || tracer.wait());
    server
}

fn thread_of(process: u32, name: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("tasks").map(|entry| entry.expect("entry"));
    let mut named = tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    named.next().expect("a thread of that name").file_name().to_str().expect("UTF-8").parse().expect("an id")
}
