//! Bytes pass unchanged, ends as they come, and relays end when they should.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fourward::config::Timeouts;
use fourward::gateway::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use crate::rig::{ELSEWHERE, PATIENCE, Rig, ZONE, assert_alive, assert_reset, config, hello, host, long_hello, rest, take, until, within};

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

async fn send_in_pieces(mut to: OwnedWriteHalf, bytes: Vec<u8>, pieces: [usize; 3]) -> OwnedWriteHalf {
    let (mut rest, mut at) = (&bytes[..], 0);
    while !rest.is_empty() {
        let (piece, next) = rest.split_at(pieces[at % 3].min(rest.len()));
        to.write_all(piece).await.expect("sent");
        (rest, at) = (next, at + 1);
    }
    to
}

#[tokio::test]
async fn bytes_arrive_exactly_however_they_are_cut() {
    let rig = Rig::start().await;
    let mut numbers = Numbers(7);
    for (size, pieces) in
        [(3_000, [1, 1, 1]), (300_000, [1, 16_384, 700]), (3_000_000, [65_536, 1, 1_448]), (3_000_000, [1_048_576, 16_383, 16_385])]
    {
        let hello = hello(&format!("still.{ZONE}"));
        let (up, down) = (numbers.bytes(size), numbers.bytes(size));
        let client = rig.client(Protocol::Tls, &[]).await;
        client.set_nodelay(true).expect("nodelay");
        let (mut client_in, client_out) = client.into_split();
        let sending = tokio::spawn(send_in_pieces(client_out, [hello.clone(), up.clone()].concat(), pieces));
        let (mut home_in, home_out) = rig.accept().await.into_split();
        let answering = tokio::spawn(send_in_pieces(home_out, down.clone(), pieces));
        let (mut at_home, mut at_client) = (vec![0; hello.len() + size], vec![0; size]);
        let (a, b) = within(async { tokio::join!(home_in.read_exact(&mut at_home), client_in.read_exact(&mut at_client)) }).await;
        a.and(b).expect("all bytes");
        assert!(at_home == [hello, up].concat(), "to the home, in pieces of {pieces:?}");
        assert!(at_client == down, "to the client, in pieces of {pieces:?}");
        let _open = within(async { tokio::join!(sending, answering) }).await;
    }
}

/// Longer than a pipe, and no power of two: a block that is lost, doubled or misplaced shows.
const BLOCK: usize = 1_048_583;
const BLOCKS: usize = 64;

async fn pour(mut to: OwnedWriteHalf, block: Vec<u8>) {
    for _ in 0..BLOCKS {
        to.write_all(&block).await.expect("sent");
    }
    to.shutdown().await.expect("closed");
}

async fn compare(mut from: OwnedReadHalf, block: Vec<u8>) {
    let mut got = vec![0; BLOCK];
    for at in 0..BLOCKS {
        from.read_exact(&mut got).await.expect("block");
        assert!(got == block, "block {at}");
    }
    assert_eq!(from.read(&mut got).await.expect("end"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_flows_both_ways_at_once() {
    let rig = Rig::start().await;
    let (client, home) = rig.relayed("still").await;
    let mut numbers = Numbers(11);
    let (up, down) = (numbers.bytes(BLOCK), numbers.bytes(BLOCK));
    let ((client_in, client_out), (home_in, home_out)) = (client.into_split(), home.into_split());
    let all = [
        tokio::spawn(pour(client_out, up.clone())),
        tokio::spawn(pour(home_out, down.clone())),
        tokio::spawn(compare(home_in, up)),
        tokio::spawn(compare(client_in, down)),
    ];
    for task in all {
        within(task).await.expect("flowed");
    }
    crate::rig::until("counted", || rig.traffic.counts().open == 0).await;
    let counts = rig.traffic.counts();
    assert_eq!(counts.to_clients, (BLOCK * BLOCKS) as u64);
    assert!(counts.to_homes > (BLOCK * BLOCKS) as u64, "the hello counts too");
}

#[tokio::test]
async fn either_side_may_close_its_half_first() {
    let rig = Rig::start().await;
    let close = async |from: &mut TcpStream, to: &mut TcpStream| {
        from.write_all(b"last words").await.expect("sent");
        from.shutdown().await.expect("closed");
        assert_eq!(rest(to).await.expect("end"), b"last words");
        to.write_all(&[5; 500_000]).await.expect("sent");
        to.shutdown().await.expect("closed");
        assert_eq!(rest(from).await.expect("end").len(), 500_000);
    };
    let (mut client, mut home) = rig.relayed("still").await;
    close(&mut client, &mut home).await;
    let (mut client, mut home) = rig.relayed("still").await;
    close(&mut home, &mut client).await;
    crate::rig::until("both ended", || rig.traffic.counts().open == 0).await;
}

#[tokio::test]
async fn a_reset_arrives_as_a_reset() {
    let rig = Rig::start().await;
    let (client, mut home) = rig.relayed("still").await;
    client.set_zero_linger().expect("linger");
    drop(client);
    assert_reset(&mut home).await;
    let (mut client, home) = rig.relayed("still").await;
    home.set_zero_linger().expect("linger");
    drop(home);
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn an_early_answer_survives_an_upload_that_goes_on() {
    let rig = Rig::start().await;
    // A client that takes little at a time: most of the answer waits at the gateway.
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(4_096).expect("buffer");
    let mut client = socket.connect(rig.address(Protocol::Tls, false)).await.expect("gateway");
    let hello = hello(&format!("still.{ZONE}"));
    client.write_all(&hello).await.expect("sent");
    let mut home = rig.accept().await;
    take(&mut home, hello.len()).await;
    home.write_all(&[7; 200_000]).await.expect("sent");
    home.shutdown().await.expect("closed");
    crate::rig::until("the gateway has the answer", || rig.traffic.counts().to_clients == 200_000).await;
    home.set_zero_linger().expect("linger");
    drop(home);
    // More than one read takes: what is left would make a plain close a reset.
    client.write_all(&[1; 150_000]).await.expect("sent");
    crate::rig::until("the gateway has met the reset", || rig.traffic.counts().open == 0).await;
    assert_eq!(rest(&mut client).await.expect("no reset").len(), 200_000);
}

/// Sends without pause until it is cut off, and then reads what it was told.
fn upload(mut client: std::net::TcpStream) -> Vec<u8> {
    while std::io::Write::write_all(&mut client, &[1; 200_000]).is_ok() {}
    let mut told = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client, &mut told);
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_of_a_home_that_reads_no_further_arrive() {
    let rig = Rig::start().await;
    for ends_first in [false, true] {
        let mut told = Vec::new();
        for _ in 0..25 {
            let (client, mut home) = rig.relayed("still").await;
            let client = client.into_std().expect("a socket");
            client.set_nonblocking(false).expect("option");
            let client = tokio::task::spawn_blocking(move || upload(client));
            take(&mut home, 1).await;
            home.write_all(b"413").await.expect("sent");
            if ends_first {
                home.shutdown().await.expect("closed");
            }
            // With bytes in it that were not read: a reset.
            drop(home);
            told.push(within(client).await.expect("a thread"));
        }
        assert!(told.iter().all(|told| told == b"413"), "{} of 25", told.iter().filter(|told| *told == b"413").count());
    }
    until("all ended", || rig.traffic.counts().open == 0).await;
}

/// What was on its way arrives, but a cut is no end: the client must not take the half for the whole.
#[tokio::test]
async fn last_words_before_a_reset_end_in_a_reset() {
    let rig = Rig::start().await;
    // A client that takes little at a time: most of the answer waits at the gateway and at home.
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(4_096).expect("buffer");
    let mut client = socket.connect(rig.address(Protocol::Tls, false)).await.expect("gateway");
    let hello = hello(&format!("still.{ZONE}"));
    client.write_all(&hello).await.expect("sent");
    let mut home = rig.accept().await;
    take(&mut home, hello.len()).await;
    let mut sent = 0;
    // Until nothing is taken any more.
    while tokio::time::timeout(Duration::from_millis(200), home.writable()).await.is_ok() {
        sent += home.try_write(&[7; 100_000]).unwrap_or(0);
    }
    until("it is at the gateway", || rig.traffic.counts().to_clients > 0).await;
    home.set_zero_linger().expect("linger");
    drop(home);
    client.write_all(&[1; 1_000]).await.expect("sent");
    let (mut got, mut buffer) = (0, vec![0; 65_536]);
    let ended = loop {
        match within(client.read(&mut buffer)).await {
            Ok(0) => break None,
            Ok(count) => got += count,
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(ended, Some(ErrorKind::ConnectionReset), "after {got} of {sent} bytes");
}

#[tokio::test]
async fn silence_ends_a_relay_and_a_half_closed_one_sooner() {
    let (idle, mut config) = (Duration::from_secs(2), config());
    config.timeouts.idle = idle;
    let rig = Rig::with(config.clone(), fourward::leases::Leases::new(Instant::now())).await;
    let (mut client, mut home) = rig.relayed("still").await;
    let began = Instant::now();
    let mut last = began;
    while last - began < idle {
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = Instant::now();
        assert_alive(&mut client, &mut home).await;
    }
    assert_reset(&mut client).await;
    assert!(last.elapsed() + Duration::from_millis(10) > idle, "{:?}", last.elapsed());
    assert_reset(&mut home).await;
    config.timeouts = Timeouts { idle: PATIENCE * 3, half_closed: Duration::from_millis(200), ..config.timeouts };
    let rig = Rig::with(config, fourward::leases::Leases::new(Instant::now())).await;
    let (mut client, mut home) = rig.relayed("still").await;
    client.shutdown().await.expect("closed");
    assert_eq!(rest(&mut home).await.expect("end"), b"");
    // Which is waited for less long than for the other's end.
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn a_move_ends_relays_to_the_old_address_and_no_other() {
    let rig = Rig::start().await;
    let _links = [rig.link_at(&host("cloud"), crate::rig::HERE), rig.link_at(&host("nas"), crate::rig::HERE)];
    let mut moved = Vec::new();
    for _ in 0..3 {
        moved.push(rig.relayed("cloud").await);
    }
    let (mut client, mut home) = rig.relayed("nas").await;
    // One of them is in the middle of bulk, with bytes on their way to the old address.
    moved[0].0.try_write(&vec![0; 1 << 20]).expect("sent");
    rig.moves(&host("cloud"), ELSEWHERE).await;
    for (client, home) in &mut moved {
        assert_reset(client).await;
        assert_eq!(rest(home).await.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    }
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn settings_that_do_not_move_a_host_leave_its_relays_alone() {
    let rig = Rig::start().await;
    let (mut client, mut home) = rig.relayed("still").await;
    for edit in ["ttl=30", "alias=still.example.org", "ttl=60"] {
        let edits = vec![edit.parse().expect("edit")];
        rig.store.commit(fourward_core::change::Change::Set { host: host("still"), edits }).await.expect("set");
        assert_alive(&mut client, &mut home).await;
    }
    rig.store
        .commit(fourward_core::change::Change::Remove { host: host("still"), at: jiff::Timestamp::UNIX_EPOCH })
        .await
        .expect("removed");
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn http_is_relayed_by_host_as_it_came() {
    let rig = Rig::start().await;
    let request = b"GET http://still.dyn.example.org/.well-known/acme-challenge/x HTTP/1.1\r\nHost: Still.Dyn.Example.Org:80\r\n\r\nmore";
    let mut client = rig.client(Protocol::Http, request).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, request.len()).await, request);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn an_alias_leads_home() {
    let rig = Rig::start().await;
    let _link = rig.link_at(&host("cloud"), crate::rig::HERE);
    let hello = hello("OwnCloud.example.org");
    let mut client = rig.client(Protocol::Tls, &hello).await;
    let mut home = rig.accept().await;
    assert_eq!(take(&mut home, hello.len()).await, hello);
    assert_alive(&mut client, &mut home).await;
}

#[tokio::test]
async fn hellos_of_every_length_reach_the_home_as_they_were_sent() {
    let rig = Rig::start().await;
    for protocols in [0, 1, 30, 60, 70, 130, 250] {
        let hello = long_hello(&format!("still.{ZONE}"), protocols);
        for piece in [hello.len(), 16 * 1024, 1_448, 500] {
            let mut client = tokio::net::TcpStream::connect(rig.address(Protocol::Tls, false)).await.expect("gateway");
            client.set_nodelay(true).expect("option");
            for piece in hello.chunks(piece) {
                within(client.write_all(piece)).await.expect("sent");
                tokio::task::yield_now().await;
            }
            let mut home = rig.accept().await;
            assert!(take(&mut home, hello.len()).await == hello, "{} bytes in pieces of {piece}", hello.len());
            assert_alive(&mut client, &mut home).await;
        }
    }
    assert!(long_hello(&format!("still.{ZONE}"), 250).len() > 60 * 1024);
}

#[tokio::test]
async fn half_a_hello_and_an_end_is_an_end() {
    let rig = Rig::start().await;
    let hello = long_hello(&format!("still.{ZONE}"), 130);
    for length in [0, 1, 5, 100, 17 * 1024, 33 * 1024] {
        let mut client = rig.client(Protocol::Tls, &hello[..length]).await;
        client.shutdown().await.expect("ended");
        // The deadline of these tests is far away.
        let ended = within(client.read(&mut [0; 1])).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{length} bytes: {ended:?}");
    }
    until("all are gone", || rig.traffic.counts().silent == 6 && rig.traffic.counts().open == 0).await;
}
