//! `join`: trading a join string's secret for a key of this home's own.

use std::time::Duration;

use fourward_core::join::JoinString;
use fourward_core::link::{FromAgent, FromGateway};
use fourward_core::name::DnsName;
use quinn::VarInt;
use tokio::time::timeout;

use super::dial::{self, DialError};
use crate::quic::{ChannelError, Receiver, Sender};

/// How long the gateway may take to answer once connected; it writes to disk first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a home could not join.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// No gateway answered, or not the right one.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The gateway says no.
    #[error("the gateway refuses: {0}")]
    Refused(String),
    /// The gateway went away.
    #[error("the gateway did not answer: {0}; run the same command again: the join string is still good for this home")]
    Channel(#[from] ChannelError),
    /// The gateway said something else.
    #[error("the gateway answered out of turn; is it of another version?")]
    OutOfTurn,
}

/// The names of the host that this home now speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The name for everyone.
    pub dual: DnsName,
    /// The name with the AAAA alone.
    pub twin: DnsName,
}

/// Registers the public half of `key` (PKCS #8) for the host of `join`. The same key may be registered again.
///
/// # Errors
/// No gateway answered, or it refused.
pub async fn register(join: &JoinString, key: &[u8]) -> Result<Registered, RegisterError> {
    let dialled = dial::dial(&join.gateways, key, None).await?;
    let connection = dialled.connection;
    let (sender, receiver) = connection.open_bi().await.map_err(ChannelError::from)?;
    let (mut sender, mut receiver) = (Sender::new(sender), Receiver::new(receiver));
    sender.send(&FromAgent::Register { host: join.host.clone(), secret: join.secret }).await?;
    let answer = timeout(PATIENCE, receiver.receive::<FromGateway>()).await;
    connection.close(VarInt::from_u32(0), b"done");
    dialled.endpoint.wait_idle().await;
    match answer {
        Ok(Ok(FromGateway::Registered { dual, twin })) => Ok(Registered { dual, twin }),
        Ok(Ok(FromGateway::Refused { reason, .. })) => Err(RegisterError::Refused(reason)),
        Ok(Ok(_)) => Err(RegisterError::OutOfTurn),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ChannelError::Connection(quinn::ConnectionError::TimedOut).into()),
    }
}
