//! Our reading of a ClientHello against rustls's own, on hellos that rustls makes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

use std::io::Read;
use std::sync::Arc;

use fourward_core::client_hello::{ClientHello, read};
use fourward_core::peek::{Asked, Peek};
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;

fn hello(server: &'static str, alpn: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion], sni: bool) -> Vec<u8> {
    let roots = rustls::RootCertStore::empty();
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.enable_sni = sni;
    let server = ServerName::try_from(server).expect("server name");
    let mut wire = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), server).expect("client").write_tls(&mut wire).expect("hello");
    wire
}

/// What rustls's server side reads.
fn judged_by_rustls(mut wire: &[u8]) -> ClientHello {
    let mut acceptor = Acceptor::default();
    loop {
        acceptor.read_tls(&mut wire.by_ref().take(100)).expect("bytes");
        if let Some(accepted) = acceptor.accept().map_err(|(error, _)| error).expect("a hello") {
            let hello = accepted.client_hello();
            let name = hello.server_name().map_or(Asked::Nothing, |name| Asked::Name(name.parse().expect("name")));
            return ClientHello { name, alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect() };
        }
    }
}

/// The same handshake in records of `size` bytes.
fn recut(wire: &[u8], size: usize) -> Vec<u8> {
    let handshake = &wire[5..];
    let records =
        handshake.chunks(size).map(|piece| [&wire[..3], &u16::try_from(piece.len()).expect("short").to_be_bytes(), piece].concat());
    records.collect::<Vec<_>>().concat()
}

fn all() -> Vec<Vec<u8>> {
    let mut hellos = Vec::new();
    for server in ["cloud.dyn.example.org", "a.b", "Xn--Bcher-Kva.example", "192.0.2.1", "2001:db8::1"] {
        for alpn in [&[][..], &[&b"h2"[..], b"http/1.1"], &[b"fourward/1"]] {
            for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
                hellos.push(hello(server, alpn, versions, true));
                hellos.push(hello(server, alpn, versions, false));
            }
        }
    }
    hellos
}

#[test]
fn we_read_what_rustls_reads() {
    let hellos = all();
    assert!(hellos.iter().any(|hello| hello.len() > 1_216), "a post-quantum share is among them");
    for wire in hellos {
        assert_eq!(read(&wire), Peek::Known(judged_by_rustls(&wire)));
    }
}

#[test]
fn records_may_be_cut_anywhere() {
    let wire = hello("cloud.dyn.example.org", &[b"h2"], rustls::ALL_VERSIONS, true);
    let whole = judged_by_rustls(&wire);
    for size in 1..wire.len() {
        let cut = recut(&wire, size);
        assert_eq!(read(&cut), Peek::Known(whole.clone()), "records of {size}");
        if size % 97 == 0 {
            assert_eq!(judged_by_rustls(&cut), whole, "records of {size}");
        }
    }
}

#[test]
fn every_beginning_is_partial() {
    let wire = hello("cloud.dyn.example.org", &[b"h2"], rustls::ALL_VERSIONS, true);
    for cut in 0..wire.len() {
        assert_eq!(read(&wire[..cut]), Peek::Partial, "{cut}");
    }
}
