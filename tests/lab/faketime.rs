//! Programs whose clock is not the machine's (Debian: faketime).
//!
//! By the library, never by the wrapper `faketime`: that one names its semaphore by its process's number alone, and gives up where an
//! earlier process of the same number was killed and left its own behind.

use std::path::Path;

/// The environment of a program that reads its clock from `setting`: `FAKETIME=+9d`, or `FAKETIME_TIMESTAMP_FILE=` and a file.
pub(crate) fn by(setting: &str) -> [String; 4] {
    let library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
        .map(|dir| format!("{dir}/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("Debian's package faketime");
    [format!("LD_PRELOAD={library}"), setting.to_owned(), "FAKETIME_NO_CACHE=1".into(), "FAKETIME_DONT_FAKE_MONOTONIC=1".into()]
}
