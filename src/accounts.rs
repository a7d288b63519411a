//! The user and the group of the service, as this machine's own files know them.
//!
//! Read from `/etc/passwd` and `/etc/group`, where `systemd-sysusers` and packages put them: asking the name service would load its
//! libraries into a server that wants to stay small, and a directory on the network has no say in who commands it.

use std::fs;

/// The user and group number of `name`.
pub(crate) fn user(name: &str) -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = line_of(&passwd, name)?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The number of the group `name`.
pub(crate) fn group(name: &str) -> Option<u32> {
    let group = fs::read_to_string("/etc/group").ok()?;
    line_of(&group, name)?.split(':').nth(2)?.parse().ok()
}

fn line_of<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    file.lines().find(|line| line.split(':').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_invented() {
        assert_eq!(user("root"), Some((0, 0)));
        assert_eq!(group("root"), Some(0));
        assert_eq!(user("no such user"), None);
        assert_eq!(line_of("a:x:1\nab:x:2\n", "ab"), Some("ab:x:2"));
    }
}
