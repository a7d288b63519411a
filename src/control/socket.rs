//! The control socket: `STATE/control.sock`, a line of JSON each way.
//!
//! The file's mode lets root, the server's user and the group `fourward` in; the kernel's word on the peer is checked again, since
//! a mode is easily changed by accident.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fourward_core::api::{LINE_LIMIT, NOT_UNDERSTOOD, REQUEST_LIMIT, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::accounts;

/// Whose members may command the server.
const GROUP: &str = "fourward";

/// Commands at once; each is one person or script.
pub(crate) const CLIENTS: usize = 32;

/// How long a client may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It cannot be made.
    #[error("{path}: {source}; the state directory must belong to the user that runs the server")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The bound control socket.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Whose members may come in, where there is that group.
    group: Option<u32>,
}

impl ControlSocket {
    /// Binds the socket at `path`. Call it with the store open: its lock says that no other server uses the path.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let bind = || {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            // Until the group is known to be the right one, nobody else.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            let group = accounts::group(GROUP).filter(|group| is_given_to(path, *group));
            if group.is_some() {
                fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
            }
            Ok((listener, group))
        };
        let (listener, group) = bind().map_err(|source| SocketError::Bind { path: path.into(), source })?;
        Ok(Self { listener, path: path.into(), group })
    }

    /// Binds the socket at `path` where no lock says whether somebody uses it: whoever answers there keeps it.
    ///
    /// # Errors
    /// Somebody answers there, or the socket cannot be made.
    pub fn bind_if_free(path: &Path) -> Result<Self, SocketError> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(SocketError::Bind { path: path.into(), source: io::ErrorKind::AddrInUse.into() }),
            Err(_) => Self::bind(path),
        }
    }

    /// Has `answer` serve requests until cancelled. Who has asked by then is answered: above all those whose change ends the server, because the
    /// store cannot take it.
    pub async fn run<A, F>(self, answer: A, cancel: CancellationToken)
    where
        A: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send,
    {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        let served = TaskTracker::new();
        while let Ok(permit) = Arc::clone(&clients).acquire_owned().await {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "accept on the control socket failed");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if !self.permits(&stream) {
                turn_away(&stream);
                continue;
            }
            let (answer, cancel) = (answer.clone(), cancel.clone());
            served.spawn(async move {
                if let Err(error) = serve(answer, stream, &cancel).await {
                    warn!(%error, "a control client went away");
                }
                drop(permit);
            });
        }
        let _ = fs::remove_file(&self.path);
        served.close();
        served.wait().await;
    }

    fn permits(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_cred() else { return false };
        let own = rustix::process::geteuid().as_raw();
        let permitted =
            peer.uid() == 0 || peer.uid() == own || self.group.is_some_and(|group| peer.gid() == group || in_group(peer.pid(), group));
        if !permitted {
            warn!(uid = peer.uid(), gid = peer.gid(), "a control client was turned away");
        }
        permitted
    }
}

/// Says why, if that can be said at once: the answer fits the socket's buffer, and a stranger is not waited for.
fn turn_away(stream: &UnixStream) {
    let answer = serde_json::to_vec(&Reply::NotPermitted).unwrap_or_default();
    let _ = stream.try_write(&[answer.as_slice(), b"\n"].concat());
}

/// Whether the file at `path` belongs to `group`, or could be given to it: under the systemd unit it does from the start, and the
/// call would not be permitted.
fn is_given_to(path: &Path, group: u32) -> bool {
    let belongs = || fs::metadata(path).is_ok_and(|file| file.gid() == group);
    belongs() || (std::os::unix::fs::chown(path, None, Some(group)).is_ok() && belongs())
}

/// Whether the process has `group` among its supplementary groups.
fn in_group(pid: Option<i32>, group: u32) -> bool {
    let status = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    groups.split_whitespace().any(|gid| gid.parse() == Ok(group))
}

async fn serve<F: Future<Output = Reply>>(answer: impl Fn(Request) -> F, stream: UnixStream, cancel: &CancellationToken) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read).take(REQUEST_LIMIT);
    tokio::select! {
        biased;
        asked = timeout(PATIENCE, reader.read_line(&mut line)) => asked??,
        () = cancel.cancelled() => return Ok(()),
    };
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => answer(request).await,
        Err(error) => Reply::Refused(format!("{NOT_UNDERSTOOD}: {error}; is the command of another version than the server?")),
    };
    let mut answer = serde_json::to_vec(&reply)?;
    if answer.len() >= LINE_LIMIT {
        answer = serde_json::to_vec(&Reply::Failed("the answer is too long for one line; ask for single hosts".into()))?;
    }
    answer.push(b'\n');
    timeout(PATIENCE, write.write_all(&answer)).await?
}
