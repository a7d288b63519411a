//! A machine that inherits the home's old address and writes down all that it hears there.
//!
//! It accepts on 80 and 443 and says nothing. A handshake is not its to refuse; a byte must never come.

use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::lab::Lab;
use crate::topology::Node::Stranger;

/// One connection that the stranger accepted.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) from: IpAddr,
    /// To which of its addresses.
    pub(crate) at: IpAddr,
    pub(crate) port: u16,
    pub(crate) heard: Vec<u8>,
}

/// The stranger's notes; it listens until its machine is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Visit>>>);

impl Lab {
    /// Has the stranger listen on every address that it will ever have.
    pub(crate) fn let_the_stranger_listen(&self) -> Notes {
        let notes = Notes::default();
        for port in [80, 443] {
            let book = notes.clone();
            let bound = self.ns(Stranger).thread(move || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).join();
            let listener = bound.expect("a thread").expect("a listener of the stranger");
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let book = book.clone();
                    thread::spawn(move || book.record(stream));
                }
            });
        }
        notes
    }
}

impl Notes {
    /// Whoever came, and what they said.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.0.lock().expect("the notes").clone()
    }

    /// Those that said anything.
    pub(crate) fn talkers(&self) -> Vec<Visit> {
        self.visits().into_iter().filter(|visit| !visit.heard.is_empty()).collect()
    }

    fn record(&self, mut stream: TcpStream) {
        let (Ok(from), Ok(at)) = (stream.peer_addr(), stream.local_addr()) else { return };
        let place = {
            let mut visits = self.0.lock().expect("the notes");
            visits.push(Visit { from: from.ip(), at: at.ip(), port: at.port(), heard: Vec::new() });
            visits.len() - 1
        };
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            self.0.lock().expect("the notes")[place].heard.extend(&buffer[..length]);
        }
    }
}
