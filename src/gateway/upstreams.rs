//! Homes that somebody else's DNS knows the address of: looked up as their TTL ends, and at once when a dial finds nobody there.
//!
//! What DNS says is committed as the host's address, so that all others see it where they look anyway. It is an address of which nobody here has a
//! proof: what may be no home's, ourselves included, is refused, and the host is away. Owners choose the names, not strangers; yet
//! a stranger can make a dial fail, so that nothing is asked anew more often than once in [`AFRESH`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fourward_core::change::{Change, Key};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::{AddressPolicy, Forbidden};
use fourward_core::route;
use fourward_core::wire::Type;
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::leases::Leases;
use crate::resolver::{Chased, Resolvers};
use crate::store::Store;

/// For all questions about one name.
const LOOKUP: Duration = Duration::from_secs(3);

/// However short DNS says.
const SHORTEST: Duration = Duration::from_secs(10);

/// However long DNS says: a home that moves is found there by then, and sooner by a dial that fails.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Nobody answered: what was known last holds, and they are asked again.
const FAILED: Duration = Duration::from_secs(15);

/// DNS is asked no more often: clients decide when.
const AFRESH: Duration = Duration::from_secs(1);

/// Lookups at once, each with a socket.
pub(super) const ASKED: usize = 16;

/// Who looks up where homes are, for as long as [`Upstreams::follow`] runs.
pub(super) struct Upstreams {
    resolvers: Arc<Resolvers>,
    store: Store,
    leases: Arc<Leases>,
    room: Semaphore,
    followed: Mutex<HashMap<HostName, Followed>>,
}

/// One name that is looked up again and again.
struct Followed {
    upstream: DnsName,
    bell: Arc<Bell>,
    _task: AbortOnDropHandle<()>,
}

struct Bell {
    /// Rung when the next lookup shall not wait.
    now: Notify,
    /// When the last one ended.
    ended: watch::Sender<Option<Instant>>,
}

/// What DNS says of a home.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// It is there.
    At(Ipv6Addr),
    /// It is nowhere, and why.
    Nowhere(String),
    /// Nobody knows, and why.
    Unknown(String),
}

impl Upstreams {
    pub(super) fn new(resolvers: Arc<Resolvers>, store: Store, leases: Arc<Leases>) -> Arc<Self> {
        Arc::new(Self { resolvers, store, leases, room: Semaphore::new(ASKED), followed: Mutex::default() })
    }

    /// Has it looked up anew where `host` is, once the last answer is old enough, and returns when that is in the store; at once where no DNS is asked.
    pub(super) async fn again(&self, host: &HostName) {
        let Some(bell) = self.lock().get(host).map(|followed| Arc::clone(&followed.bell)) else { return };
        let mut ended = bell.ended.subscribe();
        let last = *ended.borrow_and_update();
        if let Some(last) = last
            && timeout_at(last + AFRESH, ended.changed()).await.is_ok()
        {
            return;
        }
        bell.now.notify_one();
        let _ = ended.changed().await;
    }

    /// Looks up what hosts have for upstreams, as the store's changes have it; returns when there is no store any more.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut changes = self.store.changes();
        self.settle_all();
        loop {
            match changes.recv().await {
                Ok(committed) => {
                    for key in committed.touched.iter() {
                        if let Key::Host(host) = key {
                            self.settle(host);
                        }
                    }
                }
                Err(RecvError::Lagged(_)) => self.settle_all(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn settle_all(self: &Arc<Self>) {
        let state = self.store.snapshot();
        let new = state.hosts().filter(|(_, host)| host.settings.upstream.is_some()).map(|(name, _)| name.clone());
        let hosts: Vec<HostName> = self.lock().keys().cloned().chain(new).collect();
        hosts.iter().for_each(|host| self.settle(host));
    }

    /// Looks up what `host` has for an upstream now, and nothing else for it.
    fn settle(self: &Arc<Self>, host: &HostName) {
        let upstream = self.store.snapshot().host(host).and_then(|host| host.settings.upstream.clone());
        let mut followed = self.lock();
        if followed.get(host).map(|followed| &followed.upstream) == upstream.as_ref() {
            return;
        }
        followed.remove(host);
        self.leases.resolved.note(host, None);
        let Some(upstream) = upstream else { return };
        let bell = Arc::new(Bell { now: Notify::new(), ended: watch::Sender::new(None) });
        let task = Arc::clone(self).look_on(host.clone(), upstream.clone(), Arc::clone(&bell));
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        followed.insert(host.clone(), Followed { upstream, bell, _task: task });
    }

    async fn look_on(self: Arc<Self>, host: HostName, upstream: DnsName, bell: Arc<Bell>) {
        loop {
            let wait = self.look(&host, &upstream).await;
            bell.ended.send_replace(Some(Instant::now()));
            let _ = timeout(wait, bell.rung()).await;
        }
    }

    /// Looks once, and has it committed; says for how long that holds.
    async fn look(&self, host: &HostName, upstream: &DnsName) -> Duration {
        // Never closed.
        let _one = self.room.acquire().await;
        let (said, wait) = self.ask(host, upstream).await;
        let (address, trouble) = match said {
            Said::At(address) => (Some(address), None),
            Said::Nowhere(reason) => (None, Some(reason)),
            Said::Unknown(reason) => {
                if self.leases.resolved.note(host, Some(reason.clone())) {
                    warn!(%host, %reason, "where the home is cannot be looked up; what was known last holds");
                }
                return wait;
            }
        };
        if self.known(host) != address {
            let change = Change::Resolved { host: host.clone(), upstream: upstream.clone(), address, at: Timestamp::now() };
            match self.store.commit(change).await {
                Ok(_) => info!(%host, %upstream, ?address, "DNS says where the home is"),
                Err(error) => {
                    let reason = error.to_string();
                    if self.leases.resolved.note(host, Some(reason.clone())) {
                        warn!(%host, %reason, "what DNS says of the home is not kept");
                    }
                    return wait;
                }
            }
        }
        if self.leases.resolved.note(host, trouble.clone())
            && let Some(reason) = trouble
        {
            warn!(%host, %reason, "by DNS the home is nowhere");
        }
        wait
    }

    fn known(&self, host: &HostName) -> Option<Ipv6Addr> {
        self.store.snapshot().host(host).and_then(|host| host.home())
    }

    async fn ask(&self, host: &HostName, upstream: &DnsName) -> (Said, Duration) {
        let served = |end: &DnsName| route::is_served(&self.store.snapshot(), end);
        let kept = |ttl: u32| Duration::from_secs(ttl.into()).clamp(SHORTEST, LONGEST);
        match self.resolvers.chase(upstream, Type::AAAA, Instant::now() + LOOKUP, served).await {
            Ok(Chased::Addresses { addresses, ttl }) => {
                let policy = self.store.policy();
                (choose(upstream, &addresses, self.known(host), &policy.addresses), kept(ttl))
            }
            Ok(Chased::Nothing { no_name, ttl }) => {
                let what = if no_name { "does not exist" } else { "has no AAAA record" };
                (Said::Nowhere(format!("upstream {upstream} {what}")), kept(ttl))
            }
            Ok(Chased::Stopped { end, ttl }) => {
                let reason = format!("upstream {upstream} is a CNAME of {end}, which this server answers for: it would follow itself");
                (Said::Nowhere(reason), kept(ttl))
            }
            Ok(Chased::Endless { ttl }) => (Said::Nowhere(format!("upstream {upstream} has CNAMEs without an end")), kept(ttl)),
            Ok(Chased::Unable) => (Said::Unknown(format!("upstream {upstream}: no resolver could find out its AAAA record")), FAILED),
            Err(error) => (Said::Unknown(format!("upstream {upstream}: {error}")), FAILED),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostName, Followed>> {
        // Each critical section leaves it whole.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    /// Whether the last lookup has just ended.
    fn is_fresh(&self) -> bool {
        self.ended.borrow().is_some_and(|ended| ended.elapsed() < AFRESH)
    }

    /// Returns when it is rung for more than is known; what rang before the last answer came is answered.
    async fn rung(&self) {
        loop {
            self.now.notified().await;
            if !self.is_fresh() {
                return;
            }
        }
    }
}

/// The one of `addresses` that a home is at: where it was `known` to be, if it may still be; else the first of those where a home may be, by
/// number, for servers change the order each time.
fn choose(upstream: &DnsName, addresses: &[IpAddr], known: Option<Ipv6Addr>, policy: &AddressPolicy) -> Said {
    let mut refused: Option<Forbidden> = None;
    let mut good = Vec::new();
    for address in addresses {
        let IpAddr::V6(address) = address else { continue };
        match policy.check(*address) {
            Ok(()) => good.push(*address),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    match (known.filter(|known| good.contains(known)).or(good.into_iter().min()), refused) {
        (Some(address), _) => Said::At(address),
        (None, Some(reason)) => Said::Nowhere(format!("upstream {upstream}: {reason}")),
        (None, None) => Said::Nowhere(format!("upstream {upstream} has no AAAA record")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_where_it_was_or_else_where_one_may_be() {
        let at = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
        let own = vec!["2001:db8:a::11".parse().expect("an address")];
        let policy = AddressPolicy::new(own, vec!["2001:db8:a::/64".parse().expect("a network")]);
        let said = |addresses: &[&str], known: Option<&str>| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
            choose(&"home.example.net".parse().expect("a name"), &addresses, known.map(at), &policy)
        };
        assert_eq!(said(&["2001:db8:2::1", "2001:db8:1::1"], None), Said::At(at("2001:db8:1::1")));
        assert_eq!(said(&["2001:db8:1::1", "2001:db8:2::1"], Some("2001:db8:2::1")), Said::At(at("2001:db8:2::1")));
        assert_eq!(said(&["2001:db8:1::1", "fd00::1"], Some("2001:db8:2::1")), Said::At(at("2001:db8:1::1")));
        for (address, why) in [
            ("fd00::1", "private"),
            ("fe80::1", "link-local"),
            ("::1", "the machine itself"),
            ("::ffff:192.0.2.1", "IPv4 address"),
            ("64:ff9b::c000:201", "NAT64"),
            ("2001:db8:a::11", "the gateway's own address"),
            ("2001:db8:a::99", "the gateway's own network"),
        ] {
            let Said::Nowhere(reason) = said(&[address], Some(address)) else { panic!("{address}") };
            assert!(reason.contains("home.example.net") && reason.contains(why), "{reason}");
        }
    }
}
