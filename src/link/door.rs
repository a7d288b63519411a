//! Who comes to the door: a connection shows its key and says what it wants. It registers once, or it is let in as a link.
//!
//! Until then it is a stranger, with little time and few places. What follows is the session's.

use std::sync::Arc;
use std::time::Instant;

use fourward_core::change::Change;
use fourward_core::facts::EXAMINES;
use fourward_core::host::Digest;
use fourward_core::link::{FromAgent, FromGateway, Service};
use fourward_core::name::{DnsName, HostName};
use fourward_core::state::State;
use jiff::Timestamp;
use quinn::{Connection, Incoming};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Links;
use super::session::{PATIENCE, Session, SessionError, Stay};
use super::strangers::Stranger;
use crate::crypto;
use crate::leases::Presence;
use crate::quic::{self, Receiver, Sender};
use crate::store::CommitError;

/// Serves one connection, of a stranger until it has said who it is.
pub(super) async fn serve(links: &Arc<Links>, incoming: Incoming, stranger: Stranger) -> Result<(), SessionError> {
    let introduced = tokio::select! {
        introduced = introduce(links, incoming) => introduced?,
        () = stranger.gives_way() => return Err(SessionError::GaveWay),
    };
    drop(stranger);
    let Some(Introduced { stay, connection, sender, receiver }) = introduced else { return Ok(()) };
    let (host, epoch) = (stay.host.clone(), stay.presence.epoch);
    let ended = Session::new(stay, connection, sender).run(receiver).await;
    info!(%host, epoch, "link ended");
    ended
}

/// An agent that may link.
struct Introduced<'a> {
    stay: Stay<'a>,
    connection: Connection,
    sender: Sender,
    receiver: Receiver,
}

/// Shakes hands and hears what the other end wants: an agent that may link is returned, all else answered.
async fn introduce(links: &Links, incoming: Incoming) -> Result<Option<Introduced<'_>>, SessionError> {
    let connection = timeout(PATIENCE, incoming.accept()?).await??;
    let key = quic::shown_key(&connection).ok_or(SessionError::NoKey)?;
    let (sender, receiver) = timeout(PATIENCE, connection.accept_bi()).await??;
    let (mut sender, mut receiver) = (Sender::new(sender), Receiver::new(receiver));
    let first = timeout(PATIENCE, receiver.receive::<FromAgent>()).await??;
    let answer = match first {
        FromAgent::Register { host, secret } => {
            let answer = register(links, &host, crypto::sha256(secret.reveal()), key).await?;
            links.joins.note(if matches!(answer, FromGateway::Registered { .. }) { "accepted" } else { "refused" });
            answer
        }
        FromAgent::Hello { version, instance, services, can } => match welcome(links, key, (instance, services), &connection).await {
            Ok(stay) => {
                if can.iter().any(|ability| ability == EXAMINES) {
                    stay.presence.note_examines();
                }
                let remote = connection.remote_address().ip();
                info!(host = %stay.host, %remote, ?version, epoch = stay.presence.epoch, "linked");
                return Ok(Some(Introduced { stay, connection, sender, receiver }));
            }
            Err(refusal) => refusal,
        },
        _ => return Err(SessionError::OutOfTurn),
    };
    timeout(PATIENCE, sender.send(&answer)).await??;
    sender.finish().await;
    Ok(None)
}

async fn register(links: &Links, host: &DnsName, secret: Digest, key: Digest) -> Result<FromGateway, SessionError> {
    let refusal = |reason: String| Ok(FromGateway::Refused { reason, again: false });
    let Some(name) = host_by_dual_name(&links.store.snapshot(), host) else {
        return refusal(format!("there is no host {host} here; `fourward host list` on the server shows those that are"));
    };
    let change = Change::Register { host: name.clone(), secret, key, at: Timestamp::now() };
    match links.store.commit(change).await {
        Ok(_) => {
            info!(host = %name, "joined");
            Ok(FromGateway::Registered { dual: name.dual(), twin: name.twin() })
        }
        Err(CommitError::Refused(refused)) => {
            debug!(host = %name, reason = %refused, "join refused");
            refusal(refused.to_string())
        }
        Err(stopped) => Err(stopped.into()),
    }
}

fn host_by_dual_name(state: &State, name: &DnsName) -> Option<HostName> {
    state.host_of(name).filter(|host| state.host(host).is_some())
}

/// Lets the holder of `key` in as the newest link of its host, or says why not.
async fn welcome<'a>(
    links: &'a Links,
    key: Digest,
    (instance, services): (u64, Vec<Service>),
    connection: &Connection,
) -> Result<Stay<'a>, FromGateway> {
    let refused = |reason: String, again| Err(FromGateway::Refused { reason, again });
    let Some(host) = links.store.snapshot().agent(&key).cloned() else {
        let reason = "this gateway does not know the key: the host was removed, or its agent joined elsewhere since; \
                      make a new join string with `fourward host token` and join again";
        return refused(reason.into(), false);
    };
    if let Some(other) = links.leases.presence(&host).filter(|other| other.instance != instance)
        && answers(&other).await
    {
        other.note_conflict(Instant::now());
        warn!(%host, remote = %connection.remote_address().ip(), "a second agent with the same key was turned away");
        let reason = format!("another agent with this key is linked for {host}; stop one of them");
        return refused(reason, true);
    }
    let presence = links.leases.arrive(&host, instance, key, services, connection.remote_address().ip(), Timestamp::now());
    let pace = links.paces.take(&host, Instant::now());
    let stay = Stay { links, host, presence, pace };
    // The key may have become void while we waited: whoever made it so has not seen this link.
    links.check_key(&stay.host).await;
    Ok(stay)
}

/// Whether the agent behind `presence` is really there: an old run of the same agent is not.
async fn answers(presence: &Presence) -> bool {
    let since = Instant::now();
    let mut alive = presence.heard.subscribe();
    presence.ask.notify_one();
    let echoed = alive.wait_for(|heard| heard.is_some_and(|heard| heard >= since));
    timeout(presence.patience(), echoed).await.is_ok_and(|echoed| echoed.is_ok())
}
