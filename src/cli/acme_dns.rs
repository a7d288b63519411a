//! What `host token --acme-dns` prints: an account, as each ACME client wants it.
//!
//! `--json` is the file alone that lego, acme-dns-client and Caddy keep their accounts in.

use std::io;

use fourward_core::api::AcmeDns;

use super::settings::{Trust, name_and_port};
use super::{CliError, out};

pub(super) fn print(account: &AcmeDns) -> Result<(), CliError> {
    out::text(format_args!("{}", text(account)?))
}

fn text(made: &AcmeDns) -> Result<String, CliError> {
    let dual = &made.host;
    let Some(account) = made.accounts.get(dual) else { return Err(CliError::OutOfTurn) };
    let (url, user, key, record) = (&account.server_url, &account.username, &account.password, &account.fulldomain);
    let file = serde_json::to_string(&made.accounts).map_err(io::Error::other)?;
    let (name, port) = name_and_port(url.strip_prefix("https://").unwrap_or(url));
    let trust = Trust::of(made.certificate.as_ref());
    let aliases = made.accounts.keys().filter(|name| *name != dual);
    let cnames: String = aliases.map(|alias| format!("  _acme-challenge.{alias}.  CNAME  {record}.\n")).collect();
    let registrar = if cnames.is_empty() { String::new() } else { format!("\nAt the registrar of your own domain:\n{cnames}") };
    Ok(format!(
        "{dual}: a new account of acme-dns; the old one is void. It writes the TXT record of that name, which proves *.{dual} too, and
nothing else. Join string and update password stay as they are.
{registrar}
At home, one of (another name than {dual}, in any zone: a CNAME of its _acme-challenge to {record}):

  lego: /etc/acme-dns.json, with mode 0600
    {file}
  and then
    export ACME_DNS_API_BASE={url} ACME_DNS_STORAGE_PATH=/etc/acme-dns.json
    lego --email you@example.org --accept-tos --dns acme-dns --domains {dual} run

  certbot, or Debian's lego, which is without acme-dns: /etc/acme-dns-hook, with mode 0700
    #!/bin/sh
    # The value is in certbot's environment, and lego's third word.
    exec curl --fail --silent --show-error -H 'X-Api-User: {user}' -H 'X-Api-Key: {key}' \\
        -d \"{{\\\"subdomain\\\":\\\"{user}\\\",\\\"txt\\\":\\\"${{CERTBOT_VALIDATION:-$3}}\\\"}}\" {url}/update
  and then one of
    certbot certonly --manual --preferred-challenges dns --manual-auth-hook /etc/acme-dns-hook -d {dual}
    EXEC_PATH=/etc/acme-dns-hook EXEC_SEQUENCE_INTERVAL=1 lego --email you@example.org --accept-tos --dns exec --domains {dual} run

  acme.sh:
    export ACMEDNS_BASE_URL={url} ACMEDNS_SUBDOMAIN={user}
    export ACMEDNS_USERNAME={user} ACMEDNS_PASSWORD={key}
    acme.sh --issue --dns dns_acmedns -d {dual}

  Caddy, with the module caddy-dns/acmedns, in the block of the site:
    tls {{
        dns acmedns {{
            server_url {url}
            subdomain {user}
            username {user}
            password {key}
        }}
    }}
{note}",
        note = note(trust, name, port),
    ))
}

/// What must be trusted at home. Clients ask an authority of the world, too, so that no setting of theirs can name this certificate alone.
fn note(trust: Trust, name: &str, port: &str) -> String {
    let what = match trust {
        Trust::Public => return String::new(),
        Trust::Private => format!(
            "The authority that signed this server's certificate is none that clients know. At home, as root, with its root certificate as
  {name}.crt:"
        ),
        Trust::SelfSigned => format!(
            "No client knows this server's own certificate; one of a public authority needs none of this. Make it here,
    openssl s_client -connect {name}:{port} -servername {name} </dev/null | openssl x509 >{name}.crt
  copy it, and at home, as root:"
        ),
    };
    format!(
        "
  {what}
    cp {name}.crt /usr/local/share/ca-certificates/ && update-ca-certificates
"
    )
}
