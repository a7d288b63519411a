//! What a client gets instead of a home: a TLS alert, a plain page, a redirect.
//!
//! Said at once, so that nobody waits for a home that does not come. The close is gentle: a socket that is closed with unread
//! bytes in it sends a reset, which may overtake the answer.

use std::time::Duration;

use fourward_core::http_head::HttpHead;
use fourward_core::name::{DnsName, HostName};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For a client to take the answer and close; it has nothing else to do.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// The rest of an upload that nobody wants: read so far, so that the answer arrives.
const UNREAD_LIMIT: usize = 256 * 1024;

/// Seconds until a client should try again: a home that restarts its router is back in about a minute.
const RETRY_AFTER: u32 = 30;

/// Fatal alerts of TLS (RFC 8446 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alert {
    /// Nobody here has that name.
    UnrecognizedName = 112,
    /// The name is known, and its owner does not admit the client.
    AccessDenied = 49,
    /// The name is known and its home is away, or has as many connections as it may.
    InternalError = 80,
}

impl Alert {
    /// The alert as a record: before a version is agreed on, that of TLS 1.2.
    pub(super) fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self as u8]
    }
}

/// The name in `head` is nobody's here.
pub(super) fn not_found(head: &HttpHead, name: &DnsName) -> Vec<u8> {
    let text = format!("There is no {name} here.\n\nIf it is yours, `fourward host list` on this gateway shows the names that it knows.\n");
    page(head, "404 Not Found", "", &text)
}

/// The owner of `host` does not admit the client's address.
pub(super) fn forbidden(head: &HttpHead, host: &HostName) -> Vec<u8> {
    let text = format!(
        "{host} does not take connections from your address.\n\n\
         If it is yours, `fourward host show {host}` on this gateway shows whom it allows and denies.\n"
    );
    page(head, "403 Forbidden", "", &text)
}

/// As many connections to `host` as its owner permits are there.
pub(super) fn full(head: &HttpHead, host: &HostName) -> Vec<u8> {
    let text = format!("{host} has as many connections through this gateway as it may (max-connections); try again in a moment.\n");
    page(head, "503 Service Unavailable", &format!("Retry-After: {RETRY_AFTER}\r\n"), &text)
}

/// The host is known, but whoever comes over IPv6 is to go to it directly.
pub(super) fn misdirected(head: &HttpHead, host: &HostName) -> Vec<u8> {
    let text = format!("{host} is reached over IPv6 at its own address, not here; ask for its AAAA record again.\n");
    page(head, "421 Misdirected Request", "", &text)
}

/// There is no one name in `head`.
pub(super) fn bad_request(head: &HttpHead, reason: &str) -> Vec<u8> {
    page(
        head,
        "400 Bad Request",
        "",
        &format!("This gateway finds a home by its name, and your request has none that it can use: {reason}.\n"),
    )
}

/// The home of `host` is away.
pub(super) fn away(head: &HttpHead, host: &HostName) -> Vec<u8> {
    let text = format!(
        "{host} is known here, but its home is not connected at the moment.\n\n\
         It may be restarting, or its line may be down; try again in a minute.\n\
         If it is yours, `fourward host show {host}` on this gateway says more.\n"
    );
    page(head, "503 Service Unavailable", &format!("Retry-After: {RETRY_AFTER}\r\n"), &text)
}

/// This machine cannot connect to the home of `host`.
pub(super) fn unable(head: &HttpHead, host: &HostName) -> Vec<u8> {
    let text = format!(
        "This gateway cannot open a connection to {host} at the moment: it is short of something itself. Try again in a minute.\n\n\
         If the gateway is yours, its log says of what.\n"
    );
    page(head, "503 Service Unavailable", &format!("Retry-After: {RETRY_AFTER}\r\n"), &text)
}

/// The same page over TLS.
pub(super) fn redirect(head: &HttpHead, name: &DnsName, port: u16) -> Vec<u8> {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = if head.path.starts_with('/') { ascii(&head.path) } else { "/".into() };
    let location = format!("https://{name}{port}{path}");
    page(head, "308 Permanent Redirect", &format!("Location: {location}\r\n"), &format!("{location}\n"))
}

/// Sends `answer` and closes so that it arrives.
pub(super) async fn say(mut stream: TcpStream, answer: &[u8]) {
    // From now on a close, so that the answer is not forgotten with it.
    let _ = SockRef::from(&stream).set_linger(None);
    // A client that does not take it in time has forgone it.
    let _ = timeout(FAREWELL, async {
        stream.write_all(answer).await?;
        stream.shutdown().await
    })
    .await;
    part(&stream).await;
}

/// Reads what still comes, within bounds, until the client closes too.
pub(super) async fn part(stream: &TcpStream) {
    let mut unread = UNREAD_LIMIT;
    let drain = async {
        while unread > 0 && stream.readable().await.is_ok() {
            match stream.try_read(&mut [0; 4096]) {
                Ok(0) => return,
                Ok(count) => unread = unread.saturating_sub(count),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Whoever goes on sending gets the reset.
    let _ = timeout(FAREWELL, drain).await;
}

fn page(head: &HttpHead, status: &str, fields: &str, text: &str) -> Vec<u8> {
    let length = text.len();
    let body = if head.method == "HEAD" { "" } else { text };
    format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// `path` as a header may carry it.
fn ascii(path: &str) -> String {
    path.bytes().map(|byte| if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use fourward_core::peek::Asked;

    use super::*;

    fn head(method: &str, path: &str) -> HttpHead {
        HttpHead { method: method.into(), path: path.into(), host: Asked::Nothing }
    }

    #[test]
    fn a_redirect_keeps_the_path_and_nothing_breaks_its_line() {
        let name: DnsName = "gw.example.org".parse().expect("name");
        let text = |path, port| String::from_utf8(redirect(&head("GET", path), &name, port)).expect("text");
        assert!(text("/a?b=c", 443).contains("\r\nLocation: https://gw.example.org/a?b=c\r\n"));
        assert!(text("/ü", 8443).contains("\r\nLocation: https://gw.example.org:8443/%C3%BC\r\n"));
        assert!(text("*", 443).contains("\r\nLocation: https://gw.example.org/\r\n"));
        assert!(text("//b.org/", 443).contains("\r\nLocation: https://gw.example.org//b.org/\r\n"));
    }

    #[test]
    fn a_head_request_gets_a_length_and_no_body() {
        let text = String::from_utf8(bad_request(&head("HEAD", "/"), "none")).expect("text");
        assert!(text.ends_with("\r\n\r\n") && !text.contains("Content-Length: 0\r\n"), "{text}");
    }
}
