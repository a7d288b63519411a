//! `config check`: parse and explain, starting nothing.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::{CliError, out};
use crate::config::{Agent, Config, Server};

pub(super) fn run(file: &Path, as_json: bool) -> Result<(), CliError> {
    let config = Config::read(file)?;
    if as_json {
        return out::json(&json!({ "ok": true, "config": file, "roles": roles(&config), "state": config.state }));
    }
    out::line(format_args!("{} is good.", file.display()))?;
    out::line(format_args!("state      {}", config.state.display()))?;
    if let Some(server) = &config.server {
        explain_server(server)?;
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

fn explain_server(server: &Server) -> Result<(), CliError> {
    let addresses: Vec<String> = server.addresses().map(|address| address.to_string()).collect();
    out::line(format_args!("public     {} at {}", server.public.name, addresses.join(", ")))?;
    if let Some(dns) = &server.dns {
        out::line(format_args!(
            "dns        answers for {} with a TTL of {} s; name servers {}",
            join(&dns.zones),
            dns.ttl,
            join(&dns.nameservers)
        ))?;
        if dns.listen.is_empty() {
            out::line(format_args!("           listens on the public addresses, port 53 (UDP and TCP)"))?;
        } else {
            out::line(format_args!("           listens on {} (UDP and TCP)", join(&dns.listen)))?;
        }
    }
    if let Some(gateway) = &server.gateway {
        out::line(format_args!("gateway    TLS on TCP {}, HTTP on TCP {}, links on UDP {}", gateway.tls, gateway.http, gateway.tls))?;
        out::line(format_args!(
            "           at most {} connections at once: {} of one IPv4 address or IPv6 /56, {} that have not said yet where they want to go",
            gateway.connections, gateway.per_network, gateway.half_open
        ))?;
        let resolvers = if gateway.resolver.is_empty() { "the name servers of /etc/resolv.conf".into() } else { join(&gateway.resolver) };
        out::line(format_args!("           asks {resolvers} whether an unlisted name is a CNAME of a host"))?;
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

fn urls(metrics: &[SocketAddr]) -> String {
    metrics.iter().map(|address| format!("http://{address}/metrics")).collect::<Vec<_>>().join(", ")
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
