//! Beginnings that are long cost memory, and so there is a bound on them. A process of its own: other tests take some too.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

#[path = "gateway/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use fourward::gateway::Protocol;
use fourward::leases::Leases;

use futures_util::future::select_all;
use rig::{Rig, ZONE, assert_alive, hello, host, long_hello, take, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const NETWORKS: usize = 4;
const OF_EACH: usize = 200;

/// Those that may be held: 64 of 64 KiB. What a connection takes beside that is small; a debug build is generous with it.
const BOUND: usize = (4 << 20) + NETWORKS * OF_EACH * (8 << 10);

/// One after the other: both look at what the whole process has.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Of this process, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// `hello` on so many connections; those of them that stay, and the most memory that this took.
async fn crowd(rig: &Rig, hello: &[u8]) -> (Vec<TcpStream>, usize) {
    let (base, gone) = (memory(), rig.traffic.counts().crowded);
    let mut held = Vec::new();
    for number in 0..NETWORKS * OF_EACH {
        let mut stream = rig.client_from(u8::try_from(number % NETWORKS).expect("few")).await;
        // Who had to give way already does not hear it.
        let _ = stream.write_all(hello).await;
        held.push(stream);
    }
    let mut most = 0;
    let all_but_those_with_room = u64::try_from(NETWORKS * OF_EACH - 64).expect("few");
    until("all but those that there is room for had to give way", || {
        most = most.max(memory().saturating_sub(base));
        rig.traffic.counts().crowded - gone >= all_but_those_with_room || most > BOUND
    })
    .await;
    (held, most)
}

#[tokio::test]
async fn long_beginnings_have_one_bounded_room_also_while_their_homes_are_dialled() {
    let _turn = TURN.lock().await;
    let rig = Rig::start().await;
    // A link that never answers: whoever is led there waits.
    let _link = rig.link(&host("cloud"));
    let half = long_hello(&format!("cloud.{ZONE}"), 230);
    let whole = long_hello(&format!("cloud.{ZONE}"), 200);
    for (what, hello) in [("half", &half[..half.len() - 100]), ("whole", &whole[..])] {
        let (held, most) = crowd(&rig, hello).await;
        assert!(most < BOUND, "{what} hellos of {} bytes took {most} bytes", hello.len());
        // There is room for one of another network.
        let longest = long_hello(&format!("still.{ZONE}"), 200);
        let mut client = rig.client_from(9).await;
        client.write_all(&longest).await.expect("sent");
        let mut home = loop {
            // Not one of the crowd's, which nobody vouches for and nothing is sent to.
            let home = rig.accept().await;
            let touched = timeout(Duration::from_millis(100), home.peek(&mut [0; 1])).await;
            if matches!(touched, Ok(Ok(1))) {
                break home;
            }
        };
        assert!(take(&mut home, longest.len()).await == longest, "{what}");
        assert_alive(&mut client, &mut home).await;
        drop(held);
        until("all are gone", || rig.traffic.counts().open <= 1).await;
    }
}

/// More than there are pipes (256), where bytes wait in the kernel too.
const READERS: usize = 500;

/// A copy keeps 16 KiB at most while its client takes nothing; once there is bulk, nothing.
const BOUND_OF_READERS: usize = READERS * (12 << 10);

#[tokio::test]
async fn who_takes_nothing_costs_no_memory_where_there_is_no_pipe_left() {
    let _turn = TURN.lock().await;
    let mut config = rig::config();
    config.per_network = READERS;
    let rig = Rig::with(config, Leases::new(Instant::now())).await;
    let hello = hello(&format!("still.{ZONE}"));
    // Longer than what waits anywhere, and no power of two.
    let block: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut held = Vec::new();
    let mut base = 0;
    for _ in 0..READERS {
        let client = rig.client(Protocol::Tls, &hello).await;
        let mut home = rig.accept().await;
        take(&mut home, hello.len()).await;
        held.push((client, home));
        // With the first of them comes what is there once.
        if held.len() == 1 {
            base = memory();
        }
    }
    let mut sent = vec![0; READERS];
    loop {
        for ((_, home), sent) in held.iter().zip(&mut sent) {
            *sent += home.try_write(&block[*sent..]).unwrap_or(0);
        }
        // Their windows open a little late.
        let any = select_all(held.iter().map(|(_, home)| Box::pin(home.writable())));
        if timeout(Duration::from_millis(500), any).await.is_err() {
            break;
        }
    }
    let took = memory().saturating_sub(base);
    assert!(took < BOUND_OF_READERS, "{took} bytes");
    // What waited goes on as it was.
    for at in [0, READERS - 1] {
        let mut got = vec![0; sent[at]];
        within(held[at].0.read_exact(&mut got)).await.expect("bytes");
        assert!(got == block[..sent[at]], "client {at}");
    }
}
