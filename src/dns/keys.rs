//! The keys that sign messages: their secrets, read once, and MACs with them, compared in constant time.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use fourward_core::name::DnsName;
use fourward_core::tsig::{Algorithm, Signature, secret_in};
use fourward_core::update::Grant;

use super::signed::now;
use crate::certificate::FilesError;
use crate::config::Key;

/// The setting that names them.
const SETTING: &str = "dns.keys.secret-file";

/// As long as SHA-256's output (RFC 8945 §10.1, RFC 2104 §3): nobody tries so many.
const LEAST_SECRET: usize = 32;

/// Far more than a key file has.
const SIZE_LIMIT: u64 = 16 << 10;

/// The right of everybody to read, write or run a file.
const OF_OTHERS: u32 = 0o007;

/// All keys, by name.
#[derive(Default)]
pub struct Keys(HashMap<DnsName, Held>);

/// A key.
struct Held {
    algorithm: Algorithm,
    secret: hmac::Key,
    grant: Option<Grant>,
}

impl Keys {
    /// Reads the secrets of `keys`.
    ///
    /// # Errors
    /// A file is not there, has no secret, a short one, or everybody may read it.
    pub fn read(keys: &[Key]) -> Result<Self, FilesError> {
        let held = keys.iter().map(|key| {
            let algorithm = match key.algorithm {
                Algorithm::HmacSha256 => hmac::HMAC_SHA256,
                Algorithm::HmacSha384 => hmac::HMAC_SHA384,
                Algorithm::HmacSha512 => hmac::HMAC_SHA512,
            };
            let secret = hmac::Key::new(algorithm, &secret(key)?);
            Ok((key.name.clone(), Held { algorithm: key.algorithm, secret, grant: key.grant.clone() }))
        });
        held.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the key called `name` may do.
    pub(super) fn grant(&self, name: &DnsName) -> Option<&Grant> {
        self.0.get(name)?.grant.as_ref()
    }

    /// Whether one of them may update anything.
    pub(super) fn update(&self) -> bool {
        self.0.values().any(|key| key.grant.is_some())
    }

    /// Signs `message`, a request of ours, with the key called `name`, if there is one.
    pub(super) fn request(&self, name: &DnsName, message: &mut Vec<u8>) -> Option<Signature> {
        let algorithm = self.0.get(name)?.algorithm;
        Some(Signature::request(name, algorithm, message, now(), |covered| self.sign(name, covered)))
    }

    /// The MAC of `covered` by the key called `name`; an empty one where there is none.
    pub(super) fn sign(&self, name: &DnsName, covered: &[u8]) -> Vec<u8> {
        self.0.get(name).map_or_else(Vec::new, |key| hmac::sign(&key.secret, covered).as_ref().to_vec())
    }

    /// Whether `mac`, which may be cut, is that of `covered` by this key; `None` where there is no such key.
    pub(super) fn is_of(&self, name: &DnsName, algorithm: Algorithm, covered: &[u8], mac: &[u8]) -> Option<bool> {
        self.0.get(name).filter(|key| key.algorithm == algorithm)?;
        let right = self.sign(name, covered);
        Some(right.get(..mac.len()).is_some_and(|right| verify_slices_are_equal(right, mac).is_ok()))
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?}, secrets)", self.0.keys())
    }
}

fn secret(key: &Key) -> Result<Vec<u8>, FilesError> {
    let (path, name) = (&key.secret_file, &key.name);
    let mut text = String::new();
    let read = File::open(path).and_then(|file| {
        let mode = file.metadata()?.mode();
        file.take(SIZE_LIMIT).read_to_string(&mut text)?;
        Ok(mode)
    });
    let mode = read.map_err(|source| FilesError::Read { key: SETTING, path: path.clone(), source })?;
    if mode & OF_OTHERS != 0 {
        return Err(unfit(
            path,
            format!(
                "everybody on this machine may read or change it (mode {:o}), and so be {name}: chmod 640, and a new secret where others were here",
                mode & 0o777
            ),
        ));
    }
    let secret = secret_in(&text).ok_or_else(|| {
        unfit(path, format!("there is no secret in it; expected base64, or what `tsig-keygen -a {} {name}` prints", key.algorithm.word()))
    })?;
    if secret.len() < LEAST_SECRET {
        return Err(unfit(
            path,
            format!(
                "the secret has {} bytes, and fewer than {LEAST_SECRET} can be guessed; `openssl rand -base64 {LEAST_SECRET}` makes a new one",
                secret.len()
            ),
        ));
    }
    Ok(secret)
}

fn unfit(path: &Path, reason: String) -> FilesError {
    FilesError::Content { key: SETTING, path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use fourward_core::name::HostName;
    use fourward_core::update::Writable;

    use super::*;

    const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

    fn key(path: &Path) -> Key {
        let host = HostName::new("cloud", "dyn.example.org".parse().expect("a zone")).expect("a host");
        let grant = Grant { host, types: [Writable::Aaaa].into() };
        Key { name: "cloud-key".parse().expect("a name"), algorithm: Algorithm::HmacSha256, secret_file: path.into(), grant: Some(grant) }
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused_with_the_remedy_and_without_what_is_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let refused = |words: &[&str]| {
            let said = Keys::read(&[key(&path)]).expect_err("refused").to_string();
            words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is not in {said:?}"));
            assert!(!said.contains(&SECRET[..8]), "{said}");
        };
        refused(&["dns.keys.secret-file", "key: No such file"]);
        for (text, mode, words) in [
            (SECRET, 0o644, ["mode 644", "chmod 640"]),
            (SECRET, 0o602, ["mode 602", "chmod 640"]),
            (&SECRET[..40], 0o640, ["30 bytes", "openssl rand"]),
            (&SECRET[..39], 0o640, ["no secret", "tsig-keygen -a hmac-sha256 cloud-key"]),
            ("", 0o600, ["no secret", "base64"]),
        ] {
            write(&path, text).expect("written");
            set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            refused(&words);
        }
        write(&path, SECRET).expect("written");
        assert!(!format!("{:?}", Keys::read(&[key(&path)]).expect("good")).contains(&SECRET[..8]));
    }

    #[test]
    fn a_mac_is_that_of_its_key_algorithm_and_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        write(&path, SECRET).expect("written");
        set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        let keys = Keys::read(&[key(&path)]).expect("good");
        let name: DnsName = "cloud-key".parse().expect("a name");
        let mac = keys.sign(&name, b"covered");
        let of = |name: &str, algorithm, covered: &[u8], mac: &[u8]| keys.is_of(&name.parse().expect("a name"), algorithm, covered, mac);
        assert_eq!(of("cloud-key", Algorithm::HmacSha256, b"covered", &mac), Some(true));
        assert_eq!(of("cloud-key", Algorithm::HmacSha256, b"covered", &mac[..16]), Some(true), "cut");
        assert_eq!(of("cloud-key", Algorithm::HmacSha256, b"Covered", &mac), Some(false));
        assert_eq!(of("cloud-key", Algorithm::HmacSha256, b"covered", &[&mac[..], b"x"].concat()), Some(false));
        assert_eq!(of("cloud-key", Algorithm::HmacSha512, b"covered", &mac), None);
        assert_eq!(of("other-key", Algorithm::HmacSha256, b"covered", &mac), None);
    }
}
