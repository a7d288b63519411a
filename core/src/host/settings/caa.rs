//! Who may issue certificates for a host (CAA, RFC 8659), for which account and by which proof (RFC 8657).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::token::tokens;
use crate::name::DnsName;

/// The longest value: far above an account's URL.
const VALUE_LIMIT: usize = 512;

/// The flag of a property that an authority must understand or stop at (RFC 8659 §4.1).
const CRITICAL: u8 = 128;

/// One property.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Caa {
    /// What it is about.
    pub tag: CaaTag,
    /// Whether an authority that does not know the tag must not issue.
    pub critical: bool,
    /// What it says: printable ASCII.
    pub value: Box<str>,
}

/// What a property is about. An authority ignores a tag that it does not know, so a mistyped one would permit everybody: the set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaaTag {
    /// Who may issue.
    Issue,
    /// Who may issue for wildcards.
    IssueWild,
    /// Who may issue for mail addresses (RFC 9495).
    IssueMail,
    /// Where to report what was refused.
    Iodef,
}

impl CaaTag {
    const ALL: [Self; 4] = [Self::Issue, Self::IssueWild, Self::IssueMail, Self::Iodef];

    /// As it stands in the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::IssueWild => "issuewild",
            Self::IssueMail => "issuemail",
            Self::Iodef => "iodef",
        }
    }
}

impl Caa {
    /// The record's first byte.
    pub fn flags(&self) -> u8 {
        if self.critical { CRITICAL } else { 0 }
    }
}

impl FromStr for Caa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected issue, issuewild, issuemail or iodef and a value, like issue letsencrypt.org".to_owned();
        let (first, after) = split(text);
        let (critical, tag, value) = match first {
            "0" | "128" => (first == "128", split(after).0, split(after).1),
            _ => (false, first, after),
        };
        let tag = CaaTag::ALL.into_iter().find(|known| known.word().eq_ignore_ascii_case(tag)).ok_or_else(expected)?;
        let value = match value.starts_with('"') {
            true => match tokens(value)?.as_slice() {
                [one] => String::from_utf8(one.bytes.clone()).map_err(|_| expected())?,
                _ => return Err(expected()),
            },
            false => value.to_owned(),
        };
        let value = value.trim();
        if value.is_empty() || value.len() > VALUE_LIMIT || !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(format!("{}: its value is 1 to {VALUE_LIMIT} printable ASCII characters", tag.word()));
        }
        match tag {
            CaaTag::Iodef => check_report(value)?,
            CaaTag::Issue | CaaTag::IssueWild | CaaTag::IssueMail => check_issuer(value)?,
        }
        Ok(Self { tag, critical, value: value.into() })
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(|c: char| c.is_ascii_whitespace()).map_or((text, ""), |(first, after)| (first, after.trim_start()))
}

/// `[DOMAIN] [; NAME=VALUE]…` (RFC 8659 §4.2). What breaks this form forbids everybody, which is meant only as a `;` alone.
fn check_issuer(value: &str) -> Result<(), String> {
    let mut parts = value.split(';').map(str::trim);
    let domain = parts.next().unwrap_or_default();
    if !domain.is_empty() {
        let name: Result<DnsName, _> = domain.parse();
        let name =
            name.map_err(|_| format!("\"{domain}\" is no authority's domain; expected one like letsencrypt.org, or ; for nobody"))?;
        if !name.as_str().contains('.') {
            return Err(format!("\"{domain}\" is no authority's domain; expected one like letsencrypt.org"));
        }
    }
    for parameter in parts.filter(|part| !part.is_empty()) {
        let (name, said) = parameter.split_once('=').map_or((parameter, ""), |(name, said)| (name.trim(), said.trim()));
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_good = match name.to_ascii_lowercase().as_str() {
            "accounturi" => said.split_once(':').is_some_and(|(scheme, rest)| is_word(scheme) && !rest.is_empty()),
            "validationmethods" => said.split(',').all(is_word),
            _ => is_word(name) && !said.is_empty(),
        };
        if domain.is_empty() || !is_good || said.contains(' ') {
            return Err(format!("\"{parameter}\" does not fit; expected accounturi=URL or validationmethods=dns-01, behind a domain"));
        }
    }
    Ok(())
}

fn check_report(value: &str) -> Result<(), String> {
    let known = ["mailto:", "https://", "http://"].into_iter().filter_map(|scheme| value.strip_prefix(scheme));
    let is_good = known.into_iter().any(|rest| !rest.is_empty() && !rest.contains(' '));
    is_good.then_some(()).ok_or_else(|| format!("\"{value}\" is no URL; expected one like mailto:me@example.org"))
}

impl fmt::Display for Caa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.critical {
            write!(f, "{CRITICAL} ")?;
        }
        write!(f, "{} {}", self.tag.word(), self.value)
    }
}

impl TryFrom<String> for Caa {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Caa> for String {
    fn from(caa: Caa) -> String {
        caa.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_property_is_written_with_and_without_a_file_s_quotes() {
        let account = "issue letsencrypt.org; accounturi=https://acme.test/acct/1; validationmethods=dns-01,http-01";
        for (text, expected) in [
            ("issue letsencrypt.org", "issue letsencrypt.org"),
            ("0 ISSUE \"letsencrypt.org\"", "issue letsencrypt.org"),
            ("128 issuewild ;", "128 issuewild ;"),
            (account, account),
            ("issue letsencrypt.org;accounturi=https://a/1", "issue letsencrypt.org;accounturi=https://a/1"),
            ("issuemail ca.example", "issuemail ca.example"),
            ("iodef mailto:me@example.org", "iodef mailto:me@example.org"),
        ] {
            let caa: Caa = text.parse().expect(text);
            assert_eq!(caa.to_string(), expected);
            assert_eq!(expected.parse(), Ok(caa), "what is shown can be typed");
        }
    }

    #[test]
    fn what_would_forbid_or_permit_everybody_by_mistake_is_refused() {
        for text in [
            "",
            "issue",
            "isue letsencrypt.org",
            "1 issue letsencrypt.org",
            "issue lets encrypt.org",
            "issue https://letsencrypt.org",
            "issue localhost",
            "issue letsencrypt.org; accounturi",
            "issue letsencrypt.org; accounturi=1234",
            "issue letsencrypt.org; validationmethods=dns 01",
            "issue letsencrypt.org; validationmethods=",
            "issue ; accounturi=https://a/1",
            "issue \"letsencrypt.org\" \"x\"",
            "issue \"letsencrypt.org",
            "issue lets\u{e9}ncrypt.org",
            "iodef me@example.org",
            "iodef mailto:",
        ] {
            assert!(text.parse::<Caa>().is_err(), "{text}");
        }
        assert!(format!("issue a.org; accounturi=https://{}", "x".repeat(VALUE_LIMIT)).parse::<Caa>().is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_understood_is_shown_as_what_it_is(text in "(0 |128 )?(issue|iodef|x) [ -~]{0,30}|issue [a-z.]{1,9}(; ?[a-z]{1,4}=[!-~]{0,5}){0,2}") {
            if let Ok(caa) = text.parse::<Caa>() {
                prop_assert_eq!(caa.to_string().parse(), Ok(caa));
            }
        }
    }
}
