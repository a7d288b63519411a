//! The lock on the state directory: one process at a time.
//!
//! It is the kernel's (flock), which ends with its holder however that ends. The process id in the file is for people and
//! for the error message; nothing is decided by it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::StoreError;

/// A process id and a little more; the rest of a strange file is nobody's business.
const HOLDER_LIMIT: u64 = 32;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on the directory `state`.
    pub(super) fn take(state: &Path) -> Result<Self, StoreError> {
        let path = state.join("lock");
        let failed = |source| StoreError::Io { path: path.clone(), source: Arc::new(source) };
        // Whoever could open it could hold it, and keep the server from starting: so nobody else may.
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { state: state.into(), holder: holder(&file) }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &File) -> String {
    let mut text = String::new();
    // A holder that has not written its id yet, or could not, is still a holder.
    let _ = file.take(HOLDER_LIMIT).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(id) => format!("process {id}"),
        Err(_) => "another process".into(),
    }
}
