//! Beginnings that are long cost memory, and so there is a bound on them. A process of its own: other tests take some too.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

#[path = "gateway/rig.rs"]
mod rig;

use std::time::Duration;

use rig::{Rig, ZONE, assert_alive, host, long_hello, take, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

const NETWORKS: usize = 4;
const OF_EACH: usize = 200;

/// Those that may be held: 64 of 64 KiB. What a connection takes beside that is small; a debug build is generous with it.
const BOUND: usize = (4 << 20) + NETWORKS * OF_EACH * (8 << 10);

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
