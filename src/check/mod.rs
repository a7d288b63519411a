//! `fourward check`: looks at a name from where this machine stands. What it comes to is judged in core.
//!
//! The names first, while the server or the agent is asked; then the ways to where they lead, so that our own connects do not fall into the
//! counting of packets at home. Everything has a deadline, and all of them together one.

mod names;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use fourward_core::api::Checked;
use fourward_core::check::{Asked, Gateway, Names, OwnName, Path, Report, Seen, Tls, View};
use fourward_core::facts::Connect;
use fourward_core::name::DnsName;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::probe::{self, tls};
use crate::{agent, crypto};

pub use names::{Known, host_behind, keys_above};

/// For the names; what is not known by then stays unknown.
const NAMES: Duration = Duration::from_secs(7);

/// For one connect, with one SYN sent anew.
const CONNECT: Duration = Duration::from_millis(2_500);

/// For the link's port, with a packet lost.
const LINK: Duration = Duration::from_secs(3);

/// The port of HTTPS for every client.
const HTTPS: u16 = 443;

/// What is examined, and from where.
pub struct Order {
    /// The name that was given.
    pub name: DnsName,
    /// From where it is looked.
    pub view: View,
    /// What a configuration says of it.
    pub known: Known,
}

/// What came of asking the server's or the agent's socket.
pub struct Word {
    /// How that went.
    pub asked: Asked,
    /// What it said.
    pub checked: Checked,
}

/// Examines, while `word` is asked for; `progress` hears what is being done.
pub async fn examine(order: Order, word: impl Future<Output = Word>, progress: impl Fn(&str)) -> Report {
    progress("asking name servers");
    let until = Instant::now() + NAMES;
    // Where only the server knows whose name it is, it is asked first.
    let (word, (names, gateway)) = if order.known.dual.is_none() && order.view == View::Server {
        let word = word.await;
        let known = Known { dual: word.checked.host.as_ref().map(|host| host.dual.clone()), ..order.known.clone() };
        let known = known.with_zone();
        (word, names::gather(&order.name, &known, until).await)
    } else {
        tokio::join!(word, names::gather(&order.name, &order.known, until))
    };
    progress("connecting");
    let linked = word.checked.home.as_ref().is_some_and(|home| home.linked);
    let (own_name, link_port) = tokio::join!(own_name(&order, &names, &gateway), link_port(&order, &gateway, linked));
    let mut seen = Seen {
        ipv4: has_ipv4(),
        ipv6: has_ipv6(),
        now: Timestamp::now(),
        asked: word.asked,
        host: word.checked.host,
        home: word.checked.home,
        name: order.name,
        view: order.view,
        gateway,
        names,
        paths: Vec::new(),
        own_name: OwnName { status: word.checked.certificate, ..own_name },
        link_port,
    };
    // What goes round would go round for us too, and not end by itself.
    if seen.returns().is_none() {
        seen.paths = paths(&seen).await;
    }
    Report::of(&seen)
}

/// Any address of the Internet will do: none is asked, the kernel only says whether it knows a way.
fn has_ipv4() -> bool {
    probe::has_route(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
}

fn has_ipv6() -> bool {
    probe::has_route(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))
}

/// What TLS shows for the gateway's own name: at the gateway, and from outside at the home too. Others have the server's word.
async fn own_name(order: &Order, names: &Names, gateway: &Gateway) -> OwnName {
    let Some(name) = &gateway.name else { return OwnName::default() };
    let visit = async |address: Option<IpAddr>, port, name: &DnsName| {
        let address = address.filter(|address| probe::has_route(*address))?;
        Some(tls::visit((address, port).into(), name).await)
    };
    let there = gateway.addresses.iter().copied().find(|address| probe::has_route(*address));
    let home = names.own.as_ref().filter(|_| order.view == View::Outside).and_then(|own| own.twin_aaaa.first().copied().map(IpAddr::V6));
    let home = home.filter(|home| !gateway.addresses.contains(home));
    // Beside the gateway's name: a certificate for all names of the zone is for this one too.
    let beside = |random: [u8; 8]| {
        let (_, zone) = name.as_str().split_once('.')?;
        format!("nobody-{:016x}.{zone}", u64::from_be_bytes(random)).parse().ok()
    };
    let nobody: Option<DnsName> = crypto::random().ok().and_then(beside);
    let nobody = nobody.as_ref().unwrap_or(name);
    let (gateway, home, nobody) = tokio::join!(visit(there, gateway.tls, name), visit(home, HTTPS, name), visit(home, HTTPS, nobody));
    OwnName { gateway, home, nobody, status: None }
}

/// What clients find at the first A and the first AAAA, as the name itself has them, else as the resolver says.
async fn paths(seen: &Seen) -> Vec<Path> {
    let (name, names, gateway) = (&seen.name, &seen.names, &seen.gateway);
    let resolved = names.resolved.as_ref().and_then(|resolved| resolved.as_ref().ok());
    let own = names.own.as_ref().filter(|own| own.exists);
    let twin = Some(name) == names.twin.as_ref();
    let a = own.map(|own| &own.a).or(resolved.map(|resolved| &resolved.a)).and_then(BTreeSet::first).filter(|_| !twin);
    let aaaa = own.map(|own| &own.aaaa).or(resolved.map(|resolved| &resolved.aaaa)).and_then(BTreeSet::first);
    // A domain of the user's own may lead elsewhere than it should; that is where its clients go.
    let foreign = names.dual.as_ref() != Some(name) && !twin;
    let a = resolved.filter(|_| foreign).and_then(|resolved| resolved.a.first()).or(a);
    let to = |address: IpAddr| if gateway.addresses.contains(&address) { gateway.tls } else { HTTPS };
    let targets = a.map(|a| IpAddr::V4(*a)).into_iter().chain(aaaa.map(|aaaa| IpAddr::V6(*aaaa)));
    join_all(targets.map(async |address| {
        if !probe::has_route(address) {
            return Path { address, tls: Tls::No(Connect::NoRoute), http: Connect::NoRoute };
        }
        let (tls, http) = tokio::join!(tls::visit((address, to(address)).into(), name), probe::connect((address, 80).into(), CONNECT));
        Path { address, tls, http }
    }))
    .await
}

/// Whether the link's port answers, where that is to be learnt from here: a home that is linked knows, and a server cannot.
async fn link_port(order: &Order, gateway: &Gateway, linked: bool) -> Vec<(IpAddr, bool)> {
    let Some(name) = gateway.name.as_ref().filter(|_| !linked && order.view != View::Server) else { return Vec::new() };
    let reachable = gateway.addresses.iter().copied().filter(|address| probe::has_route(*address));
    join_all(reachable.map(async |address| (address, agent::answers(name, address, gateway.tls, LINK).await))).await
}
