//! The floor: one thread, epoll, copies of what is short and splices of what is not.
//!
//! With `lowat`, a direction in bulk is woken for [`LOW`] bytes and not for fewer, until it was silent for [`TAIL`].

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::{Domain, Protocol, Socket, Type};

use crate::far::listen;

/// From there on a read means that more comes.
const BULK: usize = 16 * 1024;
const PIPE: usize = 1024 * 1024;
const LOW: i32 = 128 * 1024;
const TAIL: Duration = Duration::from_millis(2);

struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

#[derive(Default)]
struct Way {
    bulk: bool,
    pipe: Option<Pipe>,
    filled: usize,
    rest: Vec<u8>,
    ended: bool,
    /// Since when it waits for a full measure.
    low: Option<Instant>,
}

struct Pair {
    sockets: [TcpStream; 2],
    ways: [Way; 2],
    is_ending: bool,
}

struct Floor {
    pairs: HashMap<u64, Pair>,
    pipes: Vec<Pipe>,
    buffer: Vec<u8>,
    lowat: bool,
    waiting: Vec<(u64, usize)>,
}

/// Relays until it is ended.
pub(crate) fn serve(at: SocketAddr, to: SocketAddr, lowat: bool) {
    let listener = listen(at);
    set(&listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 5);
    listener.set_nonblocking(true).expect("a socket");
    let poll = epoll::create(CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&poll, &listener, EventData::new_u64(u64::MAX), EventFlags::IN).expect("watched");
    let mut floor = Floor { pairs: HashMap::new(), pipes: Vec::new(), buffer: vec![0; BULK], lowat, waiting: Vec::new() };
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        let patience = Timespec { tv_sec: 0, tv_nsec: TAIL.subsec_nanos().into() };
        let patience = (!floor.waiting.is_empty()).then_some(&patience);
        if epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), patience).is_err() {
            continue;
        }
        for event in events.drain(..) {
            let flags = event.flags;
            match event.data.u64() {
                u64::MAX => floor.accept(&poll, &listener, to),
                id => {
                    // Seen once: an end that came with the last bytes is told of no more.
                    if flags.intersects(EventFlags::RDHUP | EventFlags::HUP)
                        && let Some(pair) = floor.pairs.get_mut(&id)
                    {
                        pair.is_ending = true;
                    }
                    floor.pump(id);
                }
            }
        }
        floor.wake();
    }
}

impl Floor {
    fn accept(&mut self, poll: &OwnedFd, listener: &TcpListener, to: SocketAddr) {
        while let Ok((client, _)) = listener.accept() {
            client.set_nonblocking(true).expect("a socket");
            client.set_nodelay(true).expect("a socket");
            let home = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP)).expect("a socket");
            home.set_tcp_nodelay(true).expect("a socket");
            // In progress: told when it can be written.
            let _ = home.connect(&to.into());
            let id = u64::try_from(client.as_raw_fd()).expect("positive");
            let pair = Pair { sockets: [client, home.into()], ways: Default::default(), is_ending: false };
            for socket in &pair.sockets {
                epoll::add(poll, socket, EventData::new_u64(id), EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET)
                    .expect("watched");
            }
            self.pairs.insert(id, pair);
            self.pump(id);
        }
    }

    /// Both ways, as far as they go.
    fn pump(&mut self, id: u64) {
        let Some(mut pair) = self.pairs.remove(&id) else { return };
        for at in 0..2 {
            match self.carry(&mut pair, at) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::NotConnected => {
                    if pair.ways[at].low.is_some() && !self.waiting.contains(&(id, at)) {
                        self.waiting.push((id, at));
                    }
                }
                Err(_) => return,
            }
        }
        if !pair.ways.iter().all(|way| way.ended) {
            self.pairs.insert(id, pair);
        }
    }

    fn carry(&mut self, pair: &mut Pair, at: usize) -> io::Result<()> {
        let (from, to, way) = (&pair.sockets[at], &pair.sockets[1 - at], &mut pair.ways[at]);
        while !way.ended {
            while way.filled > 0 {
                let pipe = way.pipe.as_ref().expect("bytes are in it");
                way.filled -= splice(&pipe.out, None, to, None, way.filled, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
            }
            while !way.rest.is_empty() {
                let count = (&mut &*to).write(&way.rest)?;
                way.rest.drain(..count);
            }
            if way.bulk {
                let pipe = way.pipe.get_or_insert_with(|| self.pipes.pop().unwrap_or_else(pipe));
                match splice(from, None, &pipe.into, None, PIPE, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
                    Ok(0) => way.ended = true,
                    Ok(count) => {
                        way.filled = count;
                        if self.lowat && way.low.is_none() {
                            low(from, LOW);
                        }
                        way.low = self.lowat.then(Instant::now);
                        continue;
                    }
                    Err(Errno::AGAIN) => {
                        self.pipes.extend(way.pipe.take());
                        way.bulk = way.low.is_some();
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    Err(error) => return Err(error.into()),
                }
            } else {
                match (&mut &*from).read(&mut self.buffer)? {
                    0 => way.ended = true,
                    count => {
                        way.bulk = count == BULK;
                        let written = match (&mut &*to).write(&self.buffer[..count]) {
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::NotConnected => 0,
                            written => written?,
                        };
                        way.rest.extend(&self.buffer[written..count]);
                        if way.rest.is_empty() && count < BULK && !pair.is_ending {
                            return Ok(());
                        }
                    }
                }
            }
            if way.ended {
                let _ = to.shutdown(Shutdown::Write);
            }
        }
        Ok(())
    }

    /// Lets those go on that were silent in bulk: what they have is their tail.
    fn wake(&mut self) {
        for (id, at) in std::mem::take(&mut self.waiting) {
            let Some(way) = self.pairs.get_mut(&id).map(|pair| &mut pair.ways[at]) else { continue };
            let Some(since) = way.low else { continue };
            if since.elapsed() < TAIL {
                self.waiting.push((id, at));
                continue;
            }
            (way.low, way.bulk) = (None, false);
            low(&self.pairs[&id].sockets[at], 1);
            self.pump(id);
        }
    }
}

fn pipe() -> Pipe {
    let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
    let _ = fcntl_setpipe_size(&into, PIPE);
    Pipe { out, into }
}

/// Wakes the reader of `socket` at so many bytes (socket(7)).
fn low(socket: &TcpStream, bytes: libc::c_int) {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes);
}

/// Sets an option. Not done is only dearer.
fn set(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
    let (value, length) = ((&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: `value` points to `length` bytes that outlive the call.
    unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
}
