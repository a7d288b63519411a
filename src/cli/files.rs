//! Writing configurations and keys: never over what is there, and for the user who will read them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::Path;

use rustix::process::geteuid;

use super::CliError;
use crate::accounts;
use crate::store::make_directory;

/// The user of the systemd unit.
const USER: &str = "fourward";

/// Writes a new file with `mode`.
///
/// # Errors
/// It exists already (`remedy` says what to do then), or cannot be written.
pub(super) fn create(path: &Path, mode: u32, contents: &[u8], remedy: &'static str) -> Result<(), CliError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|source| CliError::file(parent, source))?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CliError::Exists { path: path.into(), remedy },
        _ => CliError::file(path, source),
    })?;
    let written = file.write_all(contents).and_then(|()| file.sync_all()).and_then(|()| sync_folder_of(path));
    written.map_err(|source| {
        // Half a file would be in the way of the next try.
        let _ = fs::remove_file(path);
        CliError::file(path, source)
    })
}

/// Makes the names in the folder of `path` last: a file that is synced may still be without one after a power cut.
///
/// # Errors
/// The disk fails.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes the state directory if it is not there, and gives it to the user of the unit if root makes it.
///
/// # Errors
/// It cannot be made.
pub(super) fn state_directory(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        return Ok(());
    }
    make_directory(path).map_err(|source| CliError::file(path, source))?;
    if let (true, Some((user, group))) = (geteuid().is_root(), accounts::user(USER)) {
        chown(path, Some(user), Some(group)).map_err(|source| CliError::file(path, source))?;
    }
    Ok(())
}

/// Gives `path` to whom its folder belongs, so that the service can read what root wrote.
///
/// # Errors
/// It cannot be given away.
pub(super) fn give_to_owner_of_folder(path: &Path) -> Result<(), CliError> {
    let Some(folder) = path.parent().filter(|_| geteuid().is_root()) else { return Ok(()) };
    let owner = fs::metadata(folder).map_err(|source| CliError::file(folder, source))?;
    chown(path, Some(owner.uid()), Some(owner.gid())).map_err(|source| CliError::file(path, source))
}
