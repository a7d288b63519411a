//! Whether the zone above vouches for the keys that the zone is signed with. The signatures themselves are not verified here: a resolver that does
//! so, and is told of a wrong key, finds no name at all.

use super::{Dnssec, Id, Judge, NO_NAMES, list};

impl Judge<'_> {
    pub(super) fn dnssec(&mut self) {
        let id = Id::Dnssec;
        if self.follows(id, &NO_NAMES) || self.follows(id, &[Id::DnsUdp]) {
            return;
        }
        let seen = self.seen;
        let (Some(zone), Some(Dnssec { above, keys })) = (&seen.names.zone, &seen.names.dnssec) else {
            return self.not_judged(id, "the zone above was not heard about the keys of the zone, or its name server was not");
        };
        let how = format!("asked the name servers of the zone above for DS of {zone}, and ours for DNSKEY");
        let tags = list(above.iter().map(|ds| ds.tag));
        if keys.is_empty() && above.is_empty() {
            return self.good(id, format!("{zone} is not signed, and the zone above does not say that it is"), how);
        }
        if keys.is_empty() {
            let what =
                format!("the zone above says that {zone} is signed (DS {tags}), and it is not: resolvers that verify find no name in it");
            let remedy = format!(
                "take the DS out at the registrar; or sign the zone (dns.dnssec = true, the default) and enter what `fourward zone ds {zone}` prints"
            );
            return self.fault(id, what, how, remedy);
        }
        if above.is_empty() {
            let what = format!("{zone} is signed, and the zone above does not say so: nobody verifies what it says");
            return self.note(id, what, how, format!("`fourward zone ds {zone}` on the server prints what to enter at the registrar"));
        }
        let is_known = |tag, algorithm| keys.contains(&(tag, algorithm));
        if !above.iter().any(|ds| is_known(ds.tag, ds.algorithm)) {
            let shown = list(keys.iter().map(|(tag, _)| tag));
            let what = format!(
                "the zone above vouches for keys of {zone} that it has not (DS {tags}; its keys are {shown}): resolvers that verify find no name in it"
            );
            return self.fault(id, what, how, format!("at the registrar, enter what `fourward zone ds {zone}` prints, and nothing else"));
        }
        self.good(id, format!("{zone} is signed, and the zone above vouches for it (DS {tags})"), how);
    }
}
