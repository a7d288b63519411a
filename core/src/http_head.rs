//! The host, path and method that an HTTP/1 client asks for, out of its first request's head (RFC 9112 §2 to §5).
//!
//! Only what routes a connection and words an answer: the bytes are passed on untouched, and later requests on the connection
//! are the home's own affair. Strict where two readers could see two hosts. HTTP/2 without TLS is foreign here.

use crate::peek::{Asked, Peek, Refusal};
use crate::update_line::{LINE_LIMIT, mended};

/// Request line, fields and the empty line. Browsers stay below 16 KiB, servers commonly allow as much.
pub const HEAD_LIMIT: usize = 32 * 1024;

/// The longest method in IANA's registry has 17 characters; what is longer is another protocol.
const METHOD_LIMIT: usize = 24;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHead {
    /// `GET` and so on, as sent.
    pub method: String,
    /// Path and query, as sent; `*` for the server as a whole.
    pub path: String,
    /// The host, without its port.
    pub host: Asked,
}

/// Reads the first bytes of a TCP connection. Never [`Peek::Partial`] from [`HEAD_LIMIT`] bytes on, an empty line before them
/// aside.
pub fn read(bytes: &[u8]) -> Peek<HttpHead> {
    let bytes = without_empty_lines(bytes);
    match head_of(bytes) {
        Some(head) => parse(head).map_or(Peek::Foreign, Peek::Known),
        None if bytes.len() < HEAD_LIMIT && may_become_a_request(bytes) => Peek::Partial,
        None => Peek::Foreign,
    }
}

/// A client may send one empty line too many before a request (RFC 9112 §2.2).
fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\r").filter(|rest| rest.first().is_none_or(|byte| *byte == b'\n')).unwrap_or(bytes);
    bytes.strip_prefix(b"\n").unwrap_or(bytes)
}

/// The lines up to the empty one, without it. A lone line feed ends a line too (RFC 9112 §2.2).
fn head_of(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    while let Some(length) = bytes.get(from..)?.iter().position(|byte| *byte == b'\n') {
        let next = from.checked_add(length)?.checked_add(1)?;
        match bytes.get(next..)? {
            [b'\n', ..] | [b'\r', b'\n', ..] => return (next <= HEAD_LIMIT - 2).then(|| bytes.get(..next))?,
            _ => from = next,
        }
    }
    None
}

/// Whether a beginning without its end may still become a request.
fn may_become_a_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|byte| is_token(**byte)).count();
    let after = bytes.get(method);
    let begins = method <= METHOD_LIMIT && (after.is_none() || (method > 0 && after == Some(&b' ')));
    let mut lines = bytes.split(|byte| *byte == b'\n');
    match (lines.next(), lines.next()) {
        (Some(first), Some(_)) => begins && request_line(first.strip_suffix(b"\r").unwrap_or(first)).is_some(),
        _ => begins,
    }
}

fn parse(head: &[u8]) -> Option<HttpHead> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (method, target) = request_line(lines.next()?)?;
    let mut host = Asked::Nothing;
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(value) = host_field(line)? {
            // RFC 9112 §3.2: two of them are an error, whatever they say.
            host = if host == Asked::Nothing { authority(value) } else { Asked::Refused(Refusal::Repeated) };
        }
    }
    let (path, authority) = split_target(&method, &target)?;
    let host = match (authority, host) {
        (_, repeated @ Asked::Refused(Refusal::Repeated)) => repeated,
        // The target's own host counts, where there is one (RFC 9112 §3.2.2).
        (Some(authority), _) => authority,
        (None, host) => host,
    };
    Some(HttpHead { method, path, host })
}

/// Method and target of `METHOD target HTTP/1.x`. An update's may hold spaces: our own name's mends them, and none is the host's.
fn request_line(line: &[u8]) -> Option<(String, String)> {
    let mended = || mended(Some(line).filter(|line| line.len() <= LINE_LIMIT)?);
    right_line(line).or_else(|| right_line(&mended()?))
}

fn right_line(line: &[u8]) -> Option<(String, String)> {
    let line = std::str::from_utf8(line).ok().filter(|line| !line.contains(|c: char| c.is_control()))?;
    let mut parts = line.split(' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && !target.is_empty() && matches!(version, "HTTP/1.1" | "HTTP/1.0");
    let is_method = !method.is_empty() && method.len() <= METHOD_LIMIT && method.bytes().all(is_token);
    (whole && is_method).then(|| (method.into(), target.into()))
}

/// The value of a Host line; `None` outside if the line is broken: folded, without a colon, or with a NUL or a lone CR.
fn host_field(line: &[u8]) -> Option<Option<&[u8]>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let sound = !name.is_empty() && name.iter().all(|byte| is_token(*byte)) && !value.iter().any(|byte| matches!(byte, 0 | b'\r'));
    let is_host = name.eq_ignore_ascii_case(b"host");
    sound.then(|| value.strip_prefix(b":").filter(|_| is_host).map(<[u8]>::trim_ascii))
}

/// Path and, in the absolute form, the authority.
fn split_target(method: &str, target: &str) -> Option<(String, Option<Asked>)> {
    if method == "CONNECT" {
        return Some((String::new(), Some(Asked::Refused(Refusal::Proxy))));
    }
    if target.starts_with('/') || target == "*" {
        return Some((target.into(), None));
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (host, path) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some((format!("{slash}{path}"), Some(authority(host.as_bytes()))))
}

/// The name in `host[:port]`.
fn authority(value: &[u8]) -> Asked {
    if value.contains(&b'@') {
        return Asked::Refused(Refusal::Proxy);
    }
    let end = value.iter().rposition(|byte| *byte == b':');
    let port = end.and_then(|end| value.get(end.saturating_add(1)..));
    let host = match (end, port) {
        (Some(end), Some(port)) if port.iter().all(u8::is_ascii_digit) => value.get(..end).unwrap_or(value),
        _ => value,
    };
    Asked::from_bytes(host)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(text: &str) -> HttpHead {
        match read(text.as_bytes()) {
            Peek::Known(head) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn host(text: &str) -> Asked {
        known(text).host
    }

    fn name(text: &str) -> Asked {
        Asked::Name(text.parse().expect("name"))
    }

    #[test]
    fn a_request_tells_host_path_and_method() {
        let head = known("GET /a?b=c HTTP/1.1\r\nUser-Agent: x\r\nhOsT: \tCloud.Example.org.:8080 \r\n\r\nbody");
        assert_eq!(head, HttpHead { method: "GET".into(), path: "/a?b=c".into(), host: name("cloud.example.org") });
        assert_eq!(host("PROPFIND / HTTP/1.0\nHost: a.org\n\n"), name("a.org"), "lone line feeds, another method");
        assert_eq!(host("\r\nGET / HTTP/1.1\r\nHost: a.org\r\n\r\n"), name("a.org"), "an empty line before");
    }

    #[test]
    fn the_absolute_form_counts_before_the_field() {
        let head = known("GET HTTP://a.org:80/x HTTP/1.1\r\nHost: b.org\r\n\r\n");
        assert_eq!((head.host, head.path.as_str()), (name("a.org"), "/x"));
        assert_eq!(known("GET http://a.org?q HTTP/1.1\r\n\r\n").path, "/?q");
        assert_eq!(known("OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n").path, "*");
    }

    #[test]
    fn a_host_that_is_missing_or_ambiguous_is_no_name() {
        assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), Asked::Nothing);
        assert_eq!(host("GET / HTTP/1.1\r\nHost: a.org\r\nhost: a.org\r\n\r\n"), Asked::Refused(Refusal::Repeated));
        assert_eq!(host("GET / HTTP/1.1\r\nHost: x@a.org\r\n\r\n"), Asked::Refused(Refusal::Proxy));
        assert_eq!(host("CONNECT a.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n"), Asked::Refused(Refusal::Proxy));
        for value in ["", "192.0.2.1", "192.0.2.1:80", "[::1]:80", "::1", "a b", "a.org, b.org", "a.org:x"] {
            assert!(matches!(host(&format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n")), Asked::Refused(_)), "{value:?}");
        }
    }

    #[test]
    fn an_update_may_hold_what_no_target_should() {
        let head = known("GET /nic/update?myip=100.64.0.7 http://gw.org/nic/update?myipv6=::1 HTTP/1.0\r\nHost: gw.org\r\n\r\n");
        assert_eq!(head.path, "/nic/update?myip=100.64.0.7%20http://gw.org/nic/update?myipv6=::1");
        assert_eq!(head.host, name("gw.org"), "by its field, whatever the second says");
        assert_eq!(read(b"GET /nic/update?myip=a b HTTP/1.0\r\nHost: gw"), Peek::Partial);
        let long = format!("GET /nic/update?myip={} b HTTP/1.0\r\nHost: gw.org\r\n\r\n", "x".repeat(LINE_LIMIT));
        assert_eq!(read(long.as_bytes()), Peek::Foreign);
        assert_eq!(read(b"GET /other?a b HTTP/1.0\r\nHost: gw.org\r\n\r\n"), Peek::Foreign);
    }

    #[test]
    fn what_two_readers_could_take_for_two_things_is_foreign() {
        for text in [
            "GET / HTTP/1.1\r\nHost : a.org\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.org\r\n b.org\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.org\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0.org\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 x\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "GET a.org HTTP/1.1\r\n\r\n",
            "GET ftp://a.org/ HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Peek::Foreign, "{text:?}");
        }
    }

    #[test]
    fn other_protocols_are_foreign_at_once() {
        for bytes in [&b"\x16\x03\x01"[..], b"\0", b" GET", b"GET\t/", b"\r\r", b"\n\n", b"AVERYLONGWORDTHATISNOMETHOD", b"EHLO a.org\r\n"]
        {
            assert_eq!(read(bytes), Peek::Foreign, "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_ends_what_never_ends() {
        let endless = format!("GET / HTTP/1.1\r\nHost: a.org\r\n{}", "X: y\r\n".repeat(HEAD_LIMIT));
        assert_eq!(read(&endless.as_bytes()[..HEAD_LIMIT - 1]), Peek::Partial);
        assert_eq!(read(&endless.as_bytes()[..HEAD_LIMIT]), Peek::Foreign);
        assert_eq!(read(format!("{endless}\r\n").as_bytes()), Peek::Foreign);
    }

    proptest! {
        #[test]
        fn every_prefix_is_partial_until_the_head_is_whole(path in "/[!-~]{0,30}", fields in prop::collection::vec("[A-Za-z-]{1,12}: [ -~]{0,30}", 0..6)) {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a.org\r\n{}\r\n", fields.iter().map(|f| format!("X-{f}\r\n")).collect::<String>());
            for cut in 0..head.len() {
                prop_assert_eq!(read(&head.as_bytes()[..cut]), Peek::Partial, "{}", cut);
            }
            prop_assert_eq!(known(&head).host, name("a.org"));
            prop_assert_eq!(read(format!("{head}\r\nmore").as_bytes()), read(head.as_bytes()));
        }

        #[test]
        fn junk_never_panics_and_a_verdict_stands(start in prop::sample::select(vec!["", "GET ", "GET / HTTP/1.1\r\n", "\r\n"]), junk in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b':')], 0..120)) {
            let bytes = [start.as_bytes(), &junk].concat();
            let whole = read(&bytes);
            for cut in 0..bytes.len() {
                let prefix = read(&bytes[..cut]);
                prop_assert!(prefix == Peek::Partial || prefix == whole, "{} of {}", cut, bytes.len());
            }
        }
    }
}
