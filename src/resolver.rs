//! Asks name servers: one that is given, or those of this machine in turn.
//!
//! Each question leaves from a socket of its own, on a port that the kernel chooses, with a random ID; only what comes from the
//! server that was asked, with that ID and question, is an answer (RFC 5452 §9). It asks and reports: no cache, no search list,
//! no walk from the root, no DNSSEC. The deadline is the caller's.

mod chase;
mod system;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fourward_core::reply::{Question, Reply, ReplyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::crypto::{self, KeyError};
pub use chase::Chased;
pub use system::{ResolveError, Resolvers};

/// A datagram or its answer is lost now and then; whoever has not answered after this is asked once more.
const RETRY: Duration = Duration::from_secs(1);

/// What is advertised is [`UDP_SIZE`](fourward_core::reply::UDP_SIZE); some send more all the same.
const DATAGRAM: usize = 4_096;

/// So many answers to other questions are somebody who guesses IDs; TCP cannot be guessed so.
const GUESSES: usize = 32;

/// How a server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// By UDP, and by TCP where the answer did not fit.
    #[default]
    Either,
    /// By UDP alone; an answer that did not fit is returned as it is.
    Udp,
    /// By TCP alone.
    Tcp,
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not a byte, or not all, until the deadline.
    #[error(
        "{server} did not answer within {} ms; does a name server run there, and is port {} open on the way?",
        .waited.as_millis(), .server.port()
    )]
    Silent {
        /// Who.
        server: SocketAddr,
        /// For how long it was waited.
        waited: Duration,
    },
    /// Its machine says that nobody listens.
    #[error("no name server listens at {server}")]
    Closed {
        /// Where.
        server: SocketAddr,
    },
    /// It sent something else.
    #[error("{server} sends no answer to the question: {source}")]
    Nonsense {
        /// Who.
        server: SocketAddr,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// The network or the kernel.
    #[error("{server} cannot be asked: {source}")]
    Io {
        /// Whom.
        server: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No ID.
    #[error(transparent)]
    Random(#[from] KeyError),
}

impl AskError {
    fn io(server: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Closed { server },
            _ => Self::Io { server, source },
        }
    }
}

/// What `server` says to `question` until `deadline`: flags, rcode and sections as they came. An rcode is an answer.
///
/// # Errors
/// No answer came; the error says from whom and why.
pub async fn ask(server: SocketAddr, question: &Question, over: Over, deadline: Instant) -> Result<Reply, AskError> {
    let began = Instant::now();
    let answer = async {
        match over {
            Over::Tcp => ask_tcp(server, question).await,
            Over::Udp => ask_udp(server, question, deadline).await,
            Over::Either => match ask_udp(server, question, deadline).await {
                Ok(Reply { truncated: true, .. }) | Err(AskError::Nonsense { .. }) => ask_tcp(server, question).await,
                settled => settled,
            },
        }
    };
    timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(AskError::Silent { server, waited: began.elapsed() }))
}

async fn ask_udp(server: SocketAddr, question: &Question, deadline: Instant) -> Result<Reply, AskError> {
    let failed = |source| AskError::io(server, source);
    let id = u16::from_be_bytes(crypto::random()?);
    let message = question.message(id);
    let any = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    // From now on the kernel drops what others send.
    socket.connect(server).await.map_err(failed)?;
    let patience = deadline.saturating_duration_since(Instant::now()) / 2;
    let retry = Instant::now() + patience.min(RETRY);
    socket.send(&message).await.map_err(failed)?;
    let mut guesses = 0;
    if let Ok(settled) = timeout_at(retry, answer(&socket, server, question, id, &mut guesses)).await {
        return settled;
    }
    // The same socket and ID: an answer to the first one that is only late is as good.
    socket.send(&message).await.map_err(failed)?;
    answer(&socket, server, question, id, &mut guesses).await
}

/// The first datagram that answers.
async fn answer(socket: &UdpSocket, server: SocketAddr, question: &Question, id: u16, guesses: &mut usize) -> Result<Reply, AskError> {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await.map_err(|source| AskError::io(server, source))?;
        match question.reply(id, datagram.get(..length).unwrap_or_default()) {
            Ok(reply) => return Ok(reply),
            Err(ReplyError::Foreign) if *guesses < GUESSES => *guesses = guesses.saturating_add(1),
            Err(source) => return Err(AskError::Nonsense { server, source }),
        }
    }
}

async fn ask_tcp(server: SocketAddr, question: &Question) -> Result<Reply, AskError> {
    let failed = |source| AskError::io(server, source);
    let id = u16::from_be_bytes(crypto::random()?);
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    let message = question.message(id);
    // Length and message in one segment: some servers want it so (RFC 7766 §8).
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    stream.write_all(&[&length[..], &message].concat()).await.map_err(failed)?;
    let mut reply = vec![0; stream.read_u16().await.map_err(failed)?.into()];
    stream.read_exact(&mut reply).await.map_err(failed)?;
    question.reply(id, &reply).map_err(|source| AskError::Nonsense { server, source })
}

#[cfg(test)]
mod tests;
