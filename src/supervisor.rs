//! The roles of one process live and die together.
//!
//! A process whose name server is dead but whose gateway runs on looks healthy and is not, so the first role that ends ends the process,
//! and systemd starts it anew. SIGTERM ends it in order: first what drains, then the rest.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
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
    #[error("{role} panicked: {source}; this is a defect: please report it with the log")]
    Panicked {
        /// Which.
        role: &'static str,
        /// Its last words.
        source: JoinError,
    },
    /// Signals cannot be had.
    #[error("signals cannot be received: {0}")]
    Signals(#[from] io::Error),
}

/// The roles that run, and the two tokens that end them.
#[derive(Default)]
pub struct Roles {
    draining: JoinSet<Result<(), RoleError>>,
    others: JoinSet<Result<(), RoleError>>,
    names: HashMap<Id, &'static str>,
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
        let task = self.draining.spawn(async move { role.await.map_err(Into::into) });
        self.names.insert(task.id(), name);
    }

    /// Starts a role that ends by the end token.
    pub fn start<E: Into<RoleError>>(&mut self, name: &'static str, role: impl Future<Output = Result<(), E>> + Send + 'static) {
        let task = self.others.spawn(async move { role.await.map_err(Into::into) });
        self.names.insert(task.id(), name);
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
            Some(ended) = self.draining.join_next_with_id() => Err(self.judge(ended)),
            Some(ended) = self.others.join_next_with_id() => Err(self.judge(ended)),
        };
        if ended.is_err() {
            // Half a server is worse than none: nobody is seen off, and systemd starts a whole one.
            self.drain.cancel();
            self.end.cancel();
        }
        let last_words = async { if ended.is_ok() { pending().await } else { sleep(LAST_WORDS).await } };
        let wound_down = tokio::select! {
            wound_down = self.wind_down() => wound_down,
            name = signals.end() => {
                warn!(signal = name, "ending at once");
                Ok(())
            }
            () = last_words => Ok(()),
            () = keep_waiting() => Ok(()),
        };
        ended.and(wound_down)
    }

    /// Ends what drains, then the rest. Meanwhile the rest must live: one of it that dies ends the wait, which may be for days.
    async fn wind_down(&mut self) -> Result<(), SupervisorError> {
        self.drain.cancel();
        let mut died = Ok(());
        while died.is_ok() {
            died = tokio::select! {
                biased;
                ended = self.draining.join_next_with_id() => match ended {
                    None => break,
                    Some(Ok((_, Ok(())))) => Ok(()),
                    Some(ended) => Err(self.judge(ended)),
                },
                Some(ended) = self.others.join_next_with_id(), if !self.end.is_cancelled() => Err(self.judge(ended)),
            };
        }
        self.end.cancel();
        let rest = async { while self.others.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, rest).await.is_err() {
            warn!("a role did not end in time");
        }
        died
    }

    fn judge(&self, ended: Result<(Id, Result<(), RoleError>), JoinError>) -> SupervisorError {
        let name = |id: Id| self.names.get(&id).copied().unwrap_or("a role");
        match ended {
            Ok((id, Err(source))) => SupervisorError::Ended { role: name(id), source },
            Ok((id, Ok(()))) => SupervisorError::Stopped(name(id)),
            Err(source) => SupervisorError::Panicked { role: name(source.id()), source },
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
        let ended = roles.run().await.expect_err("ends").to_string();
        assert!(ended.starts_with("panicking panicked: "), "{ended}");
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
        roles.wind_down().await.expect("in order");
        assert!(roles.others.is_empty() && roles.draining.is_empty());
    }

    #[tokio::test]
    async fn a_role_that_dies_while_others_drain_ends_the_wait_and_is_named() {
        for (words, last) in [("dns ended: broken", Err(io::Error::other("broken"))), ("dns ended by itself", Ok(()))] {
            let mut roles = Roles::default();
            let (drain, end) = (roles.drain_token(), roles.end_token());
            roles.start_draining("gateway", pending::<io::Result<()>>());
            roles.start("dns", async move {
                drain.cancelled().await;
                last
            });
            let (ended, told) = tokio::sync::oneshot::channel();
            roles.start("store", async move {
                end.cancelled().await;
                ended.send(()).map_err(|()| io::Error::other("nobody listens"))
            });
            let died = timeout(Duration::from_secs(20), roles.wind_down()).await.expect("the wait ends").expect_err("with an error");
            assert_eq!(died.to_string(), words);
            told.await.expect("the rest was told to end, in order");
        }
    }
}
