//! DNS over TCP (RFC 7766): messages behind their length, one after the other.
//!
//! A client may send the next question before it has the answer to the last; answers come in the order of the questions. A
//! stranger can hold a connection only for as long as the limits here say, and only so many of them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fourward_core::answer::{Asker, TCP_LIMIT};
use fourward_core::cookie::Secrets;
use fourward_core::transfer::is_transfer;
use fourward_core::update::is_update;
use fourward_core::wire::Query;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace};

use super::counters::Counter;
use super::handed::Desk;
use super::signed::{self, Checked, cookie};
use super::transfer::Asked;
use super::updates::Outcome;
use super::{Source, now};
use crate::crowd::{Crowd, Limits};
use crate::listener::accept;

/// Nothing asked for so long: the client is done (RFC 7766 §6.2.3 has a few seconds).
const IDLE: Duration = Duration::from_secs(10);

/// A message that began is whole within this, and an answer taken; a resolver on the worst line needs less.
const MESSAGE: Duration = Duration::from_secs(5);

/// No question is longer: a name, EDNS with its options, a signature.
const QUESTION_LIMIT: usize = 4096;

/// All connections: half of the 1,024 descriptors that a process has where nobody raised the limit.
pub(crate) const GUESTS: usize = 512;

/// The connections of one client; a resolver uses a handful, and nobody can take all of them.
const OF_ONE: usize = 64;

/// Who may be connected, on all listeners together. All are alike, however long they have been there: whoever asks once in a while could else hold
/// a place for ever, and many of them all places.
pub(super) const LIMITS: Limits = Limits { undecided: GUESTS, of_one: 4 * OF_ONE };

/// Accepts until `cancel`, and comes back when all connections have ended. Who comes when all places are taken has that of the oldest of the greediest
/// network.
pub(super) async fn serve(listener: TcpListener, source: Source, counter: Arc<Counter>, guests: Crowd, cancel: CancellationToken) {
    let mut conversations = JoinSet::new();
    loop {
        let (stream, client) = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = accept(&listener) => accepted,
            Some(_) = conversations.join_next() => continue,
        };
        // Else the second answer of a pipeline waits for the client's acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let Some((place, guest)) = guests.admit(client.ip()) else {
            counter.turned_away();
            debug!(%client, "turned away: too many connections");
            continue;
        };
        let (source, counter, bell) = (source.clone(), Arc::clone(&counter), guest.bell());
        conversations.spawn(async move {
            let _inside = (place, guest);
            tokio::select! {
                () = bell.rung() => {
                    counter.turned_away();
                    debug!(%client, "gave way to another");
                }
                ended = converse(stream, client.ip(), &source, &counter) => trace!(%client, ?ended, "connection ended"),
            }
        });
    }
    conversations.shutdown().await;
}

/// Answers until the client ends, says nothing for too long, or sends what is no question.
async fn converse(stream: impl AsyncRead + AsyncWrite, client: IpAddr, source: &Source, counter: &Counter) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let mut question = Vec::new();
    let mut out = vec![0; 2 + TCP_LIMIT];
    let mut guest = Guest { source, secrets: source.jar.secrets(now()), address: client, counter };
    while next(&mut reader, &mut question).await? {
        let said;
        let answer = match guest.said(&question, &mut writer).await? {
            Said::Already => continue,
            Said::This(message) => {
                said = framed(&message);
                said.as_deref()
            }
            Said::Nothing => None,
            Said::Plainly => guest.framed(&question, &mut out),
        };
        let Some(answer) = answer else { break };
        timeout(MESSAGE, writer.write_all(answer)).await??;
    }
    Ok(())
}

/// What became of a message.
enum Said {
    /// All that is to be said was written.
    Already,
    /// This is the answer.
    This(Vec<u8>),
    /// Silence is.
    Nothing,
    /// It is a question like any other.
    Plainly,
}

/// `message` behind its length.
fn framed(message: &[u8]) -> Option<Vec<u8>> {
    Some([&u16::try_from(message.len()).ok()?.to_be_bytes()[..], message].concat())
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

/// Who is at the other end, and what is answered from.
struct Guest<'a> {
    source: &'a Source,
    secrets: Secrets,
    address: IpAddr,
    counter: &'a Counter,
}

impl Guest<'_> {
    fn asker(&mut self) -> Asker<'_> {
        let now = now();
        if !self.secrets.are_of(now) {
            self.secrets = self.source.jar.secrets(now);
        }
        Asker { transport: self.counter.transport, address: self.address, now, secrets: Some(&self.secrets) }
    }

    /// The answer behind its length; `None` if silence is the answer, which on a connection is its end.
    fn framed<'o>(&mut self, question: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
        let (head, body) = out.split_at_mut_checked(2)?;
        let (source, counter) = (self.source, self.counter);
        let length = source.answer(&source.newest(), question, &self.asker(), counter, body)?.length;
        head.copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
        out.get(..length.checked_add(2)?)
    }

    /// What is said to an update, and to a question for a transfer, which goes to `out` itself.
    async fn said(&mut self, message: &[u8], out: &mut (impl AsyncWrite + Unpin)) -> io::Result<Said> {
        let (source, counter) = (self.source, self.counter);
        if let Some(desk) = source.desk.as_ref().filter(|_| is_update(message)) {
            return Ok(self.update(desk, message).await.map_or(Said::Nothing, Said::This));
        }
        let (Some(transfers), Some(keys), true) = (&source.transfers, &source.keys, is_transfer(message)) else { return Ok(Said::Plainly) };
        let asker = self.asker();
        let session = match signed::check(keys, message, &asker) {
            Checked::Plain => None,
            Checked::By(session) => Some(session),
            // It is looked at once more, and that is said.
            Checked::Bad(_) => return Ok(Said::Plainly),
        };
        if !transfers.may(asker.address, session.as_ref()) {
            return Ok(Said::Plainly);
        }
        let cookie = Query::parse(message).and_then(|query| cookie(&query, &asker));
        let asked = Asked { message, client: asker.address, cookie, session };
        counter.asked();
        let rcode = transfers.serve(asked, &source.states, &source.params, out).await?;
        counter.said(Some((rcode, false)));
        Ok(Said::Already)
    }

    /// What is said to an update, once it is durable.
    async fn update(&mut self, desk: &Desk, message: &[u8]) -> Option<Vec<u8>> {
        let (source, counter) = (self.source, self.counter);
        counter.asked();
        let told = match desk.updates.receive(message, &self.asker(), &source.params) {
            Outcome::Said(told) => Some(told),
            // Also where the client leaves: half of it would be done, and could be done again.
            Outcome::Waits(pending) => tokio::spawn(pending.done()).await.ok(),
            Outcome::Silence => None,
        };
        counter.said(told.as_ref().map(|told| (told.rcode, false)));
        told.map(|told| told.message)
    }
}

#[cfg(test)]
mod tests {
    use fourward_core::zone::ZoneParams;
    use tokio::sync::watch;

    use super::super::Counter;
    use super::*;

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
            dnssec: true,
        };
        let (_states, states) = watch::channel(Arc::default());
        let (source, counter) = (
            Source { params: Arc::new(params), states, jar: super::super::Jar::new(&[0; 32]), desk: None, keys: None, transfers: None },
            Counter::new(fourward_core::answer::Transport::Tcp),
        );
        let (mut client, server) = tokio::io::duplex(20);
        let ask = async {
            client.write_all(b"\0\x13\0\x01\0\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01").await.expect("written");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ask => {}
            ended = converse(server, [127, 0, 0, 1].into(), &source, &counter) => assert_eq!(ended.expect_err("too slow").kind(), io::ErrorKind::TimedOut),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_cut() {
        let (_client, mut server) = tokio::io::duplex(64);
        let ended = next(&mut server, &mut Vec::new()).await.expect_err("idle");
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
