//! DNS over UDP: one thread a processor, each with a socket of its own on every address, many datagrams a call.
//!
//! The threads are not the runtime's: a flood of questions then costs the gateway's tasks their share of the processor and nothing
//! else, and an answer waits for no task. Every answer leaves from the address that was asked, also where the socket is the wildcard's: a
//! resolver takes it from no other. An answer that the kernel cannot take at once is dropped; whoever asked asks again.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fourward_core::answer::{Asker, Transport, UDP_LIMIT};
use fourward_core::cookie::Secrets;
use fourward_core::rate::{Limiter, Sent};
use fourward_core::state::State;
use fourward_core::update::is_update;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::counters::Counter;
use super::handed::{Desk, Handed};
use super::updates::Outcome;
use super::{Source, now};
use crate::listener::is_echo;
use crate::mmsg::{self, Batch, Return};

/// A failed receive: long enough not to spin, short enough that nobody notices.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// Nobody asks for so long: the state that was looked at last is let go.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Batches from one socket before the others are looked at: a flood on one address does not silence another.
const TURNS: usize = 16;

/// A thousand questions that come at once wait here, while a thread has others in hand or the processor is somebody else's. What it
/// holds beyond that would be answered too late.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket, and what is counted on it.
pub(super) struct Socket {
    socket: Arc<UdpSocket>,
    counter: Arc<Counter>,
}

/// Threads that answer, until this is dropped.
pub(super) struct Threads {
    stop: OwnedFd,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Each thread says here that it ended.
    ended: mpsc::Receiver<()>,
}

/// Tells when a thread ends, also by a panic.
struct Alive(mpsc::Sender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        // Where it is full, another one has told.
        let _ = self.0.try_send(());
    }
}

impl Socket {
    pub(super) fn new(socket: UdpSocket, counter: Arc<Counter>) -> io::Result<Self> {
        let address = socket.local_addr()?.ip();
        if address.is_unspecified() {
            mmsg::tell_destination(socket.as_fd(), address)?;
        }
        // More than net.core.rmem_max wants CAP_NET_ADMIN; others get as much as that.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        Ok(Self { socket: Arc::new(socket), counter })
    }
}

impl Threads {
    /// Answers what comes to `sockets`, each item of which gets a thread of its own.
    ///
    /// # Errors
    /// The kernel gives no thread or no descriptor.
    pub(super) fn start(sockets: Vec<Vec<Socket>>, source: &Source, rate_limit: u32) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel(1);
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut threads = Self { stop, threads: Vec::new(), ended };
        // The kernel shares a network's questions out among them.
        let share = rate_limit.div_ceil(u32::try_from(sockets.len()).unwrap_or(1).max(1));
        for sockets in sockets {
            let (stop, source, alive) = (threads.stop.try_clone()?, source.clone(), alive.clone());
            let thread = std::thread::Builder::new().name("dns".into()).spawn(move || {
                let _alive = Alive(alive);
                serve(&sockets, &source, share, &stop);
            })?;
            threads.threads.push(thread);
        }
        Ok(threads)
    }

    /// Comes back when one has ended, which none does by itself.
    pub(super) async fn ended(&mut self) {
        self.ended.recv().await;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).is_err() {
            return;
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What a thread has at hand.
struct Answerer<'a> {
    source: &'a Source,
    /// The state as it was when last looked at; `None` while nobody asks, so that what is gone from the state is not kept here.
    state: Option<Arc<State>>,
    limiter: Limiter,
    secrets: Secrets,
    batch: Batch,
}

/// Answers until `stop` can be read. Errors cost a pause.
fn serve(sockets: &[Socket], source: &Source, rate_limit: u32, stop: &OwnedFd) {
    let limiter = Limiter::new(rate_limit, source.jar.derive(b"accounts"));
    let secrets = source.jar.secrets(now());
    let mut answerer = Answerer { source, state: None, limiter, secrets, batch: Batch::new(UDP_LIMIT) };
    let mut states = source.states.clone();
    let mut polled: Vec<_> = sockets.iter().map(|socket| PollFd::new(&socket.socket, PollFlags::IN)).collect();
    polled.push(PollFd::new(stop, PollFlags::IN));
    loop {
        let patience = answerer.state.as_ref().map(|_| &QUIET);
        match poll(&mut polled, patience) {
            Ok(0) => answerer.state = None,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                warn!(%error, "waiting for questions failed");
                std::thread::sleep(RECEIVE_PAUSE);
            }
        }
        if polled.last().is_some_and(|stop| !stop.revents().is_empty()) {
            return;
        }
        for (socket, _) in sockets.iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty()) {
            answerer.drain(socket, &mut states);
        }
    }
}

impl Answerer<'_> {
    /// Answers what has come to one socket, up to a limit.
    fn drain(&mut self, socket: &Socket, states: &mut watch::Receiver<Arc<State>>) {
        for _ in 0..TURNS {
            let count = match self.batch.receive(socket.socket.as_fd()) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
                Err(error) => {
                    warn!(%error, "receive failed");
                    return std::thread::sleep(RECEIVE_PAUSE);
                }
            };
            // Whether there is a newer one is a look at a number; only then is it fetched, under the lock that writers take too.
            if self.state.is_none() || states.has_changed().unwrap_or(false) {
                self.state = Some(Arc::clone(&states.borrow_and_update()));
            }
            let Some(state) = &self.state else { return };
            let now = now();
            if !self.secrets.are_of(now) {
                self.secrets = self.source.jar.secrets(now);
            }
            let mut teller = Teller { source: self.source, state, secrets: &self.secrets, limiter: &mut self.limiter, socket, now };
            self.batch.answer(count, |question, sender, back, out| {
                // A defect that one datagram meets must cost that datagram, not the process: anybody can send it again.
                catch_unwind(AssertUnwindSafe(|| teller.answer(question, sender, back, out))).ok()?
            });
            socket.counter.dropped(self.batch.send(socket.socket.as_fd(), count));
        }
    }
}

/// What the answers of one batch have in common.
struct Teller<'a> {
    source: &'a Source,
    state: &'a State,
    secrets: &'a Secrets,
    limiter: &'a mut Limiter,
    socket: &'a Socket,
    now: u32,
}

impl Teller<'_> {
    fn answer(&mut self, question: &[u8], sender: SocketAddr, back: &Return, out: &mut [u8]) -> Option<usize> {
        if is_echo(sender.port()) {
            return None;
        }
        let asker = Asker { transport: Transport::Udp, address: sender.ip(), now: self.now, secrets: Some(self.secrets) };
        if let Some(desk) = self.source.desk.as_ref().filter(|_| is_update(question)) {
            return self.update(desk, question, &asker, back, out);
        }
        let answer = self.source.answer(self.state, question, &asker, &self.socket.counter, out)?;
        if answer.known {
            return Some(answer.length);
        }
        let sent = self.limiter.judge(sender.ip(), answer, out.get(..answer.length)?, self.now);
        match self.noted(sent) {
            Sent::Whole => Some(answer.length),
            Sent::Cut => Some(answer.cut(out)),
            Sent::Not => None,
        }
    }

    /// What is said to an update at once; a change is answered from elsewhere, later.
    fn update(&mut self, desk: &Desk, message: &[u8], asker: &Asker<'_>, back: &Return, out: &mut [u8]) -> Option<usize> {
        let counter = &self.socket.counter;
        counter.asked();
        let told = match desk.updates.receive(message, asker, &self.source.params) {
            Outcome::Said(told) => told,
            Outcome::Waits(pending) => {
                let (socket, counter) = (Arc::clone(&self.socket.socket), Arc::clone(counter));
                desk.hand_over(Handed { pending, socket, back: *back, counter }).err()?
            }
            Outcome::Silence => {
                counter.said(None);
                return None;
            }
        };
        counter.said(Some((told.rcode, false)));
        let sent = self.limiter.fault(asker.address, self.now);
        // It is hardly longer than what came, so there is nothing to cut.
        if self.noted(sent) != Sent::Whole {
            return None;
        }
        out.get_mut(..told.message.len())?.copy_from_slice(&told.message);
        Some(told.message.len())
    }

    /// What becomes of an answer, counted.
    fn noted(&self, sent: Sent) -> Sent {
        if sent != Sent::Whole {
            self.socket.counter.limited();
        }
        sent
    }
}
