//! Where a machine of the figure lives: a network namespace of its own, or this machine itself.
//!
//! A socket belongs for good to the namespace in which it was made, and a child to the one in which it was started. So the
//! demo has a single thread that steps into a namespace, makes what it needs and steps out again, without a wait in between.
//! Only sockets are kept apart: files are everybody's, each role has a folder of its own.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

/// The namespace that the calling thread is in.
const OWN: &str = "/proc/thread-self/ns/net";

/// Where sockets are made and children are started.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// This machine, where namespaces are not to be had.
    Here,
    /// A machine of the figure.
    Namespace(Arc<Namespace>),
}

/// A network namespace, gone with its last descriptor, socket and process.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
    base: Arc<File>,
}

/// Makes namespaces; itself in an empty one, to which every visit returns.
#[derive(Debug)]
pub(super) struct Ground(Arc<File>);

/// Why there are no namespaces.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel, or who guards it, says no.
    #[error("a {what} namespace: {source}")]
    Refused {
        /// Of which kind.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The limit is none, or reached.
    #[error("no further {what} namespace: the limit is user.max_{what}_namespaces")]
    Limit {
        /// Of which kind, as the limit's name has it.
        what: &'static str,
    },
    /// There is one, but without rights in it.
    #[error("{path}: {source}")]
    Setting {
        /// The setting, a path below /proc.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Ground {
    /// Leaves this machine's network for an empty one, through a user namespace if that takes rights that the caller lacks.
    /// To be called before any thread is started: the kernel refuses a user namespace to a process with two.
    ///
    /// # Errors
    /// Namespaces are not to be had. The process may then be in a half-built one and should end.
    pub(super) fn enter() -> Result<Self, NamespaceError> {
        match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => {}
            Err(Errno::EPERM) => become_root()?,
            Err(errno) => return Err(refused("net", errno)),
        }
        let base = File::open(OWN).map_err(|source| NamespaceError::Setting { path: OWN.into(), source })?;
        Ok(Self(Arc::new(base)))
    }

    /// A new machine with nothing but a loopback interface that is down.
    ///
    /// # Errors
    /// The kernel grants no further namespace.
    pub(super) fn machine(&self) -> Result<Place, NamespaceError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| refused("net", errno))?;
        let file = File::open(OWN);
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| refused("net", errno))?;
        let file = file.map_err(|source| NamespaceError::Setting { path: OWN.into(), source })?;
        Ok(Place::Namespace(Arc::new(Namespace { file, base: Arc::clone(&self.0) })))
    }
}

impl Place {
    /// Does `work` there. It must not wait: the whole thread is there meanwhile.
    ///
    /// # Errors
    /// What `work` returned, or that there is no way in or out.
    pub(super) fn visit<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Self::Namespace(namespace) = self else {
            return work();
        };
        setns(namespace.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
        let done = work();
        setns(namespace.base.as_fd(), CloneFlags::CLONE_NEWNET)?;
        done
    }

    /// Writes `value` to the setting `name` of this place, a path below /proc/sys/net.
    ///
    /// # Errors
    /// The setting is not there or not ours.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), NamespaceError> {
        let path = format!("/proc/sys/net/{name}");
        self.visit(|| fs::write(&path, value)).map_err(|source| NamespaceError::Setting { path, source })
    }

    /// The namespace's descriptor, none here.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Here => None,
            Self::Namespace(namespace) => Some(namespace.file.as_fd()),
        }
    }
}

/// Enters a user namespace in which the caller is root, and a network namespace that belongs to it.
fn become_root() -> Result<(), NamespaceError> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| refused("user", errno))?;
    let write = |path: &str, text: String| fs::write(path, text).map_err(|source| NamespaceError::Setting { path: path.into(), source });
    // Without giving up setgroups(2) an unprivileged process may not map its group (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| refused("net", errno))
}

/// What `unshare` means by its error: it calls a limit a full disk (unshare(2), ENOSPC).
fn refused(what: &'static str, errno: Errno) -> NamespaceError {
    match errno {
        Errno::ENOSPC | Errno::EUSERS => NamespaceError::Limit { what },
        errno => NamespaceError::Refused { what, source: errno.into() },
    }
}
