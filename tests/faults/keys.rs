//! Updates by DNS itself, each host by a key of its own that has its label (RFC 2136, RFC 8945).

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::server::{ADDRESS, PATIENCE};
use crate::signed;

/// That of all keys.
const SECRET: [u8; 32] = *b"a secret that is not one at all.";

/// Lets the server by `config` be told by keys where `hosts` are.
pub(crate) fn add(config: &Path, hosts: impl Iterator<Item = String>) {
    let secret = config.with_extension("key");
    fs::write(&secret, STANDARD.encode(SECRET)).expect("a key");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set");
    let key =
        |host: String| format!("{{ name = \"{host}\", secret-file = \"{}\", host = \"{host}\", types = [\"AAAA\"] }}", secret.display());
    let keys: Vec<String> = hosts.map(key).collect();
    let written = fs::read_to_string(config).expect("a config");
    assert!(written.contains("[dns]\n"), "{written}");
    fs::write(config, written.replace("[dns]\n", &format!("[dns]\nkeys = [{}]\n", keys.join(", ")))).expect("a config");
}

/// Says by TCP that `host` is at `address`, and tells the code of the answer; an error if there is none.
pub(crate) fn update(host: &str, address: Ipv6Addr) -> io::Result<u8> {
    let mut stream = TcpStream::connect((ADDRESS, 53))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let message = signed(host, address);
    stream.write_all(&[&signed::length(&message), &message[..]].concat())?;
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    assert_eq!(head[2..4], message[..2], "another answer");
    Ok(head[5] & 0xF)
}

fn signed(host: &str, address: Ipv6Addr) -> Vec<u8> {
    let record = signed::record(&format!("{host}.dyn.example.org"), signed::AAAA, signed::IN, 60, &address.octets());
    signed::update("dyn.example.org", &record, Some((host, &SECRET)))
}
