//! What the agent knows of itself, for whoever examines it: its owner by the control socket, the gateway by the link.
//!
//! The one examination that needs both ends is made here: packets that the gateway sends are counted as they come. Whether they pass the
//! home's router and the home's own firewall follows from that in core. One examination at a time; each costs a few connects.

use std::net::Ipv6Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fourward_core::api::Checked;
use fourward_core::facts::{BURST, HomeFacts, HostFacts, Own, SERVICES, short};
use fourward_core::link::{Protocol, Service};
use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::{netlink, probe};

/// As long as a burst takes, so that both see as much noise.
const QUIET: Duration = Duration::from_secs(1);

/// For the gateway's burst and the way to it.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks the link's session for the gateway's word.
pub(super) type Probes = mpsc::Sender<oneshot::Sender<HostFacts>>;

/// What the agent knows of itself.
#[derive(Debug)]
pub struct Condition {
    services: Vec<Service>,
    known: Mutex<Known>,
    one: Semaphore,
}

#[derive(Debug, Default)]
struct Known {
    claim: Option<Ipv6Addr>,
    linked: bool,
    /// There while the gateway can be asked.
    probes: Option<Probes>,
    trouble: Option<String>,
}

impl Condition {
    pub(super) fn new(services: Vec<Service>) -> Self {
        Self { services, known: Mutex::default(), one: Semaphore::new(1) }
    }

    pub(super) fn note_claim(&self, claim: Option<Ipv6Addr>) {
        self.known().claim = claim;
    }

    /// The link is up; by `probes` its gateway can be asked, if it is new enough.
    pub(super) fn note_linked(&self, probes: Option<Probes>) {
        let mut known = self.known();
        (known.linked, known.probes, known.trouble) = (true, probes, None);
    }

    pub(super) fn note_unlinked(&self) {
        let mut known = self.known();
        (known.linked, known.probes) = (false, None);
    }

    /// Why there is no link, or no address published; `None` once there is.
    pub(super) fn note_trouble(&self, trouble: Option<&str>) {
        self.known().trouble = trouble.map(short);
    }

    /// What is known of this home, and what its gateway says.
    pub async fn examine(&self) -> Checked {
        let _one = self.one.acquire().await;
        let (mut home, probes) = {
            let known = self.known();
            let (version, trouble) = (env!("CARGO_PKG_VERSION").into(), known.trouble.clone());
            let home = HomeFacts { version, claim: known.claim, linked: known.linked, trouble, ..HomeFacts::default() };
            (home, known.probes.clone())
        };
        if let Some(claim) = home.claim {
            home.services = self.own_services(claim).await;
            home.stable_privacy = netlink::is_stable_privacy(claim).await.ok().flatten();
        }
        let mut host = None;
        if let Some(probes) = probes {
            let (answer, burst) = probe::watch(BURST, QUIET, ask(probes)).await;
            home.burst = burst.ok().filter(|_| answer.is_some());
            host = answer;
        }
        Checked { host, home: Some(home), certificate: None }
    }

    async fn own_services(&self, claim: Ipv6Addr) -> Vec<Own> {
        let tcp = self.services.iter().filter(|service| service.protocol == Protocol::Tcp).map(|service| service.port).take(SERVICES);
        join_all(tcp.map(async |port| Own { port, listens: Some(probe::listens(claim, port).await) })).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each critical section leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(probes: Probes) -> Option<HostFacts> {
    let (answer, answered) = oneshot::channel();
    probes.try_send(answer).ok()?;
    timeout(PATIENCE, answered).await.ok()?.ok()
}
