//! Updates by DNS itself, each host by a key of its own that has its label (RFC 2136, RFC 8945).

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::server::{ADDRESS, PATIENCE};

/// That of all keys.
const SECRET: [u8; 32] = *b"a secret that is not one at all.";

const ALGORITHM: &str = "hmac-sha256";

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
    stream.write_all(&[&length(&message), &message[..]].concat())?;
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    assert_eq!(head[2..4], message[..2], "another answer");
    Ok(head[5] & 0xF)
}

fn signed(host: &str, address: Ipv6Addr) -> Vec<u8> {
    let (key, algorithm) = (name(&[host]), name(&[ALGORITHM]));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let timers = [&now.to_be_bytes()[2..], &[1, 44]].concat();
    let zone = [&name(&["dyn", "example", "org"])[..], &[0, 6, 0, 1]].concat();
    let record = [&name(&[host, "dyn", "example", "org"])[..], &[0, 28, 0, 1, 0, 0, 0, 60, 0, 16], &address.octets()].concat();
    let mut message = [&[0, 7, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 0][..], &zone, &record].concat();
    let covered = [&message[..], &key, &[0, 255, 0, 0, 0, 0], &algorithm, &timers, &[0; 4]].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), &covered);
    let data = [&algorithm[..], &timers, &[0, 32], mac.as_ref(), &[0, 7], &[0; 4]].concat();
    message[11] = 1;
    [&message[..], &key, &[0, 250, 0, 255, 0, 0, 0, 0], &length(&data), &data].concat()
}

fn name(labels: &[&str]) -> Vec<u8> {
    let label = |label: &&str| [&[u8::try_from(label.len()).expect("short")], label.as_bytes()].concat();
    labels.iter().flat_map(label).chain([0]).collect()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("short").to_be_bytes()
}
