//! Asking the running server, over its control socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fourward_core::api::{LINE_LIMIT, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{CliError, ServerArgs};
use crate::config::Config;

/// The server answers in milliseconds; a full disk may hold it up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to the running server.
pub(super) struct Door(PathBuf);

/// Asks the server of `args` and returns what it grants.
///
/// # Errors
/// There is no server, or it refuses.
pub(super) async fn ask(args: &ServerArgs, request: &Request) -> Result<Reply, CliError> {
    Door::of(args)?.ask(request).await
}

impl Door {
    /// The way to the server of `args`.
    ///
    /// # Errors
    /// Its configuration is refused, or is none of a server.
    pub(super) fn of(args: &ServerArgs) -> Result<Self, CliError> {
        let config = Config::read(&args.config)?;
        if config.server.is_none() {
            return Err(CliError::NoServer(args.config.clone()));
        }
        Ok(Self(config.control_socket()))
    }

    /// Asks the server and returns what it grants.
    ///
    /// # Errors
    /// There is no server, or it refuses.
    pub(super) async fn ask(&self, request: &Request) -> Result<Reply, CliError> {
        let path = &self.0;
        let stream = UnixStream::connect(path).await.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => CliError::NotPermitted { path: path.clone() },
            _ => CliError::NoAnswer { path: path.clone(), source },
        })?;
        let exchange = exchange(stream, request);
        let line = timeout(PATIENCE, exchange).await.map_err(io::Error::from).and_then(|line| line);
        let line = line.map_err(|source| CliError::NoAnswer { path: path.clone(), source })?;
        match serde_json::from_str(&line).map_err(|_| CliError::OutOfTurn)? {
            Reply::Refused(reason) => Err(CliError::Refused(reason)),
            Reply::Failed(reason) => Err(CliError::Failed(reason)),
            Reply::NotPermitted => Err(CliError::NotPermitted { path: path.clone() }),
            granted => Ok(granted),
        }
    }
}

async fn exchange(stream: UnixStream, request: &Request) -> io::Result<String> {
    let (read, mut write) = stream.into_split();
    let mut question = serde_json::to_vec(request)?;
    question.push(b'\n');
    // A server that turns us away may be gone before we have asked: its answer counts for more than our failure to ask.
    let asked = write.write_all(&question).await;
    let mut line = String::new();
    BufReader::new(read).take(LINE_LIMIT as u64).read_line(&mut line).await?;
    if line.is_empty() {
        asked?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection; its log says why"));
    }
    Ok(line)
}
