//! Options of TCP sockets that no safe crate sets: how many bytes wake a reader, that a listener wakes for a client that says something, and that a
//! port is chosen late.
//!
//! They only save work: where the kernel does not take one, nothing else changes, and nobody is told.

#![allow(unsafe_code, reason = "one system call with a pointer to a number; the block says why it is sound")]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use libc::{IP_BIND_ADDRESS_NO_PORT, IPPROTO_TCP, SO_RCVLOWAT, SOL_IP, SOL_SOCKET, TCP_DEFER_ACCEPT, c_int, setsockopt, socklen_t};

/// Wakes who reads `socket` once so many bytes are there, or its end, or no more can come (socket(7), SO_RCVLOWAT). 1 is what sockets have.
pub(crate) fn wake_at(socket: impl AsFd, bytes: c_int) {
    set(socket, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

/// Has `listener` give out connections whose client said something, or was silent for so many seconds (tcp(7), TCP_DEFER_ACCEPT).
pub(crate) fn defer_accept(listener: impl AsFd, seconds: c_int) {
    set(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds);
}

/// Has `socket`, which is bound to an address alone, choose its port when it connects (ip(7), IP_BIND_ADDRESS_NO_PORT).
pub(crate) fn choose_port_late(socket: impl AsFd) {
    set(socket, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
}

fn set(socket: impl AsFd, level: c_int, option: c_int, value: c_int) {
    let socket = socket.as_fd();
    let length = size_of::<c_int>() as socklen_t;
    // SAFETY: the descriptor is borrowed, and `value` is as many bytes as said; both outlive the call, which keeps neither.
    unsafe { setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(stream: &impl AsFd) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&now)).expect("a poll") == 1
    }

    #[test]
    fn a_reader_is_woken_by_as_many_bytes_as_it_wants_or_by_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        wake_at(&server, 1000);
        client.write_all(&[0; 999]).expect("sent");
        assert!(!is_readable(&server));
        client.write_all(&[0]).expect("sent");
        assert!(is_readable(&server));
        wake_at(&server, 5000);
        assert!(!is_readable(&server));
        client.shutdown(std::net::Shutdown::Write).expect("ended");
        assert!(is_readable(&server), "the end");
    }

    #[test]
    fn who_says_nothing_waits_in_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        defer_accept(&listener, 5);
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        assert!(!is_readable(&listener));
        client.write_all(b"!").expect("sent");
        assert!(is_readable(&listener));
    }
}
