//! The IPv6 addresses of this machine, as they change.
//!
//! A message from the kernel is only a hint to read everything again: that way a lost message (ENOBUFS) costs nothing but
//! the next reading. Where netlink is not to be had, `/proc/net/if_inet6` is read every two seconds. Which address is the
//! home address is decided in core.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use fourward_core::address::Candidate;
use futures_util::TryStreamExt;
use ipnet::Ipv6Net;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// RTMGRP_IPV6_IFADDR: changes of IPv6 addresses.
const GROUP: u32 = 0x100;

/// How often the addresses are read where the kernel does not tell.
const POLL: Duration = Duration::from_secs(2);

/// A reading answers for so many hints.
const HINTS_AT_ONCE: usize = 1_000;

/// Read again after so long even if nothing was heard: what could be missed is missed no longer than this.
const SAFETY_POLL: Duration = Duration::from_secs(30);

/// The addresses of this machine, and a task that keeps them up to date until nobody holds the receiver.
pub fn watch() -> watch::Receiver<Arc<[Candidate]>> {
    let (sender, receiver) = watch::channel(Arc::from([]));
    tokio::spawn(async move {
        loop {
            let Err(error) = follow(&sender).await else { return };
            warn!(%error, "netlink failed; reading /proc/net/if_inet6 meanwhile");
            if poll(&sender).await.is_closed() {
                return;
            }
        }
    });
    receiver
}

/// The addresses of this machine and their networks, loopback included: what the address policy forbids as homes.
///
/// # Errors
/// Netlink is not to be had.
pub async fn own() -> io::Result<(Vec<IpAddr>, Vec<Ipv6Net>)> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let task = tokio::spawn(connection);
    let messages: Vec<AddressMessage> = handle.address().get().execute().try_collect().await.map_err(io::Error::other)?;
    task.abort();
    let mut addresses = Vec::new();
    let mut networks = Vec::new();
    for message in messages {
        let Some(address) = address_of(&message) else { continue };
        addresses.push(address);
        if let IpAddr::V6(v6) = address {
            networks.extend(Ipv6Net::new(v6, message.header.prefix_len).ok());
        }
    }
    Ok((addresses, networks))
}

/// Whether the kernel made `address` from its prefix and a secret (RFC 7217): another prefix gives it another end. `None` where it is not
/// an address of this machine.
///
/// # Errors
/// Netlink is not to be had.
pub async fn is_stable_privacy(address: Ipv6Addr) -> io::Result<Option<bool>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let task = tokio::spawn(connection);
    let messages: Vec<AddressMessage> = handle.address().get().execute().try_collect().await.map_err(io::Error::other)?;
    task.abort();
    let this = messages.iter().find(|message| address_of(message) == Some(IpAddr::V6(address)));
    let flags = this.map(|message| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        })
    });
    Ok(flags.map(|flags| flags.is_some_and(|flags| flags.contains(AddressFlags::StablePrivacy))))
}

/// Tells of changes as the kernel does. Ends well when nobody listens any more.
async fn follow(sender: &watch::Sender<Arc<[Candidate]>>) -> io::Result<()> {
    let mut hints = TokioSocket::new(NETLINK_ROUTE)?;
    hints.socket_mut().bind(&SocketAddr::new(0, GROUP))?;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let ended = loop {
        if let Err(error) = read(&handle, sender).await {
            break Err(error);
        }
        tokio::select! {
            () = sender.closed() => break Ok(()),
            heard = timeout(SAFETY_POLL, next_hint(&hints)) => if let Ok(Err(error)) = heard {
                break Err(error);
            },
        }
    };
    connection.abort();
    ended
}

/// Waits for a hint, and takes those that are there: so many, since under a flood there are always more.
async fn next_hint(hints: &TokioSocket) -> io::Result<()> {
    hint(hints).await?;
    for _ in 0..HINTS_AT_ONCE {
        match timeout(Duration::ZERO, hint(hints)).await {
            Ok(heard) => heard?,
            Err(_) => break,
        }
    }
    Ok(())
}

async fn hint(hints: &TokioSocket) -> io::Result<()> {
    match hints.recv_from_full().await {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
            debug!("the kernel lost address messages; reading all again");
            Ok(())
        }
        heard => heard.map(drop),
    }
}

async fn read(handle: &rtnetlink::Handle, sender: &watch::Sender<Arc<[Candidate]>>) -> io::Result<()> {
    let messages: Vec<AddressMessage> = handle.address().get().execute().try_collect().await.map_err(io::Error::other)?;
    let names = interface_names(handle).await?;
    let candidates: Arc<[Candidate]> = messages.iter().filter_map(|message| candidate(message, &names)).collect();
    publish(sender, candidates);
    Ok(())
}

fn publish(sender: &watch::Sender<Arc<[Candidate]>>, candidates: Arc<[Candidate]>) {
    sender.send_if_modified(|known| {
        let changed = *known != candidates;
        *known = candidates;
        changed
    });
}

async fn interface_names(handle: &rtnetlink::Handle) -> io::Result<HashMap<u32, String>> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await.map_err(io::Error::other)?;
    let name = |link: &rtnetlink::packet_route::link::LinkMessage| {
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some((link.header.index, name.clone())),
            _ => None,
        })
    };
    Ok(links.iter().filter_map(name).collect())
}

fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })
}

fn candidate(message: &AddressMessage, names: &HashMap<u32, String>) -> Option<Candidate> {
    let Some(IpAddr::V6(address)) = address_of(message) else { return None };
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut preferred, mut created) = (u32::MAX, 0);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::CacheInfo(times) => (preferred, created) = (times.ifa_preferred, times.cstamp),
            _ => {}
        }
    }
    Some(Candidate {
        address,
        interface: names.get(&message.header.index).cloned().unwrap_or_default(),
        // The kernel says "secondary" of an IPv6 address that is temporary: the same bit.
        temporary: flags.contains(AddressFlags::Secondary),
        deprecated: flags.contains(AddressFlags::Deprecated) || preferred == 0,
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed) && !flags.contains(AddressFlags::Optimistic),
        preferred: coarse(preferred),
        created,
    })
}

/// Lifetimes count down; in steps of a minute they do not look like a change at each reading.
fn coarse(preferred: u32) -> u32 {
    if preferred == u32::MAX { preferred } else { preferred / 60 * 60 }
}

/// Reads `/proc` until netlink deserves another try, a minute later.
async fn poll(sender: &watch::Sender<Arc<[Candidate]>>) -> &watch::Sender<Arc<[Candidate]>> {
    let mut seen: HashMap<Ipv6Addr, u32> = HashMap::new();
    for _ in 0..30 {
        match tokio::fs::read_to_string("/proc/net/if_inet6").await {
            Ok(text) => publish(sender, parse_if_inet6(&text, &mut seen)),
            Err(error) => warn!(%error, "/proc/net/if_inet6 cannot be read; this machine's addresses are unknown"),
        }
        tokio::select! {
            () = sender.closed() => break,
            () = sleep(POLL) => {}
        }
    }
    sender
}

/// The lines of `/proc/net/if_inet6`: address, index, prefix length, scope and flags in hexadecimal, name. `seen` keeps the order
/// of arrival, which the file does not tell.
fn parse_if_inet6(text: &str, seen: &mut HashMap<Ipv6Addr, u32>) -> Arc<[Candidate]> {
    let mut parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = Ipv6Addr::from_bits(u128::from_str_radix(fields.next()?, 16).ok()?);
        let flags = AddressFlags::from_bits_retain(u32::from_str_radix(fields.nth(3)?, 16).ok()?);
        let arrival = u32::try_from(seen.len()).unwrap_or(u32::MAX);
        Some(Candidate {
            address,
            interface: fields.next()?.to_owned(),
            temporary: flags.contains(AddressFlags::Secondary),
            deprecated: flags.contains(AddressFlags::Deprecated),
            tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
            preferred: u32::MAX,
            created: *seen.entry(address).or_insert(arrival),
        })
    };
    text.lines().filter_map(&mut parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_tells_addresses_with_their_flags() {
        let text = "20010db8000100000000000000000011 02 40 00 80     eth0\n\
                    20010db8000100000000000000000012 02 40 00 21     eth0\n\
                    not a line\n";
        let found = parse_if_inet6(text, &mut HashMap::new());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].address, "2001:db8:1::11".parse::<Ipv6Addr>().expect("v6"));
        assert_eq!((found[0].temporary, found[0].deprecated, found[0].interface.as_str()), (false, false, "eth0"));
        assert_eq!((found[1].temporary, found[1].deprecated), (true, true));
    }

    #[tokio::test]
    async fn the_machine_s_own_addresses_are_known() {
        let (addresses, _) = own().await.expect("netlink");
        assert!(addresses.contains(&"127.0.0.1".parse().expect("v4")), "{addresses:?}");
    }
}
