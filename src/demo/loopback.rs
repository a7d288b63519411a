//! The demo where namespaces are not to be had: the same roles on this machine's loopback, told apart by port.
//!
//! Without a laptop and a renumbering: there is no LAN here, and no second address. The gateway and the home share `::1`, which
//! every other fourward refuses as a home; the hidden `run --loopback-demo` permits it and names the home's ports.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path as FilePath;

use super::clients::{self, Client, connector};
use super::figure::{Path, Report, Row};
use super::home_service::{HomeService, Identity, ServiceError};
use super::lookup::Family;
use super::namespace::Place;
use super::roles::Roles;
use super::{DemoError, Progress, World, setting};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The ports of the server's roles.
struct Ports {
    dns: u16,
    tls: u16,
    http: u16,
}

/// Half the figure, because of `reason`.
///
/// # Errors
/// It could not be set up. What went wrong for a client is in the report.
pub(super) async fn play(reason: &str, world: &mut World, progress: Progress) -> Result<Report, DemoError> {
    let World { roles, service, .. } = world;
    let identity = Identity::new(clients::NAME)?;
    let service = &*service.insert(HomeService::start(&Place::Here, V6, 0, 0, &identity)?);
    let ports = Ports::free().map_err(DemoError::Ports)?;
    let clients = cast(&ports, service, &identity)?;
    let [_, (phone6, _)] = &clients;
    set_up(&ports, service, roles, phone6, progress).await?;
    progress.say("fetching the page from phone4 and phone6");
    let mut rows = Vec::new();
    for (client, expected) in &clients {
        rows.push(visit(client, *expected).await);
    }
    roles.check().map_err(setting::SettingError::from)?;
    let home = SocketAddr::new(V6, service.tls).to_string();
    Ok(Report::new(rows, vec![home], SocketAddr::new(V4, ports.tls).to_string(), Some(reason.into())))
}

impl Ports {
    /// Ports that nobody has now, on all the addresses and protocols that the server will use.
    fn free() -> io::Result<Self> {
        // All are held until all are found, so that they differ.
        let (dns, tls, http) = (Held::new()?, Held::new()?, Held::new()?);
        Ok(Self { dns: dns.port, tls: tls.port, http: http.port })
    }
}

/// A port that is kept busy.
struct Held {
    port: u16,
    _sockets: (TcpListener, TcpListener, UdpSocket, UdpSocket),
}

impl Held {
    fn new() -> io::Result<Self> {
        // Another program may have one of the four by chance; that twenty in a row are half-taken is none.
        let mut tried = Self::attempt();
        for _ in 0..20 {
            if tried.is_ok() {
                break;
            }
            tried = Self::attempt();
        }
        tried
    }

    fn attempt() -> io::Result<Self> {
        let tcp = TcpListener::bind((V4, 0))?;
        let port = tcp.local_addr()?.port();
        Ok(Self { port, _sockets: (tcp, TcpListener::bind((V6, port))?, UdpSocket::bind((V4, port))?, UdpSocket::bind((V6, port))?) })
    }
}

fn cast(ports: &Ports, service: &HomeService, identity: &Identity) -> Result<[(Client, Path); 2], DemoError> {
    let tls = connector(identity.roots()).map_err(ServiceError::from)?;
    let client = |name, family, resolver, tls_port, http_port| Client {
        name,
        place: Place::Here,
        family,
        resolver: SocketAddr::new(resolver, ports.dns),
        tls_port,
        http_port,
        tls: tls.clone(),
    };
    Ok([
        (client("phone4", Family::V4, V4, ports.tls, ports.http), Path::Gateway),
        (client("phone6", Family::V6, V6, service.tls, service.http), Path::Direct),
    ])
}

async fn set_up(ports: &Ports, service: &HomeService, roles: &mut Roles, phone6: &Client, progress: Progress) -> Result<(), DemoError> {
    let flag = format!("--loopback-demo=tls={},http={}", service.tls, service.http);
    let flags = [OsStr::new(&flag)];
    let (vps, home) = (roles.folder().join("vps.toml"), roles.folder().join("home.toml"));
    progress.say("vps: fourward run, host add cloud");
    fs::write(&vps, server_config(ports, &roles.folder().join("vps.state"))).map_err(DemoError::Config)?;
    setting::start_server(roles, &Place::Here, &vps, &flags).await?;
    let join = setting::add_host(roles, &Place::Here, &vps).await?;
    progress.say("home: fourward join, run");
    setting::join_home(roles, &Place::Here, &home, &join).await?;
    setting::start_home(roles, &Place::Here, &home, &flags, phone6, V6).await?;
    Ok(())
}

/// What `init` would write, but for the ports, for which it has no options.
fn server_config(ports: &Ports, state: &FilePath) -> String {
    let Ports { dns, tls, http } = ports;
    // A path in TOML is a string with the same escapes as in Rust.
    format!(
        "state = {state:?}\n[public]\nipv4 = [\"{V4}\"]\nipv6 = [\"{V6}\"]\n\
         [dns]\nzones = [\"dyn.example.org\"]\nlisten = [\"{V4}:{dns}\", \"[{V6}]:{dns}\"]\n\
         [gateway]\ntls = {tls}\nhttp = {http}\n[control]\n"
    )
}

async fn visit(client: &Client, expected: Path) -> Row {
    // All share an address; who connected to the home shows by the port.
    let path = |peer: SocketAddr, own: SocketAddr| if peer == own { Path::Direct } else { Path::Gateway };
    let fetched = client.open().await;
    Row::new(client.name, expected, fetched.map(|fetched| (path(fetched.greeting.peer, fetched.own), fetched)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_are_free_for_all_that_the_server_opens() {
        let Ports { dns, tls, http } = Ports::free().unwrap();
        assert!(dns != tls && tls != http && http != dns);
        assert!(TcpListener::bind((V6, tls)).is_ok() && UdpSocket::bind((V4, dns)).is_ok());
    }

    #[test]
    fn the_servers_configuration_is_one() {
        let ports = Ports { dns: 5300, tls: 4430, http: 8000 };
        let text = server_config(&ports, FilePath::new("/tmp/a \"folder\"/state"));
        let config = crate::config::Config::parse(&text, FilePath::new("vps.toml")).unwrap();
        assert_eq!(config.state, FilePath::new("/tmp/a \"folder\"/state"));
        assert_eq!(config.server.unwrap().gateway.unwrap().tls, 4430);
    }
}
