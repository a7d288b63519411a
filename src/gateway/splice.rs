//! Carries bytes both ways between two sockets, until both ends are done or one fails.
//!
//! Small pieces are copied, which is cheapest for a request and its answer; once a read fills [`BULK`], that direction splices
//! through a pipe and its bytes never enter this process. A direction that waits for its source holds neither pipe nor buffer.
//! Ends are passed on as they come: an end of stream as such, anything else as a reset, so that no cut looks like a close.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::RecvFlags;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::Traffic;
use super::first::First;
use super::pipes::{Lent, Pool};
use super::refuse::{self, FAREWELL};
use super::tails::{MEASURE, Raised, Tails};
use crate::config::Timeouts;

/// A read of this size means that more is coming. Below, a pipe costs more than the copy.
const BULK: usize = 16 * 1024;

/// What goes at once where no pipe is to be had, by a buffer that all relays of a thread share. A copy takes no more than [`BULK`], since
/// its rest is kept for as long as it is not taken.
const COPY: usize = 64 * 1024;

/// Milliseconds over which it is seen how fast a direction is.
const WINDOW: u64 = 8;

/// Bytes in a window that make it fast, a gigabit a second: then a measure is full within a millisecond.
const FAST: usize = WINDOW as usize * MEASURE;

/// After so many bytes without a wait, other connections have their turn.
const TURN: usize = 1024 * 1024;

/// NATs forget a silent connection after minutes, some after two; a dead peer that nothing is sent to is noticed within two. One that
/// something is sent to is given up by the kernel after about fifteen: a bound of ours (TCP_USER_TIMEOUT) would also cut clients that only
/// pause, with a full window.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// A connection that lives so long may live for hours.
const SETTLED: Duration = Duration::from_secs(10);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; COPY]);
}

/// A client and the home that it was led to. Dropped as it stands, both get a reset.
pub(super) struct Relay {
    client: Side,
    home: Side,
    idle: Duration,
    half_closed: Duration,
    /// Milliseconds from `began` to the last byte.
    last: AtomicU64,
    began: Instant,
    one_done: Notify,
}

struct Side {
    stream: TcpStream,
    /// Everything for it was sent, and the end of stream behind it.
    told: AtomicBool,
    /// It was reset: no end that is read from it is one.
    cut: AtomicBool,
    /// Whether a reset is what it must get.
    reset: AtomicBool,
}

/// How fast a direction was lately.
#[derive(Default)]
struct Flow {
    /// When its window began.
    since: u64,
    bytes: usize,
    is_fast: bool,
}

impl Flow {
    /// Counts what came until `now`, in milliseconds.
    fn add(&mut self, bytes: usize, now: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let passed = now.saturating_sub(self.since);
        if passed >= WINDOW {
            self.is_fast = passed < 2 * WINDOW && self.bytes >= FAST;
            (self.since, self.bytes) = (now, 0);
        }
    }
}

/// What relays have in common.
pub(super) struct Means {
    pipes: Pool,
    tails: Arc<Tails>,
}

impl Means {
    /// With so many pipes at most.
    pub(super) fn new(pipes: usize) -> Self {
        Self { pipes: Pool::new(pipes), tails: Arc::default() }
    }

    /// Who sees to it that nothing waits in bulk for what does not come.
    pub(super) fn tails(&self) -> Arc<Tails> {
        Arc::clone(&self.tails)
    }
}

/// Which way bytes go.
struct Way<'a> {
    from: &'a Side,
    to: &'a Side,
    bytes: &'a AtomicU64,
}

impl Relay {
    /// Both sockets, set up for relaying.
    pub(super) fn new(client: TcpStream, home: TcpStream, timeouts: &Timeouts) -> Self {
        // As its listener gave it, whatever ends is reset; from now on a side says so itself.
        let _ = SockRef::from(&client).set_linger(None);
        let side =
            |stream: TcpStream| Side { stream, told: AtomicBool::new(false), cut: AtomicBool::new(false), reset: AtomicBool::new(true) };
        Self {
            client: side(client),
            home: side(home),
            idle: timeouts.idle,
            half_closed: timeouts.half_closed,
            last: AtomicU64::new(0),
            began: Instant::now(),
            one_done: Notify::new(),
        }
    }

    /// The client's end, and the home's.
    pub(super) fn ends(&self) -> (&TcpStream, &TcpStream) {
        (&self.client.stream, &self.home.stream)
    }

    /// Sends `first` to the home and then relays until both directions are done, one fails, or nothing flows for too long.
    /// Counts the bytes. A caller that stops waiting resets both.
    ///
    /// What is rare is boxed, here and below: thousands of relays idle, each with room for all that is not.
    pub(super) async fn run(&self, first: First, means: &Means, traffic: &Traffic) -> io::Result<()> {
        let up = Way { from: &self.client, to: &self.home, bytes: traffic.to_homes() };
        let down = Way { from: &self.home, to: &self.client, bytes: traffic.to_clients() };
        let upwards = async {
            if !first.bytes().is_empty() {
                Box::pin(self.send(&up, first.bytes())).await?;
            }
            drop(first);
            self.carry(&up, means).await
        };
        let both = async {
            let (mut upwards, mut downwards) = (pin!(upwards), pin!(self.carry(&down, means)));
            tokio::select! {
                ended = &mut downwards => match ended {
                    Ok(()) => upwards.await,
                    Err(error) => Err(error),
                },
                ended = &mut upwards => match ended {
                    Ok(()) => downwards.await,
                    Err(error) => {
                        Box::pin(self.hear_out(&error, downwards)).await;
                        Err(error)
                    }
                },
            }
        };
        let ended = tokio::select! {
            ended = both => ended,
            () = self.fell_silent() => return Err(io::ErrorKind::TimedOut.into()),
        };
        if ended.is_err() && self.client.told.load(Ordering::Relaxed) {
            // The home answered in full and closed while the client was still sending: the answer must arrive.
            Box::pin(refuse::part(&self.client.stream)).await;
        }
        for side in [&self.client, &self.home] {
            side.reset.store(ended.is_err() && !side.told.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        ended
    }

    /// The home takes no more: it is gone, with that `error`. What it said last may lie in our socket still, beyond the reset, and must arrive.
    async fn hear_out(&self, error: &io::Error, downwards: Pin<&mut impl Future<Output = io::Result<()>>>) {
        if !matches!(rustix::net::recv(&self.home.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((1.., _))) {
            return;
        }
        // The kernel calls a pipe broken whose end of stream came before the reset. Any other end is none: what is read behind the last byte
        // looks like one since we were told of the error.
        self.home.cut.store(error.kind() != io::ErrorKind::BrokenPipe, Ordering::Relaxed);
        let _ = timeout(FAREWELL, downwards).await;
        if !self.client.told.load(Ordering::Relaxed) {
            // Before the reset, which would overtake it.
            refuse::part(&self.client.stream).await;
        }
    }

    async fn carry(&self, way: &Way<'_>, means: &Means) -> io::Result<()> {
        let (mut bulk, mut turn) = (false, 0_usize);
        let (mut flow, mut raised) = (Flow::default(), None::<Raised>);
        loop {
            let pipe = if bulk { means.pipes.lend() } else { None };
            let burst = match pipe {
                Some(pipe) => Box::pin(self.splice(way, pipe)).await?,
                None if bulk => Box::pin(self.pass(way)).await?,
                None => self.copy(way).await?,
            };
            if burst.end {
                return self.tell_end(way);
            }
            bulk = burst.bytes >= BULK || (bulk && burst.bytes == 0);
            turn = turn.saturating_add(burst.bytes.max(BULK));
            if burst.dry {
                flow.add(burst.bytes, self.last.load(Ordering::Relaxed));
                raised = match raised.filter(|raised| burst.bytes >= BULK && raised.moves()) {
                    None if bulk && flow.is_fast => means.tails.raise(&way.from.stream),
                    raised => raised,
                };
                way.from.stream.readable().await?;
            }
            if turn >= TURN {
                tokio::task::yield_now().await;
                turn = 0;
            }
        }
    }

    fn tell_end(&self, way: &Way<'_>) -> io::Result<()> {
        if way.from.cut.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // The second end is told by the close that follows at once.
        if !way.from.told.load(Ordering::Relaxed) {
            SockRef::from(&way.to.stream).shutdown(Shutdown::Write)?;
        }
        way.to.told.store(true, Ordering::Relaxed);
        self.one_done.notify_one();
        Ok(())
    }

    /// Where no pipe is to be had: what does not go out stays in the kernel, so that a client that takes nothing costs no memory here.
    async fn pass(&self, way: &Way<'_>) -> io::Result<Burst> {
        let passed = BUFFER.with_borrow_mut(|buffer| pass_once(&way.from.stream, &way.to.stream, buffer));
        let (there, went) = match passed {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Burst { bytes: 0, end: false, dry: true }),
            passed => passed?,
        };
        if went > 0 {
            self.moved(way, went);
        }
        if went < there {
            way.to.stream.writable().await?;
        }
        Ok(Burst { bytes: there, end: there == 0, dry: false })
    }

    /// One read into the thread's buffer, and all of it out again.
    async fn copy(&self, way: &Way<'_>) -> io::Result<Burst> {
        let (read, rest) = match BUFFER
            .with_borrow_mut(|buffer| copy_once(&way.from.stream, &way.to.stream, buffer.get_mut(..BULK).unwrap_or_default()))
        {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Burst { bytes: 0, end: false, dry: true }),
            copied => copied?,
        };
        self.moved(way, read.saturating_sub(rest.len()));
        if !rest.is_empty() {
            Box::pin(self.send(way, &rest)).await?;
        }
        Ok(Burst { bytes: read, end: read == 0, dry: read < BULK })
    }

    /// Through the pipe until the source is dry, ends, or has had its turn.
    async fn splice(&self, way: &Way<'_>, mut pipe: Lent<'_>) -> io::Result<Burst> {
        let (from, to) = (&way.from.stream, &way.to.stream);
        let mut burst = Burst { bytes: 0, end: false, dry: false };
        while burst.bytes < TURN {
            match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(0) => return Ok(Burst { end: true, ..burst }),
                Ok(count) => burst.bytes = burst.bytes.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Burst { dry: true, ..burst }),
                Err(error) => return Err(error),
            }
            while pipe.filled() > 0 {
                match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => self.moved(way, count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(burst)
    }

    async fn send(&self, way: &Way<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match way.to.stream.try_write(bytes) {
                Ok(count) => {
                    self.moved(way, count);
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => way.to.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn moved(&self, way: &Way<'_>, bytes: usize) {
        way.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns when no byte has flowed in either direction for as long as it may.
    async fn fell_silent(&self) {
        // Most connections end before it would matter.
        sleep_until(self.began + SETTLED).await;
        for side in [&self.client, &self.home] {
            keep_alive(&side.stream);
        }
        loop {
            let one_done = [&self.client, &self.home].iter().any(|side| side.told.load(Ordering::Relaxed));
            let limit = if one_done { self.half_closed } else { self.idle };
            let due = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)) + limit;
            if due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.one_done.notified() => {}
            }
        }
    }
}

/// What one go at a source gave.
struct Burst {
    bytes: usize,
    end: bool,
    /// Nothing is left to read for now.
    dry: bool,
}

/// Reads once and writes once; what was not taken comes back.
fn copy_once(from: &TcpStream, to: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<u8>)> {
    let mut count = None;
    let read = from.try_io(Interest::READABLE, || {
        let got = rustix::io::read(from, &mut *buffer)?;
        count = Some(got);
        // A short read has emptied the socket: saying so saves asking again (epoll(7), question 9).
        if (1..BULK).contains(&got) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(got) }
    });
    let count = count.map_or(read, Ok)?;
    let read = buffer.get(..count).unwrap_or_default();
    if read.is_empty() {
        return Ok((0, Vec::new()));
    }
    let written = match to.try_write(read) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    Ok((count, read.get(written..).unwrap_or_default().to_vec()))
}

/// Looks at what there is, sends of it what goes, and takes that away; says how much there was, and how much went.
fn pass_once(from: &TcpStream, to: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let (there, _) = from.try_io(Interest::READABLE, || Ok(rustix::net::recv(from, &mut *buffer, RecvFlags::PEEK)?))?;
    let looked = buffer.get(..there).unwrap_or_default();
    if looked.is_empty() {
        return Ok((0, 0));
    }
    let went = match to.try_write(looked) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((there, 0)),
        went => went?,
    };
    // Away without a copy (tcp(7), MSG_TRUNC).
    let (gone, _) = rustix::net::recv(from, buffer.get_mut(..went).unwrap_or_default(), RecvFlags::TRUNC)?;
    if gone == went { Ok((there, went)) } else { Err(io::Error::other("what was looked at is not there")) }
}

/// Has the kernel look whether the other end is there. Refused only on a socket that is dead already, which the next read will tell.
fn keep_alive(stream: &TcpStream) {
    let (idle, interval, tries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(tries);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

impl Drop for Side {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Bytes that wait to be sent are forgotten too: nobody knows who holds the address by now.
            let _ = self.stream.set_zero_linger();
        }
    }
}
