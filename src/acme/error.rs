//! Why there is no certificate: what the authority says, in its own words, and what to do about it.

use fourward_core::name::DnsName;
use fourward_core::renewal::Failure;
use instant_acme::{ChallengeType, Error, Problem};

use crate::certificate::CertificateError;
use crate::store::CommitError;

/// As much of the authority's words is repeated: they are a stranger's.
const WORDS: usize = 500;

/// Why an order failed.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority's server gives no answer, or none that makes sense.
    #[error("the ACME server at {directory} is not reached: {cause}; {hint}")]
    Unreached {
        /// The directory.
        directory: String,
        /// Why not.
        cause: String,
        /// What to do.
        hint: &'static str,
    },
    /// It says no.
    #[error("the authority refuses: {words}; {hint}")]
    Refused {
        /// Its words, with the kind of problem.
        words: String,
        /// What to do.
        hint: String,
        /// Whether it said "too many".
        limited: bool,
        /// Whether it does not know our account.
        unknown_account: bool,
    },
    /// Something went wrong under way.
    #[error("the order was not finished: {0}; it is tried again by itself")]
    Unfinished(String),
    /// It took too long.
    #[error("the order was not finished in time; it is tried again by itself")]
    TooSlow,
    /// The authority does not offer how we can prove the name.
    #[error("the authority does not offer {0} for this name, which is the only way here; choose another one by acme.directory")]
    NoChallenge(&'static str),
    /// The certificate is not what was ordered.
    #[error("the certificate that came cannot be used: {0}")]
    Certificate(String),
    /// Our side of the key or the request.
    #[error("the request cannot be made: {0}")]
    Request(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The store does not keep it.
    #[error("the store: {0}")]
    Store(#[from] CommitError),
    /// The account cannot be kept.
    #[error("the account cannot be kept: {0}")]
    Account(#[from] serde_json::Error),
}

impl From<CertificateError> for AcmeError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error.to_string())
    }
}

/// How the authority finds out whether the name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It asks our name server (RFC 8555 §8.4).
    Dns,
    /// It asks our port 80 (RFC 8555 §8.3).
    Http,
}

impl Proof {
    pub(super) fn challenge(self) -> ChallengeType {
        match self {
            Self::Dns => ChallengeType::Dns01,
            Self::Http => ChallengeType::Http01,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns-01",
            Self::Http => "http-01",
        }
    }

    fn hint(self, name: &DnsName) -> String {
        match self {
            Self::Dns => format!(
                "the world must ask this server for _acme-challenge.{name}: `dig +trace TXT _acme-challenge.{name}` has to end here; compare the \
                 delegation at the registrar with what `fourward init` printed, and open port 53, UDP and TCP"
            ),
            Self::Http => format!(
                "the authority fetches http://{name}/.well-known/acme-challenge/…, over IPv6 where it can: A and AAAA of {name} must be \
                 this server's (`dig A {name}`, `dig AAAA {name}`), and port 80 open"
            ),
        }
    }
}

impl AcmeError {
    /// How it counts for the next try.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Unreached { .. } => Failure::Unreached,
            Self::Refused { limited: true, .. } => Failure::RateLimited,
            _ => Failure::Refused,
        }
    }

    pub(super) fn is_unknown_account(&self) -> bool {
        matches!(self, Self::Refused { unknown_account: true, .. })
    }

    /// Before the authority was asked for anything.
    pub(super) fn unreached(error: Error, directory: &str) -> Self {
        let cause = one_line(&error.to_string());
        let hint = if cause.contains("certificate") {
            "if it is a private server, acme.root must be the certificate of the authority behind its TLS; if not, check this machine's clock"
        } else if matches!(error, Error::Json(_)) {
            "acme.directory must be the URL of an ACME directory"
        } else {
            "check acme.directory, and this machine's resolver and way out (TCP 443)"
        };
        Self::Unreached { directory: directory.into(), cause, hint }
    }

    /// Once it was.
    pub(super) fn of(error: Error, name: &DnsName, proof: Proof) -> Self {
        match error {
            Error::Api(problem) => Self::refused(&problem, name, proof),
            error => Self::Unfinished(one_line(&error.to_string())),
        }
    }

    pub(super) fn refused(problem: &Problem, name: &DnsName, proof: Proof) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or("no type");
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
        let mut words = format!("{} ({kind})", problem.detail.as_deref().unwrap_or("no reason given"));
        for part in problem.subproblems.iter().filter_map(|part| part.detail.as_deref()) {
            words.push_str(&format!("; {part}"));
        }
        let (limited, unknown_account) = (kind == "rateLimited", kind == "accountDoesNotExist");
        Self::Refused { words: one_line(&words), hint: hint(kind, name, proof), limited, unknown_account }
    }
}

/// What the owner can do about a problem of this `kind` (RFC 8555 §6.7).
fn hint(kind: &str, name: &DnsName, proof: Proof) -> String {
    match kind {
        "dns" | "connection" | "unauthorized" | "incorrectResponse" | "tls" => proof.hint(name),
        "rateLimited" => "nothing is to be done but to wait: it is tried again when the authority permits it".into(),
        "caa" => format!("a CAA record of the domain forbids this authority (`dig CAA {name}`, and at the names above it): add one for it"),
        "invalidContact" | "unsupportedContact" => "correct acme.email".into(),
        "externalAccountRequired" => {
            "this authority wants an account of its own (external account), which this version cannot use: choose another one by acme.directory"
                .into()
        }
        "rejectedIdentifier" => format!("the authority gives no certificate for {name}: choose another one, or another public.name"),
        "userActionRequired" => "the authority wants you to read something first: see the link in its words".into(),
        _ => "it is tried again by itself".into(),
    }
}

fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, detail: &str, proof: Proof) -> AcmeError {
        let document = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"{detail}","status":403}}"#);
        AcmeError::refused(&serde_json::from_str(&document).expect("a problem"), &"gw.dyn.example.org".parse().expect("name"), proof)
    }

    #[test]
    fn the_authority_s_words_and_what_to_do_are_told() {
        let error = refused("dns", "no TXT record found", Proof::Dns);
        let text = error.to_string();
        for part in ["no TXT record found (dns)", "dig +trace TXT _acme-challenge.gw.dyn.example.org", "port 53"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert_eq!(error.failure(), Failure::Refused);
        let text = refused("connection", "timeout", Proof::Http).to_string();
        assert!(text.contains("http://gw.dyn.example.org/.well-known/") && text.contains("port 80"), "{text}");
        assert_eq!(refused("rateLimited", "too many", Proof::Dns).failure(), Failure::RateLimited);
        assert!(refused("accountDoesNotExist", "", Proof::Dns).is_unknown_account());
    }

    #[test]
    fn an_authority_that_is_not_reached_is_told_from_one_that_is_not_trusted() {
        let unreached = |error| AcmeError::unreached(error, "https://ca.lan/dir");
        let text = unreached(Error::Other("no TLS with ca.lan: invalid peer certificate: UnknownIssuer".into())).to_string();
        assert!(text.contains("https://ca.lan/dir") && text.contains("acme.root"), "{text}");
        let error = unreached(Error::Other("no connection to 192.0.2.1:443: timed out".into()));
        assert!(error.to_string().contains("TCP 443") && error.failure() == Failure::Unreached, "{error}");
        let no_json = serde_json::from_str::<Problem>("<html>").expect_err("no JSON");
        assert!(unreached(Error::Json(no_json)).to_string().contains("URL of an ACME directory"));
    }

    #[test]
    fn a_stranger_s_words_are_one_short_line() {
        let text = refused("malformed", &"x\\n\\u001b[31m".repeat(1_000), Proof::Dns).to_string();
        assert!(text.len() < 2 * WORDS && !text.contains(['\n', '\u{1b}']), "{text}");
    }
}
