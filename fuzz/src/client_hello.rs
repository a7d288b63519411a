//! A hello as rustls reads it: where rustls sees a name, we see the same, so that nobody is sent to another home than the one whose
//! certificate is asked for.

use fourward_core::client_hello::{ClientHello, message, read};
use fourward_core::peek::{Asked, Peek};
use rustls::server::Acceptor;

pub fn check(bytes: &[u8]) {
    let ours = read(bytes);
    let _ = message(bytes);
    super::verdicts_stand(bytes, read);
    let Some((name, alpn)) = judged_by_rustls(bytes) else { return };
    let theirs = ClientHello { name: Asked::Name(name.parse().expect("a name of ours too")), alpn };
    match ours {
        Peek::Known(ours) => assert_eq!(ours, theirs),
        // rustls reads no further than a name of a kind that it does not know, we want the list whole (RFC 6066 §3).
        ours => assert!(!is_the_only_name(&name, bytes), "rustls sees {name}, we {ours:?}"),
    }
}

/// Whether the hello has an extension with `name` and nothing else.
fn is_the_only_name(name: &str, mut records: &[u8]) -> bool {
    let mut handshake = Vec::new();
    while let Some(([.., high, low], rest)) = records.split_first_chunk::<5>() {
        let (payload, next) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        handshake.extend_from_slice(payload);
        records = next;
    }
    let length = u16::try_from(name.len()).expect("a name");
    let [extension, list, entry] = [length + 5, length + 3, length].map(u16::to_be_bytes);
    let wanted = [&[0, 0], &extension[..], &list, &[0], &entry, name.as_bytes()].concat();
    handshake.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(&wanted))
}

/// Name and protocols, if rustls accepts the hello and sees a name.
pub(crate) fn judged_by_rustls(mut bytes: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let name = hello.server_name()?.to_owned();
            return Some((name, hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect()));
        }
    }
    None
}
