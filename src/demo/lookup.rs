//! Asks one name server for one address, as a phone's stub resolver would, but afresh each time.
//!
//! No cache, so that what is measured is fourward and not a TTL; no TCP, no CNAME, no search list: the demo's names need none.
//! Not `resolver`, since the socket must be made in the client's own namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fourward_core::reply::{Data, Question, Reply, ReplyError, UDP_SIZE};
use fourward_core::wire::Type;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::namespace::Place;

/// The lines of the demo lose nothing and are microseconds long; silence means that the server is not up yet.
const PATIENCE: Duration = Duration::from_millis(500);

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
    #[error("{server} answers no sense: {source}")]
    Nonsense {
        /// Who.
        server: SocketAddr,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// An answer without an address.
    #[error("{name} has no {family:?} address (rcode {rcode})")]
    NoAddress {
        /// Of what.
        name: String,
        /// Which kind.
        family: Family,
        /// What the server says to it.
        rcode: u16,
    },
}

/// The first address of `name` that `server` gives to a client at `place`.
///
/// # Errors
/// Silence, nonsense, or no such address.
pub(super) async fn lookup(place: &Place, server: SocketAddr, name: &str, family: Family) -> Result<IpAddr, LookupError> {
    let failed = |source| LookupError::Server { server, source };
    let no_address = |rcode| LookupError::NoAddress { name: name.into(), family, rcode };
    let Ok(asked) = name.parse() else { return Err(no_address(0)) };
    let question = Question { name: asked, kind: family.record_type(), recursion: false };
    let id = id().map_err(failed)?;
    let told = timeout(PATIENCE, ask(place, server, &question.message(id))).await;
    let message = told.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let reply = question.reply(id, &message).map_err(|source| LookupError::Nonsense { server, source })?;
    family.address_in(&reply).ok_or_else(|| no_address(reply.rcode.0))
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
    let mut answer = vec![0; UDP_SIZE.into()];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

fn id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(u16::from_be_bytes(bytes))
}

impl Family {
    fn record_type(self) -> Type {
        match self {
            Self::V4 => Type::A,
            Self::V6 => Type::AAAA,
        }
    }

    fn address_in(self, reply: &Reply) -> Option<IpAddr> {
        reply.answer.iter().find_map(|record| match (self, &record.data) {
            (Self::V4, Data::A(address)) => Some((*address).into()),
            (Self::V6, Data::Aaaa(address)) => Some((*address).into()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "cloud.dyn.example.org";

    /// `query` with an A record, or with none.
    fn answered(query: &[u8], address: bool) -> Vec<u8> {
        // Without its OPT record.
        let mut message = query[..query.len() - 11].to_vec();
        message[2..4].copy_from_slice(&[0x84, 0]);
        message[7] = address.into();
        message[11] = 0;
        if address {
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 11]);
        }
        message
    }

    async fn asked(family: Family, say: fn(&[u8]) -> Vec<u8>) -> Result<IpAddr, LookupError> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let served = async {
            let mut query = [0; 512];
            let (length, client) = server.recv_from(&mut query).await.unwrap();
            server.send_to(&say(&query[..length]), client).await.unwrap();
        };
        tokio::join!(lookup(&Place::Here, address, NAME, family), served).0
    }

    #[tokio::test]
    async fn a_lookup_asks_the_server_and_reads_its_answer() {
        assert_eq!(asked(Family::V4, |query| answered(query, true)).await.unwrap(), "192.0.2.11".parse::<IpAddr>().unwrap());
    }

    #[tokio::test]
    async fn an_answer_without_an_address_of_the_family_gives_none() {
        let nothing = asked(Family::V4, |query| answered(query, false)).await;
        assert!(matches!(nothing, Err(LookupError::NoAddress { rcode: 0, .. })), "{nothing:?}");
        let other = asked(Family::V6, |query| answered(query, true)).await;
        assert!(matches!(other, Err(LookupError::NoAddress { .. })), "{other:?}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_nonsense() {
        let nonsense = asked(Family::V4, <[u8]>::to_vec).await;
        assert!(matches!(nonsense, Err(LookupError::Nonsense { .. })), "{nonsense:?}");
    }
}
