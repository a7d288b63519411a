//! The PROXY protocol (HAProxy's proxy-protocol.txt, versions 1 and 2): what stands before a client's bytes so that a home knows whose they are.
//!
//! No library: what is written is two lines of arithmetic a version. What is read back is for the tests, ours and the fuzzer's, and understands
//! what other makes write too.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What every header of version 2 begins with: no protocol's first bytes are these.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, its end included.
const LINE: usize = 107;

/// Version 2, a connection on behalf of another.
const PROXY: u8 = 0x21;

/// Version 2, the proxy's own connection.
const LOCAL: u8 = 0x20;

/// TCP over IPv4 and over IPv6, and nothing that has a name.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;

/// What a home is told of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// Nothing: it gets their bytes alone.
    #[default]
    None,
    /// A line of text.
    V1,
    /// The binary header.
    V2,
}

/// A client, and where it came to: both in one family, by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Over IPv4.
    V4 {
        /// The client.
        from: (Ipv4Addr, u16),
        /// Where it came to.
        to: (Ipv4Addr, u16),
    },
    /// Over IPv6.
    V6 {
        /// The client.
        from: (Ipv6Addr, u16),
        /// Where it came to.
        to: (Ipv6Addr, u16),
    },
}

/// A header that stands before other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose connection it is, where it says so.
    pub ends: Option<Ends>,
    /// How many bytes it has.
    pub length: usize,
}

/// Why bytes do not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol")]
pub struct NoHeader;

impl ProxyProtocol {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::None, Self::V1, Self::V2];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// What goes to the home before the first byte of a client with these `ends`; nothing where nothing is wanted.
    pub fn header(self, ends: Ends) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::V1 => format!("PROXY {ends}\r\n").into_bytes(),
            Self::V2 => ends.binary(),
        }
    }
}

impl Ends {
    /// Those of a client at `from` that came to `to`. An IPv4 address that is written as an IPv6 one is the IPv4 address. `None` where the two are
    /// of different families, which no connection is.
    pub fn new(from: SocketAddr, to: SocketAddr) -> Option<Self> {
        match (from.ip().to_canonical(), to.ip().to_canonical()) {
            (IpAddr::V4(v4), IpAddr::V4(to4)) => Some(Self::V4 { from: (v4, from.port()), to: (to4, to.port()) }),
            (IpAddr::V6(v6), IpAddr::V6(to6)) => Some(Self::V6 { from: (v6, from.port()), to: (to6, to.port()) }),
            _ => None,
        }
    }

    fn binary(self) -> Vec<u8> {
        let (family, addresses, ports) = match self {
            Self::V4 { from, to } => (TCP4, [from.0.octets(), to.0.octets()].concat(), [from.1, to.1]),
            Self::V6 { from, to } => (TCP6, [from.0.octets(), to.0.octets()].concat(), [from.1, to.1]),
        };
        let rest = [addresses, ports.map(u16::to_be_bytes).concat()].concat();
        let length = u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&SIGNATURE[..], &[PROXY, family], &length, &rest].concat()
    }
}

/// As in a line of version 1.
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4 { from, to } => write!(f, "TCP4 {} {} {} {}", from.0, to.0, from.1, to.1),
            Self::V6 { from, to } => write!(f, "TCP6 {} {} {} {}", from.0, to.0, from.1, to.1),
        }
    }
}

/// The header that `bytes` begin with.
///
/// # Errors
/// They begin with something else, or with a part of one.
pub fn read(bytes: &[u8]) -> Result<Header, NoHeader> {
    if bytes.starts_with(&SIGNATURE) { read_binary(bytes) } else { read_line(bytes) }.ok_or(NoHeader)
}

fn read_line(bytes: &[u8]) -> Option<Header> {
    let end = bytes.windows(2).take(LINE.saturating_sub(1)).position(|two| two == b"\r\n")?;
    let rest = std::str::from_utf8(bytes.get(..end)?).ok()?.strip_prefix("PROXY ")?;
    let length = end.saturating_add(2);
    // What stands behind it does not count.
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Header { ends: None, length });
    }
    let mut words = rest.split(' ');
    let (family, from, to) = (words.next()?, words.next()?, words.next()?);
    let (from_port, to_port) = (port(words.next()?)?, port(words.next()?)?);
    let ends = match (family, words.next()) {
        ("TCP4", None) => Ends::V4 { from: (from.parse().ok()?, from_port), to: (to.parse().ok()?, to_port) },
        ("TCP6", None) => Ends::V6 { from: (from.parse().ok()?, from_port), to: (to.parse().ok()?, to_port) },
        _ => return None,
    };
    Some(Header { ends: Some(ends), length })
}

/// A port as it is to be written: no sign, no zero before it.
fn port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

fn read_binary(bytes: &[u8]) -> Option<Header> {
    let (head, rest) = bytes.split_first_chunk::<16>()?;
    let [.., command, family, high, low] = *head;
    let rest = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
    let length = head.len().saturating_add(rest.len());
    let ends = match (command, family) {
        (LOCAL, _) | (PROXY, UNSPECIFIED) => None,
        (PROXY, TCP4) => {
            let (addresses, _) = rest.split_first_chunk::<12>()?;
            let [a, b, c, d, e, f, g, h, from, from_low, to, to_low] = *addresses;
            let ports = [u16::from_be_bytes([from, from_low]), u16::from_be_bytes([to, to_low])];
            Some(Ends::V4 { from: ([a, b, c, d].into(), ports[0]), to: ([e, f, g, h].into(), ports[1]) })
        }
        (PROXY, TCP6) => {
            let (from, rest) = rest.split_first_chunk::<16>()?;
            let (to, rest) = rest.split_first_chunk::<16>()?;
            let ([high, low, to_high, to_low], _) = rest.split_first_chunk::<4>()?;
            let ports = [u16::from_be_bytes([*high, *low]), u16::from_be_bytes([*to_high, *to_low])];
            Some(Ends::V6 { from: ((*from).into(), ports[0]), to: ((*to).into(), ports[1]) })
        }
        _ => return None,
    };
    Some(Header { ends, length })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(from: &str, to: &str) -> Ends {
        Ends::new(from.parse().expect("an address"), to.parse().expect("an address")).expect("one family")
    }

    #[test]
    fn a_line_is_as_the_specification_has_it() {
        let line = |from, to| String::from_utf8(ProxyProtocol::V1.header(ends(from, to))).expect("text");
        assert_eq!(line("203.0.113.5:40000", "192.0.2.11:443"), "PROXY TCP4 203.0.113.5 192.0.2.11 40000 443\r\n");
        assert_eq!(line("[2001:db8:5::5]:40000", "[2001:db8:a::11]:443"), "PROXY TCP6 2001:db8:5::5 2001:db8:a::11 40000 443\r\n");
        assert_eq!(
            line("[::ffff:203.0.113.5]:4", "[::ffff:192.0.2.11]:443"),
            "PROXY TCP4 203.0.113.5 192.0.2.11 4 443\r\n",
            "never mapped"
        );
    }

    #[test]
    fn the_binary_header_is_as_the_specification_has_it() {
        let v4 = ProxyProtocol::V2.header(ends("203.0.113.5:40000", "192.0.2.11:443"));
        let expected = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[203, 0, 113, 5, 192, 0, 2, 11, 0x9c, 0x40, 1, 0xbb]].concat();
        assert_eq!(v4, expected);
        let v6 = ProxyProtocol::V2.header(ends("[2001:db8:5::5]:40000", "[2001:db8:a::11]:443"));
        assert_eq!(v6[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(v6.len(), 52);
    }

    #[test]
    fn nothing_is_nothing_and_families_do_not_mix() {
        assert!(ProxyProtocol::None.header(ends("203.0.113.5:1", "192.0.2.11:2")).is_empty());
        let mixed = Ends::new("203.0.113.5:1".parse().expect("v4"), "[2001:db8::1]:2".parse().expect("v6"));
        assert_eq!(mixed, None);
    }

    #[test]
    fn what_is_no_header_is_none() {
        let good = "PROXY TCP4 203.0.113.5 192.0.2.11 40000 443\r\n";
        assert!(read(good.as_bytes()).is_ok());
        for text in [
            "",
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.11 40000 443",
            "PROXY TCP4 2001:db8::1 192.0.2.11 40000 443\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.11 040 443\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.11 40000 443 1\r\n",
            "PROXY TCP5 203.0.113.5 192.0.2.11 40000 443\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Err(NoHeader), "{text}");
        }
        assert_eq!(read(format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE)).as_bytes()), Err(NoHeader), "too long");
        let local = [&SIGNATURE[..], &[LOCAL, 0, 0, 1, 7]].concat();
        assert_eq!(read(&local), Ok(Header { ends: None, length: 17 }));
        assert_eq!(read(&local[..16]), Err(NoHeader), "cut");
        let short = [&SIGNATURE[..], &[PROXY, TCP4, 0, 11], &[0; 11]].concat();
        assert_eq!(read(&short), Err(NoHeader), "no room for two addresses");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(from: (IpAddr, u16), to: (IpAddr, u16), version: bool, after: Vec<u8>) {
            let Some(ends) = Ends::new(from.into(), to.into()) else { return Ok(()) };
            let version = if version { ProxyProtocol::V1 } else { ProxyProtocol::V2 };
            let header = version.header(ends);
            let bytes = [&header[..], &after].concat();
            prop_assert_eq!(read(&bytes), Ok(Header { ends: Some(ends), length: header.len() }));
            prop_assert!(version == ProxyProtocol::V2 || header.len() <= LINE);
            for cut in 0..header.len() {
                prop_assert_eq!(read(&header[..cut]), Err(NoHeader));
            }
        }
    }
}
