//! Names that are listed nowhere here and are CNAMEs of a host: its owner's domain needs no setting on the gateway.
//!
//! Strangers choose the names, so they choose what is asked of the resolver and kept here: both have their bounds, by the
//! sender's network and overall (`known`), and what is beyond them counts as unknown at once. Nothing that is learned here says
//! where to connect to: a host's address comes from the store alone. Listed names never come this way.

mod budget;
mod known;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fourward_core::name::DnsName;
use fourward_core::route;
use fourward_core::wire::Type;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use crate::listener::network_of;
use crate::resolver::{Chased, Resolvers};
use crate::store::Store;
pub(super) use known::ASKED;
use known::{Found, Known, Verdict};

/// For all questions about one name: most of what a client's hello leaves of its 5 s.
const LOOKUP: Duration = Duration::from_secs(3);

/// Between two lines in the log about resolvers that do not answer.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// The names that DNS leads here.
#[derive(Clone)]
pub(super) struct Aliases(Arc<Shared>);

struct Shared {
    resolvers: Arc<Resolvers>,
    store: Store,
    known: Mutex<Known>,
}

/// A lookup under way; whatever ends it, the next client may ask again.
struct Asking {
    shared: Arc<Shared>,
    name: DnsName,
    network: IpAddr,
}

impl Aliases {
    pub(super) fn new(resolvers: Arc<Resolvers>, store: Store) -> Self {
        Self(Arc::new(Shared { resolvers, store, known: Mutex::default() }))
    }

    /// The name in a zone of ours that `name` is another name of, for a client who may wait `until` then. `None` where it is none,
    /// where nobody knows in time, and where `client` has asked too much.
    pub(super) async fn end_of(&self, name: &DnsName, client: IpAddr, until: Instant) -> Option<DnsName> {
        // A name without a dot is a machine of somebody's own network.
        name.labels().nth(1)?;
        let network = network_of(client);
        let verdict = self.0.known().verdict(name, network, Instant::now().into_std());
        let (mut answer, last) = match verdict {
            Verdict::Known(end) => return end,
            Verdict::Asked { answer, last } => (answer, last),
            Verdict::Ask { done, answer, last } => {
                let asking = Asking { shared: Arc::clone(&self.0), name: name.clone(), network };
                // A task of its own: others wait for the answer too, and this client may leave.
                tokio::spawn(asking.run(done));
                (answer, last)
            }
        };
        match timeout_at(until, answer.wait_for(Option::is_some)).await {
            Ok(Ok(end)) => end.clone().flatten(),
            Ok(Err(_)) | Err(_) => last,
        }
    }
}

impl Asking {
    async fn run(self, done: watch::Sender<Option<Option<DnsName>>>) {
        let found = self.shared.follow(&self.name, Instant::now() + LOOKUP).await;
        let end = self.shared.known().settle(&self.name, self.network, found, Instant::now().into_std());
        // Not which: see `tcp`.
        debug!(?end, "asked DNS for an unlisted name");
        done.send_replace(Some(end));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.shared.known().over(&self.name);
    }
}

impl Shared {
    /// Follows `name` to where it ends. `None` where DNS does not say.
    async fn follow(&self, name: &DnsName, deadline: Instant) -> Option<Found> {
        let served = |end: &DnsName| route::is_served(&self.store.snapshot(), end);
        match self.resolvers.chase(name, Type::A, deadline, served).await {
            Ok(Chased::Stopped { end, ttl }) => Some(Found { end: Some(end), ttl }),
            Ok(Chased::Addresses { ttl, .. } | Chased::Nothing { ttl, .. } | Chased::Endless { ttl }) => Some(Found { end: None, ttl }),
            Ok(Chased::Unable) => None,
            Err(error) => {
                debug!(%error, "not looked up");
                if self.known().may_warn(WARN_EVERY, Instant::now().into_std()) {
                    warn!(%error, "an unlisted name cannot be looked up and counts as unknown; listed ones do not depend on it");
                }
                None
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each critical section leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
