//! A request's head as another parser reads it: where both see a host, it is the same one.

use fourward_core::http_head::{HEAD_LIMIT, HttpHead, read};
use fourward_core::peek::{Asked, Peek};

/// More than anybody sends; the other parser wants the room beforehand.
const FIELDS: usize = 512;

pub fn check(bytes: &[u8]) {
    super::verdicts_stand(bytes, read);
    match read(bytes) {
        Peek::Known(head) => agrees(bytes, &head),
        // An empty line in front does not count.
        Peek::Partial => assert!(bytes.len() < HEAD_LIMIT + 2, "it never ends"),
        Peek::Foreign => {}
    }
}

fn agrees(bytes: &[u8], head: &HttpHead) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    if !matches!(request.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return; // a home that reads like this refuses it
    }
    assert_eq!(request.method, Some(head.method.as_str()));
    let Asked::Name(name) = &head.host else { return };
    let target = request.path.expect("a target");
    let hosts: Vec<_> = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).collect();
    assert!(hosts.len() < 2, "two hosts, and we took {name}");
    let said = match (target.split_once("://"), hosts.first()) {
        (Some((_, rest)), _) if !target.starts_with('/') => rest.split(['/', '?']).next().expect("an authority").as_bytes(),
        (_, Some(host)) => host.value,
        (_, None) => panic!("we see {name}, and nobody said it"),
    };
    let said = std::str::from_utf8(said).expect("text").trim_ascii();
    let host = said.rsplit_once(':').map_or(said, |(host, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { said });
    assert_eq!(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(), name.as_str());
}
