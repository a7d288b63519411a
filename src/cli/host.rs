//! `host add|set|list|show|remove|token`; `export` and `import` are `bulk`'s.

use std::net::IpAddr;

use fourward_core::api::{HostDetails, HostEntry, LinkStatus, Reply, Request, Secrets};
use fourward_core::host::{AddressFrom, Edit, Reported, Settings};
use fourward_core::name::DnsName;

use super::client::ask;
use super::table::columns;
use super::{CliError, HostCommand, ServerArgs, acme_dns, bulk, out, settings};

pub(super) async fn run(command: HostCommand) -> Result<(), CliError> {
    match command {
        HostCommand::Add { name, settings, reuse, server } => {
            let wanted = check(&settings)?;
            let secrets = secrets(&server, Request::HostAdd { host: name, edits: settings, reuse }).await?;
            let Some(secrets) = secrets else { return Ok(()) };
            out::line(format_args!("{} is added.\n", secrets.names.dual))?;
            print_names(&secrets)?;
            print_remarks(&secrets.remarks)?;
            for alias in &wanted.alias {
                out::line(format_args!(
                    "\nAt the registrar of your own domain, for {alias} to lead here:\n  {alias}.  CNAME  {}.",
                    secrets.names.dual
                ))?;
            }
            print_join(&secrets)?;
            settings::print(&secrets, wanted.address_from)
        }
        HostCommand::Token { name, acme_dns: true, server } => account(&server, name).await,
        HostCommand::Token { name, acme_dns: false, server } => {
            let secrets = secrets(&server, Request::HostToken { host: name }).await?;
            let Some(secrets) = secrets else { return Ok(()) };
            out::line(format_args!("{}: a new join string and a new update password; the old ones are void.", secrets.names.dual))?;
            out::line(format_args!("An agent that joined before stays linked until another one joins."))?;
            print_join(&secrets)?;
            settings::print(&secrets, AddressFrom::Link)
        }
        HostCommand::Set { name, settings, server } => {
            check(&settings)?;
            let Some(host) = details(&server, Request::HostSet { host: name, edits: settings }).await? else { return Ok(()) };
            print_changed(&host)
        }
        HostCommand::Show { name, server } => {
            let Some(host) = details(&server, Request::HostShow { host: name }).await? else { return Ok(()) };
            out::text(format_args!("{}", describe(&host)))?;
            print_remarks(&host.remarks)
        }
        HostCommand::Remove { name, server } => {
            let Some(host) = details(&server, Request::HostRemove { host: name }).await? else { return Ok(()) };
            print_removed(&host)
        }
        HostCommand::Export { server } => bulk::export(&server).await,
        HostCommand::Import { file, replace, reuse, server } => bulk::import(&file, replace, reuse, &server).await,
        HostCommand::List { server } => match ask(&server, &Request::HostList).await? {
            Reply::Hosts(hosts) if server.json => out::json(&hosts),
            Reply::Hosts(hosts) if hosts.is_empty() => {
                out::line(format_args!("There is no host yet. Create one: fourward host add cloud"))?;
                Ok(())
            }
            Reply::Hosts(hosts) => {
                out::text(format_args!("{}", list(&hosts)))?;
                Ok(())
            }
            _ => Err(CliError::OutOfTurn),
        },
    }
}

/// Finds misspelt settings and values before the server is asked: those are errors of usage. What the server has is its own word.
/// Returns what they come to on a new host.
fn check(settings: &[String]) -> Result<Settings, CliError> {
    let mut blank = Settings::default();
    for setting in settings {
        let edit: Edit = setting.parse()?;
        blank.edit(&edit)?;
    }
    Ok(blank)
}

/// `None` if it was printed as JSON.
async fn secrets(server: &ServerArgs, request: Request) -> Result<Option<Secrets>, CliError> {
    match ask(server, &request).await? {
        Reply::Secrets(secrets) if server.json => out::json(&secrets).map(|()| None),
        Reply::Secrets(secrets) => Ok(Some(secrets)),
        _ => Err(CliError::OutOfTurn),
    }
}

async fn account(server: &ServerArgs, host: String) -> Result<(), CliError> {
    match ask(server, &Request::HostAccount { host }).await? {
        // The very file that clients keep their accounts in.
        Reply::Account(account) if server.json => out::json(&account.accounts),
        Reply::Account(account) => acme_dns::print(&account),
        _ => Err(CliError::OutOfTurn),
    }
}

/// `None` if it was printed as JSON.
async fn details(server: &ServerArgs, request: Request) -> Result<Option<HostDetails>, CliError> {
    match ask(server, &request).await? {
        Reply::Host(host) if server.json => out::json(&host).map(|()| None),
        Reply::Host(host) => Ok(Some(*host)),
        _ => Err(CliError::OutOfTurn),
    }
}

fn print_changed(host: &HostDetails) -> Result<(), CliError> {
    out::line(format_args!("{} is changed.\n{}", host.names.dual, describe(host)))?;
    print_remarks(&host.remarks)?;
    if host.entry.address_from == AddressFrom::Update && host.entry.address.is_none() {
        out::line(format_args!(
            "Its address is what the next update says: have the client send one now (`ddclient -force`, `inadyn --force`)."
        ))?;
    }
    Ok(())
}

fn print_removed(host: &HostDetails) -> Result<(), CliError> {
    out::line(format_args!("{} is removed; its agent is shut out.", host.names.dual))?;
    out::line(format_args!("Its name is kept from new owners: give it out again with `fourward host add {} --reuse`.", host.entry.host))
}

fn print_remarks(remarks: &[String]) -> Result<(), CliError> {
    remarks.iter().try_for_each(|remark| out::line(format_args!("note: {remark}")))
}

fn print_names(secrets: &Secrets) -> Result<(), CliError> {
    let rows = [
        vec!["  for everyone".into(), secrets.names.dual.to_string(), "A = this gateway, AAAA = the home once it is known".into()],
        vec!["  IPv6 alone".into(), secrets.names.twin.to_string(), "AAAA = the home".into()],
    ];
    out::text(format_args!("{}", columns(&rows)))?;
    Ok(())
}

fn print_join(secrets: &Secrets) -> Result<(), CliError> {
    out::line(format_args!("\nAt home, within 24 hours and once, run `fourward join -` and paste this line:\n\n{}\n", secrets.join))?;
    Ok(())
}

/// A table of hosts for people.
pub(super) fn list(hosts: &[HostEntry]) -> String {
    let head = ["HOST", "ADDRESS", "FROM", "LINK", "PROVEN", "ALIASES"].map(str::to_owned).to_vec();
    let rows = hosts.iter().map(|host| {
        let aliases: Vec<String> = host.aliases.iter().map(ToString::to_string).collect();
        vec![
            host.host.clone(),
            host.address.map_or_else(|| "away".into(), |address| address.to_string()),
            source(host),
            link(host.link).into(),
            host.proven_at.map_or_else(|| "-".into(), |at| format!("{at:.0}")),
            if aliases.is_empty() { "-".into() } else { aliases.join(",") },
        ]
    });
    columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// Where a host's address comes from.
fn source(host: &HostEntry) -> String {
    let by = host.follows.as_deref().or(host.upstream.as_ref().map(DnsName::as_str));
    by.map_or_else(|| host.address_from.word().into(), |by| format!("by {by}"))
}

fn describe(host: &HostDetails) -> String {
    let entry = &host.entry;
    let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "-".into(), |at| format!("{at:.0}"));
    let aliases: Vec<String> = entry.aliases.iter().map(ToString::to_string).collect();
    let row = |name: &str, value: String| vec![format!("  {name}"), value];
    let shown = ["alias", "address", "address-from", "ttl"];
    let edits = host.settings.edits();
    let other = edits.iter().filter(|edit| !shown.contains(&edit.key())).map(|edit| row(edit.key(), edit.value().into()));
    let mut rows = vec![
        row("for everyone", host.names.dual.to_string()),
        row("IPv6 alone", host.names.twin.to_string()),
        row("address", entry.address.map_or_else(|| "away".into(), |address| address.to_string())),
        row("address-from", source(entry)),
        row("link", link(entry.link).into()),
        row("linked from", host.link_from.map_or_else(|| "-".into(), |from| from.to_string())),
        row("linked since", time(host.link_since)),
        row("last proof", time(entry.proven_at)),
        row("lease until", time(entry.lease_until)),
        row("router said", host.router.map_or_else(|| "-".into(), said)),
        row("alias", if aliases.is_empty() { "-".into() } else { aliases.join(",") }),
        row("ttl", host.settings.ttl.map_or_else(|| "the zone's".into(), |ttl| ttl.to_string())),
        row("join string", host.join_until.map_or_else(|| "none open".into(), |at| format!("good until {at:.0}"))),
    ];
    rows.extend(other);
    columns(&rows)
}

fn said(router: Reported) -> String {
    let addresses = [router.v4.map(IpAddr::V4), router.v6.map(IpAddr::V6)];
    let addresses: Vec<String> = addresses.into_iter().flatten().map(|address| address.to_string()).collect();
    format!("{} since {:.0}", addresses.join(", "), router.at)
}

fn link(status: LinkStatus) -> &'static str {
    match status {
        LinkStatus::NotJoined => "not joined",
        LinkStatus::Down => "down",
        LinkStatus::Up => "up",
        LinkStatus::Silent => "silent",
        LinkStatus::Conflict => "conflict: two agents with one key",
    }
}
