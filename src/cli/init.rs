//! `init`: the server's configuration, and what to enter at the registrar.

use std::fmt::Write;

use fourward_core::name::DnsName;
use serde_json::json;

use super::{CliError, InitArgs, files, out};
use crate::certificate::authorities;
use crate::config::{Config, DEFAULT_CONFIG, DEFAULT_DIRECTORY};

pub(super) fn run(args: InitArgs) -> Result<(), CliError> {
    let zone: DnsName = args.zone.parse().map_err(|error| CliError::Usage(format!("--zone: {error}")))?;
    let name = match &args.name {
        Some(name) => name.parse().map_err(|error| CliError::Usage(format!("--name: {error}")))?,
        None => zone.child("gw").map_err(|error| CliError::Usage(format!("--zone: {error}")))?,
    };
    // What is relative to this shell is not to the service.
    let state = std::path::absolute(&args.state).map_err(|source| CliError::file(&args.state, source))?;
    let root = args.acme_root.as_ref().map(|root| std::path::absolute(root).map_err(|source| CliError::file(root, source))).transpose()?;
    if let Some(root) = &root {
        authorities("--acme-root", root)?;
    }
    let args = InitArgs { state, acme_root: root, ..args };
    let text = config(&args, &zone, &name);
    // What we write must be what we read: anything that is wrong with the arguments is found here, before the file is there.
    Config::parse(&text, &args.config)?;
    let remedy = "move it away first, or change it by hand: `fourward config check` says whether it is good";
    files::create(&args.config, 0o644, text.as_bytes(), remedy)?;
    report(&args, &zone, &name)
}

fn config(args: &InitArgs, zone: &DnsName, name: &DnsName) -> String {
    format!(
        r#"# fourward on the server. `fourward config check` explains this file.
# Values that are commented out show the defaults.

state = {state}

[public]                          # what the world is told; fourward listens on these addresses
ipv4 = [{ipv4}]
ipv6 = [{ipv6}]
name = "{name}"

[dns]
zones = ["{zone}"]
# listen = ["192.0.2.11:53"]      # default: the public addresses
# ttl = 60
# rate-limit = 200                # answers of a kind a second to one network by UDP; 0 is without end
# nameservers = ["{name}"]
# keys = [{{ name = "cloud-key", secret-file = "/etc/fourward/cloud-key", host = "cloud", types = ["AAAA"] }}]   # updates by nsupdate and the like
# secondaries = [{{ address = "192.0.2.53", key = "to-second" }}]   # name servers that have the zones from here
# dnssec = true                   # signed; false only after its DS is gone from the registrar
# dnssec-algorithm = "ecdsap256sha256"   # of new keys; or "ed25519"

[gateway]
# tls = 443                       # TCP for clients, UDP for the links of homes
# http = 80
# resolver = ["192.0.2.53"]       # who is asked whether an unlisted name is a CNAME of a host here; default: those of /etc/resolv.conf
# limits = {{ connections = 16384, half-open = 4096, per-network = 1024 }}   # half-open: have not said yet where they want to go;
#                                 # per-network: of one IPv4 address or IPv6 /56, a quarter of them half-open
# timeouts = {{ hello = 5, dial = 5, idle = 3600, half-closed = 300, drain = 30 }}   # seconds

[control]                         # what answers at {name}: a page, and updates of routers by dyndns2
# http-updates = false            # true: over plain HTTP too, where everyone on the way reads the password
# metrics = "127.0.0.1:9153"      # for Prometheus, at /metrics; default: none. Who can reach the address reads them
# certificate = "/etc/…/fullchain.pem"   # your own certificate for {name}, read again when it changes,
# key = "/etc/…/privkey.pem"             # instead of one that is ordered

{acme}"#,
        state = quoted(&args.state.display().to_string()),
        ipv4 = list(&args.ipv4),
        ipv6 = list(&args.ipv6),
        acme = acme(args, name),
    )
}

/// What orders a certificate, or a comment that would.
fn acme(args: &InitArgs, name: &DnsName) -> String {
    if args.no_acme {
        return format!(
            "# Orders a certificate for {name}, under the terms of service of the authority; without it, it is self-signed.\n\
             # [acme]\n# email = \"me@example.org\"\n# directory = \"{DEFAULT_DIRECTORY}\"\n"
        );
    }
    let line = |key: &str, given: Option<String>, default: &str| match given {
        Some(given) => format!("{key} = {}\n", quoted(&given)),
        None => format!("# {key} = \"{default}\"\n"),
    };
    let root = args.acme_root.as_ref().map(|root| root.display().to_string());
    [
        format!("[acme]                            # orders a certificate for {name}; this agrees to the authority's terms of service\n"),
        line("email", args.email.clone(), "me@example.org"),
        line("directory", args.acme_directory.clone(), DEFAULT_DIRECTORY),
        line("root", root, "/etc/…/ca.pem")
            .replace("ca.pem\"\n", "ca.pem\"         # the CA behind that server's own TLS, where it is a private one\n"),
    ]
    .concat()
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(|value| format!("\"{}\"", value.to_string())).collect::<Vec<_>>().join(", ")
}

/// The records that the zone above needs, with the name server inside the zone (and so with glue) or outside.
fn records(args: &InitArgs, zone: &DnsName, name: &DnsName) -> Vec<String> {
    let addresses = |name: &DnsName| {
        let v4 = args.ipv4.iter().map(|address| format!("{name}.  A     {address}")).collect::<Vec<_>>();
        let v6 = args.ipv6.iter().map(|address| format!("{name}.  AAAA  {address}"));
        v4.into_iter().chain(v6).collect::<Vec<_>>()
    };
    std::iter::once(format!("{zone}.  NS    {name}.")).chain(addresses(name)).collect()
}

fn of_certificates(args: &InitArgs, name: &DnsName) -> String {
    if args.no_acme {
        return format!("No certificate is ordered (--no-acme): {name} shows a self-signed one, or your own (control.certificate).");
    }
    let (authority, terms) = match &args.acme_directory {
        Some(directory) => (directory.as_str(), "its terms of service"),
        None => ("Let's Encrypt", "its terms of service (https://letsencrypt.org/repository/)"),
    };
    let early = if args.email.is_some() { "" } else { "\nWith --email the authority could write to you; without is fine." };
    format!(
        "Once the records are there, a certificate for {name} is ordered from {authority} by itself, and renewed. Starting fourward agrees to\n\
         {terms}; to do without, take [acme] out of the file.{early}"
    )
}

fn report(args: &InitArgs, zone: &DnsName, name: &DnsName) -> Result<(), CliError> {
    let records = records(args, zone, name);
    if args.json {
        return out::json(&json!({ "config": args.config, "state": args.state, "zone": zone, "name": name, "records": records }));
    }
    let mut text = format!("{} is written.\n\n", args.config.display());
    let parent = zone.as_str().split_once('.').map_or(zone.as_str(), |(_, parent)| parent);
    let inside = name.within(zone).is_some();
    let _ = writeln!(text, "At the registrar of {parent}, enter:");
    for record in &records {
        let _ = writeln!(text, "  {record}");
    }
    if inside {
        let _ = writeln!(text, "  (the addresses are glue: some registrars ask for them as \"host\" or \"name server\" records)");
        let _ = writeln!(text, "If your registrar takes no glue, use a name outside {zone} instead: fourward init … --name gw.{parent}");
        let _ = writeln!(text, "  {zone}.  NS    gw.{parent}.      and A and AAAA of gw.{parent} as ordinary records");
    } else {
        let _ = writeln!(text, "  (all ordinary records; no glue is needed, since {name} is outside {zone})");
        let _ = writeln!(text, "Or, with glue and no name of its own: leave --name away, and the name server is gw.{zone}.");
    }
    let _ = writeln!(text, "\nIn the provider's firewall, open: 53/udp, 53/tcp, 80/tcp, 443/tcp, 443/udp.");
    let option = if args.config.as_os_str() == DEFAULT_CONFIG { String::new() } else { format!(" --config {}", args.config.display()) };
    let _ = writeln!(text, "Then start it:   systemctl enable --now fourward      (or, in the foreground: fourward run{option})");
    let _ = writeln!(text, "and add a host:  fourward host add cloud{option}");
    let _ = writeln!(
        text,
        "\nThe zone is signed (DNSSEC). For others to verify it:  fourward zone ds {zone}{option}  prints what to enter at the registrar."
    );
    let _ = writeln!(text, "\n{}", of_certificates(args, name));
    out::text(format_args!("{text}"))?;
    Ok(())
}
