//! Telling secondaries that there is a new version of a zone (NOTIFY, RFC 1996): the newest only, one message at a time, again until it is answered.
//!
//! A secondary that is not told asks by itself after hours; so nobody waits for one here, and one that is silent is tried ever more seldom, and
//! at once when there is something new.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fourward_core::change::Serial;
use fourward_core::name::DnsName;
use fourward_core::state::State;
use fourward_core::transfer::{Secondary, notify, told};
use fourward_core::tsig::Signature;
use fourward_core::wire::Rcode;
use fourward_core::zone::{ZoneParams, ZoneView};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::keys::Keys;
use super::meter::Told;
use super::signed::now;
use super::transfer::Transfers;
use crate::crypto;
use crate::listener::is_local;

/// For an answer: a round trip to anywhere, and a busy secondary.
const ANSWER: Duration = Duration::from_secs(1);

/// Between two messages: a zone that changes all the time is not transferred all the time. Secondaries put changes into effect once a second, too,
/// and nsd takes a whole zone when it has more than one step at hand then.
const PACE: Duration = Duration::from_secs(1);

/// The longest between two tries while nothing is new.
const LONGEST: Duration = Duration::from_secs(900);

/// So many in a row without an answer are said in the log: half a minute.
const SILENT: u32 = 5;

/// The longest answer: a header, a question, a record, a signature.
const ANSWER_LIMIT: usize = 1232;

/// Tells one secondary of one zone.
pub(super) struct Teller {
    pub(super) transfers: Arc<Transfers>,
    /// Which of the secondaries.
    pub(super) at: usize,
    pub(super) zone: DnsName,
    pub(super) params: Arc<ZoneParams>,
    pub(super) keys: Arc<Keys>,
    /// The server's own addresses.
    pub(super) public: Arc<[IpAddr]>,
}

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("it does not answer")]
    Silence(#[from] tokio::time::error::Elapsed),
    #[error("it cannot be reached: {0}")]
    Io(#[from] io::Error),
    #[error("it refuses (code {}): is this server's address, or the key, in its configuration?", .0.0)]
    Refused(Rcode),
    #[error("there is no randomness for a message: {0}")]
    Random(#[from] crypto::KeyError),
}

impl Teller {
    /// Tells, for ever.
    pub(super) async fn run(self, mut states: watch::Receiver<Arc<State>>) {
        let transfers = Arc::clone(&self.transfers);
        let (Some(secondary), Some(meter)) = (transfers.secondaries().get(self.at), transfers.meter().secondary(self.at)) else { return };
        let (mut known, mut failures, mut next) = (None, 0_u32, Instant::now());
        loop {
            let state = Arc::clone(&states.borrow_and_update());
            let serial = state.zone(&self.zone).map(|zone| zone.serial);
            drop(state);
            if serial.is_none() || serial == known {
                if states.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            sleep_until(next).await;
            next = Instant::now() + PACE;
            // Not the one that was seen: a newer one may be there by now.
            let newest = Arc::clone(&states.borrow_and_update());
            match self.tell(secondary, &newest).await {
                Ok(serial) => {
                    (known, failures) = (Some(serial), 0);
                    self.heard(secondary, meter, serial);
                }
                Err(error) => {
                    let tried = newest.zone(&self.zone).map(|zone| zone.serial);
                    drop(newest);
                    failures = failures.saturating_add(1);
                    self.unheard(secondary, meter, failures, &error);
                    let rest = ANSWER.saturating_mul(1 << failures.min(12).saturating_sub(1)).min(LONGEST);
                    tokio::select! {
                        () = sleep(rest) => {}
                        // What is new in this zone is told soon, though not at every change to one who is silent.
                        changed = async { states.wait_for(|state| state.zone(&self.zone).map(|zone| zone.serial) != tried).await.map(drop) } => {
                            if changed.is_err() {
                                return std::future::pending().await;
                            }
                            next = Instant::now() + ANSWER;
                        }
                    }
                }
            }
        }
    }

    fn heard(&self, secondary: &Secondary, meter: &Told, serial: Serial) {
        meter.note(true);
        debug!(zone = %self.zone, secondary = %secondary.address, serial = serial.0, "told of a new version");
        if meter.set_silent(false) {
            info!(zone = %self.zone, secondary = %secondary.address, "the secondary answers again");
        }
    }

    fn unheard(&self, secondary: &Secondary, meter: &Told, failures: u32, error: &Untold) {
        meter.note(false);
        debug!(zone = %self.zone, secondary = %secondary.address, %error, failures, "a secondary was not told of a new version");
        if failures == SILENT && meter.set_silent(true) {
            warn!(
                zone = %self.zone,
                secondary = %secondary.address,
                %error,
                "a secondary cannot be told of new versions: it will have them when it asks by itself; it is tried on"
            );
        }
    }

    /// Tells `secondary` of the version of `state`, once. Which that was.
    async fn tell(&self, secondary: &Secondary, state: &State) -> Result<Serial, Untold> {
        let gone = || io::Error::other("the zone is not served any more");
        let view = ZoneView::new(&self.zone, state, &self.params).ok_or_else(gone)?;
        let serial = state.zone(&self.zone).ok_or_else(gone)?.serial;
        let id = u16::from_be_bytes(crypto::random()?);
        let mut message = notify(id, &view);
        let signed = secondary.key.as_ref().and_then(|key| self.keys.request(key, &mut message));
        let socket = UdpSocket::bind(source(secondary.address, &self.public)).await?;
        // Only what that very address says is received then.
        socket.connect(secondary.address).await?;
        socket.send(&message).await?;
        let code = timeout(ANSWER, self.answer(&socket, id, signed.as_ref())).await??;
        if code == Rcode::NOERROR { Ok(serial) } else { Err(Untold::Refused(code)) }
    }

    /// What is said to the message with this ID. Whatever else comes is not looked at.
    async fn answer(&self, socket: &UdpSocket, id: u16, signed: Option<&Signature>) -> io::Result<Rcode> {
        let mut buffer = [0; ANSWER_LIMIT];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let Some(message) = buffer.get(..length) else { continue };
            let Some(code) = told(message, id) else { continue };
            let is_of = |key: &DnsName, algorithm, covered: &[u8], mac: &[u8]| self.keys.is_of(key, algorithm, covered, mac);
            match signed.map_or(Ok(()), |signed| signed.verify_answer(message, now(), is_of)) {
                Ok(()) => return Ok(code),
                // It does not know the key, or its clock is wrong: that cannot be signed, and is believed so far as it is no success.
                Err(_) if code != Rcode::NOERROR => return Ok(code),
                Err(fault) => debug!(zone = %self.zone, ?fault, "an answer that is not signed with the secondary's key"),
            }
        }
    }
}

/// From where `secondary` is told: the server's public address, which the secondary knows it by; where that is not this machine's own (1:1 NAT),
/// wherever the kernel sends from.
fn source(secondary: SocketAddr, public: &[IpAddr]) -> SocketAddr {
    let any: IpAddr = if secondary.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nobody is reached on loopback from another address.
    let own = public.iter().find(|address| address.is_ipv4() == secondary.is_ipv4() && is_local(**address));
    SocketAddr::new(own.copied().filter(|_| !secondary.ip().is_loopback()).unwrap_or(any), 0)
}

#[cfg(test)]
mod tests;
