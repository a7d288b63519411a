//! Services as an agent offers them: a protocol and a port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A service at home: `tcp/443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Service {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port at home.
    pub port: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A text that is no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no service; write tcp/PORT or udp/PORT, like tcp/443")]
pub struct NoService(String);

impl Service {
    /// What a web server offers: TLS, HTTP and HTTP/3.
    pub fn defaults() -> Vec<Self> {
        [(Protocol::Tcp, 443), (Protocol::Tcp, 80), (Protocol::Udp, 443)].map(|(protocol, port)| Self { protocol, port }).to_vec()
    }
}

impl Protocol {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The one that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|protocol| protocol.word() == text)
    }
}

/// A port that somebody can listen on.
pub fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// The services that `text` names: one, or a range of ports like `tcp/8000-8010`.
///
/// # Errors
/// It is neither.
pub fn parse_services(text: &str) -> Result<Vec<Service>, NoService> {
    let Some((front, last)) = text.split_once('-') else { return Ok(vec![text.parse()?]) };
    let first: Service = front.parse().map_err(|_| NoService(text.into()))?;
    let last = parse_port(last).filter(|last| first.port <= *last).ok_or_else(|| NoService(text.into()))?;
    Ok((first.port..=last).map(|port| Service { port, ..first }).collect())
}

impl FromStr for Service {
    type Err = NoService;

    fn from_str(text: &str) -> Result<Self, NoService> {
        let parsed = text.split_once('/').and_then(|(protocol, port)| {
            let (protocol, port) = (Protocol::parse(protocol)?, parse_port(port)?);
            Some(Self { protocol, port })
        });
        parsed.ok_or_else(|| NoService(text.into()))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol.word(), self.port)
    }
}

impl TryFrom<String> for Service {
    type Error = NoService;

    fn try_from(text: String) -> Result<Self, NoService> {
        text.parse()
    }
}

impl From<Service> for String {
    fn from(service: Service) -> String {
        service.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_protocol_and_port() {
        assert_eq!("udp/443".parse(), Ok(Service { protocol: Protocol::Udp, port: 443 }));
        for text in ["443", "tcp/", "tcp/0", "tcp/70000", "sctp/1", "tcp/80-90"] {
            assert!(text.parse::<Service>().is_err(), "{text}");
        }
    }

    #[test]
    fn services_may_be_a_range() {
        let named = |text: &str| parse_services(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(named("udp/65534-65535"), Ok(vec!["udp/65534".into(), "udp/65535".into()]));
        assert_eq!(named("tcp/22"), Ok(vec!["tcp/22".into()]));
        for text in ["tcp/9-8", "tcp/8-", "tcp/-8", "tcp/0-8", "tcp/8-9-10", "8-9"] {
            assert_eq!(named(text), Err(NoService(text.into())));
        }
    }
}
