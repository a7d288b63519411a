//! Signed updates that somebody overheard, or whose clock is wrong, or that came damaged.

use super::updates::{CLOUD, PROOF, Updating, add, packet, sent};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn clocks_may_differ_by_the_fudge_and_no_more() {
    let server = Updating::start().await;
    let by = |clock: &str, key: &str, address: &str| server.told_at(clock, key, address);
    for (clock, key) in [("+310s", "all"), ("-310s", "all"), ("+1y", "all"), ("-60s", "all")] {
        // A minute ago the server was not there: what was signed then may be somebody's who overheard it.
        holds(&by(clock, key, "2001:db8::1"), &["BADTIME"]);
    }
    assert_eq!(server.values(CLOUD, "AAAA"), [""; 0]);
    assert_eq!(by("+240s", "all", "2001:db8::2"), "");
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::2"]);
    holds(&by("+230s", "all", "2001:db8::3"), &["BADTIME"]);
    assert_eq!(by("+230s", "address", "2001:db8::4"), "", "another key has its own time");
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_sent_again_is_answered_again_and_done_once() {
    let server = Updating::start().await;
    let overheard = packet("all", &add("2001:db8::1"));
    let first = sent(server.address, &overheard);
    assert_eq!(first[3] & 0xF, 0);
    let serial = server.serial();
    assert_eq!(sent(server.address, &overheard), first, "the answer was lost: the same again");
    assert_eq!(server.serial(), serial);
    // The home moves on by another key, within the same second or not: the same answer still, and nothing done.
    server.good("address", &add("2001:db8::2"));
    assert_eq!(sent(server.address, &overheard), first);
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::2"]);
    // A newer one by the same key.
    assert_eq!(server.told_at("+2s", "all", "2001:db8::3"), "");
    let late = sent(server.address, &overheard);
    assert_eq!(
        (late[3] & 0xF, &late[late.len() - 10..late.len() - 6]),
        (9, &[0, 18, 0, 6][..]),
        "NOTAUTH, BADTIME, with the server's time"
    );
    let mut stream = TcpStream::connect(server.address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(&framed(&overheard)).expect("sent");
    assert_eq!(read_framed(&mut stream)[3] & 0xF, 9, "by TCP, too");
    assert_eq!(server.values(CLOUD, "AAAA"), ["2001:db8::3"]);
}

/// Of a signed message nothing may be otherwise: it is answered once at most, by no more than it was and a signature, and nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_damaged_updates_change_nothing() {
    let server = Updating::start().await;
    let lines = format!("prereq yxdomain {CLOUD}.\n{}\nupdate add {PROOF}. 60 TXT value", add("2001:db8::1"));
    let whole = ["all", "all512.dyn.example.org", "address"].map(|key| packet(key, &lines));
    // So that one whose damage means nothing, such as another letter case of the key's name, is the same again.
    let first = whole.each_ref().map(|packet| sent(server.address, packet));
    let (before, socket) = (server.store.snapshot(), UdpSocket::bind("127.0.0.1:0").expect("a client"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut noise, mut answers) = (1_u32, 0);
    let mut random = |below: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 8) as usize % below
    };
    for number in 0..20_000 {
        let mut message = whole[random(whole.len())].clone();
        for _ in 0..=random(3) {
            let at = random(message.len());
            message[at] = random(256) as u8;
        }
        if number % 4 == 0 {
            message.truncate(random(message.len()));
        }
        socket.send_to(&message, server.address).expect("sent");
        // No more than the socket there holds; what is whole is answered last.
        if number % 32 == 31 {
            socket.send_to(&whole[0], server.address).expect("sent");
            answers += until(&socket, &first[0]);
        }
    }
    assert!((10_000..=20_000).contains(&answers), "{answers} answers");
    assert_eq!(server.store.snapshot(), before);
}

/// How many answers come before this one, all of them short.
fn until(socket: &UdpSocket, last: &[u8]) -> usize {
    let mut answer = [0; 4096];
    for count in 0.. {
        let length = socket.recv(&mut answer).expect("an answer");
        assert!(length <= 512, "{length} bytes");
        if answer[..length] == *last {
            return count;
        }
    }
    unreachable!()
}
