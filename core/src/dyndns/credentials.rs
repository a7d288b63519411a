//! Who an update client says that it is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A host's name and a password, in base64, with room.
const LIMIT: usize = 1024;

/// Who a client says that it is. The password never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; a token has none.
    pub user: Option<String>,
    /// The update password.
    pub password: String,
}

impl Credentials {
    /// Reads the value of an `Authorization` header: Basic, or Bearer or Token with the update password.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, value) = header.trim().split_once(' ').filter(|_| header.len() <= LIMIT)?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
            return Some(Self { user: None, password: value.into() });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self { user: Some(user).filter(|user| !user.is_empty()).map(str::to_owned), password: password.into() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, secret)", self.user)
    }
}
