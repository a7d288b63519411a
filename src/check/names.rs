//! Asks about a name as the world does: from the zone above down to our name server, and this machine's resolver beside it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fourward_core::check::{Answers, Dnssec, Gateway, NameServer, Names, Parent, Referral, Resolved, Said};
use fourward_core::dnssec::{Ds, Parent as ParentKeys, key_tag};
use fourward_core::name::{APEX_TWIN, DnsName, TWIN_SUFFIX};
use fourward_core::reply::{Data, Question, Record, Reply};
use fourward_core::wire::{Rcode, Type};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{CONNECT, HTTPS};
use crate::probe;
use crate::resolver::{self, AskError, Over, Resolvers};

/// For one question, with one repetition.
const QUESTION: Duration = Duration::from_millis(2_500);

/// As many CNAMEs as resolvers follow.
const CNAMES: usize = 10;

/// Name servers of the zone above that are asked, and addresses of ours.
const SERVERS: usize = 6;

/// Where name servers listen.
const PORT: u16 = 53;

/// What a configuration says.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The name for everyone.
    pub dual: Option<DnsName>,
    /// The zones that are served; empty where only the server knows.
    pub zones: Vec<DnsName>,
    /// The zone's name servers, where they are configured.
    pub nameservers: BTreeSet<DnsName>,
    /// Where the gateway is, which serves the zone too.
    pub gateway: Option<Gateway>,
}

impl Known {
    /// With `dual` out of one of its zones.
    pub(super) fn with_zone(self) -> Self {
        let zone = self.dual.as_ref().and_then(|dual| self.zones.iter().find(|zone| dual.within(zone).is_some())).cloned();
        Self { zones: zone.into_iter().collect(), ..self }
    }
}

/// Asks until `until`.
pub(super) async fn gather(name: &DnsName, known: &Known, until: Instant) -> (Names, Gateway) {
    let asker = Asker { resolvers: Resolvers::system(Vec::new()), until };
    let (resolved, zone) = match &known.dual {
        Some(dual) => tokio::join!(asker.resolve(name), asker.zone(dual, known)),
        None => {
            let resolved = asker.resolve(name).await;
            let zone = asker.zone(&dual_of(end_of(&resolved, name)), known).await;
            (resolved, zone)
        }
    };
    let dual = known.dual.clone().unwrap_or_else(|| dual_of(end_of(&resolved, name)));
    let (parent, servers) = match &known.gateway {
        Some(gateway) => tokio::join!(asker.parent(&zone), asker.servers(&zone, gateway.addresses.clone())),
        None => {
            let parent = asker.parent(&zone).await;
            let addresses = asker.addresses_of(&zone, parent.as_ref().map(referred).unwrap_or_default()).await;
            (parent, asker.servers(&zone, addresses).await)
        }
    };
    let (dnssec, (own, mut nameservers, primary)) =
        tokio::join!(asker.dnssec(&zone, parent.as_ref(), &servers), asker.own(&zone, &dual, &servers));
    if !known.nameservers.is_empty() {
        nameservers.clone_from(&known.nameservers);
    }
    let gateway = match &known.gateway {
        Some(gateway) => gateway.clone(),
        None => asker.gateway(primary, own.as_ref()).await,
    };
    let twin = twin_of(&dual, &zone);
    let names = Names { dual: Some(dual), twin, zone: Some(zone), parent, nameservers, servers, own, dnssec, resolved: Some(resolved) };
    (names, gateway)
}

/// What the zone above says of the keys of `zone`; each of its name servers that answers must say the same.
pub async fn keys_above(zone: &DnsName) -> ParentKeys {
    let asker = Asker { resolvers: Resolvers::system(Vec::new()), until: Instant::now() + QUESTION * 3 };
    let Some((_, servers)) = asker.servers_above(zone).await else { return ParentKeys::Unknown };
    let said = join_all(servers.into_iter().map(async |server| asker.ds(server, zone).await)).await;
    let silent = said.iter().any(Option::is_none);
    let mut said = said.into_iter().flatten();
    match said.next() {
        // That there is none counts only where nobody might say otherwise.
        Some(first) if said.all(|other| other == first) && !(first.is_empty() && silent) => ParentKeys::Says(first),
        _ => ParentKeys::Unknown,
    }
}

fn end_of<'a>(resolved: &'a Result<Resolved, String>, name: &'a DnsName) -> &'a DnsName {
    resolved.as_ref().ok().and_then(|resolved| resolved.end.as_ref()).unwrap_or(name)
}

/// The host's name for everyone that `name` leads to by CNAMEs, as this machine's resolver says.
pub async fn host_behind(name: &DnsName) -> Option<DnsName> {
    let asker = Asker { resolvers: Resolvers::system(Vec::new()), until: Instant::now() + QUESTION };
    asker.resolve(name).await.ok()?.end.map(|end| dual_of(&end))
}

/// The name for everyone beside `name`, which may be the twin.
fn dual_of(name: &DnsName) -> DnsName {
    let Some((label, rest)) = name.as_str().split_once('.') else { return name.clone() };
    let dual = match label.strip_suffix(TWIN_SUFFIX) {
        Some(label) if !label.is_empty() => format!("{label}.{rest}"),
        _ if label == APEX_TWIN => rest.to_owned(),
        _ => return name.clone(),
    };
    dual.parse().unwrap_or_else(|_| name.clone())
}

fn twin_of(dual: &DnsName, zone: &DnsName) -> Option<DnsName> {
    match dual.within(zone)? {
        "" => zone.child(APEX_TWIN).ok(),
        label => zone.child(&format!("{label}{TWIN_SUFFIX}")).ok(),
    }
}

fn above(name: &DnsName) -> Option<DnsName> {
    name.as_str().split_once('.')?.1.parse().ok()
}

/// The addresses in `records`, of `owner` where that is given.
fn addresses(records: &[Record], owner: Option<&DnsName>) -> BTreeSet<IpAddr> {
    let of = |record: &&Record| owner.is_none() || record.owner.as_ref() == owner;
    records.iter().filter(of).filter_map(address).collect()
}

fn address(record: &Record) -> Option<IpAddr> {
    match record.data {
        Data::A(v4) => Some(v4.into()),
        Data::Aaaa(v6) => Some(v6.into()),
        _ => None,
    }
}

fn v4(reply: &Reply, owner: &DnsName) -> BTreeSet<Ipv4Addr> {
    addresses(&reply.answer, Some(owner))
        .into_iter()
        .filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None })
        .collect()
}

fn v6(reply: &Reply, owner: &DnsName) -> BTreeSet<Ipv6Addr> {
    addresses(&reply.answer, Some(owner))
        .into_iter()
        .filter_map(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None })
        .collect()
}

fn ns_of(records: &[Record], zone: &DnsName) -> BTreeSet<DnsName> {
    let ns = |record: &Record| match &record.data {
        Data::Ns(server) if record.owner.as_ref() == Some(zone) => Some(server.clone()),
        _ => None,
    };
    records.iter().filter_map(ns).collect()
}

/// The owner of the SOA that a reply has anywhere: the zone that the name is in.
fn soa_owner(reply: &Reply) -> Option<&DnsName> {
    let mut records = reply.answer.iter().chain(&reply.authority);
    records.find(|record| matches!(record.data, Data::Soa(_))).and_then(|record| record.owner.as_ref())
}

/// Who serves a zone, as the zone above says it.
type Told = (BTreeSet<DnsName>, BTreeSet<(DnsName, IpAddr)>);

fn referred(parent: &Parent) -> Told {
    let mut all = Told::default();
    for (_, said) in &parent.asked {
        if let Referral::To { servers, glue } = said {
            all.0.extend(servers.iter().cloned());
            all.1.extend(glue.iter().cloned());
        }
    }
    all
}

struct Asker {
    resolvers: Resolvers,
    until: Instant,
}

impl Asker {
    fn deadline(&self) -> Instant {
        self.until.min(Instant::now() + QUESTION)
    }

    async fn ask(&self, server: IpAddr, name: &DnsName, kind: Type, over: Over) -> Result<Reply, AskError> {
        let question = Question { name: name.clone(), kind, recursion: false };
        resolver::ask(SocketAddr::new(server, PORT), &question, over, self.deadline()).await
    }

    async fn resolve(&self, name: &DnsName) -> Result<Resolved, String> {
        let deadline = self.deadline();
        let (a, aaaa) = tokio::join!(self.resolvers.ask(name, Type::A, deadline), self.resolvers.ask(name, Type::AAAA, deadline));
        let (a, aaaa) = (a.map_err(|error| error.to_string())?, aaaa.map_err(|error| error.to_string())?);
        let (Some(chain), Some(chain6)) = (a.chain(name, CNAMES), aaaa.chain(name, CNAMES)) else {
            return Ok(Resolved { rcode: a.rcode, end: None, a: BTreeSet::new(), aaaa: BTreeSet::new(), ttl: 0 });
        };
        let ttl = aaaa.answer.iter().filter(|record| matches!(record.data, Data::Aaaa(_))).map(|record| record.ttl).min();
        // A circle is mostly not shown, but a failure.
        let rcode = if a.rcode == Rcode::NOERROR { aaaa.rcode } else { a.rcode };
        Ok(Resolved { rcode, a: v4(&a, &chain.end), aaaa: v6(&aaaa, &chain6.end), ttl: ttl.unwrap_or(0), end: Some(chain.end) })
    }

    /// The zone of `dual`: as configured, as the gateway says, as the resolver says; else the name above, since a host is one label.
    async fn zone(&self, dual: &DnsName, known: &Known) -> DnsName {
        if let Some(zone) = known.zones.iter().find(|zone| dual.within(zone).is_some()) {
            return zone.clone();
        }
        let guess = above(dual).unwrap_or_else(|| dual.clone());
        if let Some(gateway) = &known.gateway {
            let reachable = gateway.addresses.iter().copied().filter(|address| probe::has_route(*address));
            let asked = reachable.map(|address| self.ask(address, dual, Type::SOA, Over::Either));
            // Whichever answers first: a family that is broken shall cost no time here.
            let mut said = asked.collect::<FuturesUnordered<_>>();
            while let Some(reply) = said.next().await {
                if let Some(zone) = reply.as_ref().ok().filter(|reply| reply.authoritative).and_then(soa_owner) {
                    return zone.clone();
                }
            }
            return guess;
        }
        let said = self.resolvers.ask(dual, Type::SOA, self.deadline()).await;
        match said.as_ref().ok().map(|reply| (reply.rcode, soa_owner(reply))) {
            // There is no such name: the zone that was to have it may be what is missing.
            Some((Rcode::NOERROR, Some(owner))) if dual.within(owner).is_some() => owner.clone(),
            _ => guess,
        }
    }

    /// The zone above `zone`, and what it says of it.
    async fn parent(&self, zone: &DnsName) -> Option<Parent> {
        let (at, servers) = self.servers_above(zone).await?;
        let asked = servers.into_iter().map(async |address| (address, self.referral(address, zone).await));
        Some(Parent { zone: Some(at), asked: join_all(asked).await })
    }

    /// What `server`, of the zone above, says of the keys of `zone`; `None` if it says nothing.
    async fn ds(&self, server: IpAddr, zone: &DnsName) -> Option<BTreeSet<Ds>> {
        let reply = self.ask(server, zone, Type::DS, Over::Either).await.ok()?;
        let ds = |record: &Record| match &record.data {
            Data::Ds(ds) if record.owner.as_ref() == Some(zone) => Some(ds.clone()),
            _ => None,
        };
        let speaks = reply.authoritative && matches!(reply.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        speaks.then(|| reply.answer.iter().filter_map(ds).collect())
    }

    /// How `zone` is vouched for: what the zone above says where it leads to it, and what the first of `servers` shows that speaks for it.
    async fn dnssec(&self, zone: &DnsName, parent: Option<&Parent>, servers: &[NameServer]) -> Option<Dnssec> {
        let (server, over) = servers.iter().find_map(speaks)?;
        let leads = parent?.asked.iter().filter(|(_, said)| matches!(said, Referral::To { .. }));
        let (above, keys) =
            tokio::join!(join_all(leads.map(async |(server, _)| self.ds(*server, zone).await)), self.ask(server, zone, Type::DNSKEY, over));
        let mut above = above.into_iter().flatten().peekable();
        above.peek()?;
        let key = |record: &Record| match &record.data {
            Data::Dnskey(key) => Some((key_tag(key.iter()), *key.get(3)?)),
            _ => None,
        };
        Some(Dnssec { above: above.flatten().collect(), keys: keys.ok()?.answer.iter().filter_map(key).collect() })
    }

    /// The zone above `zone`, and where its name servers are that can be asked from here.
    async fn servers_above(&self, zone: &DnsName) -> Option<(DnsName, Vec<IpAddr>)> {
        let mut at = above(zone)?;
        let servers = loop {
            let reply = self.resolvers.ask(&at, Type::NS, self.deadline()).await.ok()?;
            let servers = ns_of(&reply.answer, &at);
            if !servers.is_empty() {
                break servers;
            }
            at = above(&at)?;
        };
        let found = join_all(servers.iter().take(SERVERS).map(|server| self.look_up(server))).await;
        let reachable: BTreeSet<IpAddr> = found.into_iter().flatten().filter(|address| probe::has_route(*address)).collect();
        Some((at, reachable.into_iter().take(SERVERS).collect()))
    }

    /// Who serves `zone`, as the resolver says.
    async fn nameservers(&self, zone: &DnsName) -> BTreeSet<DnsName> {
        let reply = self.resolvers.ask(zone, Type::NS, self.deadline()).await;
        reply.map(|reply| ns_of(&reply.answer, zone)).unwrap_or_default()
    }

    async fn referral(&self, server: IpAddr, zone: &DnsName) -> Referral {
        let Ok(reply) = self.ask(server, zone, Type::NS, Over::Either).await else { return Referral::Silent };
        let mut servers = ns_of(&reply.answer, zone);
        servers.extend(ns_of(&reply.authority, zone));
        match reply.rcode {
            Rcode::NOERROR if !servers.is_empty() => {
                let glue = reply.additional.iter().filter_map(|record| Some((record.owner.clone()?, address(record)?)));
                Referral::To { glue: glue.filter(|(owner, _)| servers.contains(owner)).collect(), servers }
            }
            Rcode::NOERROR | Rcode::NXDOMAIN => Referral::None,
            _ => Referral::Silent,
        }
    }

    /// The addresses of `name`, by the resolver.
    async fn look_up(&self, name: &DnsName) -> BTreeSet<IpAddr> {
        let deadline = self.deadline();
        let (a, aaaa) = tokio::join!(self.resolvers.ask(name, Type::A, deadline), self.resolvers.ask(name, Type::AAAA, deadline));
        a.iter().chain(aaaa.iter()).flat_map(|reply| addresses(&reply.answer, None)).collect()
    }

    /// Where the zone above leads: the glue, else what the resolver says of the name servers. Whoever cannot see that zone asks the
    /// resolver for these too.
    async fn addresses_of(&self, zone: &DnsName, (mut servers, glue): Told) -> BTreeSet<IpAddr> {
        if servers.is_empty() {
            servers = self.nameservers(zone).await;
        }
        let without = servers.iter().filter(|server| !glue.iter().any(|(owner, _)| owner == *server)).take(SERVERS);
        let found = join_all(without.map(|server| self.look_up(server))).await;
        glue.iter().map(|(_, address)| *address).chain(found.into_iter().flatten()).collect()
    }

    async fn servers(&self, zone: &DnsName, addresses: BTreeSet<IpAddr>) -> Vec<NameServer> {
        join_all(addresses.into_iter().take(SERVERS).map(async |address| {
            if !probe::has_route(address) {
                return NameServer { address, udp: Said::NoRoute, tcp: Said::NoRoute, machine: fourward_core::facts::Connect::NoRoute };
            }
            let (udp, tcp, machine) = tokio::join!(
                self.ask(address, zone, Type::SOA, Over::Udp),
                self.ask(address, zone, Type::SOA, Over::Tcp),
                probe::connect((address, HTTPS).into(), CONNECT)
            );
            NameServer { address, udp: said(udp, zone), tcp: said(tcp, zone), machine }
        }))
        .await
    }

    /// What the first of `servers` says that speaks for `zone`: about `dual` and its twin, the name servers, and the primary among them.
    async fn own(&self, zone: &DnsName, dual: &DnsName, servers: &[NameServer]) -> (Option<Answers>, BTreeSet<DnsName>, Option<DnsName>) {
        let Some((at, over)) = servers.iter().find_map(speaks) else { return (None, BTreeSet::new(), None) };
        let twin = twin_of(dual, zone).unwrap_or_else(|| dual.clone());
        let (a, aaaa, twin_a, twin_aaaa, ns, soa) = tokio::join!(
            self.ask(at, dual, Type::A, over),
            self.ask(at, dual, Type::AAAA, over),
            self.ask(at, &twin, Type::A, over),
            self.ask(at, &twin, Type::AAAA, over),
            self.ask(at, zone, Type::NS, over),
            self.ask(at, zone, Type::SOA, over)
        );
        let nameservers = ns.map(|reply| ns_of(&reply.answer, zone)).unwrap_or_default();
        let primary = soa.ok().and_then(|reply| {
            reply.answer.iter().find_map(|record| if let Data::Soa(soa) = &record.data { soa.primary.clone() } else { None })
        });
        let (Ok(a), Ok(aaaa), Ok(twin_a), Ok(twin_aaaa)) = (a, aaaa, twin_a, twin_aaaa) else { return (None, nameservers, primary) };
        let inside: BTreeSet<&DnsName> = nameservers.iter().chain(&primary).filter(|name| name.within(zone).is_some()).collect();
        let known = join_all(inside.into_iter().map(async |name| {
            let (a, aaaa) = tokio::join!(self.ask(at, name, Type::A, over), self.ask(at, name, Type::AAAA, over));
            let all: Vec<IpAddr> = a.iter().chain(aaaa.iter()).flat_map(|reply| addresses(&reply.answer, Some(name))).collect();
            all.into_iter().map(|address| (name.clone(), address)).collect::<Vec<_>>()
        }))
        .await;
        let answers = Answers {
            server: Some(at),
            exists: a.rcode == Rcode::NOERROR && !(a.answer.is_empty() && aaaa.answer.is_empty()),
            ttl: a.answer.iter().chain(&aaaa.answer).map(|record| record.ttl).min().unwrap_or(0),
            a: v4(&a, dual),
            aaaa: v6(&aaaa, dual),
            twin_exists: twin_aaaa.rcode == Rcode::NOERROR,
            twin_a: v4(&twin_a, &twin),
            twin_aaaa: v6(&twin_aaaa, &twin),
            servers: known.into_iter().flatten().collect(),
        };
        (Some(answers), nameservers, primary)
    }

    /// The gateway, where no configuration tells of it: the zone's primary name server.
    async fn gateway(&self, primary: Option<DnsName>, own: Option<&Answers>) -> Gateway {
        let Some(name) = primary else { return Gateway { tls: HTTPS, ..Gateway::default() } };
        let inside: BTreeSet<IpAddr> =
            own.iter().flat_map(|own| &own.servers).filter(|(owner, _)| *owner == name).map(|(_, address)| *address).collect();
        let addresses = if inside.is_empty() { self.look_up(&name).await } else { inside };
        Gateway { name: Some(name), addresses, configured: false, tls: HTTPS }
    }
}

/// How it can be asked, if it speaks for the zone.
fn speaks(server: &NameServer) -> Option<(IpAddr, Over)> {
    match (&server.udp, &server.tcp) {
        (Said::Authority, _) => Some((server.address, Over::Either)),
        (_, Said::Authority) => Some((server.address, Over::Tcp)),
        _ => None,
    }
}

fn said(answer: Result<Reply, AskError>, zone: &DnsName) -> Said {
    match answer {
        Ok(reply) if reply.authoritative && reply.rcode == Rcode::NOERROR && soa_owner(&reply) == Some(zone) => Said::Authority,
        Ok(reply) if reply.rcode == Rcode::REFUSED => Said::Else("it refuses (REFUSED)".into()),
        Ok(reply) if !reply.authoritative => Said::Else("it answers, but not as an authority".into()),
        Ok(reply) => Said::Else(format!("it answers with rcode {}", reply.rcode.0)),
        Err(AskError::Closed { .. }) => Said::Closed,
        Err(AskError::Silent { .. }) => Said::Silent,
        Err(AskError::Nonsense { source, .. }) => Said::Else(source.to_string()),
        Err(AskError::Io { source, .. }) => match probe::outcome(Err(source)) {
            fourward_core::facts::Connect::NoRoute => Said::NoRoute,
            fourward_core::facts::Connect::Refused => Said::Closed,
            _ => Said::Silent,
        },
        Err(AskError::Random(error)) => Said::Else(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    #[test]
    fn the_names_of_a_host_are_told_from_each_other() {
        for (given, dual) in [
            ("cloud.dyn.example.org", "cloud.dyn.example.org"),
            ("cloud-ip6only.dyn.example.org", "cloud.dyn.example.org"),
            ("ip6only.dyn.example.org", "dyn.example.org"),
            ("org", "org"),
        ] {
            assert_eq!(dual_of(&name(given)), name(dual), "{given}");
        }
        assert_eq!(twin_of(&name("cloud.b.org"), &name("b.org")), Some(name("cloud-ip6only.b.org")));
        assert_eq!(twin_of(&name("b.org"), &name("b.org")), Some(name("ip6only.b.org")));
        assert_eq!(twin_of(&name("a.org"), &name("b.org")), None);
    }
}
