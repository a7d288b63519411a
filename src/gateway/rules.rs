//! What a host's settings make of one connection: carried or refused, how many at once, and to which port.
//!
//! Judged once the host is known and before anything is dialled. What holds for relays that live already is `relays`'.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use fourward_core::host::{HomePort, Via};
use fourward_core::http_head::HttpHead;
use fourward_core::link::Protocol::Tcp;
use fourward_core::link::Service;
use fourward_core::name::{DnsName, HostName};
use fourward_core::proxy_protocol::ProxyProtocol;
use tracing::{debug, warn};

use super::dial::{DialError, Dialer, Home};
use super::refuse::{self, Alert};
use super::relays::Seat;
use super::{Protocol, Reason, Shared};
use crate::crowd::Undecided;
use crate::telemetry::Seldom;

/// Where certificate authorities look (RFC 8555 §8.3): the home's business, also where all else is redirected.
const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

/// What the ports are called that homes have open by default.
const TLS: u16 = 443;
const HTTP: u16 = 80;

/// What is short here is short for all homes.
static LOCAL_FAILURES: Seldom = Seldom::every(Duration::from_secs(60));

/// A client's home, and what else its relay needs.
pub(super) struct Led {
    pub(super) home: Home,
    pub(super) seat: Seat,
    /// What the home is to be told before.
    pub(super) proxy_protocol: ProxyProtocol,
}

/// What the settings say of a client that they let through.
struct Admitted {
    seat: Seat,
    home_port: HomePort,
    proxy_protocol: ProxyProtocol,
}

/// Why a client is not led home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The owner does not admit its address.
    Denied,
    /// As many as the owner permits are there.
    Full,
    /// It is to come back over TLS.
    Redirect,
    /// The home cannot be reached.
    Away,
    /// This machine cannot connect to anybody, or not to it: not the home's fault.
    Unable,
}

impl Refusal {
    /// What it counts as.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Self::Denied => Some(Reason::Denied),
            Self::Full => Some(Reason::Full),
            Self::Away | Self::Unable => Some(Reason::Away),
            Self::Redirect => None,
        }
    }

    /// What a client of TLS is told.
    pub(super) fn alert(self) -> Alert {
        match self {
            Self::Denied => Alert::AccessDenied,
            Self::Full | Self::Redirect | Self::Away | Self::Unable => Alert::InternalError,
        }
    }

    /// What a client of HTTP is told that asked for `name`.
    pub(super) fn page(self, head: &HttpHead, host: &HostName, name: &DnsName, tls: u16) -> Vec<u8> {
        match self {
            Self::Denied => refuse::forbidden(head, host),
            Self::Full => refuse::full(head, host),
            Self::Redirect => refuse::redirect(head, name, tls),
            Self::Away => refuse::away(head, host),
            Self::Unable => refuse::unable(head, host),
        }
    }
}

impl Shared {
    /// Whether the AAAA of `host` is ours, so that its clients come here over IPv6 too.
    pub(super) fn takes_ipv6(&self, host: &HostName) -> bool {
        self.store.snapshot().host(host).is_some_and(|host| host.settings.via == Via::Gateway)
    }

    /// The home of `host`, for a client at `client` that speaks `protocol` and, in HTTP, asks for `path`. It is `undecided` until nothing but the
    /// dial is between it and the home.
    pub(super) async fn lead(
        &self,
        host: &HostName,
        client: IpAddr,
        protocol: Protocol,
        path: Option<&str>,
        undecided: &mut Option<Undecided>,
    ) -> Result<Led, Refusal> {
        let Admitted { seat, home_port, proxy_protocol } = self.judge(host, client, path)?;
        drop(undecided.take());
        let ports = self.config.home_ports;
        // What the agent permits is the port that is dialled, whatever clients call it.
        let (own, usual, port) = match protocol {
            Protocol::Tls => (home_port.tls, TLS, ports.tls),
            Protocol::Http => (home_port.http, HTTP, ports.http),
        };
        let service = Service { protocol: Tcp, port: own.unwrap_or(usual) };
        let home = self.dial(host, client, service, own.unwrap_or(port)).await?;
        Ok(Led { home, seat, proxy_protocol })
    }

    /// The same for a client at a port that leads to `host`'s `service`.
    pub(super) async fn lead_to(
        &self,
        host: &HostName,
        client: IpAddr,
        service: Service,
        undecided: &mut Option<Undecided>,
    ) -> Result<Led, Refusal> {
        let Admitted { seat, .. } = self.judge(host, client, None)?;
        drop(undecided.take());
        let home = self.dial(host, client, service, service.port).await?;
        // The setting is for web servers: whoever is at another port would take it for the client's first words.
        Ok(Led { home, seat, proxy_protocol: ProxyProtocol::None })
    }

    /// A connection to `port` of `host`'s home, which must offer `service`.
    async fn dial(&self, host: &HostName, client: IpAddr, service: Service, port: u16) -> Result<Home, Refusal> {
        let (dials, patience) = (self.traffic.dials(), self.config.timeouts.dial);
        let dialer = Dialer { store: &self.store, leases: &self.leases, relays: &self.relays, upstreams: &self.upstreams, dials, patience };
        // Boxed: who has not said yet where it wants to go shall not hold the memory for it.
        match Box::pin(dialer.dial(host, client, service, port)).await {
            Ok(home) => Ok(home),
            Err(DialError::NotAdmitted(_)) => Err(Refusal::Denied),
            Err(error @ DialError::Local { .. }) => {
                if LOCAL_FAILURES.may(Instant::now()) {
                    warn!(%host, %error, "no home's fault");
                }
                Err(Refusal::Unable)
            }
            Err(error) => {
                self.tell(host, &error);
                Err(Refusal::Away)
            }
        }
    }

    /// A seat for the client, and how to dial, if the owner's settings let it through.
    fn judge(&self, host: &HostName, client: IpAddr, path: Option<&str>) -> Result<Admitted, Refusal> {
        let state = self.store.snapshot();
        let Some(settings) = state.host(host).map(|host| &host.settings) else { return Err(Refusal::Away) };
        if !settings.admits(client) {
            debug!(%host, %client, "not admitted");
            return Err(Refusal::Denied);
        }
        if settings.redirect && path.is_some_and(|path| !path.starts_with(ACME_CHALLENGE)) {
            return Err(Refusal::Redirect);
        }
        let Some(seat) = self.relays.seat(host, settings.max_connections) else {
            debug!(%host, %client, "full");
            return Err(Refusal::Full);
        };
        Ok(Admitted { seat, home_port: settings.home_port, proxy_protocol: settings.proxy_protocol })
    }

    /// What only somebody at home can mend is said aloud, once a link; clients could fill the log with all else.
    fn tell(&self, host: &HostName, error: &DialError) {
        let untold = || self.leases.presence(host).is_some_and(|presence| presence.tell());
        if matches!(error, DialError::NotOffered { .. }) && untold() {
            warn!(%host, %error, "away");
        } else {
            debug!(%host, %error, "away");
        }
    }
}
