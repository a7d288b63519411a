//! DNS cookies (RFC 7873) in the form that all servers of a name can share (RFC 9018): a client that sends one back was reached at its
//! address, so its question is not forged.
//!
//! Nothing is remembered of a client: the cookie is a keyed hash of what it is bound to. Making and keeping the secrets, and the
//! time, are the caller's.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// A client's part (RFC 7873 §4).
pub type ClientCookie = [u8; 8];

/// Our part, in the layout of RFC 9018 §4: version, three bytes of nothing, the time, the hash.
pub type ServerCookie = [u8; 16];

/// The only version there is.
const VERSION: u8 = 1;

/// Seconds after which a cookie counts no longer (RFC 9018 §4.3).
const VALID: u32 = 3_600;

/// Seconds by which another server's clock may be ahead of ours (RFC 9018 §4.3).
const AHEAD: u32 = 300;

/// Seconds for which one secret is used. The one before it stands for longer than a cookie does.
pub const ROTATION: u32 = 86_400;

/// The secrets of this period, of the one before, and of the next: another server's clock may be a little ahead.
#[derive(Clone)]
pub struct Secrets {
    period: u32,
    before: [u8; 16],
    current: [u8; 16],
    next: [u8; 16],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets(of period {})", self.period)
    }
}

impl Secrets {
    /// The secrets at `now` (seconds since 1970), each made by `derive` from the number of its period.
    pub fn at(now: u32, derive: impl Fn(u32) -> [u8; 16]) -> Self {
        let period = now / ROTATION;
        Self { period, before: derive(period.wrapping_sub(1)), current: derive(period), next: derive(period.wrapping_add(1)) }
    }

    /// Whether they are those of `now`.
    pub fn are_of(&self, now: u32) -> bool {
        now / ROTATION == self.period
    }

    /// The cookie for a client at `address`.
    pub fn make(&self, client: &ClientCookie, address: IpAddr, now: u32) -> ServerCookie {
        let [a, b, c, d] = now.to_be_bytes();
        let head = [VERSION, 0, 0, 0, a, b, c, d];
        let mut cookie = [0; 16];
        let (front, back) = cookie.split_at_mut(head.len());
        front.copy_from_slice(&head);
        back.copy_from_slice(&hash(self.of(now), client, &head, address));
        cookie
    }

    /// Whether `server` is a cookie that we, or a server with our secrets, gave to this client within the last hour.
    pub fn know(&self, server: &[u8], client: &ClientCookie, address: IpAddr, now: u32) -> bool {
        let Ok(server) = ServerCookie::try_from(server) else { return false };
        // What is reserved may be anything, and is hashed as it came (RFC 9018 §4.2).
        let [head @ .., _, _, _, _, _, _, _, _] = server;
        let [VERSION, _, _, _, a, b, c, d] = head else { return false };
        let made = u32::from_be_bytes([a, b, c, d]);
        // In serial number arithmetic (RFC 1982), so that 2106 passes unnoticed.
        let (age, lead) = (now.wrapping_sub(made), made.wrapping_sub(now));
        if age > VALID && lead > AHEAD {
            return false;
        }
        same(server.get(head.len()..).unwrap_or_default(), &hash(self.of(made), client, &head, address))
    }

    /// The secret that was used at `made`.
    fn of(&self, made: u32) -> &[u8; 16] {
        match (made / ROTATION).wrapping_sub(self.period) {
            u32::MAX => &self.before,
            1 => &self.next,
            _ => &self.current,
        }
    }
}

/// RFC 9018 §4.4.
fn hash(secret: &[u8; 16], client: &ClientCookie, head: &[u8; 8], address: IpAddr) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(client);
    hasher.write(head);
    match address.to_canonical() {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    hasher.finish().to_le_bytes()
}

/// In a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9018 Appendix A.
    const SECRET: [u8; 16] = [0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf];
    const CLIENT: ClientCookie = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 100));
    const MADE: u32 = 1_559_731_985;
    const COOKIE: ServerCookie = [0x01, 0, 0, 0, 0x5c, 0xf7, 0x9f, 0x11, 0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80];

    fn secrets(now: u32) -> Secrets {
        Secrets::at(now, |period| if period == MADE / ROTATION { SECRET } else { [period as u8; 16] })
    }

    #[test]
    fn the_rfcs_first_example_is_made_and_known() {
        assert_eq!(secrets(MADE).make(&CLIENT, ADDRESS, MADE), COOKIE);
        assert!(secrets(MADE).know(&COOKIE, &CLIENT, ADDRESS, MADE));
    }

    #[test]
    fn the_rfcs_ipv6_example_is_known() {
        // RFC 9018 Appendix A.4, whose secret was the one before.
        let secret = [0xdd, 0x3b, 0xdf, 0x93, 0x44, 0xb6, 0x78, 0xb1, 0x85, 0xa6, 0xf5, 0xcb, 0x60, 0xfc, 0xa7, 0x15];
        let client = [0x22, 0x68, 0x1a, 0xb9, 0x7d, 0x52, 0xc2, 0x98];
        let address: IpAddr = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().expect("an address");
        let given = [0x01, 0, 0, 0, 0x5c, 0xf7, 0xc5, 0x79, 0x26, 0x55, 0x6b, 0xd0, 0x93, 0x4c, 0x72, 0xf8];
        let made = 0x5cf7_c579;
        assert_eq!(Secrets::at(made, |_| secret).make(&client, address, made), given);
        assert!(Secrets::at(made, |_| secret).know(&given, &client, address, made));
    }

    #[test]
    fn what_is_reserved_may_be_anything_that_was_hashed_too() {
        // RFC 9018 Appendix A.3.
        let client = [0xfc, 0x93, 0xfc, 0x62, 0x80, 0x7d, 0xdb, 0x86];
        let given = [0x01, 0xab, 0xcd, 0xef, 0x5c, 0xf7, 0x8f, 0x71, 0xa3, 0x14, 0x22, 0x7b, 0x66, 0x79, 0xeb, 0xf5];
        let (made, address) = (0x5cf7_8f71, [203, 0, 113, 203].into());
        assert!(Secrets::at(made, |_| SECRET).know(&given, &client, address, made));
        let zeroed = [&[1, 0, 0, 0], &given[4..]].concat();
        assert!(!Secrets::at(made, |_| SECRET).know(&zeroed, &client, address, made), "and no other");
    }

    #[test]
    fn a_cookie_is_bound_to_its_client_its_address_and_its_hour() {
        let known =
            |client: &ClientCookie, address: &str, now: u32| secrets(now).know(&COOKIE, client, address.parse().expect("an address"), now);
        assert!(known(&CLIENT, "::ffff:198.51.100.100", MADE + 3_599), "the same address as an IPv6 socket shows it");
        assert!(!known(&[0; 8], "198.51.100.100", MADE));
        assert!(!known(&CLIENT, "198.51.100.101", MADE));
        assert!(!known(&CLIENT, "198.51.100.100", MADE + 3_601));
        assert!(known(&CLIENT, "198.51.100.100", MADE - 300) && !known(&CLIENT, "198.51.100.100", MADE - 301), "of a clock that is ahead");
    }

    #[test]
    fn nothing_else_is_a_cookie() {
        let mut of_another_version = COOKIE;
        of_another_version[0] = 2;
        for other in [&COOKIE[..15], &of_another_version, &[0; 16], &[], &[1; 32]] {
            assert!(!secrets(MADE).know(other, &CLIENT, ADDRESS, MADE));
        }
    }

    #[test]
    fn a_cookie_outlives_the_change_of_the_secret() {
        let midnight = (MADE / ROTATION + 1) * ROTATION;
        let cookie = secrets(midnight - 60).make(&CLIENT, ADDRESS, midnight - 60);
        assert!(secrets(midnight + 60).know(&cookie, &CLIENT, ADDRESS, midnight + 60));
        let ahead = secrets(midnight + 60).make(&CLIENT, ADDRESS, midnight + 60);
        assert!(secrets(midnight - 60).know(&ahead, &CLIENT, ADDRESS, midnight - 60), "of a clock that is ahead");
        assert_ne!(cookie[8..], Secrets::at(midnight, |_| [0; 16]).make(&CLIENT, ADDRESS, midnight - 60)[8..]);
    }
}
