//! Connects that only ask whether they come through, and what a machine can see of those that do not.
//!
//! A firewall that drops is silent, and the one that dropped does not say so. But the kernel counts each packet that reaches a machine
//! (`Ip6InReceives`), and each that its own packet filter lets in (`Ip6InDelivers`): who knows that packets were sent can tell its own
//! firewall from one before it. Every user may read the counters. Not seen is what a filter at the interface itself drops (XDP).

mod returns;
pub mod tls;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use fourward_core::facts::{Burst, Connect, Listens};
use futures_util::future::join_all;
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_freebind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::listener;
use crate::mmsg::options;
pub use returns::{Returns, Watch};

/// Where the kernel counts.
const COUNTERS: &str = "/proc/net/snmp6";

/// A connect within one machine takes no longer.
const LOCALLY: Duration = Duration::from_secs(1);

/// What came of a connect to `to` within `patience`.
pub async fn connect(to: SocketAddr, patience: Duration) -> Connect {
    match timeout(patience, TcpStream::connect(to)).await {
        Ok(connected) => outcome(connected.map(drop)),
        Err(_) => Connect::Silent,
    }
}

/// A connection to `to` from `source`, an address that need not be one of this machine's: it is enough that it is routed here.
pub async fn connected(source: Option<Ipv6Addr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // What is sent is what somebody waits for.
    socket.set_nodelay(true)?;
    if let Some(source) = source {
        // Its port is chosen with the connect, where one will do for as many homes as there are.
        options::choose_port_late(&socket);
        // No capability is needed: to whom the prefix is not routed, nothing comes back.
        set_ipv6_freebind(&socket, true)?;
        socket.bind((source, 0).into())?;
    }
    socket.connect(to).await
}

/// What came of a connect from `source` to `to` within `patience`.
pub async fn connect_from(source: Ipv6Addr, to: SocketAddr, patience: Duration) -> Connect {
    match timeout(patience, connected(Some(source), to)).await {
        Ok(connected) => outcome(connected.map(drop)),
        Err(_) => Connect::Silent,
    }
}

/// Whether a byte comes back when `request` is sent to `to`. Until then this takes as long as it takes.
pub async fn answers(to: SocketAddr, request: &str) -> bool {
    let Ok(stream) = TcpStream::connect(to).await else { return false };
    answered(stream, request).await
}

async fn answered(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> bool {
    let sent = stream.write_all(request.as_bytes()).await.is_ok() && stream.flush().await.is_ok();
    sent && stream.read(&mut [0]).await.is_ok_and(|count| count > 0)
}

/// What `result` of a connect means.
pub fn outcome(result: io::Result<()>) -> Connect {
    let Err(error) = result else { return Connect::Open };
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => Connect::Refused,
        // RFC 4443 §3.1, code 1; and what this machine's own filter does not let out.
        Some(Errno::ACCESS | Errno::PERM) => Connect::Prohibited,
        Some(Errno::HOSTUNREACH) => Connect::Unreachable,
        Some(Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => Connect::NoRoute,
        _ => Connect::Silent,
    }
}

/// The best that came of `count` connects to `to` at once, each within `patience`.
pub async fn burst(to: SocketAddr, count: u32, patience: Duration) -> Connect {
    let outcomes = join_all((0..count).map(|_| connect(to, patience))).await;
    // Some may have been lost, and what says something says more than silence.
    let rank = |outcome: &Connect| match outcome {
        Connect::Open => 0,
        Connect::Refused => 1,
        Connect::Prohibited => 2,
        Connect::Unreachable => 3,
        Connect::NoRoute => 4,
        Connect::Silent => 5,
    };
    outcomes.into_iter().min_by_key(rank).unwrap_or(Connect::Silent)
}

/// Whether this machine has a way to `to`, and an address that an answer could come to. No packet leaves.
pub fn has_route(to: IpAddr) -> bool {
    let from: IpAddr = if to.is_ipv4() { std::net::Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let chosen = UdpSocket::bind((from, 0)).and_then(|socket| socket.connect((to, 53)).and_then(|()| socket.local_addr()));
    chosen.is_ok_and(|chosen| match chosen.ip() {
        // A default route without a global address.
        IpAddr::V6(own) => !own.is_unicast_link_local(),
        IpAddr::V4(_) => true,
    })
}

/// Whether somebody on this machine takes connections to `address`, one of its own, at `port`.
pub async fn listens(address: Ipv6Addr, port: u16) -> Listens {
    // Who translates (a container's host) listens nowhere and answers all the same.
    let answers = connect((address, port).into(), LOCALLY).await;
    if answers == Connect::Open {
        return Listens::Yes;
    }
    let at = listener::listening(port);
    let here = |local: &&SocketAddr| local.is_ipv6() && (local.ip().is_unspecified() || local.ip() == IpAddr::V6(address));
    match (at.iter().find(here), at.first()) {
        // Refused or dropped, but not by the service.
        (Some(_), _) if answers == Connect::Refused => Listens::Yes,
        (Some(_), _) => Listens::Stuck,
        (None, Some(other)) if at.iter().all(SocketAddr::is_ipv4) && !other.ip().is_loopback() => Listens::Ipv4Only,
        (None, Some(other)) => Listens::Elsewhere(other.ip()),
        (None, None) => Listens::No,
    }
}

/// How many packets came to this machine and were neither let in nor passed on, since it started.
///
/// # Errors
/// The kernel does not tell.
pub fn kept_out() -> io::Result<u64> {
    let text = fs::read_to_string(COUNTERS)?;
    kept_out_of(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn kept_out_of(text: &str) -> Option<u64> {
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '\t'])));
        line.and_then(|rest| rest.trim().parse::<u64>().ok())
    };
    let known = count("Ip6InReceives")?.checked_sub(count("Ip6InDelivers")?)?;
    // Passed on, or without a way to go: a home server that is a router as well has many of these.
    let passed = ["Ip6OutForwDatagrams", "Ip6InHdrErrors", "Ip6InNoRoutes", "Ip6InAddrErrors"].into_iter().filter_map(count).sum();
    Some(known.saturating_sub(passed))
}

/// What `sent` connects of somebody else look like from here: `during` sends them, after a quiet time as long as they take.
///
/// # Errors
/// The kernel does not tell.
pub async fn watch<T>(sent: u32, quiet: Duration, during: impl Future<Output = T>) -> (T, io::Result<Burst>) {
    let first = kept_out();
    tokio::time::sleep(quiet).await;
    let (second, began) = (kept_out(), tokio::time::Instant::now());
    let came = during.await;
    let took = began.elapsed();
    let burst = || {
        let (first, second, last) = (first?, second?, kept_out()?);
        let before = second.saturating_sub(first);
        // Per as much time as the burst took.
        let before =
            before.saturating_mul(took.as_millis().try_into().unwrap_or(u64::MAX)) / u64::try_from(quiet.as_millis()).unwrap_or(1).max(1);
        Ok(Burst { sent, kept_out: last.saturating_sub(second), before })
    };
    (came, burst())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Ip6InReceives                   \t100\nIp6InHdrErrors                  \t1\nIp6InNoRoutes                   \t2\n\
                         Ip6InDelivers                   \t50\nIp6OutForwDatagrams             \t30\nIp6InReceivesX \t7\n";

    #[test]
    fn what_was_let_in_or_passed_on_was_not_kept_out() {
        assert_eq!(kept_out_of(TABLE), Some(17));
        assert_eq!(kept_out_of(&TABLE.replace("\t30", "\t300")), Some(0), "each counter is read at another moment");
        assert_eq!(kept_out_of("Ip6InReceives 3"), None);
        assert!(kept_out().is_ok(), "every user may read it");
    }

    #[tokio::test]
    async fn a_listener_is_told_from_none_and_from_one_on_ipv4() {
        let all = std::net::TcpListener::bind("[::1]:0").expect("a listener");
        let port = all.local_addr().expect("bound").port();
        assert_eq!(listens(Ipv6Addr::LOCALHOST, port).await, Listens::Yes);
        assert_eq!(connect(([127, 0, 0, 1], port).into(), LOCALLY).await, Connect::Refused);
        drop(all);
        assert_eq!(listens(Ipv6Addr::LOCALHOST, port).await, Listens::No);
        let four = std::net::TcpListener::bind("0.0.0.0:0").expect("a listener");
        assert_eq!(listens(Ipv6Addr::LOCALHOST, four.local_addr().expect("bound").port()).await, Listens::Ipv4Only);
        let local = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let elsewhere = Listens::Elsewhere(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        assert_eq!(listens(Ipv6Addr::LOCALHOST, local.local_addr().expect("bound").port()).await, elsewhere);
    }
}
