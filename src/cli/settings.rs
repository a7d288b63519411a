//! What `host add` and `host token` print for routers and update clients: settings to paste.
//!
//! They are needed where no agent runs, and only then; the text says so.

use fourward_core::api::{CertificateSource, CertificateStatus, Secrets};
use fourward_core::host::AddressFrom;

use super::{CliError, out};

pub(super) fn print(secrets: &Secrets, from: AddressFrom) -> Result<(), CliError> {
    out::text(format_args!("{}", text(secrets, from)))?;
    Ok(())
}

fn text(secrets: &Secrets, from: AddressFrom) -> String {
    let (host, dual) = (&secrets.host, &secrets.names.dual);
    let (url, user, password, router) = (&secrets.update.url, &secrets.update.user, &secrets.update.password, &secrets.update.router);
    let trust = Trust::of(secrets.certificate.as_ref());
    let server = url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or(url);
    let (name, port) = name_and_port(server);
    let when = match from {
        AddressFrom::Update => format!("{dual} is where updates say (address-from=update). For the client at home, one of:"),
        AddressFrom::Link | AddressFrom::Static => format!(
            "With the agent no update client is needed. Where it cannot run, `fourward host set {host} address-from=update`, and one of these;\n\
             without that, what they report is shown as {router} and nothing more."
        ),
    };
    format!(
        "{when}

  FRITZ!Box: Internet > Permit Access > DynDNS, provider \"User-defined\". It reports its own address, not that of a machine behind it.
    Update-URL   {url}?hostname=<domain>&myip=<ipaddr>&myipv6=<ip6addr>
    Domain name  {router}
    User name    {user}
    Password     {password}

  ddclient: /etc/ddclient.conf (eth0: the interface with the address to publish)
    protocol=dyndns2
    use=cmd, cmd='ip -6 -brief address show dev eth0 scope global -temporary -deprecated'
    ssl=yes{ddclient_trust}
    server={server}
    login={user}
    password={password}
    {dual}

  inadyn: /etc/inadyn.conf
    allow-ipv6 = true{inadyn_trust}
    custom fourward {{
        ddns-server    = {server}
        ddns-path      = \"/nic/update?hostname=%h&myip=%i\"
        ssl            = true
        username       = {user}
        password       = {password}
        hostname       = {dual}
        checkip-command = \"ip -6 -brief address show dev eth0 scope global -temporary -deprecated\"
    }}
{note}",
        ddclient_trust = trust.line(&format!("    ssl_ca_file=/etc/{name}.pem")),
        inadyn_trust = trust.line(&format!("    ca-trust-file = /etc/{name}.pem")),
        note = trust.note(name, port),
    )
}

/// The two parts of a server as it stands in a URL.
pub(super) fn name_and_port(server: &str) -> (&str, &str) {
    server.split_once(':').unwrap_or((server, "443"))
}

/// What an update client must be told to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the certificate is a public authority's.
    Public,
    /// The authority of the owner's own.
    Private,
    /// The server's own key.
    SelfSigned,
}

impl Trust {
    pub(super) fn of(certificate: Option<&CertificateStatus>) -> Self {
        match certificate {
            Some(certificate) if certificate.public => Self::Public,
            Some(certificate) if certificate.source != CertificateSource::SelfSigned => Self::Private,
            _ => Self::SelfSigned,
        }
    }

    /// `line` of a client's settings, where one is needed.
    fn line(self, line: &str) -> String {
        if self == Self::Public { String::new() } else { format!("\n{line}") }
    }

    fn note(self, name: &str, port: &str) -> String {
        match self {
            Self::Public => String::new(),
            Self::Private => format!(
                "
  /etc/{name}.pem is the root certificate of the authority that signed this server's: it is none that the clients know. Copy it there.
"
            ),
            Self::SelfSigned => format!(
                "
  /etc/{name}.pem is this server's own certificate, until one of a public authority is there. Make it here, and copy it:
    openssl s_client -connect {name}:{port} -servername {name} -showcerts </dev/null >{name}.pem
  Once `fourward status` shows an ordered one, take that line out of the client's settings: the old one is not shown any more.
"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use fourward_core::api::{CertificateStatus, Names, Update};

    use super::*;

    fn printed(source: CertificateSource, public: bool) -> String {
        let name = |text: &str| text.parse().expect("a name");
        let names = Names { dual: name("cloud.dyn.example.org"), twin: name("cloud-ip6only.dyn.example.org") };
        let url = "https://gw.dyn.example.org/nic/update".into();
        let update = Update { url, user: "cloud".into(), password: "secret".into(), router: name("cloud-router.dyn.example.org") };
        let certificate = CertificateStatus { source, not_after: jiff::Timestamp::MAX, public, next: None, last_error: None };
        let join = "fw1.x".into();
        text(
            &Secrets { host: "cloud".into(), names, join, update, remarks: Vec::new(), certificate: Some(certificate) },
            AddressFrom::Update,
        )
    }

    #[test]
    fn clients_are_told_to_trust_only_what_they_do_not_trust_anyway() {
        for source in [CertificateSource::Acme, CertificateSource::Files] {
            let text = printed(source, true);
            assert!(!text.contains(".pem") && !text.contains("openssl"), "{text}");
            assert!(text.contains("ssl=yes\n    server=gw") && text.contains("allow-ipv6 = true\n    custom"), "{text}");
            let text = printed(source, false);
            assert!(
                text.contains("ssl_ca_file=/etc/gw.dyn.example.org.pem") && text.contains("root certificate of the authority"),
                "{text}"
            );
            assert!(!text.contains("openssl"), "{text}");
        }
        let text = printed(CertificateSource::SelfSigned, false);
        assert!(text.contains("ca-trust-file = /etc/gw.dyn.example.org.pem") && text.contains("openssl s_client"), "{text}");
    }
}
