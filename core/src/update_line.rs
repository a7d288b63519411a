//! First lines of requests that update clients send: which are theirs, and what those should have been that are none by the rules of HTTP.
//!
//! A FRITZ!Box puts values into the URL as they are, and leaves `<ip6addr>` where it has none. No HTTP parser takes such a line; here it is
//! written as it should have been.

/// Where clients go; `/nic/update` is the oldest and what we print.
const PATHS: [&str; 7] = ["/nic/update", "/v3/update", "/update", DYNV6, "/v2/update", "/update.php", DELETE];

/// Where dynv6's clients go.
pub(crate) const DYNV6: &str = "/api/update";

/// Where nsupdate.info's clients take an address away.
pub(crate) const DELETE: &str = "/nic/delete";

/// What deSEC's clients ask for at `/`, where others see our page.
const AT_ROOT: [&str; 6] = ["hostname", "host_id", "myip", "myipv4", "myipv6", "txt"];

/// More than the longest target of an update, method and version included. What is longer is not mended.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Whether `target` (path and query) is an update's.
pub fn is_update(target: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = |one: &str| AT_ROOT.contains(&one.split_once('=').map_or(one, |(key, _)| key));
    PATHS.contains(&path) || (path == "/" && query.split('&').any(key))
}

/// `line`, a request's first without its end, as HTTP has it; `None` if it is so already, or is no update.
pub fn mended(line: &[u8]) -> Option<Vec<u8>> {
    let begin = line.iter().position(|byte| *byte == b' ')?;
    let end = line.windows(VERSION.len()).rposition(|part| part.eq_ignore_ascii_case(VERSION))?;
    let (method, rest) = line.split_at_checked(begin)?;
    let target = rest.get(..end.checked_sub(begin)?)?.trim_ascii();
    let version = line.get(end..)?;
    let known = [&b"GET"[..], b"POST", b"PUT"].contains(&method);
    let right = target.iter().all(|byte| is_right(*byte)) && rest.len() == target.len() + version.len() + 1;
    if !known || right || target.iter().any(u8::is_ascii_control) || !is_update(&String::from_utf8_lossy(target)) {
        return None;
    }
    let mut whole = [method, b" "].concat();
    for byte in target {
        if is_right(*byte) {
            whole.push(*byte);
        } else {
            whole.extend(format!("%{byte:02X}").into_bytes());
        }
    }
    whole.extend_from_slice(version);
    Some(whole)
}

/// How a request's first line ends.
const VERSION: &[u8] = b" HTTP/1.";

/// Whether `byte` may stand in a target.
fn is_right(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"<>\"#`{}|\\^".contains(&byte)
}
