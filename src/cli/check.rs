//! `check`: an examination of a name from end to end, told as findings.
//!
//! Where this machine stands is known by its configuration: the server's, a home's, or none. What is good is a line; a fault comes last,
//! with how it was found and what to do.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use fourward_core::api::{Checked, NOT_UNDERSTOOD, Reply, Request};
use fourward_core::check::{Asked, Finding, Gateway, Held, Report, View};
use fourward_core::name::{DnsName, HostName};

use super::client::ask_at;
use super::{CheckArgs, CliError, out, table};
use crate::check::{Known, Order, Word, examine, host_behind};
use crate::config::{Agent, Config, ConfigError, DEFAULT_CONFIG, Server};
use crate::listener::{self, Protocol, holder_of};

/// The agent counts packets for some seconds; who says nothing for longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: CheckArgs) -> Result<(), CliError> {
    let config = config(args.config.as_deref())?;
    let order = order(&args.name, config.as_ref()).await?;
    let name = order.known.dual.as_ref().unwrap_or(&order.name).to_string();
    let word = word(config.as_ref().filter(|_| order.view != View::Outside), name);
    let terminal = io::stderr().is_terminal();
    let report = examine(order, word, |doing| {
        if terminal {
            eprint!("\r\x1b[K{doing} …");
        }
    })
    .await;
    if terminal {
        eprint!("\r\x1b[K");
    }
    if args.json {
        out::json(&report)?
    } else {
        out::text(describe(&report))?
    }
    match report.faults().count() {
        0 => Ok(()),
        count => Err(CliError::Faults { name: args.name, count }),
    }
}

/// The configuration, if this machine has one. Who did not name it may lack the right to read it.
fn config(path: Option<&Path>) -> Result<Option<Config>, CliError> {
    match (path, Config::read(path.unwrap_or(Path::new(DEFAULT_CONFIG)))) {
        (_, Ok(config)) => Ok(Some(config)),
        (None, Err(ConfigError::Read { .. })) => Ok(None),
        (None, Err(error @ ConfigError::NotPermitted { .. })) => {
            eprintln!("{error}\nlooking as from outside meanwhile");
            Ok(None)
        }
        (_, Err(error)) => Err(error.into()),
    }
}

/// What to examine, and from where: a machine that has nothing to do with the name stands outside.
async fn order(text: &str, config: Option<&Config>) -> Result<Order, CliError> {
    if let Some(server) = config.and_then(|config| config.server.as_ref()) {
        return server_order(text, server).await;
    }
    if let Some(agent) = config.and_then(|config| config.agent.as_ref())
        && let Some(order) = home_order(text, agent)
    {
        return Ok(order);
    }
    let name: DnsName = text.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
    if name.labels().count() < 2 {
        return Err(CliError::Usage(format!("\"{name}\" is one label; from here give the whole name, like {name}.dyn.example.org")));
    }
    Ok(Order { name, view: View::Outside, known: Known::default() })
}

async fn server_order(text: &str, server: &Server) -> Result<Order, CliError> {
    let gateway = Gateway {
        name: Some(server.public.name.clone()),
        addresses: server.addresses().collect(),
        configured: true,
        tls: server.gateway.as_ref().map_or(443, |gateway| gateway.tls),
    };
    let nameservers = server.dns.as_ref().map(|dns| dns.nameservers.iter().cloned().collect()).unwrap_or_default();
    let known = |dual| Known { dual, zones: server.zones().to_vec(), nameservers, gateway: Some(gateway) };
    if let Ok(host) = HostName::parse(text, server.zones()) {
        return Ok(Order { name: host.dual(), view: View::Server, known: known(Some(host.dual())) });
    }
    let name: DnsName = text.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
    // The twin, or a domain of the user's own; of which host, the CNAME says, else the server.
    let dual = host_behind(&name).await.filter(|dual| server.zones().iter().any(|zone| dual.within(zone).is_some()));
    Ok(Order { name, view: View::Server, known: known(dual) })
}

fn home_order(text: &str, agent: &Agent) -> Option<Order> {
    let (label, zone) = agent.host.as_str().split_once('.')?;
    let name: DnsName = if text == label { agent.host.clone() } else { text.parse().ok()? };
    let twin = format!("{label}-ip6only.{zone}");
    let other_host = name.within(&zone.parse().ok()?).is_some() && name != agent.host && name.as_str() != twin;
    let gateway = agent.gateways.first()?;
    let gateway = Gateway {
        name: Some(gateway.name.clone()),
        addresses: agent.gateways.iter().flat_map(|gateway| gateway.addresses.iter().copied()).collect(),
        configured: true,
        tls: gateway.port(),
    };
    let known = Known { dual: Some(agent.host.clone()), gateway: Some(gateway), ..Known::default() };
    (!other_host).then_some(Order { name, view: View::Home, known })
}

/// Asks the server, or the agent, whichever `config` is of.
async fn word(config: Option<&Config>, name: String) -> Word {
    let Some(config) = config else { return Word { asked: Asked::Nobody, checked: Checked::default() } };
    let reply = ask_at(&config.control_socket(), &Request::Check { name }, PATIENCE).await;
    let asked = match reply {
        Ok(Reply::Checked(checked)) => return Word { asked: Asked::Answered, checked: *checked },
        Ok(_) | Err(CliError::OutOfTurn) => Asked::OtherVersion,
        Err(CliError::Refused(reason)) if reason.starts_with(NOT_UNDERSTOOD) => Asked::OtherVersion,
        Err(CliError::NotPermitted { .. }) => Asked::NotPermitted,
        Err(CliError::NoAnswer { source, .. }) if source.kind() == io::ErrorKind::TimedOut => Asked::Hangs,
        Err(CliError::NoAnswer { .. }) => Asked::NotRunning(config.server.as_ref().map(held).unwrap_or_default()),
        Err(error) => Asked::Refused(error.to_string()),
    };
    Word { asked, checked: Checked::default() }
}

/// The ports of `server` that others hold.
fn held(server: &Server) -> Vec<Held> {
    let mut ports = Vec::new();
    if let Some(dns) = &server.dns {
        let at = if dns.listen.is_empty() { listener::addresses(server.addresses(), 53) } else { dns.listen.clone() };
        ports.extend(at.iter().flat_map(|address| [(Protocol::Udp, *address), (Protocol::Tcp, *address)]));
    }
    if let Some(gateway) = &server.gateway {
        let at = |port| listener::addresses(server.addresses(), port);
        ports.extend(at(gateway.tls).into_iter().flat_map(|address| [(Protocol::Tcp, address), (Protocol::Udp, address)]));
        ports.extend(at(gateway.http).into_iter().map(|address| (Protocol::Tcp, address)));
    }
    let holder = |(protocol, address): (Protocol, std::net::SocketAddr)| {
        let holder = holder_of(protocol, address)?;
        let by = holder.pid.map_or_else(|| holder.program.clone(), |pid| format!("{} (process {pid})", holder.program));
        Some(Held { port: format!("{protocol} {address}"), by })
    };
    ports.into_iter().filter_map(holder).collect()
}

fn describe(report: &Report) -> String {
    let knows = match report.view {
        View::Server => "from the server, whose state it knows",
        View::Home => "from home, where it asks the agent, and the server through the link",
        View::Outside => "from outside, where there are names and connections only",
    };
    let (faults, others): (Vec<&Finding>, Vec<&Finding>) = report.findings.iter().partition(|finding| !finding.ok);
    let (notes, good): (Vec<&Finding>, Vec<&Finding>) = others.into_iter().partition(|finding| finding.note);
    let rows = |findings: &[&Finding], word: &str| {
        let row = |finding: &&Finding| {
            let why = if finding.what == "not judged" { format!("not judged: {}", finding.how) } else { finding.what.clone() };
            vec![word.to_owned(), finding.id.to_string(), why]
        };
        findings.iter().map(row).collect::<Vec<_>>()
    };
    let mut text = format!("{}, looked at {knows}\n\n", report.name);
    text.push_str(&table::columns(&[rows(&good, "good"), rows(&notes, "note")].concat()));
    for finding in notes.iter().filter(|finding| !finding.remedy.is_empty() && finding.what != "not judged") {
        text.push_str(&format!("\nnote   {}: {}\n  found  {}\n  to do  {}\n", finding.id, finding.what, finding.how, finding.remedy));
    }
    for finding in &faults {
        text.push_str(&format!("\nFAULT  {}: {}\n  found  {}\n  to do  {}\n", finding.id, finding.what, finding.how, finding.remedy));
    }
    text.push_str(&format!("\n{} good, {} of note, {}\n", good.len(), notes.len(), count(faults.len())));
    text
}

/// `count` faults, in words.
pub(super) fn count(count: usize) -> String {
    match count {
        0 => "no fault".into(),
        1 => "1 fault".into(),
        _ => format!("{count} faults"),
    }
}
