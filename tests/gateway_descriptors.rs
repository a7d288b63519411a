//! Descriptors return to where they were. A process of its own: other tests open some too.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

#[path = "gateway/rig.rs"]
mod rig;

use fourward::gateway::Protocol;
use rig::{HERE, Rig, ZONE, answer, hello, host, rest, until};
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
