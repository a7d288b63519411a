//! What the two ends say to each other: a ClientHello whose random bytes are the wish, so that a relay that reads names lets it pass.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The name that every relay under measure leads to the far end.
pub(crate) const NAME: &str = "cloud.dyn.example.org";

/// Longer than any relay needs for a byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// What fills the random bytes behind a wish.
const FILLING: u8 = 7;

/// Bytes of a short question, and of its answer.
pub(crate) const ASK: usize = 64;

/// Where the random bytes stand in the record: its head, the handshake's head, the version.
const RANDOM: usize = 5 + 4 + 2;

/// A wish: a letter and a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) letter: u8,
    pub(crate) number: u64,
}

impl Wish {
    pub(crate) const LENGTH: usize = 9;

    pub(crate) fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [self.letter; Self::LENGTH];
        bytes[1..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self { letter: bytes[0], number: u64::from_be_bytes(bytes[1..Self::LENGTH].try_into().expect("eight bytes")) }
    }

    /// A ClientHello that asks for [`NAME`] and wishes this (RFC 8446 §4.1.2, RFC 6066 §3), of a usual length: 517 bytes.
    pub(crate) fn hello(self) -> Vec<u8> {
        let name = NAME.as_bytes();
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
        let server_name = [&[0][..], &length(name), name].concat();
        let mut extensions = Vec::new();
        let mut add = |kind: u16, body: &[u8]| extensions.extend([&kind.to_be_bytes()[..], &length(body), body].concat());
        add(0, &[&length(&server_name)[..], &server_name].concat());
        add(43, &[2, 3, 4]);
        add(10, &[0, 2, 0, 29]);
        add(13, &[0, 2, 4, 3]);
        let mut random = [FILLING; 32];
        random[..Self::LENGTH].copy_from_slice(&self.bytes());
        let head = [&[3, 3][..], &random, &[32], &[9; 32], &[0, 2, 0x13, 1], &[1, 0]].concat();
        // RFC 7685.
        let padding = 512 - 4 - head.len() - 2 - extensions.len() - 4;
        extensions.extend([&21_u16.to_be_bytes()[..], &length(&vec![0; padding]), &vec![0; padding]].concat());
        let body = [&head[..], &length(&extensions), &extensions].concat();
        let handshake = [&[1, 0][..], &length(&body), &body].concat();
        [&[22, 3, 1][..], &length(&handshake), &handshake].concat()
    }

    /// The wish of a whole hello, and how long that is; `Some(None)` where somebody else said it, `None` where more is to come.
    pub(crate) fn heard(bytes: &[u8]) -> Option<Option<(Self, usize)>> {
        let length = 5 + usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
        let random = bytes.get(..length)?.get(RANDOM..)?;
        Some(random[Self::LENGTH..32].iter().all(|byte| *byte == FILLING).then(|| (Self::read(random), length)))
    }
}

/// Sends so many bytes.
pub(crate) fn give(to: &mut impl Write, mut left: u64) -> io::Result<()> {
    let chunk = vec![0x5a; 256 * 1024];
    while left > 0 {
        let now = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&chunk[..now])?;
        left -= now as u64;
    }
    to.flush()
}

/// Takes so many bytes.
pub(crate) fn take(from: &mut impl Read, mut left: u64) -> io::Result<()> {
    let mut chunk = vec![0; 256 * 1024];
    while left > 0 {
        let now = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut chunk[..now])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count as u64,
        }
    }
    Ok(())
}

/// What the far end does for a wish of bulk: gives, or takes and says so.
pub(crate) fn fulfil(wish: Wish, stream: &mut (impl Read + Write)) -> io::Result<()> {
    match wish.letter {
        b'd' => give(stream, wish.number),
        _ => {
            take(stream, wish.number)?;
            stream.write_all(b".")?;
            stream.flush()
        }
    }
}

pub(crate) fn connected(to: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}
