//! Datagrams of flows, in both directions: received as the kernel has put them together (UDP_GRO), sent as it cuts them (UDP_SEGMENT, udp(7)),
//! many of either in a call.
//!
//! A [`Run`] is one piece of memory with datagrams of one sender behind one another: all of one size, but for the last, which may be shorter. Whose
//! they are is not known here.

use std::io::{self, IoSlice};
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, cmsghdr, in_addr, in_pktinfo, in6_addr, in6_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage};

use super::{CONTROL, Control, address_of, empty, space};

/// Runs that are received, or messages that are sent, in one call.
pub(crate) const SIZE: usize = 32;

/// The most that the kernel puts together, and that an IPv4 datagram can be.
const RUN_LIMIT: usize = 65_535;

/// What one message may carry, whatever the family's headers take.
pub(crate) const MESSAGE_LIMIT: usize = 65_000;

/// As many datagrams as every kernel cuts out of one message (UDP_MAX_SEGMENTS).
pub(crate) const SEGMENTS: usize = 64;

/// The two ends of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    /// The other machine's.
    pub(crate) peer: SocketAddr,
    /// Which of our addresses, where the socket has several; and its interface, where the address means something on that alone.
    pub(crate) local: Option<(IpAddr, u32)>,
}

/// Datagrams of one sender that came together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// All of them.
    pub(crate) bytes: &'a [u8],
    /// The size of each but the last, which may be shorter; 0 if there is one alone.
    pub(crate) segment: usize,
    /// Where from, and where to.
    pub(crate) ends: Option<Ends>,
}

impl<'a> Run<'a> {
    /// Each datagram.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let size = if self.segment == 0 { self.bytes.len() } else { self.segment };
        // A datagram may be empty; chunks of nothing are none.
        let empty = self.bytes.is_empty().then_some(self.bytes);
        self.bytes.chunks(size.max(1)).chain(empty)
    }
}

/// Memory for what is received: up to [`SIZE`] runs, of one socket or of several.
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    slots: Box<[Slot]>,
    headers: Box<[mmsghdr]>,
    vectors: Box<[iovec]>,
    filled: usize,
}

struct Slot {
    sender: sockaddr_storage,
    control: Control,
    length: usize,
    segment: usize,
    ends: Option<Ends>,
}

// SAFETY: the pointers in `headers` and `vectors` are written before each call and not read after it; between calls they mean nothing.
unsafe impl Send for Inbox {}

impl Inbox {
    pub(crate) fn new() -> Self {
        // SAFETY: these are C structures of numbers and pointers, for which all zeroes is a value.
        let (sender, header, vector) = unsafe { (zeroed::<sockaddr_storage>(), zeroed::<mmsghdr>(), zeroed::<iovec>()) };
        let slot = || Slot { sender, control: Control([0; CONTROL]), length: 0, segment: 0, ends: None };
        Self {
            // Made by the first who receives: many a gateway never does.
            bytes: Box::default(),
            slots: (0..SIZE).map(|_| slot()).collect(),
            headers: vec![header; SIZE].into(),
            vectors: vec![vector; SIZE].into(),
            filled: 0,
        }
    }

    /// How many runs there are.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// Whether there is no room for another.
    pub(crate) fn is_full(&self) -> bool {
        self.filled >= SIZE
    }

    /// Makes room for new ones.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Leaves out what came after the first `filled`.
    pub(crate) fn truncate(&mut self, filled: usize) {
        self.filled = self.filled.min(filled);
    }

    /// The run at `at`.
    pub(crate) fn run(&self, at: usize) -> Option<Run<'_>> {
        let slot = self.slots.get(..self.filled)?.get(at)?;
        let start = at.checked_mul(RUN_LIMIT)?;
        let bytes = self.bytes.get(start..start.checked_add(slot.length)?)?;
        Some(Run { bytes, segment: if slot.segment < slot.length { slot.segment } else { 0 }, ends: slot.ends })
    }

    /// Takes at most `most` runs that have come on `socket`, without waiting, behind those that are there; tells how many, and whether the socket
    /// may have more.
    ///
    /// # Errors
    /// What the kernel says; `WouldBlock` if nothing has come.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<(usize, bool)> {
        if self.bytes.is_empty() {
            self.bytes = vec![0; SIZE.saturating_mul(RUN_LIMIT)].into();
        }
        let room = SIZE.saturating_sub(self.filled).min(most);
        let parts = self.headers.iter_mut().zip(self.vectors.iter_mut());
        let memory = self.slots.iter_mut().zip(self.bytes.chunks_exact_mut(RUN_LIMIT)).skip(self.filled).take(room);
        for ((header, vector), (slot, bytes)) in parts.zip(memory) {
            slot.sender.ss_family = 0;
            *vector = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            header.msg_hdr = empty();
            header.msg_hdr.msg_name = ptr::from_mut(&mut slot.sender).cast();
            header.msg_hdr.msg_namelen = size_of::<sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: each of the first `room` headers points to its own vector, address and control buffer, of the sizes that it names, in memory of
        // `self`, which is borrowed for longer than the call.
        let count =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), room as u32, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, slot) in self.headers.iter().zip(self.slots.iter_mut().skip(self.filled)).take(count) {
            slot.length = (header.msg_len as usize).min(RUN_LIMIT);
            (slot.segment, slot.ends) = slot.read(header.msg_hdr.msg_controllen);
        }
        self.filled = self.filled.saturating_add(count);
        Ok((count, count == room))
    }
}

impl Slot {
    /// What the kernel said beside the bytes.
    fn read(&self, length: usize) -> (usize, Option<Ends>) {
        let (mut segment, mut local) = (0, None);
        let mut rest = self.control.0.get(..length.min(CONTROL)).unwrap_or_default();
        let at = size_of::<cmsghdr>();
        while let Some(head) = rest.get(..at) {
            // SAFETY: a cmsghdr is numbers only, and so many bytes are there; they need not be aligned.
            let header = unsafe { ptr::read_unaligned(head.as_ptr().cast::<cmsghdr>()) };
            let length = header.cmsg_len as usize;
            let Some(body) = rest.get(at..length) else { break };
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = body.first_chunk().map_or(0, |bytes| c_int::from_ne_bytes(*bytes));
                    segment = usize::try_from(size).unwrap_or(0);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if body.len() >= size_of::<in_pktinfo>() => {
                    // SAFETY: numbers only, as many bytes as that are there, and they need not be aligned.
                    let info = unsafe { ptr::read_unaligned(body.as_ptr().cast::<in_pktinfo>()) };
                    local = Some((Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into(), 0));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if body.len() >= size_of::<in6_pktinfo>() => {
                    // SAFETY: as above.
                    let info = unsafe { ptr::read_unaligned(body.as_ptr().cast::<in6_pktinfo>()) };
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    // A link-local address means something on its own link alone.
                    let interface = if address.is_unicast_link_local() { info.ipi6_ifindex as u32 } else { 0 };
                    local = Some((address.into(), interface));
                }
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        }
        (segment, address_of(&self.sender).map(|peer| Ends { peer, local }))
    }
}

/// What is sent in one piece through the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    /// Datagrams behind one another; none of them is in two pieces.
    pub(crate) pieces: Vec<IoSlice<'a>>,
    /// The size of each but the last; 0 if there is one alone.
    pub(crate) segment: usize,
    /// Where to, and from where; a connected socket knows.
    pub(crate) to: Option<Ends>,
}

/// Memory for what the kernel is told when something is sent.
pub(crate) struct Outbox {
    headers: Box<[mmsghdr]>,
    names: Box<[sockaddr_storage]>,
    controls: Box<[Control]>,
}

// SAFETY: as for `Inbox`.
unsafe impl Send for Outbox {}

impl Outbox {
    pub(crate) fn new() -> Self {
        // SAFETY: C structures of numbers and pointers, for which all zeroes is a value.
        let (header, name) = unsafe { (zeroed::<mmsghdr>(), zeroed::<sockaddr_storage>()) };
        Self { headers: vec![header; SIZE].into(), names: vec![name; SIZE].into(), controls: vec![Control([0; CONTROL]); SIZE].into() }
    }

    /// Sends `messages` on `socket`, whose datagrams are dropped where the kernel does not take them. Tells how many messages were dropped, in
    /// whole or in part.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, messages: &[Message<'_>]) -> u64 {
        let (mut rest, mut dropped, mut told) = (messages, 0, false);
        while let Some(message) = rest.first() {
            match self.send_some(socket, rest) {
                Ok(sent) => (rest, told) = (rest.get(sent.max(1)..).unwrap_or_default(), false),
                // What a router or the other end said of an earlier one; this one did not leave.
                Err(error) if !told && is_of_the_past(&error) => told = true,
                Err(error) => {
                    if message.segment == 0 || !cannot_cut(&error) || !self.send_each(socket, message) {
                        dropped += 1;
                    }
                    (rest, told) = (rest.get(1..).unwrap_or_default(), false);
                }
            }
        }
        dropped
    }

    /// Sends the datagrams of `message` one by one; whether all left.
    fn send_each(&mut self, socket: BorrowedFd<'_>, message: &Message<'_>) -> bool {
        let datagrams = message.pieces.iter().flat_map(|piece| piece.chunks(message.segment.max(1)));
        let mut all = true;
        for datagram in datagrams {
            let alone = Message { pieces: vec![IoSlice::new(datagram)], segment: 0, to: message.to };
            all &= self.send_some(socket, std::slice::from_ref(&alone)).is_ok();
        }
        all
    }

    fn send_some(&mut self, socket: BorrowedFd<'_>, messages: &[Message<'_>]) -> io::Result<usize> {
        let places = self.headers.iter_mut().zip(self.names.iter_mut().zip(self.controls.iter_mut()));
        let mut count = 0_u32;
        for (message, (header, (name, control))) in messages.iter().zip(places) {
            header.msg_hdr = empty();
            // The vectors are what IoSlice is (std::io: ABI compatible with iovec); the kernel only reads them.
            header.msg_hdr.msg_iov = message.pieces.as_ptr().cast::<iovec>().cast_mut();
            header.msg_hdr.msg_iovlen = message.pieces.len() as _;
            let mut length = 0;
            if let Some(ends) = message.to {
                header.msg_hdr.msg_namelen = write_name(name, ends.peer);
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                length = ends.local.map_or(0, |(local, interface)| control.write_source(length, local, interface));
            }
            if message.segment > 0 {
                let segment = u16::try_from(message.segment).unwrap_or(u16::MAX);
                length = control.write(length, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
            }
            if length > 0 {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = length as _;
            }
            count = count.saturating_add(1);
        }
        // SAFETY: the first `count` headers were written above and point into `messages` and memory of `self`, both borrowed for longer than the
        // call.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl Control {
    /// Says from which address a datagram is to leave; returns where the next may be written.
    fn write_source(&mut self, at: usize, local: IpAddr, interface: u32) -> usize {
        match local {
            IpAddr::V4(local) => {
                let address = in_addr { s_addr: u32::from(local).to_be() };
                let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: in_addr { s_addr: 0 } };
                // SAFETY: numbers without padding, read as bytes.
                let bytes = unsafe { std::slice::from_raw_parts(ptr::from_ref(&info).cast::<u8>(), size_of::<in_pktinfo>()) };
                self.write(at, libc::IPPROTO_IP, libc::IP_PKTINFO, bytes)
            }
            IpAddr::V6(local) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: interface as _ };
                // SAFETY: as above.
                let bytes = unsafe { std::slice::from_raw_parts(ptr::from_ref(&info).cast::<u8>(), size_of::<in6_pktinfo>()) };
                self.write(at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, bytes)
            }
        }
    }

    /// Writes one control message; returns where the next may be. What does not fit, which nothing here is, is left out.
    fn write(&mut self, at: usize, level: c_int, kind: c_int, body: &[u8]) -> usize {
        let head = size_of::<cmsghdr>();
        let end = at.saturating_add(space(body.len()));
        let Some((place, data)) = self.0.get_mut(at..end).and_then(|place| place.split_at_mut_checked(head)) else { return at };
        let Some(data) = data.get_mut(..body.len()) else { return at };
        data.copy_from_slice(body);
        // SAFETY: a C structure of numbers, for which all zeroes is a value; it may have padding.
        let mut header = unsafe { zeroed::<cmsghdr>() };
        (header.cmsg_len, header.cmsg_level, header.cmsg_type) = (head.saturating_add(body.len()) as _, level, kind);
        // SAFETY: so many bytes are there, and they need not be aligned.
        unsafe { ptr::write_unaligned(place.as_mut_ptr().cast(), header) };
        end
    }
}

/// Has the kernel put datagrams of one sender together that come behind one another, where it can.
///
/// # Errors
/// The kernel is too old; then each comes by itself.
pub(crate) fn put_together(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the value is an int, as the option wants it, and lives until the call returns.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, ptr::from_ref(&on).cast(), size_of::<c_int>() as u32) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether it was a datagram of before that met this error (ICMP, on a connected socket).
fn is_of_the_past(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// Whether a message might leave in pieces: a route with smaller packets, or a device that cannot cut. Where there is no room, its pieces find none.
fn cannot_cut(error: &io::Error) -> bool {
    [libc::EMSGSIZE, libc::EINVAL, libc::EIO].contains(&error.raw_os_error().unwrap_or_default())
}

/// Writes `address` as the kernel wants it; returns how long it is.
fn write_name(name: &mut sockaddr_storage, address: SocketAddr) -> u32 {
    let name = ptr::from_mut(name);
    // SAFETY: the storage is as large as either structure and aligned for both; all that is written are numbers.
    unsafe {
        match address {
            SocketAddr::V4(v4) => {
                let mut written = zeroed::<sockaddr_in>();
                written.sin_family = libc::AF_INET as _;
                written.sin_port = v4.port().to_be();
                written.sin_addr = in_addr { s_addr: u32::from(*v4.ip()).to_be() };
                ptr::write(name.cast(), written);
                size_of::<sockaddr_in>() as u32
            }
            SocketAddr::V6(v6) => {
                let mut written = zeroed::<sockaddr_in6>();
                written.sin6_family = libc::AF_INET6 as _;
                written.sin6_port = v6.port().to_be();
                written.sin6_addr = in6_addr { s6_addr: v6.ip().octets() };
                written.sin6_scope_id = v6.scope_id();
                ptr::write(name.cast(), written);
                size_of::<sockaddr_in6>() as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn pair(here: IpAddr) -> (UdpSocket, UdpSocket) {
        let (one, other) = (UdpSocket::bind((here, 0)).expect("bound"), UdpSocket::bind((here, 0)).expect("bound"));
        put_together(other.as_fd()).expect("UDP_GRO");
        (one, other)
    }

    /// Sends runs of these, and tells what datagrams came out at the other end.
    fn sent(here: IpAddr, segment: usize, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (one, other) = pair(here);
        let to = Ends { peer: other.local_addr().expect("bound"), local: None };
        let message = Message { pieces: pieces.iter().map(|piece| IoSlice::new(piece)).collect(), segment, to: Some(to) };
        assert_eq!(Outbox::new().send(one.as_fd(), &[message]), 0);
        let (mut inbox, mut all) = (Inbox::new(), Vec::new());
        while inbox.receive(other.as_fd(), SIZE).is_ok() {
            for run in (0..inbox.filled()).filter_map(|at| inbox.run(at)) {
                assert_eq!(run.ends.map(|ends| ends.peer), Some(one.local_addr().expect("bound")));
                all.extend(run.datagrams().map(<[u8]>::to_vec));
            }
            inbox.clear();
        }
        all
    }

    #[test]
    fn what_is_sent_together_comes_as_the_datagrams_that_it_was() {
        for here in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let (a, b) = (vec![1; 3 * 1_200], vec![2; 1_200 + 7]);
            let all = sent(here, 1_200, &[&a, &b]);
            assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [1_200, 1_200, 1_200, 1_200, 7]);
            assert_eq!(all.concat(), [a, b].concat());
            assert_eq!(sent(here, 0, &[&[7; 40_000]]), [vec![7; 40_000]], "one that is longer than a packet");
            assert_eq!(sent(here, 0, &[&[]]), [Vec::<u8>::new()]);
        }
    }

    #[test]
    fn what_the_kernel_does_not_take_whole_is_sent_one_by_one() {
        let (all, last) = (vec![[7; 1_000]; 66], [8; 10]);
        let pieces: Vec<&[u8]> = all.iter().map(<[u8; 1_000]>::as_slice).chain([last.as_slice()]).collect();
        assert_eq!(sent(IpAddr::V4(Ipv4Addr::LOCALHOST), 1_000, &pieces), pieces, "no datagram has 66,010 bytes");
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        for (any, asked) in [("0.0.0.0", "127.0.0.9"), ("::", "::1")] {
            let any: IpAddr = any.parse().expect("an address");
            let (server, client) = (UdpSocket::bind((any, 0)).expect("bound"), UdpSocket::bind((any, 0)).expect("bound"));
            super::super::tell_destination(server.as_fd(), any).expect("told");
            put_together(server.as_fd()).expect("UDP_GRO");
            let asked = SocketAddr::new(asked.parse().expect("an address"), server.local_addr().expect("bound").port());
            client.send_to(b"who?", asked).expect("sent");
            let mut inbox = Inbox::new();
            assert_eq!(inbox.receive(server.as_fd(), SIZE).expect("one").0, 1);
            let run = inbox.run(0).expect("one");
            let (answers, to) = ([b'a'; 20], run.ends);
            assert_eq!(to.and_then(|ends| ends.local).map(|(local, _)| local), Some(asked.ip()));
            assert_eq!(Outbox::new().send(server.as_fd(), &[Message { pieces: vec![IoSlice::new(&answers)], segment: 10, to }]), 0);
            let mut got = [0; 64];
            assert_eq!(client.recv_from(&mut got).expect("an answer"), (10, asked));
        }
    }
}
