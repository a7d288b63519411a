//! Whatever comes, the answer is whole and within bounds, or there is none.

use proptest::prelude::*;

use super::*;

#[test]
fn silence_answers_responses_and_what_has_no_header() {
    let good = Message::asking(CLOUD, Type::A).bytes();
    for length in 0..HEADER {
        assert_eq!(send(&good[..length], Transport::Udp, &state()), None, "{length} bytes");
    }
    let response = Message::asking(CLOUD, Type::A).flags(0x8100).bytes();
    assert_eq!(send(&response, Transport::Udp, &state()), None);
    assert_eq!(send(&response, Transport::Tcp, &state()), None);
}

/// Messages that are nearly good: the interesting ones are near the edge.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![CLOUD, APEX, ABSENT, CHALLENGE, AWAY, SERVICE, AWAY_TWIN, OFF_ZONE, &[]]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (names, any::<u16>(), any::<Option<u16>>(), edits, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(labels, kind, edns, edits, end, cut)| {
            let message = Message::asking(labels, Type(kind % 300));
            let mut bytes = edns.map_or(message.clone(), |size| message.edns(size)).bytes();
            for (place, value) in edits {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        },
    )
}

/// More questions and records than there are bytes for; a message with one of each may have been cut.
fn promises_too_much(message: &[u8]) -> bool {
    let count = |at: usize| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    let (questions, records) = (count(4), [count(6), count(8), count(10)]);
    let least = HEADER + 5 * questions + 11 * records.iter().sum::<usize>();
    (questions > 1 || records.iter().any(|count| *count > 1)) && least > message.len()
}

#[test]
fn what_another_protocol_said_is_not_answered() {
    let chargen = b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n";
    let tftp = b"\x00\x05\x00\x04Illegal TFTP operation\x00";
    for said in [&chargen[..], tftp, b"220 ftp.example.org FTP server ready.\r\n", b"Mon Nov 23 11:32:13 2026\r\n"] {
        assert_eq!(send(said, Transport::Udp, &state()), None, "{}", String::from_utf8_lossy(said));
    }
    assert!(send(&Message::asking(CLOUD, Type::A).bytes()[..14], Transport::Udp, &state()).is_some(), "a query that was cut");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_comes_gets_one_whole_answer_or_none(
        message in prop_oneof![prop::collection::vec(any::<u8>(), 0..600), nearly_good()],
        tcp in any::<bool>(),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let silent = message.len() < HEADER || message[2] & 0x80 != 0 || promises_too_much(&message);
        let reply = send(&message, transport, &state());
        prop_assert_eq!(reply.is_none(), silent);
        if let Some(reply) = reply {
            prop_assert_eq!(&reply[..2], &message[..2]);
            prop_assert!(reply[2] & 0x80 != 0);
            prop_assert!(reply.len() <= UDP_LIMIT);
            let read = Reply::read(&reply);
            prop_assert!(read.opt().is_some() || reply.len() <= PLAIN_LIMIT || tcp);
        }
    }

    #[test]
    fn a_short_buffer_is_no_harm(length in 0_usize..300) {
        let mut out = vec![0; length];
        let message = Message::asking(CLOUD, Type::A).edns(1232).bytes();
        if let Some(Answer { length: written, .. }) = answer(&message, &asker(Transport::Udp), &state(), &params(), &mut out) {
            prop_assert!(written <= length);
            Reply::read(&out[..written]);
        }
    }
}
