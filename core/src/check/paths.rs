//! What is found where the names lead: both ways to the service, and its certificate.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::seen::UNRECOGNIZED_NAME;
use super::{Certificate, Id, Judge, NO_HOME, NO_NAMES, Path, Tls, View, list};
use crate::facts::Connect;

/// By which the gateway answers for a home that is away (RFC 8446 §6.2).
const INTERNAL_ERROR: u8 = 80;

/// A certificate that is not renewed by then will not be; of one that lives for days, when a sixth of its life is left.
const RENEWED_BY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The home is there, and cannot be reached.
const NO_WAY: [Id; 4] = [Id::InterfaceIdentifier, Id::Service, Id::FirewallHome, Id::FirewallRouter];

impl Judge<'_> {
    /// What is found where they lead.
    pub(super) fn ways(&mut self) {
        self.behind_the_address();
        // The gateway cannot reach what cannot be reached directly.
        self.path6();
        self.path4();
        self.certificates();
        self.http();
        self.own_certificate();
    }

    fn path4(&mut self) {
        let id = Id::Path4;
        if self.twin_was_asked() {
            return self.not_judged(id, "the twin has no A, on purpose");
        }
        let Some(path) = self.seen.path(false).cloned() else {
            if !self.follows(id, &NO_NAMES) && !self.follows(id, &[Id::A, Id::Alias, Id::Loop]) {
                self.not_judged(id, "no A is known");
            }
            return;
        };
        let how = self.tried(&path);
        let address = path.address;
        match &path.tls {
            Tls::Stands(_) if self.seen.view == View::Server => {
                let how = format!("{how}; a firewall before this machine cannot be seen from it");
                self.good(id, format!("{address} leads to the service, from the server itself"), how);
            }
            Tls::Stands(_) => self.good(id, format!("IPv4 clients reach the service by {address}"), how),
            _ if self.follows(id, &[Id::Alias, Id::A]) => {}
            Tls::No(_) if !self.seen.ipv4 => self.not_judged(id, "this machine has no IPv4"),
            Tls::No(_) if self.follows(id, &[Id::Ports, Id::Server]) => {}
            Tls::No(_) if self.is_dead(address) && self.follows(id, &[Id::DnsUdp]) => {}
            Tls::No(_) if self.seen.view == View::Server => {
                let what = format!("the server does not reach its own address {address}");
                self.note(id, what, how, "some providers do not turn connections around: run `fourward check` elsewhere");
            }
            Tls::No(Connect::Refused) => {
                let remedy = "start fourward on the server, with [gateway] in its configuration";
                self.fault(id, format!("{address} refuses connections to TCP 443: no gateway runs there"), how, remedy);
            }
            Tls::No(_) => {
                let what = format!("TCP 443 of {address} does not come through: IPv4 clients cannot come");
                self.fault(id, what, how, "open 443/tcp (and 80/tcp) to the server in the provider's firewall (and in the server's own)");
            }
            Tls::Alert(UNRECOGNIZED_NAME) => {
                let what = format!("the gateway does not know the name {}", self.seen.name);
                let remedy = "on the server: `fourward host list` shows the hosts; a domain of your own wants a CNAME of a host's name, or `fourward host set NAME alias+=…`";
                self.fault(id, what, how, remedy);
            }
            Tls::Alert(INTERNAL_ERROR) => {
                if self.follows(id, &NO_HOME) || self.follows(id, &NO_WAY) || self.follows(id, &[Id::Aaaa, Id::Path6, Id::SourcePrefix]) {
                    return;
                }
                let what = "the gateway answers in the home's place: it cannot reach the home";
                let remedy =
                    "run `fourward check` on the server or at home: they tell the router's firewall, the home's own and the service apart";
                self.fault(id, what, how, remedy);
            }
            // The gateway passes on what it is given.
            Tls::Alert(_) | Tls::Broken(_) if self.follows(id, &[Id::Path6]) => {}
            Tls::Alert(_) | Tls::Broken(_) => self.broken(id, &path, how),
        }
    }

    fn path6(&mut self) {
        let id = Id::Path6;
        let Some(path) = self.seen.path(true).cloned() else {
            if !self.follows(id, &NO_NAMES) && !self.follows(id, &NO_HOME) && !self.follows(id, &[Id::Aaaa, Id::Alias]) {
                self.not_judged(id, "no AAAA is known");
            }
            return;
        };
        let how = self.tried(&path);
        let address = path.address;
        match &path.tls {
            Tls::Stands(_) => self.good(id, format!("IPv6 clients reach the service at {address}"), how),
            _ if !self.seen.ipv6 => self.not_judged(id, "this machine has no IPv6, so that the way to the home cannot be judged from here"),
            _ if self.follows(id, &NO_HOME) || self.follows(id, &NO_WAY) || self.follows(id, &[Id::Aaaa, Id::Alias]) => {}
            Tls::No(Connect::Refused) => {
                let what = format!("{address} refuses connections to TCP 443: the service is down, or a firewall rejects");
                // From outside it was left open.
                self.findings.retain(|finding| finding.id != Id::Service);
                self.fault(
                    Id::Service,
                    what,
                    how,
                    "start the service at home; `fourward check` there, or on the server, tells which of them it is",
                );
                self.follows(id, &[Id::Service]);
            }
            Tls::No(_) => {
                let what = format!("TCP 443 of {address} does not come through: IPv6 clients cannot reach the home");
                let remedy = "the home router's firewall or the home server's own keeps it out, or the home has just moved: run `fourward check` at home, which tells \
                              them apart";
                self.fault(id, what, how, remedy);
            }
            Tls::Alert(_) | Tls::Broken(_) => self.broken(id, &path, how),
        }
    }

    fn tried(&self, path: &Path) -> String {
        format!("connected to {}, port 443, with TLS for {}", path.address, self.seen.name)
    }

    fn twin_was_asked(&self) -> bool {
        Some(&self.seen.name) == self.seen.names.twin.as_ref()
    }

    fn broken(&mut self, id: Id, path: &Path, how: String) {
        let why = match &path.tls {
            Tls::Alert(alert) => format!("it ended the handshake with alert {alert}"),
            Tls::Broken(why) => why.clone(),
            Tls::No(_) | Tls::Stands(_) => String::new(),
        };
        let what = format!("what answers at {} does not speak TLS for {}: {why}", path.address, self.seen.name);
        let remedy = format!("set up TLS for {} in the service at home (a virtual host with that name, and a certificate)", self.seen.name);
        self.fault(id, what, how, remedy);
    }

    fn certificates(&mut self) {
        const ELSEWHERE: [Id; 4] = [Id::Alias, Id::A, Id::Aaaa, Id::Loop];
        if self.follows(Id::SameServer, &ELSEWHERE) {
            self.follows(Id::Certificate, &ELSEWHERE);
            return;
        }
        let shown = |ipv6| match self.seen.path(ipv6).map(|path| (path.address, &path.tls)) {
            Some((address, Tls::Stands(certificate))) => Some((address, certificate.clone())),
            _ => None,
        };
        let (four, six) = (shown(false), shown(true));
        match (&four, &six) {
            (Some((a, one)), Some((b, other))) if one.digest != other.digest => {
                let what = format!("{a} and {b} show different certificates for {}: they are not the same server", self.seen.name);
                let remedy = "is something else in between at one of them, or several machines behind one name? both ways must end at the home's service";
                self.fault(Id::SameServer, what, "compared what TLS showed by both ways", remedy);
            }
            (Some(_), Some(_)) => {
                self.good(Id::SameServer, "both ways lead to the same server", "compared the certificates that TLS showed")
            }
            _ => self.not_judged(Id::SameServer, "not both ways could be gone from here"),
        }
        let found: Vec<(IpAddr, Certificate)> = four.into_iter().chain(six).collect();
        if found.is_empty() {
            return self.not_judged(Id::Certificate, "no way led to a certificate");
        }
        // The one with a fault, if any has one.
        let worst = found.iter().find(|(_, certificate)| self.is_bad(certificate)).or(found.first());
        if let Some((address, certificate)) = worst {
            self.certificate(*address, certificate);
        }
    }

    fn is_bad(&self, certificate: &Certificate) -> bool {
        !certificate.fits || certificate.from > self.seen.now || is_late(certificate, self.seen.now)
    }

    fn certificate(&mut self, address: IpAddr, certificate: &Certificate) {
        let id = Id::Certificate;
        let (name, now) = (&self.seen.name, self.seen.now);
        let how = format!("read the certificate that {address} shows for {name}");
        let renew = "renew it at home (`certbot renew`, or the service's own way), and reload the service";
        let Certificate { from, until, .. } = certificate;
        if *until <= now {
            return self.fault(id, format!("the certificate expired at {until}"), how, renew);
        }
        if *from > now {
            let remedy = "is the clock right, here and at home (`timedatectl`)?";
            return self.fault(id, format!("the certificate is valid from {from} on only"), how, remedy);
        }
        if !certificate.fits {
            let what = format!("the certificate is for {}, not for {name}", list(&certificate.names));
            let remedy = format!("give the service at home a certificate for {name} (a virtual host with that ServerName)");
            return self.fault(id, what, how, remedy);
        }
        if is_late(certificate, now) {
            return self.fault(id, format!("the certificate expires at {until}, and nothing has renewed it"), how, renew);
        }
        if !certificate.trusted {
            let what = format!("the certificate is for {name} and good until {until}, but this machine does not trust who signed it");
            return self.note(id, what, how, "for clients of the public, order one of a public authority (Let's Encrypt)");
        }
        self.good(id, format!("the certificate is for {name} and good until {until}"), how);
    }

    fn http(&mut self) {
        let closed: Vec<IpAddr> = self
            .seen
            .paths
            .iter()
            .filter(|path| path.http != Connect::Open && self.seen.reaches(path.address))
            .map(|path| path.address)
            .collect();
        if self.seen.paths.is_empty() && self.follows(Id::Http, &[Id::Loop]) {
            return;
        }
        if self.seen.paths.is_empty() {
            return self.not_judged(Id::Http, "no address is known");
        }
        let how = "connected to port 80 of each address";
        if closed.is_empty() {
            return self.good(Id::Http, "port 80 is open by both ways", how);
        }
        let remedy = "nothing, if nobody types http:// and no certificate is ordered by HTTP-01; else open 80/tcp as 443/tcp is";
        self.note(Id::Http, format!("port 80 of {} is not open", list(closed)), how, remedy);
    }
}

/// Whether it should have been renewed long since.
pub(super) fn is_late(certificate: &Certificate, now: Timestamp) -> bool {
    until_renewed(certificate.until, Some(certificate.from), now).is_negative()
}

/// For how long nobody need wonder that the next one is not there.
pub(super) fn until_renewed(until: Timestamp, from: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let late = from.map_or(RENEWED_BY, |from| RENEWED_BY.min(until.duration_since(from) / 6));
    until.duration_since(now) - late
}
