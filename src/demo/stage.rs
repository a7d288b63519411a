//! The whole figure: every machine in a namespace of its own, clients 1, 3 and 4, and a renumbering.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::clients::{Client, FetchError, connector};
use super::figure::{Path, Report, Row};
use super::home_service::{HomeService, Identity, PHOTO_LENGTH, ServiceError};
use super::lookup::Family;
use super::namespace::Ground;
use super::roles::Roles;
use super::setting;
use super::topology::{Delegation, Machine, Topology, TopologyError, VPS_V4, VPS_V6};
use super::{DemoError, Progress, World, clients};

/// The home's prefix when the demo begins.
const BEFORE: Delegation = Delegation(1);

/// The home's prefix after the renumbering.
const AFTER: Delegation = Delegation(2);

/// Whoever is not back by then is not coming back.
const CUT_OFF_LIMIT: Duration = Duration::from_secs(5);

/// The figure, played from `ground`.
///
/// # Errors
/// It could not be set up. What went wrong for a client is in the report.
pub(super) async fn play(ground: &Ground, world: &mut World, progress: Progress) -> Result<Report, DemoError> {
    let World { roles, topology, service } = world;
    progress.say("laying cables between seven machines");
    let topology = &*topology.insert(Topology::build(ground, BEFORE).await?);
    let identity = Identity::new(clients::NAME)?;
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    service.replace(HomeService::start(&topology.server.place, any, 443, 80, &identity)?);
    let clients = cast(topology, &identity)?;
    set_up(topology, roles, &clients, progress).await?;
    progress.say("fetching the page from phone4, phone6 and laptop");
    let mut rows = Vec::new();
    for (client, expected) in &clients {
        rows.push(first_visit(topology, client, *expected).await?);
    }
    progress.say("giving the home another prefix");
    renumber(topology, &clients, &mut rows).await?;
    roles.check().map_err(setting::SettingError::from)?;
    let homes = [BEFORE, AFTER].map(|delegation| delegation.server().to_string());
    Ok(Report::new(rows, homes.into(), VPS_V4.to_string(), None))
}

/// Clients 1, 3 and 4 with the paths that the figure gives them.
fn cast(topology: &Topology, identity: &Identity) -> Result<[(Client, Path); 3], DemoError> {
    let tls = connector(identity.roots()).map_err(ServiceError::from)?;
    let client = |name, machine: &Machine, family, resolver: IpAddr| Client {
        name,
        place: machine.place.clone(),
        family,
        resolver: SocketAddr::new(resolver, 53),
        tls_port: 443,
        http_port: 80,
        tls: tls.clone(),
    };
    Ok([
        (client("phone4", &topology.phone4, Family::V4, VPS_V4.into()), Path::Gateway),
        (client("phone6", &topology.phone6, Family::V6, VPS_V6.into()), Path::Direct),
        (client("laptop", &topology.laptop, Family::V6, VPS_V6.into()), Path::Lan),
    ])
}

async fn set_up(topology: &Topology, roles: &mut Roles, clients: &[(Client, Path); 3], progress: Progress) -> Result<(), DemoError> {
    let [_, (phone6, _), _] = clients;
    let (vps, home) = (&topology.vps.place, &topology.server.place);
    let (config, state) = (roles.folder().join("vps.toml"), roles.folder().join("vps.state"));
    progress.say("vps: fourward init, run, host add cloud");
    let (v4, v6) = (VPS_V4.to_string(), VPS_V6.to_string());
    let init = ["init", "--zone", "dyn.example.org", "--ipv4", &v4, "--ipv6", &v6, "--no-acme"].map(OsStr::new);
    let files = ["--config".as_ref(), config.as_os_str(), "--state".as_ref(), state.as_os_str()];
    roles.command(vps, &[&init[..], &files].concat(), "").await.map_err(setting::SettingError::from)?;
    setting::start_server(roles, vps, &config, &[]).await?;
    let join = setting::add_host(roles, vps, &config).await?;
    progress.say("home: fourward join, run");
    let config = roles.folder().join("home.toml");
    setting::join_home(roles, home, &config, &join).await?;
    setting::start_home(roles, home, &config, &[], phone6, BEFORE.server().into()).await?;
    Ok(())
}

/// The first visit of `client`, watched at the home's line.
async fn first_visit(topology: &Topology, client: &Client, expected: Path) -> Result<Row, TopologyError> {
    let before = topology.wan_bytes().await?;
    let fetched = client.open().await;
    let crossed = topology.wan_bytes().await?.saturating_sub(before);
    Ok(Row::new(client.name, expected, fetched.map(|fetched| (path(fetched.greeting.peer, fetched.own, crossed), fetched))))
}

/// The path of a photo that the home sent to `peer`, asked for by `own`, while the home's line counted `crossed` bytes.
fn path(peer: SocketAddr, own: SocketAddr, crossed: u64) -> Path {
    let crossed = crossed > PHOTO_LENGTH as u64 / 2;
    match (peer == own, crossed) {
        (true, true) => Path::Direct,
        (true, false) => Path::Lan,
        (false, true) if peer.ip() == IpAddr::V6(VPS_V6) => Path::Gateway,
        (false, _) => Path::Unknown,
    }
}

/// Changes the home's prefix, and notes how long each client was without it.
async fn renumber(topology: &Topology, clients: &[(Client, Path); 3], rows: &mut [Row]) -> Result<(), DemoError> {
    let (begins, began) = watch::channel(None);
    let back = |client: &Client| {
        let (client, mut began) = (client.clone(), began.clone());
        async move {
            // Nothing begins if the change fails before.
            let start = began.wait_for(Option::is_some).await.ok().and_then(|start| *start).ok_or(FetchError::Late)?;
            let fetched = client.fetch_from(AFTER.server().into(), start + CUT_OFF_LIMIT).await?;
            Ok::<_, FetchError>(fetched.first_byte.duration_since(start))
        }
    };
    let [(phone4, _), (phone6, _), (laptop, _)] = clients;
    let change = topology.renumber(BEFORE, AFTER, move || {
        begins.send_replace(Some(Instant::now()));
    });
    let (changed, first, second, third) = tokio::join!(change, back(phone4), back(phone6), back(laptop));
    changed.map_err(TopologyError::from)?;
    for (row, lasted) in rows.iter_mut().zip([first, second, third]) {
        row.cut_off(lasted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_by_who_came_and_what_the_line_counted() {
        let [phone, gateway] = ["[2001:db8:6::6]:40000", "[2001:db8:a::11]:40000"].map(|text| text.parse::<SocketAddr>().unwrap());
        let photo = PHOTO_LENGTH as u64;
        assert_eq!(path(phone, phone, photo), Path::Direct);
        assert_eq!(path(phone, phone, 4_000), Path::Lan);
        assert_eq!(path(gateway, phone, photo), Path::Gateway);
        assert_eq!(path("[2001:db8:6::7]:40000".parse().unwrap(), phone, photo), Path::Unknown, "nobody of ours");
    }
}
