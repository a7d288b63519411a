//! Messages that no tool sends, over both transports. The whole table is the core's.

use super::*;

/// The header of a reply to `message` by UDP, which must be that by TCP.
fn header(server: &Server, message: &[u8]) -> [u8; 12] {
    let (client, mut udp) = (server.udp(), vec![0; 4096]);
    client.send(message).expect("sent");
    let length = client.recv(&mut udp).expect("an answer");
    udp.truncate(length);
    let mut stream = server.tcp();
    stream.write_all(&framed(message)).expect("sent");
    assert_eq!(read_framed(&mut stream), udp, "the same by TCP");
    *udp.first_chunk().expect("a header")
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_messages_get_the_same_answer_by_both_transports() {
    let server = Server::on_loopback();
    let good = question(0xBEEF);
    let with = |places: &[(usize, u8)]| {
        let mut message = good.clone();
        places.iter().for_each(|(place, value)| message[*place] = *value);
        message
    };
    let longer = |tail: &[u8], additional: u8| [with(&[(11, additional)]), tail.to_vec()].concat();
    let twice = [with(&[(5, 2)]), good[12..].to_vec()].concat();
    let edns = |version: u8| [0, 0, 41, 4, 208, 0, version, 0, 0, 0, 4, 0xFD, 0xE9, 0, 0];
    let end = good.len();
    #[rustfmt::skip]
    let table = [
        ("a good one", good.clone(), [0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]),
        ("every flag", with(&[(2, 0x07), (3, 0xFF)]), [0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0]),
        ("opcode 15", with(&[(2, 0x78)]), [0xF8, 4, 0, 1, 0, 0, 0, 0, 0, 0]),
        ("no question", with(&[(5, 0)])[..12].to_vec(), [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("two questions", twice, [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a pointer", with(&[(12, 0xC0), (13, 12)]), [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("an unknown class", with(&[(end - 1, 9)]), [0x80, 5, 0, 1, 0, 0, 0, 0, 0, 0]),
        ("an unknown type", with(&[(end - 4, 9)]), [0x84, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
        ("cut short", good[..end - 1].to_vec(), [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a byte too many", longer(b"x", 0), [0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        ("an unknown option", longer(&edns(0), 1), [0x84, 0, 0, 1, 0, 1, 0, 0, 0, 1]),
        ("EDNS 1", longer(&edns(1), 1), [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 1]),
    ];
    for (what, message, expected) in table {
        assert_eq!(header(&server, &message), [&[0xBE, 0xEF][..], &expected].concat()[..], "{what}");
    }
    // Neither is answered: the next answer is to the next question.
    let (client, mut reply) = (server.udp(), [0; 512]);
    for silent in [with(&[(2, 0x84)]), good[..11].to_vec()] {
        client.send(&silent).expect("sent");
        client.send(&question(7)).expect("sent");
        client.recv(&mut reply).expect("an answer");
        assert_eq!(reply[..2], [0, 7]);
    }
}
