//! A hello as rustls reads it: where rustls sees a name, we see the same, so that nobody is sent to another home than the one whose
//! certificate is asked for.

use fourward_core::client_hello::{ClientHello, message, read};
use fourward_core::peek::{Asked, Peek};
use rustls::server::Acceptor;

pub fn check(bytes: &[u8]) {
    let ours = read(bytes);
    let _ = message(bytes);
    super::verdicts_stand(bytes, read);
    if let Some((name, alpn)) = judged_by_rustls(bytes) {
        let Peek::Known(ours) = ours else { panic!("rustls sees {name}, we {ours:?}") };
        let expected = ClientHello { name: Asked::Name(name.parse().expect("a name of ours too")), alpn };
        assert_eq!(ours, expected);
    }
}

/// Name and protocols, if rustls accepts the hello and sees a name.
fn judged_by_rustls(mut bytes: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
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
