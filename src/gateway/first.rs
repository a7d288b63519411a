//! What a connection says first: looked at, and read only where it is longer than any that honest clients send.
//!
//! A stranger decides how long that is and when it comes, so what it may cost is bounded here: nothing of this process while the kernel can
//! hold it, and beyond that one account for all (`Long`), where the oldest of the greediest network gives way.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use fourward_core::peek::Peek;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::crowd::{Bell, Crowd, Limits, Place, Undecided};
use super::{Reason, Shared};

/// So much of what a client says first stays in the kernel until it is understood: half a hello costs this process nothing. A socket
/// need not hold the 64 KiB that a hello may have, so what is longer is read.
pub(super) const PEEKED: usize = 16 * 1024;

/// Of what is longer.
const READ: usize = 4 * 1024;

/// Connections whose beginning is read: 4 MiB at most. Hellos are below 2 KiB, and a head with so many cookies is rare.
const LONG: Limits = Limits { undecided: 64, of_one: 64 };

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PEEKED]);
}

/// As much of a beginning as had to be read, and what that counts for.
#[derive(Default)]
pub(super) struct First {
    bytes: Vec<u8>,
    long: Option<(Place, Undecided)>,
}

impl First {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Counted no more: for who bounds it in a way of his own.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Rung when what is held here has to be let go.
    pub(super) fn bell(&self) -> Option<Arc<Bell>> {
        self.long.as_ref().map(|(_, undecided)| undecided.bell())
    }
}

/// Room for beginnings that are long.
pub(super) fn room() -> Crowd {
    Crowd::new(LONG)
}

/// What the first bytes of a connection from `client` say, and as many of them as had to be read; else why it is refused.
pub(super) async fn first<T>(
    shared: &Shared,
    stream: &TcpStream,
    client: IpAddr,
    bell: &Arc<Bell>,
    read: fn(&[u8]) -> Peek<T>,
) -> Result<(T, First), Reason> {
    let mut first = First::default();
    let settled = async {
        let mut said = look(stream, read).await;
        loop {
            match said.map_err(|_| Reason::Silent)? {
                Peek::Known(said) => return Ok(said),
                Peek::Foreign => return Err(Reason::Foreign),
                Peek::Partial if first.long.is_none() => {
                    first.long = Some(shared.long.admit_with(client, Arc::clone(bell)).ok_or(Reason::Crowded)?);
                    said = Ok(Peek::Partial);
                }
                Peek::Partial => said = more(stream, &mut first.bytes).await.map(|()| read(&first.bytes)),
            }
        }
    };
    let said = timeout(shared.config.timeouts.hello, settled).await.unwrap_or(Err(Reason::Silent))?;
    Ok((said, first))
}

/// What the first bytes say, without reading them; [`Peek::Partial`] once they are more than is left unread.
async fn look<T>(stream: &TcpStream, read: fn(&[u8]) -> Peek<T>) -> io::Result<Peek<T>> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let looked = stream.try_io(Interest::READABLE, || {
            BUFFER.with_borrow_mut(|buffer| {
                let (count, _) = rustix::net::recv(stream, &mut **buffer, RecvFlags::PEEK)?;
                match read(buffer.get(..count).unwrap_or_default()) {
                    // Forgets the readiness, though bytes are there: the next ones will tell of themselves (epoll(7), edge-triggered).
                    Peek::Partial if (1..PEEKED).contains(&count) => Err(io::ErrorKind::WouldBlock.into()),
                    Peek::Partial if count == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    said => Ok(said),
                }
            })
        });
        match looked {
            // All that was to come had come before we looked.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

/// Reads once more. The verdicts bound the whole: none is partial beyond its protocol's limit.
async fn more(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        if bytes.len() == bytes.capacity() {
            // Exactly: what is bounded is what is held.
            bytes.reserve_exact(READ);
        }
        match stream.try_read_buf(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
