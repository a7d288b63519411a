//! UDP: one thread that carries datagrams between clients and homes, many of them a call.
//!
//! Not the runtime's: a flood costs the gateway's tasks their share of the processor and nothing else. One thread, because then the flows are
//! nobody else's and need no lock, and because nearly all of the time is the kernel's. Which flow a datagram belongs to is its entrance's to say
//! (`entrance`), what a flow is and how it is carried `flow`'s, whether a home is where it is said to be `homes`'; how long flows live and who gives
//! way is `fourward_core::flows`'.

mod entrance;
mod flow;
mod gather;
mod homes;
mod quic;

use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fourward_core::flows::{Flows, Id};
use fourward_core::link::Service;
use fourward_core::name::HostName;
use fourward_core::state::Whereabouts;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::Crew;
use crate::mmsg::segments::{Ends, Inbox, Outbox};
use crate::quic::own::Doorway;
use flow::Flow;
use homes::Home;

/// Sockets that are looked at between two looks at the clock.
const EVENTS: usize = 256;

/// A failed wait: long enough not to spin, short enough that nobody notices.
const PAUSE: Duration = Duration::from_millis(100);

/// What stands for the words that wait, among sockets.
const WORDS: u64 = u64::MAX;

/// What entrances are told apart from flows by; no flow's number has it.
const ENTRANCE: u64 = 1 << 63;

/// Where datagrams come in.
#[derive(Debug)]
pub(super) enum Entrance {
    /// A port that leads to one home, to what is dialled there.
    Port { host: HostName, service: Service, socket: UdpSocket },
    /// UDP 443, where clients of QUIC say whom they want.
    Named(Box<Doorway>),
}

/// What the thread is told.
enum Word {
    Open(u32, Entrance),
    /// It is gone once the sender is dropped.
    Close(u32, oneshot::Sender<()>),
    /// A host's settings or whereabouts are others.
    Changed(HostName),
    /// Any host's may be.
    AllChanged,
    /// Nothing begins any more.
    Drain,
    /// Where a home was found, of those that were asked for.
    Found(u32, Option<Whereabouts>),
    End,
}

/// Tells the thread.
#[derive(Clone)]
struct Teller {
    words: Sender<Word>,
    wake: Arc<OwnedFd>,
}

/// The thread, until this is dropped.
pub(super) struct Engine {
    teller: Teller,
    next: AtomicU32,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Tells when the thread ends, also by a panic.
struct Alive(mpsc::Sender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

impl Engine {
    /// Starts the thread; says where its end is told.
    pub(super) fn start(crew: Crew) -> io::Result<(Arc<Self>, mpsc::Receiver<()>)> {
        let (words, heard) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let teller = Teller { words, wake };
        let (alive, ended) = mpsc::channel(1);
        let mut carrier = Carrier::new(crew, teller.clone())?;
        let thread = std::thread::Builder::new().name("udp".into()).spawn(move || {
            let _alive = Alive(alive);
            carrier.run(&heard);
        })?;
        Ok((Arc::new(Self { teller, next: AtomicU32::new(0), thread: Mutex::new(Some(thread)) }), ended))
    }

    /// Takes what comes to `entrance` home, until the number that is returned is closed.
    pub(super) fn open(&self, entrance: Entrance) -> io::Result<u32> {
        entrance.prepare()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.teller.tell(Word::Open(number, entrance));
        Ok(number)
    }

    /// Ends an entrance and its flows, and comes back when its port is free.
    pub(super) async fn close(&self, number: u32) {
        let (done, closed) = oneshot::channel();
        self.teller.tell(Word::Close(number, done));
        // Dropped is done, also where the thread is gone.
        let _ = closed.await;
    }

    /// Ends what came in at ports, and begins nothing new; what goes by name lives on until this is dropped.
    pub(super) fn drain(&self) {
        self.teller.tell(Word::Drain);
    }

    /// Has all flows judged anew.
    pub(super) fn all_changed(&self) {
        self.teller.tell(Word::AllChanged);
    }

    /// Has the flows of `host` judged anew.
    pub(super) fn changed(&self, host: HostName) {
        self.teller.tell(Word::Changed(host));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.teller.tell(Word::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(thread.map(JoinHandle::join));
    }
}

impl Teller {
    fn tell(&self, word: Word) {
        // A thread that is gone needs no words; its end is told by itself.
        if self.words.send(word).is_ok() {
            let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        }
    }
}

/// What the thread has.
struct Carrier {
    crew: Crew,
    teller: Teller,
    runtime: tokio::runtime::Handle,
    epoll: OwnedFd,
    entrances: HashMap<u32, Entrance>,
    homes: HashMap<HostName, u32>,
    by_number: HashMap<u32, Home>,
    next_home: u32,
    flows: Flows<Flow>,
    by_ends: HashMap<(u32, Ends), Id>,
    quic: quic::Quic,
    is_draining: bool,
    /// Bytes that wait for their homes to be found.
    waiting: usize,
    inbox: Inbox,
    /// Whose the runs in the inbox are.
    whose: Vec<Id>,
    outbox: Outbox,
    now: Instant,
}

impl Carrier {
    fn new(crew: Crew, teller: Teller) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*teller.wake, EventData::new_u64(WORDS), EventFlags::IN)?;
        Ok(Self {
            crew,
            teller,
            runtime: tokio::runtime::Handle::current(),
            epoll,
            entrances: HashMap::new(),
            homes: HashMap::new(),
            by_number: HashMap::new(),
            next_home: 0,
            flows: Flows::default(),
            by_ends: HashMap::new(),
            quic: quic::Quic::default(),
            is_draining: false,
            waiting: 0,
            inbox: Inbox::new(),
            whose: Vec::new(),
            outbox: Outbox::new(),
            now: Instant::now(),
        })
    }

    fn run(&mut self, words: &Receiver<Word>) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let patience = self.patience();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), patience.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    warn!(%error, "waiting for datagrams failed");
                    std::thread::sleep(PAUSE);
                }
            }
            self.now = Instant::now();
            // A defect that one datagram meets must cost that datagram, not the process: anybody can send it again.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(&events, words)));
            match turn {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    error!("a datagram met a defect of this program: please report it with the log");
                    self.forget_batch();
                }
            }
        }
    }

    /// Until when nothing is to be done; rounded up, so that it is not too early then.
    fn patience(&self) -> Option<Timespec> {
        let left = self.flows.next_due()?.saturating_duration_since(self.now).saturating_add(Duration::from_millis(1));
        Some(Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() })
    }

    /// Does what the events say; whether to go on.
    fn turn(&mut self, events: &[Event], words: &Receiver<Word>) -> bool {
        for event in events {
            match event.data.u64() {
                WORDS => {
                    if !self.hear(words) {
                        return false;
                    }
                }
                entrance if entrance & ENTRANCE != 0 => self.upwards((entrance & !ENTRANCE) as u32),
                flow => self.downwards(Id::from_bits(flow)),
            }
        }
        self.flush();
        while let Some(id) = self.flows.expired(self.now) {
            self.end(id);
        }
        self.crew.shared.traffic.note_flows(self.flows.len());
        true
    }

    fn hear(&mut self, words: &Receiver<Word>) -> bool {
        let _ = rustix::io::read(&*self.teller.wake, &mut [0; 8]);
        // What is in the inbox is of flows as they were.
        self.flush();
        while let Ok(word) = words.try_recv() {
            match word {
                Word::Open(number, entrance) => self.open(number, entrance),
                Word::Close(number, _done) => self.close(number),
                Word::Changed(host) => self.changed(&host),
                Word::AllChanged => self.homes.keys().cloned().collect::<Vec<_>>().iter().for_each(|host| self.changed(host)),
                Word::Drain => self.drain(),
                Word::Found(home, at) => self.found(home, at),
                Word::End => return false,
            }
        }
        true
    }

    fn forget_batch(&mut self) {
        self.inbox.clear();
        self.whose.clear();
    }

    /// Has what comes to `socket` told by `data`.
    fn watch(&self, socket: &UdpSocket, data: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket.as_fd(), EventData::new_u64(data), EventFlags::IN)?)
    }
}
