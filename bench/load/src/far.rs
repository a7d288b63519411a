//! The home: epoll for what is short and many, a thread each for bulk.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::speech::{ASK, NAME, Wish, fulfil, give, take};

/// Connections that wait to be taken.
const BACKLOG: i32 = 4096;

pub(crate) fn listen(at: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket.bind(&at.into()).unwrap_or_else(|error| panic!("{at}: {error}"));
    socket.listen(BACKLOG).expect("listening");
    socket.into()
}

/// Serves until it is ended: what is no wish of ours is TLS.
pub(crate) fn serve(at: SocketAddr) {
    let made = rcgen::generate_simple_self_signed([NAME.into()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    serve_with(&listen(at), &Arc::new(config.expect("a configuration")));
}

fn over_tls(config: Arc<ServerConfig>, said: &[u8], stream: TcpStream) -> std::io::Result<()> {
    let mut session = ServerConnection::new(config).expect("a session");
    session.read_tls(&mut &*said)?;
    session.process_new_packets().map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(session, stream);
    let mut wish = [0; Wish::LENGTH];
    stream.read_exact(&mut wish)?;
    fulfil(Wish::read(&wish), &mut stream)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A short one, as far as it has come.
struct Guest {
    stream: TcpStream,
    said: Vec<u8>,
    wish: Option<Wish>,
    is_tls: bool,
}

fn serve_with(listener: &TcpListener, config: &Arc<ServerConfig>) {
    listener.set_nonblocking(true).expect("a socket");
    let poll = epoll::create(CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&poll, listener, EventData::new_u64(0), EventFlags::IN).expect("watched");
    let (mut guests, mut events) = (HashMap::new(), Vec::with_capacity(256));
    loop {
        events.clear();
        if epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).is_err() {
            continue;
        }
        for event in events.drain(..) {
            let at = event.data.u64();
            if at != 0 {
                let goes_on = guests.get_mut(&at).is_some_and(Guest::go_on);
                if !goes_on && let Some(guest) = guests.remove(&at) {
                    guest.leave(&poll, config);
                }
                continue;
            }
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).expect("a socket");
                stream.set_nodelay(true).expect("a socket");
                let at = u64::try_from(stream.as_raw_fd()).expect("positive");
                epoll::add(&poll, &stream, EventData::new_u64(at), EventFlags::IN).expect("watched");
                guests.insert(at, Guest { stream, said: Vec::new(), wish: None, is_tls: false });
            }
        }
    }
}

impl Guest {
    /// Whether it stays here.
    fn go_on(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = match self.stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if let Some(Wish { letter: b'e', .. }) = self.wish {
            return self.stream.write_all(&bytes[..count]).is_ok();
        }
        self.said.extend(&bytes[..count]);
        let wish = match Wish::heard(&self.said) {
            None => return true,
            Some(None) => {
                self.is_tls = true;
                return false;
            }
            Some(Some((wish, length))) => {
                self.said.drain(..length);
                wish
            }
        };
        self.wish = Some(wish);
        match wish.letter {
            b'e' => self.stream.write_all(&self.said).is_ok(),
            b'1' => {
                let _ = self.stream.write_all(b".");
                false
            }
            b'd' | b'u' | b'm' => false,
            _ => true,
        }
    }

    /// To a thread of its own, or to its end.
    fn leave(self, poll: &impl std::os::fd::AsFd, config: &Arc<ServerConfig>) {
        let wish = self.wish.filter(|wish| [b'd', b'u', b'm'].contains(&wish.letter));
        if wish.is_none() && !self.is_tls {
            return;
        }
        epoll::delete(poll, &self.stream).expect("watched until now");
        self.stream.set_nonblocking(false).expect("a socket");
        let (Self { mut stream, said, .. }, config) = (self, Arc::clone(config));
        thread::spawn(move || {
            // Whoever gives up in the middle is measured by itself.
            let _ = match wish {
                None => over_tls(config, &said, stream),
                Some(wish) if wish.letter == b'm' => mixed(wish.number, &said, &mut stream),
                Some(wish) => fulfil(Wish { number: wish.number - said.len() as u64, ..wish }, &mut stream),
            };
        });
    }
}

/// Bulk both ways and short questions in turn, on one connection: each ask of 64 bytes says which by its first.
fn mixed(bulk: u64, said: &[u8], stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut ask, mut heard) = ([0; ASK], said.chain(stream.try_clone()?));
    loop {
        heard.read_exact(&mut ask)?;
        match ask[0] {
            b'd' => give(stream, bulk)?,
            b'u' => {
                take(&mut heard, bulk)?;
                stream.write_all(&ask)?;
            }
            _ => stream.write_all(&ask)?,
        }
    }
}
