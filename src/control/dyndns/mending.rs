//! A connection whose first line is mended before HTTP reads it.
//!
//! What a line should have been is `fourward_core::dyndns::mended`'s word; all else passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use fourward_core::dyndns::{LINE_LIMIT, mended};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one read may bring while the first line is not there yet.
const PIECE: usize = 2048;

/// A stream whose first line is mended.
pub(in crate::control) struct Mending<S> {
    stream: S,
    /// What was read and not passed on.
    held: Vec<u8>,
    /// How much of it was.
    passed: usize,
    /// Whether the first line is whole, or never will be.
    settled: bool,
}

impl<S> Mending<S> {
    pub(in crate::control) fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), passed: 0, settled: false }
    }

    /// Looks at what was read so far.
    fn look(&mut self, ended: bool) {
        let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
            self.settled = ended || self.held.len() >= LINE_LIMIT;
            return;
        };
        self.settled = true;
        let Some((line, rest)) = self.held.split_at_checked(end) else { return };
        let (line, end) = line.strip_suffix(b"\r").map_or((line, &b""[..]), |line| (line, &b"\r"[..]));
        if let Some(line) = mended(line) {
            self.held = [&line, end, rest].concat();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mending<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.settled {
            let mut piece = [0; PIECE];
            let mut read = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            this.held.extend_from_slice(read.filled());
            let ended = read.filled().is_empty();
            this.look(ended);
        }
        let rest = this.held.get(this.passed..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..count).unwrap_or_default());
        this.passed += count;
        if this.passed >= this.held.len() {
            this.held = Vec::new();
            this.passed = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mending<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn through(pieces: &[&str]) -> String {
        let mut reader = reader_of(pieces);
        let mut text = String::new();
        reader.read_to_string(&mut text).await.expect("text");
        text
    }

    fn reader_of(pieces: &[&str]) -> impl AsyncRead + Unpin {
        let (mut near, far) = tokio::io::duplex(7);
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        tokio::spawn(async move {
            for piece in pieces {
                tokio::io::AsyncWriteExt::write_all(&mut near, piece.as_bytes()).await.expect("written");
            }
        });
        Mending::new(far)
    }

    #[tokio::test]
    async fn the_first_line_is_mended_and_no_other() {
        let line = "GET /nic/update?myip=<ipaddr> HTTP/1.0\r\n";
        let right = "GET /nic/update?myip=%3Cipaddr%3E HTTP/1.0\r\n";
        assert_eq!(
            through(&["GET /nic/upd", "ate?myip=<ipaddr> HTTP/1.0\r", "\n", line, "\r\nend"]).await,
            format!("{right}{line}\r\nend")
        );
        for whole in ["", "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &"x".repeat(LINE_LIMIT * 2)] {
            assert_eq!(through(&[whole]).await, whole);
        }
    }
}
