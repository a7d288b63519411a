//! What `host add` and `host token` print for routers and update clients: settings to paste.
//!
//! They are needed where no agent runs, and only then; the text says so.

use fourward_core::api::Secrets;
use fourward_core::host::AddressFrom;

use super::{CliError, out};

pub(super) fn print(secrets: &Secrets, from: AddressFrom) -> Result<(), CliError> {
    out::text(format_args!("{}", text(secrets, from)))?;
    Ok(())
}

fn text(secrets: &Secrets, from: AddressFrom) -> String {
    let (host, dual) = (&secrets.host, &secrets.names.dual);
    let (url, user, password, router) = (&secrets.update.url, &secrets.update.user, &secrets.update.password, &secrets.update.router);
    let server = url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or(url);
    let (name, port) = server.split_once(':').unwrap_or((server, "443"));
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
    ssl=yes
    ssl_ca_file=/etc/{name}.pem
    server={server}
    login={user}
    password={password}
    {dual}

  inadyn: /etc/inadyn.conf
    allow-ipv6 = true
    ca-trust-file = /etc/{name}.pem
    custom fourward {{
        ddns-server    = {server}
        ddns-path      = \"/nic/update?hostname=%h&myip=%i\"
        ssl            = true
        username       = {user}
        password       = {password}
        hostname       = {dual}
        checkip-command = \"ip -6 -brief address show dev eth0 scope global -temporary -deprecated\"
    }}

  /etc/{name}.pem is this server's own certificate, until one of a public authority is there. Make it here, and copy it:
    openssl s_client -connect {name}:{port} -servername {name} -showcerts </dev/null >{name}.pem
"
    )
}
