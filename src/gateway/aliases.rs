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
use fourward_core::reply::{Data, Reply};
use fourward_core::route;
use fourward_core::wire::{Rcode, Type};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use crate::listener::network_of;
use crate::resolver::Resolvers;
use crate::store::Store;
pub(super) use known::ASKED;
use known::{Found, Known, Verdict};

/// For all questions about one name: most of what a client's hello leaves of its 5 s.
const LOOKUP: Duration = Duration::from_secs(3);

/// CNAMEs from the client's name to the host's; more are somebody's mistake, or a circle.
const LINKS: usize = 8;

/// A resolver follows the chain by itself; one that gives only a part of it is asked for the rest.
const QUESTIONS: usize = 4;

/// Between two lines in the log about resolvers that do not answer.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// The names that DNS leads here.
#[derive(Clone)]
pub(super) struct Aliases(Arc<Shared>);

struct Shared {
    resolvers: Resolvers,
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
    pub(super) fn new(resolvers: Resolvers, store: Store) -> Self {
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
        let (mut here, mut links, mut ttl) = (name.clone(), 0_usize, u32::MAX);
        for _ in 0..QUESTIONS {
            let reply = match self.resolvers.ask(&here, Type::A, deadline).await {
                Ok(reply) => reply,
                Err(error) => {
                    debug!(%error, "not looked up");
                    if self.known().may_warn(WARN_EVERY, Instant::now().into_std()) {
                        warn!(%error, "an unlisted name cannot be looked up and counts as unknown; listed ones do not depend on it");
                    }
                    return None;
                }
            };
            let Some(chain) = reply.chain(&here, LINKS.saturating_sub(links)) else {
                return Some(Found { end: None, ttl });
            };
            links = links.saturating_add(chain.links);
            ttl = ttl.min(chain.ttl);
            if links > 0 && route::is_served(&self.store.snapshot(), &chain.end) {
                return Some(Found { end: Some(chain.end), ttl });
            }
            match ending(&reply, &chain.end) {
                Ending::Here(kept) => return Some(Found { end: None, ttl: ttl.min(kept) }),
                Ending::Unable => return None,
                Ending::Part if chain.links == 0 => return None,
                Ending::Part => here = chain.end,
            }
        }
        None
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each critical section leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reply says about the last name in it.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// It has addresses, or there are none, for so many seconds.
    Here(u32),
    /// It says nothing about it: it is to be asked for.
    Part,
    /// The server could not find out.
    Unable,
}

fn ending(reply: &Reply, end: &DnsName) -> Ending {
    if !matches!(reply.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) {
        return Ending::Unable;
    }
    let address = reply.answer.iter().find(|record| record.owner.as_ref() == Some(end) && matches!(record.data, Data::A(_)));
    match address.map(|record| record.ttl).or_else(|| reply.negative_ttl()) {
        Some(ttl) => Ending::Here(ttl),
        None if reply.rcode == Rcode::NXDOMAIN => Ending::Here(0),
        None => Ending::Part,
    }
}

#[cfg(test)]
mod tests {
    use fourward_core::reply::{Record, Soa};
    use fourward_core::wire::CLASS_IN;

    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn record(owner: &str, kind: Type, ttl: u32, data: Data) -> Record {
        Record { owner: Some(name(owner)), kind, class: CLASS_IN, ttl, data }
    }

    fn said(rcode: Rcode, answer: Vec<Record>, authority: Vec<Record>) -> Ending {
        let reply = Reply {
            id: 0,
            question: None,
            authoritative: false,
            truncated: false,
            recursion_available: true,
            rcode,
            answer,
            authority,
            additional: Vec::new(),
        };
        ending(&reply, &name("end.org"))
    }

    #[test]
    fn a_reply_says_how_its_last_name_ends() {
        let address = |owner| record(owner, Type::A, 30, Data::A([192, 0, 2, 1].into()));
        let soa = || record("org", Type::SOA, 90, Data::Soa(Soa { primary: None, serial: 1, minimum: 60 }));
        assert_eq!(said(Rcode::NOERROR, vec![address("end.org")], vec![]), Ending::Here(30));
        assert_eq!(said(Rcode::NOERROR, vec![], vec![soa()]), Ending::Here(60));
        assert_eq!(said(Rcode::NXDOMAIN, vec![], vec![soa()]), Ending::Here(60));
        assert_eq!(said(Rcode::NXDOMAIN, vec![], vec![]), Ending::Here(0));
        assert_eq!(said(Rcode::NOERROR, vec![address("x.org")], vec![]), Ending::Part);
        for rcode in [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::FORMERR, Rcode::BADVERS] {
            assert_eq!(said(rcode, vec![], vec![soa()]), Ending::Unable, "{rcode:?}");
        }
    }
}
