//! The first datagrams of a QUIC client, each behind its length: whatever they hold, what we read of a hello is what rustls reads of the
//! same bytes. The cipher hides nothing, so that the fuzzer comes as far as the frames.

use fourward_core::client_hello::ClientHello;
use fourward_core::peek::{Asked, Peek};
use fourward_core::quic_initial::{Beginning, DATAGRAMS, Keys, LEAST, Packet, Version, begin, packets};

/// Leaves everything as it is; the last bytes of a packet stand for what proves that it is genuine.
#[derive(Debug)]
struct Plain;

const TAG: usize = 16;

impl Keys for Plain {
    fn unmask(&self, sample: &[u8], _: &mut u8, number: &mut [u8]) -> bool {
        assert_eq!((sample.len(), number.len()), (16, 4), "what ciphers ask for");
        true
    }

    fn open(&self, number: u64, header: &[u8], payload: &mut [u8]) -> Option<usize> {
        assert!(header.len() > 7, "a header of {} bytes, number {number}", header.len());
        payload.len().checked_sub(TAG)
    }
}

pub fn check(bytes: &[u8]) {
    let datagrams = datagrams(bytes);
    let mut begun: Option<Beginning<Plain>> = None;
    let mut read = 0;
    for datagram in &datagrams {
        packets_are_inside(datagram);
        let peek = match &mut begun {
            Some(beginning) => beginning.read(datagram),
            None => match begin(datagram, |_: Version, _| Some(Plain)) {
                Some((beginning, peek)) => {
                    assert_eq!(begun.insert(beginning).destination(), first_destination(datagram));
                    peek
                }
                None => continue,
            },
        };
        read += 1;
        match peek {
            Peek::Partial => assert!(read < DATAGRAMS, "it goes on for ever"),
            Peek::Known(ours) => return is_what_rustls_reads(&ours, begun.as_ref().map_or(&[], Beginning::handshake)),
            Peek::Foreign => return,
        }
    }
}

/// Two bytes tell how long a datagram is. What a client sends is filled up, so that short inputs come far.
fn datagrams(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let Some(([high, low], rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([high & 0x0f, *low]));
        let (datagram, next) = rest.split_at(length.min(rest.len()));
        let mut datagram = datagram.to_vec();
        if high & 0x80 == 0 {
            datagram.resize(length.max(LEAST), 0);
        }
        datagrams.push(datagram);
        bytes = next;
    }
    datagrams
}

fn packets_are_inside(datagram: &[u8]) {
    let mut inside = 0;
    for packet in packets(datagram) {
        if let Packet::Long(long) = packet {
            inside += 7 + long.destination.len() + long.source.len();
            assert!(long.destination.len() <= 20 && long.source.len() <= 20);
        }
    }
    assert!(inside <= datagram.len());
}

fn first_destination(datagram: &[u8]) -> &[u8] {
    match packets(datagram).next() {
        Some(Packet::Long(long)) => long.destination,
        packet => panic!("begun by {packet:?}"),
    }
}

/// In a record of TLS over TCP, which has the same hello in it.
fn is_what_rustls_reads(ours: &ClientHello, handshake: &[u8]) {
    let mut records = Vec::new();
    for piece in handshake.chunks(1 << 14) {
        let length = u16::try_from(piece.len()).expect("a record's");
        records.extend([&[22, 3, 1][..], &length.to_be_bytes(), piece].concat());
    }
    let Some((name, alpn)) = super::client_hello::judged_by_rustls(&records) else { return };
    assert_eq!(*ours, ClientHello { name: Asked::Name(name.parse().expect("a name of ours too")), alpn });
}
