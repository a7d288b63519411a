//! The roles of one process live and die together.
//!
//! A process whose name server is dead but whose gateway runs on looks healthy and is not, so the first role that ends ends the process,
//! and systemd starts it anew. SIGTERM ends it in order: first what drains, then the rest.

use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What is not done by then after its turn to end will not be.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long the service manager may hear nothing of a process that is ending.
const STILL_THERE: Duration = Duration::from_secs(30);

/// Any role's error.
pub type RoleError = Box<dyn Error + Send + Sync>;

/// Why the process ends other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A role ended with an error.
    #[error("{role} ended: {source}")]
    Ended {
        /// Which.
        role: &'static str,
        /// Its last words.
        source: RoleError,
    },
    /// A role ended without one, which none should.
    #[error("{0} ended by itself")]
    Stopped(&'static str),
    /// A role panicked.
    #[error("a role panicked: {0}")]
    Panicked(JoinError),
    /// Signals cannot be had.
    #[error("signals cannot be received: {0}")]
    Signals(#[from] io::Error),
}

/// The roles that run, and the two tokens that end them.
#[derive(Default)]
pub struct Roles {
    draining: JoinSet<(&'static str, Result<(), RoleError>)>,
    others: JoinSet<(&'static str, Result<(), RoleError>)>,
    drain: CancellationToken,
    end: CancellationToken,
}

impl Roles {
    /// Ends roles that have clients to see off, first.
    pub fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Ends everything else, after those.
    pub fn end_token(&self) -> CancellationToken {
        self.end.clone()
    }

    /// Starts a role that ends by the drain token.
    pub fn start_draining<E: Into<RoleError>>(&mut self, name: &'static str, role: impl Future<Output = Result<(), E>> + Send + 'static) {
        self.draining.spawn(async move { (name, role.await.map_err(Into::into)) });
    }

    /// Starts a role that ends by the end token.
    pub fn start<E: Into<RoleError>>(&mut self, name: &'static str, role: impl Future<Output = Result<(), E>> + Send + 'static) {
        self.others.spawn(async move { (name, role.await.map_err(Into::into)) });
    }

    /// Waits for SIGTERM or SIGINT, or for the first role that ends, and ends the rest. A second signal ends it at once.
    ///
    /// # Errors
    /// A role ended by itself.
    pub async fn run(mut self) -> Result<(), SupervisorError> {
        let mut signals = Signals::new()?;
        let ended = tokio::select! {
            name = signals.end() => {
                info!(signal = name, "ending; connections may finish");
                Ok(())
            }
            Some(ended) = self.draining.join_next() => Err(judge(ended)),
            Some(ended) = self.others.join_next() => Err(judge(ended)),
        };
        if ended.is_err() {
            // Half a server is worse than none: nobody is seen off, and systemd starts a whole one.
            self.drain.cancel();
            self.end.cancel();
        }
        let last_words = async { if ended.is_ok() { pending().await } else { sleep(LAST_WORDS).await } };
        tokio::select! {
            () = self.wind_down() => {}
            name = signals.end() => warn!(signal = name, "ending at once"),
            () = last_words => {}
            () = keep_waiting() => {}
        }
        ended
    }

    async fn wind_down(&mut self) {
        self.drain.cancel();
        while self.draining.join_next().await.is_some() {}
        self.end.cancel();
        let rest = async { while self.others.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, rest).await.is_err() {
            warn!("a role did not end in time");
        }
    }
}

/// Tells the service manager that this process is ending, and again and again that it is not stuck: relays may take long.
async fn keep_waiting() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    loop {
        let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(STILL_THERE.as_micros().try_into().unwrap_or(u32::MAX))]);
        sleep(STILL_THERE / 3).await;
    }
}

fn judge(ended: Result<(&'static str, Result<(), RoleError>), JoinError>) -> SupervisorError {
    match ended {
        Ok((role, Err(source))) => SupervisorError::Ended { role, source },
        Ok((role, Ok(()))) => SupervisorError::Stopped(role),
        Err(panicked) => SupervisorError::Panicked(panicked),
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())?, hup: signal(SignalKind::hangup())? })
    }

    async fn end(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.term.recv() => return "SIGTERM",
                _ = self.int.recv() => return "SIGINT",
                _ = self.hup.recv() => warn!("SIGHUP: this version reads its configuration at the start only; restart it to apply a change"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_role_that_ends_ends_the_process() {
        let mut roles = Roles::default();
        let end = roles.end_token();
        roles.start("lasting", async move {
            end.cancelled().await;
            Ok::<_, io::Error>(())
        });
        roles.start("failing", async { Err(io::Error::other("broken")) });
        let ended = roles.run().await.expect_err("ends");
        assert_eq!(ended.to_string(), "failing ended: broken");
    }

    #[tokio::test]
    async fn a_panic_is_seen() {
        let mut roles = Roles::default();
        roles.start("panicking", async {
            assert!(std::hint::black_box(false), "boom");
            Ok::<_, io::Error>(())
        });
        assert!(matches!(roles.run().await, Err(SupervisorError::Panicked(_))));
    }

    #[tokio::test]
    async fn what_drains_ends_before_the_rest() {
        let mut roles = Roles::default();
        let (drain, end) = (roles.drain_token(), roles.end_token());
        let still = end.clone();
        roles.start_draining("gateway", async move {
            drain.cancelled().await;
            assert!(!still.is_cancelled(), "names are answered while connections drain");
            Ok::<_, io::Error>(())
        });
        roles.start("dns", async move {
            end.cancelled().await;
            Ok::<_, io::Error>(())
        });
        roles.wind_down().await;
        assert!(roles.others.is_empty() && roles.draining.is_empty());
    }
}
