//! The API of acme-dns, by which lego, certbot, acme.sh and Caddy prove a name by its TXT record (RFC 8555 §8.4).
//!
//! What is asked and answered is JSON. An error is acme-dns's own word for it, where it has one; the `reason` beside it is for people.
//! Clients look at the status, and acme.sh for the value in quotes. Nobody registers by it: the operator makes the accounts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Claim, Dialect, Line, Malformed, TARGET_LIMIT, Update};

/// Where clients are sent that have no account yet.
pub const REGISTER: &str = "/register";

/// Where they ask whether anybody is there.
pub const HEALTH: &str = "/health";

/// Whether `path` is where accounts write their record, unless they speak another dialect.
pub fn is_posted_to(path: &str) -> bool {
    path == "/update"
}

/// The base64 of a SHA-256, without its padding: all that the record of a name is to have.
const PROOF: usize = 43;

/// Why what was posted says nothing that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPost {
    /// Longer than any client's.
    #[error("the body is longer than {TARGET_LIMIT} bytes")]
    Long,
    /// No object.
    #[error("the body is no JSON object like {{\"subdomain\": \"cloud\", \"txt\": \"…\"}}")]
    Json,
    /// No name.
    #[error("subdomain is missing: it is the host's, as the account has it")]
    Subdomain,
    /// No proof.
    #[error("txt is no proof of an order: that has {PROOF} letters, digits, - and _")]
    Txt,
}

impl BadPost {
    /// acme-dns's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Long | Self::Json => "malformed_json_payload",
            Self::Subdomain => "bad_subdomain",
            Self::Txt => "bad_txt",
        }
    }
}

impl Update {
    /// Reads `body`, what an account posted.
    ///
    /// # Errors
    /// It is no such object, or a value in it is none.
    pub fn posted(body: &str) -> Result<Self, Malformed> {
        // Some clients write the keys in capitals, which acme-dns does not mind.
        let all: BTreeMap<String, Value> = serde_json::from_str(body).map_err(|_| BadPost::Json)?;
        let text = |key: &str| all.iter().find_map(|(one, value)| value.as_str().filter(|_| one.eq_ignore_ascii_case(key)));
        let subdomain = text("subdomain").filter(|name| !name.is_empty()).ok_or(BadPost::Subdomain)?;
        let txt = text("txt").filter(|txt| is_proof(txt)).ok_or(BadPost::Txt)?;
        Ok(Self {
            dialect: Dialect::AcmeDns,
            hosts: vec![subdomain.into()],
            claim: Claim::default(),
            apart: Vec::new(),
            txt: Some(vec![txt.into()]),
            offline: false,
        })
    }
}

fn is_proof(text: &str) -> bool {
    text.len() == PROOF && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The body that says `line`.
pub(super) fn body(line: &Line) -> String {
    let error = match line {
        Line::Proof { value, .. } => return format!("{{\"txt\": {}}}", Value::from(value.as_str())),
        Line::BadPost(bad) => bad.word(),
        Line::Abuse | Line::TooOften { .. } => "too_many_requests",
        Line::Fault => "db_error",
        _ => "forbidden",
    };
    let whole = line.to_string();
    let reason = whole.split_once(' ').map(|(_, reason)| format!(", \"reason\": {}", Value::from(reason))).unwrap_or_default();
    format!("{{\"error\": \"{error}\"{reason}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as any.
    const PROOF: &str = "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM";

    fn post(subdomain: &str, txt: &str) -> String {
        format!("{{\"subdomain\": \"{subdomain}\", \"txt\": \"{txt}\"}}")
    }

    #[test]
    fn an_account_posts_a_name_and_a_proof_and_nothing_else() {
        let read = |body: &str| Update::posted(body).map(|update| (update.hosts, update.txt, update.dialect));
        let expected = Ok((vec!["cloud".to_owned()], Some(vec![PROOF.to_owned()]), Dialect::AcmeDns));
        assert_eq!(read(&post("cloud", PROOF)), expected);
        assert_eq!(read(&format!("{{\"SubDomain\":\"cloud\",\"Txt\":\"{PROOF}\",\"allowfrom\":[]}}")), expected, "as goacmedns writes it");
        assert_eq!(read(&post("a,b", PROOF)).map(|read| read.0), Ok(vec!["a,b".to_owned()]), "one name, whatever it is");
        let bad = |body: &str| read(body).expect_err(body);
        for body in ["", "{", "[]", "null", "\"x\"", "subdomain=cloud&txt=x", &"[".repeat(8_000), &format!("{}x", post("cloud", PROOF))] {
            assert_eq!(bad(body), Malformed::Posted(BadPost::Json), "{body}");
        }
        for body in [post("", PROOF), format!("{{\"txt\":\"{PROOF}\"}}"), format!("{{\"subdomain\":7,\"txt\":\"{PROOF}\"}}")] {
            assert_eq!(bad(&body), Malformed::Posted(BadPost::Subdomain), "{body}");
        }
        let long = format!("{PROOF}x");
        for txt in ["", "short", &PROOF[1..], &long, &PROOF.replace('_', " "), &PROOF.replace('_', "\\u00e4"), &"\u{e4}".repeat(22)] {
            assert_eq!(bad(&post("cloud", txt)), Malformed::Posted(BadPost::Txt), "{txt}");
        }
    }

    #[test]
    fn accounts_are_answered_in_acme_dns_s_words() {
        let said = |line: Line| Dialect::AcmeDns.body(&[line]);
        assert_eq!(said(Line::Proof { value: "a_b".into(), news: true }), r#"{"txt": "a_b"}"#);
        assert_eq!(said(Line::BadAuth), r#"{"error": "forbidden"}"#);
        assert_eq!(said(Line::Refused("say \"please\"".into())), r#"{"error": "forbidden", "reason": "say \"please\""}"#);
        let others = [(Line::Fault, "db_error"), (Line::Abuse, "too_many_requests"), (Line::TooOften { wait: 2 }, "too_many_requests")];
        let posts = [BadPost::Long, BadPost::Json, BadPost::Subdomain, BadPost::Txt].map(|bad| (Line::BadPost(bad), bad.word()));
        for (line, word) in others.into_iter().chain(posts) {
            let body: Value = serde_json::from_str(&said(line.clone())).expect("JSON");
            assert_eq!(body["error"], word, "{body}");
            assert_eq!(body["reason"].is_string(), line != Line::Fault, "{body}");
        }
    }
}
