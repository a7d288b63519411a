//! Settings as they are written: what is shown of a host, and what an export has of it.

use std::collections::BTreeSet;
use std::fmt;

use super::{AddressFrom, Alpn, Carrier, Edit, HomePort, How, Settings, Via};
use crate::proxy_protocol::ProxyProtocol;

impl Settings {
    /// What is not as by default, as edits that make it so of new settings.
    pub fn edits(&self) -> Vec<Edit> {
        // Taken apart whole, so that none can be forgotten.
        let Self {
            alias,
            address_from,
            address,
            carrier,
            ttl,
            via,
            home_port,
            forward,
            wildcard,
            redirect,
            allow,
            deny,
            max_connections,
            record,
            caa,
            alpn,
            follows,
            suffix,
            upstream,
            proxy_protocol,
        } = self;
        let word = |written: bool, word: &str| written.then(|| word.to_owned());
        let edits = [
            ("alias", joined(alias)),
            ("address-from", word(*address_from != AddressFrom::default(), address_from.word())),
            ("address", address.map(|address| address.to_string())),
            ("carrier", word(*carrier != Carrier::default(), carrier.word())),
            ("ttl", ttl.map(|ttl| ttl.to_string())),
            ("via", word(*via != Via::default(), via.word())),
            ("home-port", Some(home_port.to_string()).filter(|ports| !ports.is_empty())),
            ("forward", joined(forward)),
            ("wildcard", word(*wildcard, "on")),
            ("redirect", word(*redirect, "on")),
            ("allow", joined(allow)),
            ("deny", joined(deny)),
            ("max-connections", max_connections.map(|count| count.to_string())),
            ("alpn", joined(alpn)),
            ("follows", follows.as_deref().map(str::to_owned)),
            ("suffix", suffix.map(|suffix| suffix.to_string())),
            ("upstream", upstream.as_ref().map(ToString::to_string)),
            ("proxy-protocol", word(*proxy_protocol != ProxyProtocol::default(), proxy_protocol.word())),
        ];
        let edits = edits.into_iter().filter_map(|(key, value)| Some(Edit { key: key.into(), how: How::Replace, value: value? }));
        // A comma may stand in these.
        let each = |key: &str, value: String| Edit { key: key.into(), how: How::Add, value };
        let caa = caa.iter().map(|one| each("caa", one.to_string()));
        edits.chain(caa).chain(record.iter().map(|one| each("record", one.to_string()))).collect()
    }
}

impl Edit {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands behind the `=`.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl AddressFrom {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Static => "static",
            Self::Update => "update",
        }
    }
}

impl Alpn {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::H3, Self::H2, Self::Http11];

    /// As it is written, here and in the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::H3 => "h3",
            Self::H2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }
}

impl fmt::Display for Alpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Carrier {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
        }
    }
}

impl Via {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Home => "home",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for HomePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = [("tls", self.tls), ("http", self.http)].into_iter().filter_map(|(service, port)| Some(format!("{service}={}", port?)));
        f.write_str(&ports.collect::<Vec<_>>().join(","))
    }
}

/// A list as it is written; `None` if it is empty.
fn joined<T: fmt::Display>(list: &BTreeSet<T>) -> Option<String> {
    (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_the_edits_that_they_are_written_as() {
        let all = [
            "alias=a.org,b.org",
            "address-from=static",
            "address=2001:db8::1",
            "carrier=direct",
            "ttl=5",
            "via=gateway",
            "home-port=tls=8443,http=8080",
            "forward=tcp/2222:22,udp/51820",
            "wildcard=on",
            "redirect=on",
            "allow=198.51.100.0/24,2001:db8::/32",
            "deny=198.51.100.7/32",
            "max-connections=9",
            "alpn=h3,h2",
            "follows=cloud",
            "suffix=::22",
            "upstream=home.example.net",
            "proxy-protocol=v2",
            "caa+=issue letsencrypt.org; validationmethods=dns-01,http-01",
            "caa+=issuewild ;",
            "record+=MX 10 mail.example.org.",
            "record+=_dmarc TXT \"v=DMARC1; rua=mailto:a@x.org,mailto:b@x.org\"",
        ];
        let mut settings = Settings::default();
        all.iter().for_each(|edit| settings.edit(&edit.parse().expect("an edit")).expect("a setting"));
        let written: Vec<String> = settings.edits().iter().map(ToString::to_string).collect();
        assert_eq!(written, all);
        assert!(Settings::default().edits().is_empty());
    }
}
