//! Asking the running server, over its control socket.

use std::io;
use std::path::{Path, PathBuf};
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
        ask_at(&self.0, request, PATIENCE).await
    }
}

/// Asks whoever listens on the control socket at `path`, which may take as long as `patience`.
///
/// # Errors
/// Nobody is there, or it refuses.
pub(super) async fn ask_at(path: &Path, request: &Request, patience: Duration) -> Result<Reply, CliError> {
    let no_answer = |source| CliError::NoAnswer { path: path.into(), source };
    let exchange = async {
        let stream = UnixStream::connect(path).await?;
        exchange(stream, request).await
    };
    let line = match timeout(patience, exchange).await.map_err(io::Error::from).and_then(|line| line) {
        Ok(line) => line,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(CliError::NotPermitted { path: path.into() }),
        Err(error) => return Err(no_answer(error)),
    };
    match serde_json::from_str(&line).map_err(|_| CliError::OutOfTurn)? {
        Reply::Refused(reason) => Err(CliError::Refused(reason)),
        Reply::Failed(reason) => Err(CliError::Failed(reason)),
        Reply::NotPermitted => Err(CliError::NotPermitted { path: path.into() }),
        granted => Ok(granted),
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
