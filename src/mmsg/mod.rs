//! Many datagrams in one call, recvmmsg(2) and sendmmsg(2), and one that is answered later, sendmsg(2): what no safe crate offers with a
//! sender's own destination address.
//!
//! With [`options`] and [`segments`], the only unsafe code of this program. Every pointer that the kernel is given is made from a borrow that lives until the call
//! has returned, and nothing that the kernel wrote is read before it said how much. A [`Batch`] is memory for [`SIZE`] questions and
//! as many answers; it is made once for each thread. What the answers say is not known here.

#![allow(unsafe_code, reason = "three system calls that take structures of pointers; each block says why it is sound")]

pub(crate) mod options;
pub(crate) mod segments;

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, msghdr, sockaddr_in, sockaddr_in6, sockaddr_storage};

/// Datagrams a call. More would only hold the first answer up.
pub(crate) const SIZE: usize = 64;

/// No question is longer; what was cut here is answered as what it is, no whole message.
pub(crate) const QUESTION_LIMIT: usize = 4096;

/// Room for so many is made in every call.
const LEAST: usize = 4;

/// Room for the one control message that is asked for, of either family.
const CONTROL: usize = 64;

/// Datagrams that came, and the answers to them.
pub(crate) struct Batch {
    questions: Box<[[u8; QUESTION_LIMIT]]>,
    answers: Box<[u8]>,
    answer_limit: usize,
    slots: Box<[Slot]>,
    headers: Box<[mmsghdr]>,
    vectors: Box<[iovec]>,
    /// For how many datagrams the next call makes room: preparing more than come costs more than it saves.
    expected: usize,
}

/// One datagram, and what will be said to it.
struct Slot {
    back: Return,
    received: usize,
    answer: usize,
}

/// The way back of one datagram: to its sender, from the address that it was sent to.
#[derive(Clone, Copy)]
pub(crate) struct Return {
    sender: sockaddr_storage,
    sender_length: u32,
    control: Control,
    control_length: usize,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

// SAFETY: the pointers in `headers` and `vectors` are written before each call and not read after it; between calls they mean nothing.
unsafe impl Send for Batch {}

impl Batch {
    /// Memory for [`SIZE`] questions, and for answers of at most `answer_limit` bytes each.
    pub(crate) fn new(answer_limit: usize) -> Self {
        // SAFETY: these are C structures of numbers and pointers, for which all zeroes is a value.
        let (slot, header, vector) = unsafe { (zeroed::<sockaddr_storage>(), zeroed::<mmsghdr>(), zeroed::<iovec>()) };
        let back = Return { sender: slot, sender_length: 0, control: Control([0; CONTROL]), control_length: 0 };
        let slot = || Slot { back, received: 0, answer: 0 };
        Self {
            questions: vec![[0; QUESTION_LIMIT]; SIZE].into(),
            answers: vec![0; SIZE.saturating_mul(answer_limit)].into(),
            answer_limit,
            slots: (0..SIZE).map(|_| slot()).collect(),
            headers: vec![header; SIZE].into(),
            vectors: vec![vector; SIZE].into(),
            expected: LEAST,
        }
    }

    /// Takes what has come on `socket`, without waiting, and tells how many datagrams that were.
    ///
    /// # Errors
    /// What the kernel says; `WouldBlock` if nothing has come.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let parts = self.headers.iter_mut().zip(self.vectors.iter_mut()).zip(self.slots.iter_mut()).zip(self.questions.iter_mut());
        for (((header, vector), slot), question) in parts.take(self.expected) {
            // Else a datagram without a sender would be answered to the one before.
            slot.back.sender.ss_family = 0;
            *vector = iovec { iov_base: question.as_mut_ptr().cast(), iov_len: question.len() };
            header.msg_hdr = empty();
            header.msg_hdr.msg_name = ptr::from_mut(&mut slot.back.sender).cast();
            header.msg_hdr.msg_namelen = size_of::<sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.back.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: each of the first `expected` headers points to its own vector, address and control buffer, of the sizes that it names, in memory of
        // `self`, which is borrowed for longer than the call.
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), self.expected as u32, libc::MSG_DONTWAIT as _, ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, slot) in self.headers.iter().zip(self.slots.iter_mut()).take(count) {
            slot.back.sender_length = header.msg_hdr.msg_namelen;
            slot.back.control_length = header.msg_hdr.msg_controllen;
            slot.received = (header.msg_len as usize).min(QUESTION_LIMIT);
            slot.answer = 0;
        }
        self.expected = count.saturating_mul(2).clamp(LEAST, SIZE);
        Ok(count)
    }

    /// Lets `say` answer each of the first `count` datagrams: it is given the question, the sender, the way back and room for the answer, and
    /// returns the answer's length, `None` for silence.
    pub(crate) fn answer(&mut self, count: usize, mut say: impl FnMut(&[u8], SocketAddr, &Return, &mut [u8]) -> Option<usize>) {
        let parts = self.slots.iter_mut().zip(self.questions.iter()).zip(self.answers.chunks_mut(self.answer_limit));
        for ((slot, question), answer) in parts.take(count) {
            let Some(sender) = address_of(&slot.back.sender) else { continue };
            let question = question.get(..slot.received).unwrap_or_default();
            slot.answer = say(question, sender, &slot.back, answer).unwrap_or(0).min(self.answer_limit);
        }
    }

    /// Sends the answers to the first `count` datagrams, each from the address that was asked. Returns how many the kernel did not take: they
    /// are dropped, since who asked will ask again.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, count: usize) -> u64 {
        let mut ready = 0;
        let mut places = self.headers.iter_mut().zip(self.vectors.iter_mut());
        for (slot, answer) in
            self.slots.iter_mut().zip(self.answers.chunks_mut(self.answer_limit)).take(count).filter(|(slot, _)| slot.answer > 0)
        {
            let Some((header, vector)) = places.next() else { break };
            *vector = iovec { iov_base: answer.as_mut_ptr().cast(), iov_len: slot.answer };
            header.msg_hdr = empty();
            header.msg_hdr.msg_name = ptr::from_mut(&mut slot.back.sender).cast();
            header.msg_hdr.msg_namelen = slot.back.sender_length;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if let Some(length) = slot.back.control.turn_round(slot.back.control_length) {
                header.msg_hdr.msg_control = slot.back.control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = length as _;
            }
            ready += 1;
        }
        let (mut done, mut dropped) = (0_usize, 0);
        while let Some(rest) = self.headers.get_mut(done..ready).filter(|rest| !rest.is_empty()) {
            // SAFETY: the first `ready` headers were written above and point into memory of `self`, borrowed for longer than the call.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT as _) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done = done.saturating_add(sent),
                // It is the first of them that cannot go; the others may.
                _ => {
                    done = done.saturating_add(1);
                    dropped += 1;
                }
            }
        }
        dropped
    }
}

impl Return {
    /// Sends `message` there on the socket that the datagram came to.
    ///
    /// # Errors
    /// The kernel does not take it; whoever asked will ask again.
    pub(crate) fn send(mut self, socket: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
        let mut vector = iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        let mut header = empty();
        header.msg_name = ptr::from_mut(&mut self.sender).cast();
        header.msg_namelen = self.sender_length;
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        if let Some(length) = self.control.turn_round(self.control_length) {
            header.msg_control = self.control.0.as_mut_ptr().cast();
            header.msg_controllen = length as _;
        }
        // SAFETY: the header points to the vector, the address and the control message above, and these into `message` and `self`, all of which
        // live until the call returns; the kernel only reads them.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Control {
    /// Makes of what the kernel said of a datagram's destination what it wants to hear of an answer's source. Returns how many bytes of it
    /// count; `None` if nothing was said, since the socket has one address only.
    fn turn_round(&mut self, length: usize) -> Option<usize> {
        let at = size_of::<cmsghdr>();
        let header = self.0.get(..length.min(CONTROL))?.get(..at)?;
        // SAFETY: a cmsghdr is numbers only, and so many bytes are there; they need not be aligned.
        let header = unsafe { ptr::read_unaligned(header.as_ptr().cast::<cmsghdr>()) };
        // One that was cut short would leave bytes of an earlier one behind it.
        if header.cmsg_len > length {
            return None;
        }
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let body = self.0.get_mut(at..at.checked_add(size_of::<in_pktinfo>())?)?;
                // SAFETY: as above; and of the same size, written whole.
                unsafe {
                    let mut info = ptr::read_unaligned(body.as_ptr().cast::<in_pktinfo>());
                    // By the routing table, not by where the question came in; from the address that was asked.
                    info.ipi_ifindex = 0;
                    info.ipi_spec_dst = info.ipi_addr;
                    ptr::write_unaligned(body.as_mut_ptr().cast(), info);
                }
                Some(space(size_of::<in_pktinfo>()))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let body = self.0.get_mut(at..at.checked_add(size_of::<in6_pktinfo>())?)?;
                // SAFETY: as above.
                unsafe {
                    let mut info = ptr::read_unaligned(body.as_ptr().cast::<in6_pktinfo>());
                    let local = Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local();
                    // A link-local address means something on its own link alone.
                    info.ipi6_ifindex = if local { info.ipi6_ifindex } else { 0 };
                    ptr::write_unaligned(body.as_mut_ptr().cast(), info);
                }
                Some(space(size_of::<in6_pktinfo>()))
            }
            _ => None,
        }
    }
}

/// Asks the kernel to say with each datagram which address it was sent to. A socket of one address need not ask.
///
/// # Errors
/// What the kernel says.
pub(crate) fn tell_destination(socket: BorrowedFd<'_>, of: IpAddr) -> io::Result<()> {
    let (level, option) = match of {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: c_int = 1;
    // SAFETY: the value is an int, as the option wants it, and lives until the call returns.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(&on).cast(), size_of::<c_int>() as u32) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What CMSG_SPACE(3) gives.
fn space(body: usize) -> usize {
    let word = size_of::<usize>();
    size_of::<cmsghdr>().next_multiple_of(word).saturating_add(body.next_multiple_of(word))
}

fn empty() -> msghdr {
    // SAFETY: a C structure of numbers and pointers, for which all zeroes is a value. (It has padding on some systems, so no literal.)
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// The sender, as the kernel wrote it.
fn address_of(storage: &sockaddr_storage) -> Option<SocketAddr> {
    let storage = ptr::from_ref(storage);
    // SAFETY: the storage is initialised whatever the kernel wrote, as large as either structure, and aligned for both; the family says which
    // of them it is.
    unsafe {
        match c_int::from((*storage).ss_family) {
            libc::AF_INET => {
                let v4 = &*storage.cast::<sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let v6 = &*storage.cast::<sockaddr_in6>();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}
