//! DNS over TCP (RFC 7766): messages behind their length, one after the other.
//!
//! A client may send the next question before it has the answer to the last; answers come in the order of the questions. A
//! stranger can hold a connection only for as long as the limits here say, and only so many of them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fourward_core::answer::{TCP_LIMIT, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace};

use super::Source;
use crate::listener::{accept, network_of};

/// Nothing asked for so long: the client is done (RFC 7766 §6.2.3 has a few seconds).
const IDLE: Duration = Duration::from_secs(10);

/// A message that began is whole within this, and an answer taken; a resolver on the worst line needs less.
const MESSAGE: Duration = Duration::from_secs(5);

/// No question is longer: a name, EDNS with its options, a signature.
const QUESTION_LIMIT: usize = 4096;

/// All connections: half of the 1,024 descriptors that a process has where nobody raised the limit.
pub(crate) const GUESTS: usize = 512;

/// The connections of one client; a resolver uses a handful, and nobody can take all of them.
const GUESTS_PER_NETWORK: usize = 64;

/// Who is connected, on all listeners together.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among the guests, until it is dropped.
struct Place {
    guests: Guests,
    network: IpAddr,
}

/// Accepts for ever. Who comes when all places are taken is turned away: those who are inside end by themselves soon.
pub(super) async fn serve(listener: TcpListener, source: Source, guests: Guests, cancel: CancellationToken) {
    loop {
        let (stream, client) = accept(&listener).await;
        // Else the second answer of a pipeline waits for the client's acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let Some(place) = guests.enter(client) else {
            source.counter.turned_away();
            debug!(%client, "turned away: too many connections");
            continue;
        };
        let (source, cancel) = (source.clone(), cancel.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = cancel.cancelled() => {}
                ended = converse(stream, &source) => trace!(%client, ?ended, "connection ended"),
            }
        });
    }
}

impl Guests {
    fn enter(&self, client: SocketAddr) -> Option<Place> {
        let network = network_of(client.ip());
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = guests.get(&network).copied().unwrap_or(0);
        if here >= GUESTS_PER_NETWORK || guests.values().sum::<usize>() >= GUESTS {
            return None;
        }
        guests.insert(network, here + 1);
        Some(Place { guests: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = guests.get(&self.network).map_or(0, |here| here.saturating_sub(1));
        if left == 0 {
            guests.remove(&self.network);
        } else {
            guests.insert(self.network, left);
        }
    }
}

/// Answers until the client ends, says nothing for too long, or sends what is no question.
async fn converse(stream: impl AsyncRead + AsyncWrite, source: &Source) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let mut question = Vec::new();
    let mut out = vec![0; 2 + TCP_LIMIT];
    while next(&mut reader, &mut question).await? {
        let Some(answer) = framed(source, &question, &mut out) else { break };
        timeout(MESSAGE, writer.write_all(answer)).await??;
    }
    Ok(())
}

/// Reads the next message; `false` at the end of the connection, and for one that is no question of any kind.
async fn next(reader: &mut (impl AsyncRead + Unpin), question: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 2];
    match timeout(IDLE, reader.read_exact(&mut length)).await? {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    };
    let length = usize::from(u16::from_be_bytes(length));
    if length > QUESTION_LIMIT {
        return Ok(false);
    }
    question.resize(length, 0);
    timeout(MESSAGE, reader.read_exact(question)).await??;
    Ok(true)
}

/// The answer behind its length; `None` if silence is the answer, which on a connection is its end.
fn framed<'o>(source: &Source, question: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let (head, body) = out.split_at_mut_checked(2)?;
    let length = source.answer(question, Transport::Tcp, body)?;
    head.copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    out.get(..length.checked_add(2)?)
}

#[cfg(test)]
mod tests {
    use fourward_core::zone::ZoneParams;
    use tokio::sync::watch;

    use super::super::Counter;
    use super::*;

    fn client(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 4711)
    }

    #[test]
    fn one_network_cannot_take_all_places() {
        let guests = Guests::default();
        let inside: Vec<_> =
            (0..GUESTS_PER_NETWORK).map(|at| guests.enter(client(&format!("2001:db8::{at:x}"))).expect("a place")).collect();
        assert!(guests.enter(client("2001:db8::ffff")).is_none(), "the same network");
        assert!(guests.enter(client("2001:db8:1::1")).is_some(), "another one");
        drop(inside);
        assert!(guests.enter(client("2001:db8::ffff")).is_some());
        assert!(guests.0.lock().expect("no panic").is_empty(), "who is gone is forgotten");
    }

    #[test]
    fn there_is_an_end_to_the_places() {
        let guests = Guests::default();
        let inside: Vec<_> =
            (0..GUESTS).map(|at| guests.enter(client(&format!("192.0.{}.{}", at / 256, at % 256))).expect("a place")).collect();
        assert!(guests.enter(client("198.51.100.1")).is_none());
        drop(inside);
        assert!(guests.enter(client("198.51.100.1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_never_ends_is_cut() {
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_all(&[0, 20, 1, 2, 3]).await.expect("written");
        let ended = next(&mut server, &mut Vec::new()).await.expect_err("too slow");
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_cut() {
        let params = ZoneParams {
            zones: Vec::new(),
            nameservers: Vec::new(),
            own_name: "gw.example.org".parse().expect("a name"),
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            ttl: 60,
        };
        let (_states, states) = watch::channel(Arc::default());
        let source = Source { params: Arc::new(params), states, counter: Arc::new(Counter::new(Transport::Tcp)) };
        let (mut client, server) = tokio::io::duplex(20);
        let ask = async {
            client.write_all(b"\0\x13\0\x01\0\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01").await.expect("written");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ask => {}
            ended = converse(server, &source) => assert_eq!(ended.expect_err("too slow").kind(), io::ErrorKind::TimedOut),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_cut() {
        let (_client, mut server) = tokio::io::duplex(64);
        let ended = next(&mut server, &mut Vec::new()).await.expect_err("idle");
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
