//! The home's end: it keeps a link to the gateway, from the address that it wants to be found at.
//!
//! Netlink tells of addresses, core chooses, a change rebinds the link's socket at once: also where the old address is still there but
//! leads nowhere any more. Echoes do the rest. The agent never asks who is behind a connection and opens no port.

mod condition;
mod dial;
mod register;
mod session;

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fourward_core::address::{Candidate, choose};
use fourward_core::policy::AddressPolicy;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use condition::Condition;
pub use dial::{DialError, answers};
pub use register::{RegisterError, Registered, register};

use crate::config;
use crate::crypto::{self, KeyError};

/// A gateway that restarts is back within seconds, so the first tries come quickly…
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// …and for so long the pauses stay short…
const SHORT_OUTAGE: Duration = Duration::from_secs(120);

/// …no longer than this…
const SHORT_PAUSE: Duration = Duration::from_millis(600);

/// …then they grow: a provider's thousand homes must not all knock every second for a day.
const LONG_PAUSE: Duration = Duration::from_secs(15);

/// A conflict with another agent may be over by then.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// A key that is not known will not be known again until somebody does something.
const FINAL_PAUSE: Duration = Duration::from_secs(300);

/// Why the agent ends.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No key, no link.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody tells of addresses any more.
    #[error("the task that reads this machine's addresses ended")]
    NoAddresses,
}

/// The agent role.
pub struct Agent {
    config: config::Agent,
    key: Vec<u8>,
    instance: u64,
    policy: AddressPolicy,
    addresses: watch::Receiver<Arc<[Candidate]>>,
    condition: Arc<Condition>,
    cancel: CancellationToken,
}

/// How a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The server goes down, on purpose; or we do.
    #[error("stopped")]
    Stopped,
    /// Connect again, now: from another address, or over the other family.
    #[error("the address changed")]
    Elsewhere,
    /// The gateway was reached over IPv6, after all.
    #[error("IPv6 works now")]
    Better(dial::Dialled),
    /// The gateway refuses.
    #[error("the gateway refuses: {reason}")]
    Refused {
        /// Why.
        reason: String,
        /// Whether that may change by itself.
        again: bool,
    },
    /// Whatever else.
    #[error("{0}")]
    Lost(String),
}

impl Agent {
    /// An agent that shows `key` (PKCS #8) and publishes what `policy` permits of `addresses`.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(
        config: config::Agent,
        key: Vec<u8>,
        policy: AddressPolicy,
        addresses: watch::Receiver<Arc<[Candidate]>>,
        cancel: CancellationToken,
    ) -> Result<Self, KeyError> {
        let condition = Arc::new(Condition::new(config.services.clone()));
        Ok(Self { config, key, instance: u64::from_ne_bytes(crypto::random()?), policy, addresses, condition, cancel })
    }

    /// What it knows of itself, while it runs.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.condition)
    }

    /// Keeps a link until cancelled.
    ///
    /// # Errors
    /// The key is unusable, or addresses cannot be had any more.
    pub async fn run(mut self) -> Result<(), AgentError> {
        crypto::raw_key(&self.key)?;
        let mut outage = Outage::default();
        let mut current = None;
        let mut ready = None;
        while !self.cancel.is_cancelled() {
            current = self.choose(current);
            self.condition.note_claim(current);
            let ended = self.link(&mut current, ready.take(), &mut outage).await;
            self.condition.note_unlinked();
            let pause = match ended {
                Ended::Stopped | Ended::Elsewhere => Duration::ZERO,
                Ended::Better(dialled) => {
                    ready = Some(dialled);
                    continue;
                }
                Ended::Refused { reason, again } => {
                    warn!(%reason, "the gateway refuses the link");
                    self.condition.note_trouble(Some(&format!("the gateway refuses the link: {reason}")));
                    jitter(if again { REFUSED_PAUSE } else { FINAL_PAUSE })
                }
                Ended::Lost(reason) => {
                    self.condition.note_trouble(Some(&reason));
                    outage.tell(&reason);
                    outage.pause(Instant::now())
                }
            };
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = sleep(pause) => {}
                changed = self.addresses.changed() => changed.map_err(|_| AgentError::NoAddresses)?,
            }
        }
        Ok(())
    }

    fn choose(&mut self, current: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let candidates = Arc::clone(&self.addresses.borrow_and_update());
        choose(&candidates, &self.config.wish, &self.policy, current)
    }

    /// Links over the connection that is `ready`, or over a new one, until that ends.
    async fn link(&mut self, current: &mut Option<Ipv6Addr>, ready: Option<dial::Dialled>, outage: &mut Outage) -> Ended {
        if let Some(dialled) = ready {
            return session::Session::run(self, dialled, current, outage).await;
        }
        let dialled = tokio::select! {
            () = self.cancel.cancelled() => return Ended::Stopped,
            dialled = dial::dial(&self.config.gateways, &self.key, *current) => dialled,
            // A dial from an address that is gone would only time out.
            () = self.chosen_otherwise(*current) => return Ended::Elsewhere,
        };
        match dialled {
            Ok(dialled) => session::Session::run(self, dialled, current, outage).await,
            Err(error) => Ended::Lost(error.to_string()),
        }
    }

    /// Waits until the choice is another than `current`.
    async fn chosen_otherwise(&self, current: Option<Ipv6Addr>) {
        let mut addresses = self.addresses.clone();
        let other = |candidates: &Arc<[Candidate]>| choose(candidates, &self.config.wish, &self.policy, current) != current;
        if addresses.wait_for(other).await.is_err() {
            // Whoever waits for addresses beside us reports it.
            std::future::pending::<()>().await;
        }
    }
}

/// Since when there is no link, and how often that was tried to be changed.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    tries: u32,
    told: Option<String>,
}

impl Outage {
    /// The link is up.
    fn over(&mut self) {
        if let Some(since) = self.since {
            info!(after = ?since.elapsed(), "the link is back");
        }
        *self = Self::default();
    }

    /// Says why there is no link, once for each reason.
    fn tell(&mut self, reason: &str) {
        if self.told.as_deref() != Some(reason) {
            warn!(%reason, "no link");
            self.told = Some(reason.to_owned());
        }
    }

    /// How long to wait until the next try.
    fn pause(&mut self, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        self.tries = self.tries.saturating_add(1);
        let cap = if now.duration_since(since) < SHORT_OUTAGE { SHORT_PAUSE } else { LONG_PAUSE };
        jitter((FIRST_PAUSE * self.tries).min(cap))
    }
}

/// Between half of `pause` and all of it, so that homes which lost the same gateway do not come back in step.
fn jitter(pause: Duration) -> Duration {
    let random = crypto::random::<1>().map_or(255, |[byte]| byte);
    pause / 2 + pause * u32::from(random) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_at_first_grow_and_are_bounded() {
        let (mut outage, t0) = (Outage::default(), Instant::now());
        assert!(outage.pause(t0) <= FIRST_PAUSE);
        for _ in 0..50 {
            assert!(outage.pause(t0 + Duration::from_secs(60)) <= SHORT_PAUSE);
        }
        for _ in 0..50 {
            let pause = outage.pause(t0 + Duration::from_secs(600));
            assert!(pause >= SHORT_PAUSE && pause <= LONG_PAUSE, "{pause:?}");
        }
    }

    #[test]
    fn jitter_spreads_over_half_the_pause() {
        let pauses: Vec<_> = (0..200).map(|_| jitter(Duration::from_secs(8))).collect();
        assert!(pauses.iter().all(|pause| (4..=8).contains(&pause.as_secs())));
        assert!(pauses.iter().any(|pause| pause.as_secs() < 5) && pauses.iter().any(|pause| pause.as_secs() > 6));
    }
}
