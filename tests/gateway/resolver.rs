//! A resolver on loopback that says what a test wants, and counts what it is asked.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// What it says of a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These CNAMEs, each with its owner, target and TTL; then an address of the last target, if there shall be one.
    Cnames(Vec<(String, String, u32)>, bool),
    /// An IPv6 address, for so many seconds.
    Aaaa(Ipv6Addr, u32),
    /// An rcode and nothing else.
    Rcode(u8),
    /// Not a word.
    Nothing,
}

pub(crate) struct Resolver {
    pub(crate) at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Resolver {
    pub(crate) async fn start(says: impl Fn(&str) -> Says + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let (at, asked) = (socket.local_addr().expect("bound"), Arc::<Mutex<Vec<String>>>::default());
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (length, client) = socket.recv_from(&mut query).await.expect("a query");
                let (name, end) = name(&query[..length]);
                heard.lock().expect("whole").push(name.clone());
                if let Some(reply) = reply(&query[..end + 4], &says(&name)) {
                    socket.send_to(&reply, client).await.expect("sent");
                }
            }
        });
        Self { at, asked }
    }

    /// The names of all questions so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }
}

/// Each of these names is a CNAME of the next, and the last one has an address.
pub(crate) fn chain(names: &[&str], ttl: u32) -> Says {
    Says::Cnames(names.windows(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned(), ttl)).collect(), true)
}

/// The question's name, and where it ends.
fn name(query: &[u8]) -> (String, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).expect("ASCII"));
        at = end;
    }
    (labels.join("."), at + 1)
}

fn reply(question: &[u8], says: &Says) -> Option<Vec<u8>> {
    let (rcode, cnames, address) = match says {
        Says::Cnames(cnames, address) => (0, &cnames[..], cnames.last().filter(|_| *address)),
        Says::Rcode(rcode) => (*rcode, &[][..], None),
        Says::Aaaa(..) => (0, &[][..], None),
        Says::Nothing => return None,
    };
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80 | rcode]);
    message[7] = u8::try_from(cnames.len() + usize::from(address.is_some() || matches!(says, Says::Aaaa(..)))).expect("few");
    message[8..12].fill(0);
    let mut record = |owner: &str, kind: u8, ttl: u32, data: &[u8]| {
        message.extend(wire(owner));
        message.extend([0, kind, 0, 1]);
        message.extend(ttl.to_be_bytes());
        message.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        message.extend(data);
    };
    for (owner, target, ttl) in cnames {
        record(owner, 5, *ttl, &wire(target));
    }
    if let Some((_, target, ttl)) = address {
        record(target, 1, *ttl, &[127, 0, 0, 1]);
    }
    if let Says::Aaaa(address, ttl) = says {
        // The owner is the question's name.
        message.extend([0xC0, 12, 0, 28, 0, 1]);
        message.extend(ttl.to_be_bytes());
        message.extend([0, 16]);
        message.extend(address.octets());
    }
    Some(message)
}

fn wire(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).expect("short")][..], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}
