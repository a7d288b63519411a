//! Who holds a port: the kernel's socket tables give an inode, and the process that has it open is the one.
//!
//! Best effort by nature: without root other users' processes stay unseen, and a socket may be gone when we look.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::Protocol;

/// The state of a listening TCP socket in the kernel's table.
const TCP_LISTEN: &str = "0A";

/// What `systemd-resolved` is called in /proc, which keeps 15 bytes of a name.
pub(super) const RESOLVED: &str = "systemd-resolve";

/// Where `systemd-resolved` listens, and nobody else: a service without root cannot look into that process, but knows it by these.
const STUBS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID, if that can be seen from here.
    pub pid: Option<u32>,
    /// Its name, at most 15 bytes of it.
    pub program: String,
}

/// The process because of which `address` is taken, if it can be seen from here.
pub fn holder_of(protocol: Protocol, address: SocketAddr) -> Option<Holder> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: Vec<(SocketAddr, String)> = texts.flat_map(|text| sockets(&text, protocol, address)).collect();
    process_with(&sockets).or_else(|| stub_among(&sockets))
}

/// Where TCP is listened for on `port`, by anybody on this machine. Every user may know that.
pub fn listening(port: u16) -> Vec<SocketAddr> {
    let texts = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| fs::read_to_string(table).ok());
    let anywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    texts.flat_map(|text| sockets(&text, Protocol::Tcp, anywhere)).map(|(local, _)| local).collect()
}

fn stub_among(sockets: &[(SocketAddr, String)]) -> Option<Holder> {
    let stub = sockets.iter().any(|(local, _)| local.port() == 53 && STUBS.contains(&local.ip()));
    stub.then(|| Holder { pid: None, program: RESOLVED.into() })
}

/// The sockets in `table` that stand in the way of `address`: where they are, and their inodes.
fn sockets(table: &str, protocol: Protocol, address: SocketAddr) -> Vec<(SocketAddr, String)> {
    let row = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let local = parse_address(columns.nth(1)?)?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        let listens = protocol == Protocol::Udp || state == TCP_LISTEN;
        (listens && conflict(local, address)).then(|| (local, inode.to_owned()))
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn conflict(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

/// An address as the kernel prints it: 32-bit words in its own byte order, and the port, all hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..address.len().div_ceil(8))
        .map(|at| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    let ip = match *words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(word)),
        [_, _, _, _] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn process_with(sockets: &[(SocketAddr, String)]) -> Option<Holder> {
    let wanted: Vec<String> = sockets.iter().map(|(_, inode)| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        has_open(&process.path(), &wanted).then_some(())?;
        let program = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(Holder { pid: Some(pid), program: program.trim_end().to_owned() })
    })
}

fn has_open(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let targets = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.into_iter().any(|target| sockets.iter().any(|socket| Path::new(socket) == target))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 4711 2 0000000000000000 0
   1: 0100007F:D431 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 100 0 0 10 0
   2: 0100007F:D431 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
";

    fn inodes(table: &str, protocol: Protocol, address: SocketAddr) -> Vec<String> {
        sockets(table, protocol, address).into_iter().map(|(_, inode)| inode).collect()
    }

    #[test]
    fn resolved_is_known_by_its_address_where_its_process_is_unseen() {
        let held = sockets(TABLE, Protocol::Udp, "0.0.0.0:53".parse().expect("an address"));
        assert_eq!(stub_among(&held), Some(Holder { pid: None, program: RESOLVED.into() }));
        let other = sockets(TABLE, Protocol::Tcp, "127.0.0.1:54321".parse().expect("an address"));
        assert_eq!(stub_among(&other), None);
    }

    #[test]
    fn a_wildcard_conflicts_with_every_address_of_the_port() {
        let at = |text: &str| text.parse().expect("an address");
        assert_eq!(inodes(TABLE, Protocol::Udp, at("0.0.0.0:53")), ["4711"]);
        assert_eq!(inodes(TABLE, Protocol::Udp, at("127.0.0.53:53")), ["4711"]);
        assert!(inodes(TABLE, Protocol::Udp, at("192.0.2.11:53")).is_empty());
    }

    #[test]
    fn a_connection_is_no_listener() {
        assert_eq!(inodes(TABLE, Protocol::Tcp, "127.0.0.1:54321".parse().expect("an address")), ["4712"]);
    }

    #[test]
    fn addresses_are_words_in_the_machines_order() {
        let v6 = parse_address("B80D0120000000000000000011000000:01BB").expect("an address");
        assert_eq!(v6, "[2001:db8::11]:443".parse().expect("an address"));
        for bad in ["", ":", "0100007F", "0100007F:", "01:0035", "0100007FFF:0035", "ü000000F:0035"] {
            assert_eq!(parse_address(bad), None, "{bad}");
        }
    }
}
