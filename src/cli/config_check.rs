//! `config check`: parse and explain, starting nothing.

use std::net::SocketAddr;
use std::path::Path;

use fourward_core::api::CertificateSource;
use fourward_core::transfer::Secondary;
use serde_json::json;

use super::{CliError, out};
use crate::certificate::{Certificate, Files, authorities};
use crate::config::{Agent, Config, Dns, Key, Server};
use crate::dns::Keys;

pub(super) fn run(file: &Path, as_json: bool) -> Result<(), CliError> {
    let config = Config::read(file)?;
    let certificate = config.server.as_ref().map(read_files).transpose()?.flatten();
    if as_json {
        return out::json(
            &json!({ "ok": true, "config": file, "roles": roles(&config), "state": config.state, "certificate": source(&config) }),
        );
    }
    out::line(format_args!("{} is good.", file.display()))?;
    out::line(format_args!("state      {}", config.state.display()))?;
    if let Some(server) = &config.server {
        explain_server(server, certificate.as_ref())?;
    }
    if let Some(agent) = &config.agent {
        explain_agent(agent)?;
    }
    Ok(())
}

fn roles(config: &Config) -> Vec<&'static str> {
    let server = config.server.as_ref();
    let present = [
        ("dns", server.is_some_and(|server| server.dns.is_some())),
        ("gateway", server.is_some_and(|server| server.gateway.is_some())),
        ("agent", config.agent.is_some()),
    ];
    present.into_iter().filter(|(_, present)| *present).map(|(role, _)| role).collect()
}

/// Where the certificate of the server's own name is to come from.
fn source(config: &Config) -> Option<CertificateSource> {
    let server = config.server.as_ref().filter(|server| server.gateway.is_some())?;
    Some(match (&server.control.certificate, &server.acme) {
        (Some(_), _) => CertificateSource::Files,
        (None, Some(_)) => CertificateSource::Acme,
        (None, None) => CertificateSource::SelfSigned,
    })
}

fn explain_server(server: &Server, certificate: Option<&Certificate>) -> Result<(), CliError> {
    let addresses: Vec<String> = server.addresses().map(|address| address.to_string()).collect();
    out::line(format_args!("public     {} at {}", server.public.name, addresses.join(", ")))?;
    if let Some(dns) = &server.dns {
        out::line(format_args!(
            "dns        answers for {} with a TTL of {} s; name servers {}",
            join(&dns.zones),
            dns.ttl,
            join(&dns.nameservers)
        ))?;
        match dns.dnssec {
            Some(algorithm) => out::line(format_args!("           signs them (DNSSEC), with new keys by {}", algorithm.name()))?,
            None => out::line(format_args!("           does not sign them (dnssec = false): no DS may be at the registrar"))?,
        }
        if dns.listen.is_empty() {
            out::line(format_args!("           listens on the public addresses, port 53 (UDP and TCP)"))?;
        } else {
            out::line(format_args!("           listens on {} (UDP and TCP)", join(&dns.listen)))?;
        }
        explain_keys(dns)?;
    }
    if let Some(gateway) = &server.gateway {
        out::line(format_args!("gateway    TLS on TCP {}, HTTP on TCP {}, links on UDP {}", gateway.tls, gateway.http, gateway.tls))?;
        out::line(format_args!(
            "           at most {} connections at once: {} of one IPv4 address or IPv6 /56, {} that have not said yet where they want to go",
            gateway.connections, gateway.per_network, gateway.half_open
        ))?;
        let resolvers = if gateway.resolver.is_empty() { "the name servers of /etc/resolv.conf".into() } else { join(&gateway.resolver) };
        out::line(format_args!("           asks {resolvers} whether an unlisted name is a CNAME of a host"))?;
        if let Some(prefix) = gateway.source_prefix {
            out::line(format_args!(
                "           sends from {prefix}, with the client's IPv4 address at its end; see that `ip -6 route` has it as local"
            ))?;
        }
        let t = &gateway.timeouts;
        out::line(format_args!(
            "           waits {} s for a hello, {} s for a home, {} s for a byte ({} s half-closed), {} s to drain",
            t.hello.as_secs(),
            t.dial.as_secs(),
            t.idle.as_secs(),
            t.half_closed.as_secs(),
            t.drain.as_secs()
        ))?;
        let plain = if server.control.http_updates { ", and over plain HTTP, where everyone on the way reads the password" } else { "" };
        out::line(format_args!("control    takes updates of routers at https://{}/nic/update{plain}", server.public.name))?;
        explain_certificate(server, certificate)?;
    }
    if !server.control.metrics.is_empty() {
        let metrics = &server.control.metrics;
        out::line(format_args!("metrics    for Prometheus at {}", urls(metrics)))?;
        if metrics.iter().any(|address| !address.ip().to_canonical().is_loopback()) {
            out::line(format_args!("           not on this machine alone: everyone who can reach that address reads them"))?;
        }
    }
    Ok(())
}

/// Who may change records by DNS, and who has the zones.
fn explain_keys(dns: &Dns) -> Result<(), CliError> {
    for Key { name, algorithm, grant, .. } in &dns.keys {
        let Some(grant) = grant else { continue };
        let types: Vec<&str> = grant.types.iter().map(|one| one.word()).collect();
        out::line(format_args!("           lets {name} ({}) update {} of {}", algorithm.word(), types.join(", "), grant.host))?;
    }
    for Secondary { address, key } in &dns.secondaries {
        match key {
            Some(key) => out::line(format_args!("           gives the zones to who has the key {key}, and tells {address} of changes"))?,
            None => out::line(format_args!("           gives the zones to {}, and tells {address} of changes", address.ip()))?,
        }
    }
    Ok(())
}

fn urls(metrics: &[SocketAddr]) -> String {
    metrics.iter().map(|address| format!("http://{address}/metrics")).collect::<Vec<_>>().join(", ")
}

/// Reads the files that the configuration names: what cannot be used is found here and not by the clients. The owner's certificate, if there is one.
fn read_files(server: &Server) -> Result<Option<Certificate>, CliError> {
    if let Some(root) = server.acme.as_ref().and_then(|acme| acme.root.as_ref()) {
        authorities("acme.root", root)?;
    }
    if let Some(dns) = &server.dns {
        Keys::read(&dns.keys)?;
    }
    Ok(server.control.certificate.as_ref().map(Files::read).transpose()?)
}

fn explain_certificate(server: &Server, certificate: Option<&Certificate>) -> Result<(), CliError> {
    let name = &server.public.name;
    if let (Some(files), Some(certificate)) = (&server.control.certificate, certificate) {
        let until = certificate.good().until;
        out::line(format_args!("           shows the certificate in {}, good until {until:.0}", files.certificate.display()))?;
        if let Some(fault) = certificate.fault(name, jiff::Timestamp::now()) {
            out::line(format_args!("           warning: {fault}"))?;
        }
        if server.acme.is_some() {
            out::line(format_args!("acme       orders nothing, because control.certificate is there"))?;
        }
        return Ok(());
    }
    let Some(acme) = &server.acme else {
        return out::line(format_args!("           shows a self-signed certificate: there is no [acme] and no control.certificate"));
    };
    let inside = server.zones().iter().any(|zone| name.within(zone).is_some());
    let how = if inside { "DNS, in the zone served here" } else { "HTTP, which needs port 80 of that name" };
    let to = acme.email.as_ref().map(|email| format!("; it may write to {email}")).unwrap_or_default();
    out::line(format_args!("acme       orders a certificate for {name} at {}{to}", acme.directory))?;
    out::line(format_args!("           proves the name by {how}"))?;
    Ok(())
}

fn explain_agent(agent: &Agent) -> Result<(), CliError> {
    out::line(format_args!("agent      speaks for {}", agent.host))?;
    for gateway in &agent.gateways {
        out::line(format_args!("           gateway {} at {}", gateway.name, join(&gateway.addresses)))?;
    }
    out::line(format_args!("           offers {}", join(&agent.services)))?;
    let wish = &agent.wish;
    let fixed = [
        wish.target.map(|target| format!("the address {target}")),
        wish.interface.as_ref().map(|interface| format!("an address of {interface}")),
        wish.suffix.map(|suffix| format!("the suffix {suffix}")),
    ];
    let fixed: Vec<String> = fixed.into_iter().flatten().collect();
    out::line(format_args!("           publishes {}", if fixed.is_empty() { "its best global address".into() } else { fixed.join(", ") }))?;
    Ok(())
}

fn join<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
