//! Forwards: ports of the gateway's own addresses that lead to the home.
//!
//! As they are written: `tcp/2222:22`, `udp/51820`, `tcp/8000-8010`, `tcp/8000-8010:9000-9010`. What several hosts may not have at once is the
//! state's to see.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Edit, EditError, How};
use crate::service::{Protocol, Service, parse_port};

/// Each is a socket on every address of the gateway's; more of them are a network that wants a tunnel.
pub(crate) const PORT_LIMIT: usize = 256;

const EXPECTED: &str = "expected one like tcp/2222:22, udp/51820 or tcp/8000-8010:9000-9010, or several with commas between them";

/// Ports of the gateway's that lead to as many ports at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Forward {
    protocol: Protocol,
    first: u16,
    last: u16,
    home: u16,
}

impl Forward {
    /// TCP or UDP.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its ports at the gateway, each with the one at home that it leads to.
    pub fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        let Self { first, last, home, .. } = *self;
        // The range at home ends within the ports, which the parser saw to.
        (first..=last).map(move |port| (port, home.saturating_add(port - first)))
    }

    /// The first and the last of its ports at the gateway.
    pub fn outside(&self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// What the agent must offer for it.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        let protocol = self.protocol;
        self.ports().map(move |(_, port)| Service { protocol, port })
    }

    /// Whether `service`, of the gateway's machine, is one of its ports there.
    pub fn takes(&self, service: Service) -> bool {
        self.protocol == service.protocol && (self.first..=self.last).contains(&service.port)
    }

    /// Whether both have a port of the gateway's.
    pub fn meets(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }

    fn count(&self) -> usize {
        usize::from(self.last - self.first).saturating_add(1)
    }
}

impl Edit {
    /// Replaces, extends or shortens the list. What is taken away is named by its ports at the gateway; where they lead may be left out.
    pub(super) fn forwards(&self, list: &mut BTreeSet<Forward>) -> Result<(), EditError> {
        let mut new = if self.how == How::Replace { BTreeSet::new() } else { list.clone() };
        for part in self.parts() {
            let forward: Forward = part.parse().map_err(|reason: String| self.bad(&reason))?;
            let meeting = new.iter().find(|other| other.meets(&forward)).copied();
            match (self.how, meeting) {
                (How::Remove, _) if part.contains(':') => drop(new.remove(&forward)),
                (How::Remove, _) => new.retain(|other| (other.protocol, other.outside()) != (forward.protocol, forward.outside())),
                (_, Some(other)) if other != forward => {
                    return Err(self
                        .bad(&format!("{forward} and {other} have ports in common, and each leads to one place; take {other} off first")));
                }
                _ => drop(new.insert(forward)),
            }
        }
        let ports: usize = new.iter().map(Forward::count).sum();
        if ports > PORT_LIMIT {
            return Err(self.bad(&format!("that makes {ports} ports; {PORT_LIMIT} is the most of a host")));
        }
        *list = new;
        Ok(())
    }
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is no forward; {EXPECTED}");
        let (protocol, ports) = text.split_once('/').ok_or_else(bad)?;
        let protocol = Protocol::parse(protocol).ok_or_else(bad)?;
        let (outside, home) = ports.split_once(':').map_or((ports, ports), |(outside, home)| (outside, home));
        let range = |text: &str| match text.split_once('-') {
            Some((first, last)) => Some((parse_port(first)?, parse_port(last)?)),
            None => parse_port(text).map(|port| (port, port)),
        };
        let ((first, last), (home, home_last)) = range(outside).zip(range(home)).ok_or_else(bad)?;
        if first > last || home > home_last {
            return Err(format!("\"{text}\" has a range whose end comes before its beginning"));
        }
        if last - first != home_last - home {
            return Err(format!("\"{text}\" leads {} ports to {}; both must be as many", last - first + 1, home_last - home + 1));
        }
        Ok(Self { protocol, first, last, home })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, first, last, home } = *self;
        let range = |first: u16| {
            if last == self.first { first.to_string() } else { format!("{first}-{}", first.saturating_add(last - self.first)) }
        };
        write!(f, "{}/{}", protocol.word(), range(first))?;
        if home == first { Ok(()) } else { write!(f, ":{}", range(home)) }
    }
}

impl TryFrom<String> for Forward {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Forward> for String {
    fn from(forward: Forward) -> String {
        forward.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Settings;
    use super::*;

    fn set(texts: &[&str]) -> Result<String, String> {
        let mut settings = Settings::default();
        for text in texts {
            settings.edit(&text.parse().expect("an edit")).map_err(|error| error.to_string())?;
        }
        Ok(settings.forward.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn forwards_are_ports_or_ranges_and_where_they_lead() {
        let all = "forward=udp/51820:51820,tcp/2222:22,tcp/8000-8010,tcp/9000-9001:7000-7001,tcp/25-25";
        assert_eq!(set(&[all]).as_deref(), Ok("tcp/25,tcp/2222:22,tcp/8000-8010,tcp/9000-9001:7000-7001,udp/51820"));
        let pairs = |text: &str| text.parse::<Forward>().expect("a forward").ports().collect::<Vec<_>>();
        assert_eq!(pairs("tcp/9000-9001:7000-7001"), [(9000, 7000), (9001, 7001)]);
        assert_eq!(pairs("udp/65534-65535"), [(65534, 65534), (65535, 65535)]);
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, reason) in [
            ("tcp/0", "is no forward"),
            ("tcp/22:0", "is no forward"),
            ("22", "is no forward"),
            ("sctp/22", "is no forward"),
            ("tcp/70000", "is no forward"),
            ("tcp/1-2-3", "is no forward"),
            ("tcp/10-9", "end comes before"),
            ("tcp/10-12:5-6", "leads 3 ports to 2"),
            ("tcp/10-12:5", "leads 3 ports to 1"),
            ("tcp/1000-1256", "257 ports; 256 is the most"),
            ("tcp/80-90:180-190,tcp/85", "have ports in common"),
        ] {
            let refused = set(&[&format!("forward={text}")]).expect_err(text);
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn forwards_come_and_go_by_their_ports_outside() {
        assert_eq!(set(&["forward=tcp/2222:22", "forward+=udp/5000,tcp/2222:22"]).as_deref(), Ok("tcp/2222:22,udp/5000"));
        assert_eq!(set(&["forward=tcp/2222:22,udp/2222", "forward-=tcp/2222"]).as_deref(), Ok("udp/2222"));
        assert_eq!(set(&["forward=tcp/2222:22", "forward-=tcp/2222:23"]).as_deref(), Ok("tcp/2222:22"));
        assert_eq!(set(&["forward=tcp/2222:22", "forward="]).as_deref(), Ok(""));
        assert!(set(&["forward=tcp/2222:22", "forward+=tcp/2222:23"]).is_err(), "it is not replaced in silence");
        assert!(set(&["forward=tcp/2222:22", "forward+=udp/2222:23"]).is_ok(), "the other protocol's ports are others");
    }

    proptest! {
        #[test]
        fn a_forward_survives_its_text(tcp: bool, first in 1_u16.., length in 0_u16..300, home in 1_u16..) {
            let length = length.min(u16::MAX - first).min(u16::MAX - home);
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            let forward = Forward { protocol, first, last: first + length, home };
            prop_assert_eq!(forward.to_string().parse(), Ok(forward));
            prop_assert_eq!(forward.ports().count(), forward.count());
        }
    }
}
