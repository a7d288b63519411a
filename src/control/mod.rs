//! What the owner asks of the running server, and what its own name shows.
//!
//! Requests come over a Unix socket and become changes; answers are read from the snapshot and the leases. Whether a change is
//! allowed is `apply`'s word, not ours. Secrets are made here, shown once, and kept as digests.

mod bulk;
mod dyndns;
pub mod metrics;
mod own;
mod socket;
mod zone_export;
mod zones;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use fourward_core::api::{
    AcmeDns, AcmeDnsAccount, Checked, GatewayStatus, HostDetails, HostEntry, Names, Reply, Request, Secrets, Status, Update, ZoneStatus,
};
use fourward_core::change::Change;
use fourward_core::dnssec::{Algorithm, NotNow};
use fourward_core::facts::HostFacts;
use fourward_core::host::{Digest, Edit, Forward, Host, JoinSecret};
use fourward_core::join::{JoinString, Peer, Secret};
use fourward_core::link::{Protocol, Service};
use fourward_core::name::{DnsName, HostName, NameError, Role, role_in};
use fourward_core::state::State;
use jiff::{SignedDuration, Timestamp};

use crate::certificate::Shown;
use crate::config::{Dns, Server};
use crate::crypto::{self, KeyError};
use crate::examination::{self, link_status};
use crate::gateway::Traffic;
use crate::leases::Leases;
use crate::store::{CommitError, Store};
use zone_export::Exports;

pub use dyndns::{Outcomes, Updates};
pub use own::{OwnPage, PageError};
pub(crate) use socket::CLIENTS;
pub use socket::{ControlSocket, SocketError};

/// Long enough to walk to the machine at home, short enough that a forgotten terminal is no open door.
const JOIN_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// Services that an agent lacks are named so far: a range of ports is one omission.
const MISSING: usize = 5;

/// Answers the owner.
pub struct Control {
    server: Server,
    pin: Digest,
    store: Store,
    leases: Arc<Leases>,
    traffic: Arc<Traffic>,
    certificate: Option<Arc<Shown>>,
    exports: Exports,
}

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Edit(#[from] fourward_core::host::EditError),
    #[error("there is no host {0}; `fourward host list` shows those that are")]
    UnknownHost(HostName),
    #[error("{0} is not served here; the configuration's dns.zones lists the zones that are")]
    UnknownZone(DnsName),
    #[error("this export of {0} was begun too long ago; begin it anew")]
    Stale(DnsName),
    #[error("{0} is not signed: the configuration has dns.dnssec = false; take that out and restart the server")]
    Unsigned(DnsName),
    #[error(transparent)]
    Rollover(#[from] NotNow),
    #[error(transparent)]
    Random(#[from] KeyError),
    #[error("a host cannot be written as a line: {0}")]
    Line(#[from] serde_json::Error),
}

impl Control {
    /// A control whose join strings pin `pin`; `certificate` is what our own name shows, where there is a gateway.
    pub fn new(
        server: Server,
        pin: Digest,
        store: Store,
        leases: Arc<Leases>,
        traffic: Arc<Traffic>,
        certificate: Option<Arc<Shown>>,
    ) -> Arc<Self> {
        Arc::new(Self { server, pin, store, leases, traffic, certificate, exports: Exports::default() })
    }

    /// Carries out `request`.
    pub async fn answer(&self, request: Request) -> Reply {
        match self.carry_out(request).await {
            Ok(reply) => reply,
            Err(Failure::Commit(error @ CommitError::Stopped { .. })) => Reply::Failed(error.to_string()),
            Err(error @ (Failure::Random(_) | Failure::Line(_))) => Reply::Failed(error.to_string()),
            Err(refused) => Reply::Refused(refused.to_string()),
        }
    }

    async fn carry_out(&self, request: Request) -> Result<Reply, Failure> {
        let at = Timestamp::now();
        match request {
            Request::HostAdd { host, edits, reuse } => {
                let (host, edits) = (self.host(&host)?, parse(&edits)?);
                self.secrets(host, |host, join, update| Change::Add { host, edits, join, update, reuse }).await
            }
            Request::HostToken { host } => self.secrets(self.host(&host)?, |host, join, update| Change::Token { host, join, update }).await,
            Request::HostAccount { host } => self.account(self.host(&host)?).await,
            Request::HostSet { host, edits } => {
                let host = self.host(&host)?;
                let state = self.store.commit(Change::Set { host: host.clone(), edits: parse(&edits)? }).await?;
                self.details(&state, host)
            }
            Request::HostRemove { host } => {
                let host = self.host(&host)?;
                let before = self.details(&self.store.snapshot(), host.clone())?;
                self.store.commit(Change::Remove { host, at }).await?;
                Ok(before)
            }
            Request::HostExport { after } => self.export(after.as_ref()),
            Request::HostImport { lines, replace, reuse } => self.import(&lines, replace, reuse).await,
            Request::HostShow { host } => self.details(&self.store.snapshot(), self.host(&host)?),
            Request::HostList => Ok(Reply::Hosts(self.entries(&self.store.snapshot()))),
            Request::ZoneDs { zone } => zones::show(&self.store.snapshot(), self.signed(zone)?.0),
            Request::ZoneExport { zone, after } => self.zone_page(zone, after),
            Request::ZoneRoll { zone, parent } => {
                let (zone, algorithm) = self.signed(zone)?;
                zones::roll(&self.store, zone, algorithm, &parent, at).await
            }
            Request::Status => Ok(Reply::Status(self.status())),
            Request::Check { name } => self.check(&name).await,
        }
    }

    /// The zone, and how a new key of it signs.
    fn signed(&self, zone: DnsName) -> Result<(DnsName, Algorithm), Failure> {
        match self.serving(&zone)?.dnssec {
            None => Err(Failure::Unsigned(zone)),
            Some(algorithm) => Ok((zone, algorithm)),
        }
    }

    /// What is configured of the name server, if it serves `zone`.
    fn serving(&self, zone: &DnsName) -> Result<&Dns, Failure> {
        let dns = self.server.dns.as_ref().filter(|dns| dns.zones.contains(zone));
        dns.ok_or_else(|| Failure::UnknownZone(zone.clone()))
    }

    /// The host that `text` names. One whose zone is served no longer goes by its whole name.
    fn host(&self, text: &str) -> Result<HostName, NameError> {
        let kept = |(label, zone): (&str, &str)| HostName::new(label, zone.parse().ok()?).ok();
        let kept = text.split_once('.').and_then(kept).filter(|host| self.store.snapshot().host(host).is_some());
        kept.map_or_else(|| HostName::parse(text, self.server.zones()), Ok)
    }

    /// What is known here of the host that is called `text`, and what its agent knows of itself.
    async fn check(&self, text: &str) -> Result<Reply, Failure> {
        let name = self.called(text)?;
        let unknown = || Failure::UnknownHost(name.clone());
        let asked = match self.leases.presence(&name) {
            Some(presence) => examination::ask(&presence).await,
            None => None,
        };
        // Only then: a home that has just come back is proven meanwhile, and perhaps by another link.
        let facts = examination::host_facts(&self.store, &self.leases, &name).ok_or_else(unknown)?;
        let (host, home) = match asked {
            Some(examined) => (HostFacts { dials: examined.dials, ..facts }, Some(examined.home)),
            None => (examination::dial(facts, &self.leases, self.leases.presence(&name).as_deref()).await, None),
        };
        let client = self.server.public.ipv4.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let host = examination::dial_from_source(host, &self.store, client.into()).await;
        Ok(Reply::Checked(Box::new(Checked { host: Some(host), home, certificate: self.certificate.as_ref().map(|shown| shown.status()) })))
    }

    /// The host that is called `text` by any of its names.
    fn called(&self, text: &str) -> Result<HostName, NameError> {
        let state = self.store.snapshot();
        let Ok(name) = text.parse::<DnsName>() else { return self.host(text) };
        let zone = state.zones().map(|(zone, _)| zone).find(|zone| name.within(zone).is_some());
        match (state.alias(&name), zone.and_then(|zone| role_in(&name, zone))) {
            (Some(host), _) => Ok(host.clone()),
            (None, Some(Role::Twin(host) | Role::Router(host))) => Ok(host),
            _ => self.host(text),
        }
    }

    /// Makes new secrets for `host` and commits them.
    async fn secrets(&self, host: HostName, change: impl FnOnce(HostName, JoinSecret, Digest) -> Change) -> Result<Reply, Failure> {
        let join = crypto::random()?;
        let password = crypto::random_text::<16>()?;
        let secret = JoinSecret { secret: crypto::sha256(&join), expires: Timestamp::now() + JOIN_LIFE, spent_by: None };
        let state = self.store.commit(change(host.clone(), secret, crypto::sha256(password.as_bytes()))).await?;
        let join = JoinString { gateways: vec![self.peer()], host: host.dual(), secret: Secret::new(join) };
        let update = Update { url: self.update_url(), user: self.short(&host), password, router: host.router() };
        let remarks = state.host(&host).map(|known| self.remarks(&state, &host, known)).unwrap_or_default();
        let (short, names) = (self.short(&host), names(&host));
        let certificate = self.certificate.as_ref().map(|shown| shown.status());
        Ok(Reply::Secrets(Secrets { host: short, names, join: join.reveal(), update, remarks, certificate }))
    }

    /// Makes a new account for the TXT record of `host` alone.
    async fn account(&self, host: HostName) -> Result<Reply, Failure> {
        // As long as acme-dns makes them.
        let key = crypto::random_text::<20>()?;
        let state = self.store.commit(Change::ProofKey { host: host.clone(), key: crypto::sha256(key.as_bytes()) }).await?;
        let user = self.short(&host);
        let account = AcmeDnsAccount {
            username: user.clone(),
            password: key,
            fulldomain: host.challenge()?,
            subdomain: user,
            server_url: self.url(),
            allowfrom: Vec::new(),
        };
        let aliases = state.host(&host).map(|host| host.settings.alias.clone()).unwrap_or_default();
        let accounts = aliases.into_iter().chain([host.dual()]).map(|name| (name, account.clone())).collect();
        let certificate = self.certificate.as_ref().map(|shown| shown.status());
        Ok(Reply::Account(AcmeDns { host: host.dual(), accounts, certificate }))
    }

    /// Where routers and update clients go.
    fn update_url(&self) -> String {
        format!("{}/nic/update", self.url())
    }

    /// Our own name over HTTPS, without a path.
    fn url(&self) -> String {
        let port = self.server.gateway.as_ref().map(|gateway| gateway.tls).filter(|port| *port != 443);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("https://{}{port}", self.server.public.name)
    }

    /// This gateway, as a home knows it.
    fn peer(&self) -> Peer {
        let v6 = self.server.public.ipv6.iter().copied().map(Into::into);
        let v4 = self.server.public.ipv4.iter().copied().map(Into::into);
        let port = self.server.gateway.as_ref().map(|gateway| gateway.tls).filter(|port| *port != 443);
        Peer { name: self.server.public.name.clone(), addresses: v6.chain(v4).collect(), pins: vec![self.pin], port }
    }

    /// A host's label in the first zone, its whole name elsewhere.
    fn short(&self, host: &HostName) -> String {
        if self.server.zones().first() == Some(host.zone()) { host.label().to_owned() } else { host.dual().to_string() }
    }

    fn status(&self) -> Status {
        let state = self.store.snapshot();
        let counts = self.traffic.counts();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            zones: self.zones(&state),
            gateway: GatewayStatus { connections: counts.open, bytes: counts.to_homes + counts.to_clients },
            hosts: self.entries(&state),
            certificate: self.certificate.as_ref().map(|shown| shown.status()),
        }
    }

    fn zones(&self, state: &State) -> Vec<ZoneStatus> {
        let served = state.zones().filter(|(name, _)| self.server.zones().contains(name));
        served.map(|(name, zone)| ZoneStatus { name: name.clone(), serial: zone.serial.0 }).collect()
    }

    fn entries(&self, state: &State) -> Vec<HostEntry> {
        state.hosts().map(|(name, host)| self.entry(state, name, host)).collect()
    }

    fn details(&self, state: &State, name: HostName) -> Result<Reply, Failure> {
        let Some(host) = state.host(&name) else { return Err(Failure::UnknownHost(name)) };
        let presence = self.leases.presence(&name);
        let join = host.credentials.join;
        let details = HostDetails {
            entry: self.entry(state, &name, host),
            names: names(&name),
            settings: host.settings.clone(),
            link_from: presence.as_ref().map(|presence| presence.remote()),
            router: host.router,
            link_since: presence.as_ref().map(|presence| presence.since),
            remarks: self.remarks(state, &name, host),
            join_until: Some(join.expires).filter(|expires| join.spent_by.is_none() && *expires > Timestamp::now()),
        };
        Ok(Reply::Host(Box::new(details)))
    }

    /// What the settings of `host` do not do, and what its agent does not let them do.
    fn remarks(&self, state: &State, name: &HostName, host: &Host) -> Vec<String> {
        let offered = self.leases.presence(name).map(|presence| presence.services.clone());
        let ports = host.settings.home_port;
        let dialled = [ports.tls, ports.http].into_iter().flatten().map(|port| Service { protocol: Protocol::Tcp, port });
        let dialled = dialled.chain(host.settings.forward.iter().flat_map(Forward::services));
        let missing = dialled.filter(|service| offered.as_ref().is_some_and(|offered| !offered.contains(service))).take(MISSING);
        let missing = missing.map(|service| {
            format!("its agent does not offer {service}, so the gateway opens nothing there: add it to services under [agent] at home, and restart the agent")
        });
        let alone = host.settings.follows.as_deref().filter(|leader| state.host_by(name.zone(), leader).is_none());
        let alone = alone.map(|leader| format!("it follows {leader}, which is no host here: it has no address until that one is added"));
        let (deaf, unresolved) = (self.traffic.deaf(name), self.leases.resolved.trouble(name));
        host.settings.remarks().into_iter().map(str::to_owned).chain(missing).chain(alone).chain(deaf).chain(unresolved).collect()
    }

    fn entry(&self, state: &State, name: &HostName, host: &Host) -> HostEntry {
        // A follower lives by its leader's lease.
        let (voucher, by) = state.voucher_of(name, host);
        let lease = self.leases.lease(&voucher).filter(|_| by.by_link());
        let proven = by.proven.filter(|_| by.by_link());
        let left = lease.map(|lease| lease.until.saturating_duration_since(Instant::now()));
        HostEntry {
            host: self.short(name),
            address: state.home(name),
            address_from: host.settings.address_from,
            follows: host.settings.follows.clone(),
            upstream: host.settings.upstream.clone(),
            proven_at: lease.map(|lease| lease.proven_at).or(proven.map(|proven| proven.since)),
            lease_until: left.and_then(|left| SignedDuration::try_from(left).ok()).map(|left| Timestamp::now() + left),
            carrier: host.settings.carrier,
            aliases: host.settings.alias.clone(),
            link: link_status(&self.leases, &voucher, by),
        }
    }
}

fn names(host: &HostName) -> Names {
    Names { dual: host.dual(), twin: host.twin() }
}

fn parse(edits: &[String]) -> Result<Vec<Edit>, Failure> {
    Ok(edits.iter().map(|edit| edit.parse()).collect::<Result<_, _>>()?)
}
