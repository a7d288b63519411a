//! Descriptors return to where they were. A process of its own: other tests open some too.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

#[path = "gateway/rig.rs"]
mod rig;

use fourward::gateway::Protocol;
use rig::{HERE, Rig, ZONE, answer, hello, host, rest, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;

/// Pipes that the pool keeps for the next bulk, two ends each.
const KEPT: usize = 2 * 16;

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("descriptors").count()
}

fn sockets() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("descriptors").filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[tokio::test]
async fn descriptors_return_to_where_they_were() {
    let _turn = TURN.lock().await;
    let rig = Rig::start().await;
    let _link = rig.link_at(&host("cloud"), HERE);
    let (base, base_sockets) = (open(), sockets());
    for round in 0..20_usize {
        let (mut client, mut home) = rig.relayed(if round % 2 == 0 { "still" } else { "cloud" }).await;
        match round % 4 {
            // Bulk, to the end.
            0 => {
                let pour = tokio::spawn(async move {
                    home.write_all(&vec![1; 4 << 20]).await.expect("sent");
                    home.shutdown().await.expect("closed");
                    home
                });
                client.shutdown().await.expect("closed");
                assert_eq!(rest(&mut client).await.expect("bytes").len(), 4 << 20);
                drop(pour.await.expect("poured"));
            }
            // Cut with a pipe full of bytes.
            1 => {
                let _ = home.try_write(&vec![1; 8 << 20]);
                home.set_zero_linger().expect("linger");
            }
            2 => client.set_zero_linger().expect("linger"),
            _ => drop(home),
        }
        assert_eq!(answer(rig.client(Protocol::Tls, &hello(&format!("nobody.{ZONE}"))).await).await.len(), 7);
        drop(rig.client(Protocol::Tls, &[22, 3, 1]).await);
        drop(rig.client(Protocol::Http, b"GET / HTTP/1.1\r\nHost: gone.dyn.example.org\r\n\r\n").await);
    }
    until("sockets are closed", || sockets() == base_sockets).await;
    assert!(open() <= base + KEPT, "{} of {base}", open());
    assert_eq!(rig.traffic.counts().open, 0);
}

/// One after the other: both count, or take, what the whole process has.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn a_dial_that_fails_for_want_of_descriptors_is_not_the_homes_fault() {
    let _turn = TURN.lock().await;
    let rig = Rig::start().await;
    let mut waiting = [rig.client(Protocol::Tls, &[22]).await, rig.client(Protocol::Http, b"GET / HTTP/1.1\r\n").await];
    until("both were accepted", || rig.traffic.counts().open == 2).await;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1_024), ..limit }).expect("a lower limit");
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    waiting[0].write_all(&hello(&format!("still.{ZONE}"))[1..]).await.expect("sent");
    waiting[1].write_all(format!("Host: still.{ZONE}\r\n\r\n").as_bytes()).await.expect("sent");
    let [tls, http] = waiting;
    let (alert, page) = (answer(tls).await, answer(http).await);
    drop(taken);
    setrlimit(Resource::Nofile, limit).expect("the limit as it was");
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 80]);
    let page = String::from_utf8(page).expect("text");
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("This gateway cannot"), "{page}");
    let failed = rig.traffic.dials().failed();
    assert_eq!(failed.into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [("local", 2)]);
}
