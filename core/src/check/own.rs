//! The certificate of the gateway's own name, which routers' update clients meet.

use super::paths::{is_late, until_renewed};
use super::{Certificate, Id, Judge, NO_NAMES, Tls, list};
use crate::api::{CertificateSource, CertificateStatus};
use crate::host::AddressFrom;

/// Where the owner reads on.
const LOG: &str = "`journalctl -u fourward` on the server has all tries";

impl Judge<'_> {
    /// As the server says, else as TLS shows it.
    pub(super) fn own_certificate(&mut self) {
        let id = Id::OwnCertificate;
        let seen = self.seen;
        if let Some(status) = &seen.own_name.status {
            return self.own_status(status);
        }
        let Some(name) = &seen.gateway.name else {
            if !self.follows(id, &NO_NAMES) {
                self.not_judged(id, "the gateway's own name is not known");
            }
            return;
        };
        let how = format!("read the certificate that the gateway shows for {name}");
        match &seen.own_name.gateway {
            Some(Tls::Stands(certificate)) => self.own_shown(certificate, how),
            _ if self.follows(id, &NO_NAMES) || self.follows(id, &[Id::A, Id::Path4]) => {}
            _ => self.not_judged(id, &format!("the gateway shows no certificate for {name} here")),
        }
    }

    /// Whether the host lives by updates over HTTPS.
    fn is_by_update(&self) -> bool {
        self.seen.host.as_ref().is_some_and(|host| host.address_from == Some(AddressFrom::Update))
    }

    fn own_status(&mut self, status: &CertificateStatus) {
        let id = Id::OwnCertificate;
        let (until, now) = (status.not_after, self.seen.now);
        let how = "asked the server (`fourward status`)";
        let from = match &self.seen.own_name.gateway {
            Some(Tls::Stands(shown)) if shown.until == until => Some(shown.from),
            _ => None,
        };
        // An order is due at its time, of which the server knows more than the date says.
        let waits = status.source == CertificateSource::Acme && status.last_error.is_none() && status.next.is_some_and(|next| next < until);
        let late = !waits && until_renewed(until, from, now).is_negative();
        let useless = status.source != CertificateSource::Acme || until <= now || late;
        match &status.last_error {
            // Agents know the server by its key. Only routers that send updates need a certificate that others trust.
            Some(error) if status.source == CertificateSource::SelfSigned && !self.is_by_update() => {
                let what = format!("the server's own name has its self-signed certificate, since no other was to be had so far: {error}");
                self.note(id, what, how, format!("it is tried again; until then browsers warn, and clients of dyndns2 refuse; {LOG}"));
            }
            Some(error) if useless => {
                let what = format!(
                    "the certificate of the server's own name ({}, until {until:.0}) is not what it should be: {error}",
                    status.source
                );
                self.fault(id, what, how, format!("as it says; {LOG}"));
            }
            Some(error) => {
                let what = format!("the next certificate of the server's own name was not to be had: {error}");
                self.note(id, what, how, format!("this one is good until {until:.0}, and it is tried again; {LOG}"));
            }
            None if until <= now || late => {
                let what = format!(
                    "the certificate of the server's own name ({}) expires at {until:.0}, or has, and nothing renews it",
                    status.source
                );
                self.fault(id, what, how, renewal(status.source));
            }
            None if status.source == CertificateSource::SelfSigned => {
                let what = "the certificate of the server's own name is self-signed: update clients must be given it";
                self.note(id, what, how, "enter [acme] with an email in the configuration, or a certificate's files under [control]");
            }
            None => self.good(id, format!("the certificate of the server's own name ({}) is good until {until:.0}", status.source), how),
        }
    }

    fn own_shown(&mut self, certificate: &Certificate, how: String) {
        let id = Id::OwnCertificate;
        let Certificate { from, until, .. } = certificate;
        let remedy = "`fourward status` on the server says why it is not renewed (ACME, or files under [control])";
        if *until <= self.seen.now {
            return self.fault(id, format!("the gateway's own certificate expired at {until:.0}"), how, remedy);
        }
        if *from > self.seen.now {
            let what = format!("the gateway's own certificate is valid from {from:.0} on only");
            return self.fault(id, what, how, "is the clock right, here and on the server (`timedatectl`)?");
        }
        if !certificate.fits {
            let what = format!("the gateway's own certificate is for {}, not for its name", list(&certificate.names));
            return self.fault(id, what, how, "set control.certificate on the server to one for public.name, or leave it to [acme]");
        }
        if is_late(certificate, self.seen.now) {
            let what = format!("the gateway's own certificate expires at {until:.0}, and nothing has renewed it");
            return self.fault(id, what, how, remedy);
        }
        if !certificate.trusted {
            let what = format!("the gateway's own certificate is good until {until:.0}, but this machine does not trust who signed it");
            return self.note(id, what, how, "for routers' update clients, enter [acme] on the server, or give them the certificate");
        }
        self.good(id, format!("the gateway's own certificate is good until {until:.0}"), how);
    }
}

fn renewal(source: CertificateSource) -> String {
    match source {
        CertificateSource::Files => {
            "renew it where control.certificate comes from (`certbot renew`): the server reads the files again by itself".into()
        }
        CertificateSource::Acme | CertificateSource::SelfSigned => format!("`systemctl restart fourward` on the server; {LOG}"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_lives_for_days_is_renewed_late() {
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let (from, until) = (at("2026-11-20T00:00:00Z"), at("2026-11-26T00:00:00Z"));
        assert!(!until_renewed(until, Some(from), at("2026-11-24T00:00:00Z")).is_negative());
        assert!(until_renewed(until, Some(from), at("2026-11-25T12:00:00Z")).is_negative());
        assert!(until_renewed(until, None, at("2026-11-24T00:00:00Z")).is_negative());
    }
}
