//! Asks one name server for one address, as a phone's stub resolver would, but afresh each time.
//!
//! No cache, so that what is measured is fourward and not a TTL; no TCP, no CNAME, no search list: the demo's names need none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::namespace::Place;

/// The lines of the demo lose nothing and are microseconds long; silence means that the server is not up yet.
const PATIENCE: Duration = Duration::from_millis(500);

/// EDNS is not asked for, so no answer is longer (RFC 1035 §4.2.1).
const ANSWER_LIMIT: usize = 512;

const HEADER_LENGTH: usize = 12;
const CLASS_IN: u16 = 1;

/// What a client can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// No question went out or no answer came in.
    #[error("asking {server}: {source}")]
    Server {
        /// Whom.
        server: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Not an answer to our question.
    #[error("{server} answers no sense")]
    Nonsense {
        /// Who.
        server: SocketAddr,
    },
    /// An answer without an address.
    #[error("{name} has no {family:?} address (rcode {rcode})")]
    NoAddress {
        /// Of what.
        name: String,
        /// Which kind.
        family: Family,
        /// What the server says to it.
        rcode: u8,
    },
}

/// The first address of `name` that `server` gives to a client at `place`.
///
/// # Errors
/// Silence, nonsense, or no such address.
pub(super) async fn lookup(place: &Place, server: SocketAddr, name: &str, family: Family) -> Result<IpAddr, LookupError> {
    let failed = |source| LookupError::Server { server, source };
    let id = id().map_err(failed)?;
    let asked = timeout(PATIENCE, ask(place, server, &question(id, name, family))).await;
    let answer = asked.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let (rcode, address) = parse(&answer, id, family).ok_or(LookupError::Nonsense { server })?;
    address.ok_or_else(|| LookupError::NoAddress { name: name.into(), family, rcode })
}

async fn ask(place: &Place, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = place.visit(|| {
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        Ok(socket)
    })?;
    let socket = UdpSocket::from_std(socket)?;
    socket.send(question).await?;
    let mut answer = vec![0; ANSWER_LIMIT];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

fn id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(u16::from_be_bytes(bytes))
}

fn question(id: u16, name: &str, family: Family) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        // A label of 64 bytes and more is no label; the server will say so.
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(family.record_type().to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    message
}

/// The rcode and the first address, `None` for what is no answer to the question `id`.
fn parse(message: &[u8], id: u16, family: Family) -> Option<(u8, Option<IpAddr>)> {
    let (flags, rcode) = (*message.get(2)?, *message.get(3)? & 0x0f);
    if word(message, 0)? != id || flags & 0x80 == 0 {
        return None;
    }
    let mut at = HEADER_LENGTH;
    for _ in 0..word(message, 4)? {
        at = name_end(message, at)?.checked_add(4)?;
    }
    for _ in 0..word(message, 6)? {
        at = name_end(message, at)?;
        let (kind, class) = (word(message, at)?, word(message, at.checked_add(2)?)?);
        let length = word(message, at.checked_add(8)?)?;
        let data = at.checked_add(10)?;
        at = data.checked_add(length.into())?;
        if kind == family.record_type() && class == CLASS_IN {
            return Some((rcode, Some(family.address(message.get(data..at)?)?)));
        }
    }
    Some((rcode, None))
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The offset after the name that begins at `at`.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return at.checked_add(1),
            length @ 1..=63 => at = at.checked_add(1 + usize::from(length))?,
            192..=255 => return at.checked_add(2),
            64..=191 => return None,
        }
    }
}

impl Family {
    fn record_type(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::V4 => Some(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
            Self::V6 => Some(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "cloud.dyn.example.org";

    fn answer(id: u16, family: Family, data: &[u8]) -> Vec<u8> {
        let mut message = question(id, NAME, family);
        message[2] = 0x84;
        message[7] = 1;
        message.extend([0xc0, 12]);
        message.extend(family.record_type().to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        message.extend(data);
        message
    }

    #[test]
    fn a_question_is_what_rfc_1035_says() {
        let asked = question(0x1234, "a.example", Family::V6);
        assert_eq!(asked, b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x1c\0\x01");
    }

    #[test]
    fn an_answer_gives_the_address_of_its_family() {
        let v4 = answer(7, Family::V4, &[192, 0, 2, 11]);
        assert_eq!(parse(&v4, 7, Family::V4), Some((0, Some("192.0.2.11".parse().unwrap()))));
        let v6 = answer(7, Family::V6, &Ipv6Addr::LOCALHOST.octets());
        assert_eq!(parse(&v6, 7, Family::V6), Some((0, Some("::1".parse().unwrap()))));
    }

    #[test]
    fn an_answer_of_another_type_gives_none() {
        let v4 = answer(7, Family::V4, &[192, 0, 2, 11]);
        assert_eq!(parse(&v4, 7, Family::V6), Some((0, None)));
    }

    #[test]
    fn an_answer_to_another_question_is_nonsense() {
        let v4 = answer(7, Family::V4, &[192, 0, 2, 11]);
        assert_eq!(parse(&v4, 8, Family::V4), None);
        assert_eq!(parse(&question(7, NAME, Family::V4), 7, Family::V4), None, "a question is no answer");
    }

    #[test]
    fn an_answer_cut_anywhere_is_nonsense() {
        let whole = answer(7, Family::V6, &Ipv6Addr::LOCALHOST.octets());
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length], 7, Family::V6), None, "cut at {length}");
        }
    }

    #[tokio::test]
    async fn a_lookup_asks_the_server_and_reads_its_answer() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let served = async {
            let mut asked = [0; ANSWER_LIMIT];
            let (length, client) = server.recv_from(&mut asked).await.unwrap();
            let id = u16::from_be_bytes([asked[0], asked[1]]);
            assert_eq!(&asked[..length], question(id, NAME, Family::V4));
            server.send_to(&answer(id, Family::V4, &[192, 0, 2, 11]), client).await.unwrap();
        };
        let (found, ()) = tokio::join!(lookup(&Place::Here, address, NAME, Family::V4), served);
        assert_eq!(found.unwrap(), "192.0.2.11".parse::<IpAddr>().unwrap());
    }
}
