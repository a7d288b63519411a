//! Phone4 as a crowd: 65,536 addresses, so that limits by network see as many clients, or one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::lab::Lab;
use crate::topology::Node::{Inet, Phone4};
use crate::topology::{PHONE4, VPS4};

/// For the gateway's kernel to take a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The buffer of a client that takes little.
const NARROW: usize = 4 << 10;

/// For ten thousand clients and their homes, both ends of them in one process, and all else.
const DESCRIPTORS: u64 = 24 << 10;

/// An address of the crowd.
pub(crate) fn one_of_many(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number & 0xffff).expect("16 bits");
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() | number)
}

/// The gateway's port.
pub(crate) fn gateway(port: u16) -> SocketAddr {
    SocketAddr::new(VPS4.parse().expect("the gateway's address"), port)
}

impl Lab {
    /// Gives phone4 all addresses of the crowd, and this process, and so the gateway that it starts, the descriptors for it or all that it
    /// may have: only a machine's true root goes beyond its hard limit. Tells how many.
    pub(crate) fn let_phone4_be_many(&self) -> usize {
        self.ns(Inet).ip(&format!("route add 198.18.0.0/16 via {PHONE4}"));
        self.ns(Phone4).ip("route add local 198.18.0.0/16 dev lo");
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.map(|maximum| maximum.max(DESCRIPTORS));
        if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_err() {
            setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("as many descriptors as may be");
        }
        let limit = getrlimit(Resource::Nofile);
        limit.current.map_or(usize::MAX, |maximum| usize::try_from(maximum).unwrap_or(usize::MAX))
    }
}

/// A connection from an address of this machine; for threads of its namespace.
pub(crate) fn connect_from(source: Ipv4Addr, target: SocketAddr) -> io::Result<TcpStream> {
    connect(Socket::new(Domain::IPV4, Type::STREAM, None)?, source, target)
}

/// The same for a client that says that it takes little at a time.
pub(crate) fn connect_narrowly(source: Ipv4Addr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(NARROW)?;
    connect(socket, source, target)
}

fn connect(socket: Socket, source: Ipv4Addr, target: SocketAddr) -> io::Result<TcpStream> {
    socket.bind(&SocketAddr::new(source.into(), 0).into())?;
    socket.connect_timeout(&target.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}
