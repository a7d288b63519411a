//! What the names say: our name server, and this machine's resolver.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use jiff::SignedDuration;

use super::{Id, Judge, LATER, NO_HOME, NO_NAMES, Resolved, View, list};
use crate::host::{AddressFrom, Via};
use crate::wire::Rcode;

/// Two answers that were asked for together, in seconds: the home may move in between.
const MEANWHILE: u32 = 10;

impl Judge<'_> {
    /// What the names say.
    pub(super) fn answers(&mut self) {
        let stranger = self.seen.view == View::Outside && self.seen.names.own.as_ref().is_some_and(|own| own.exists && !own.twin_exists);
        if stranger {
            // What has no twin is no host; nothing else is to be expected of it.
            self.alias();
            for id in [Id::A, Id::Aaaa, Id::Twin, Id::Resolver] {
                self.follows(id, &[Id::Alias]);
            }
            return;
        }
        self.a();
        self.aaaa();
        self.twin();
        self.alias();
        self.resolver();
    }

    fn a(&mut self) {
        let Some(own) = &self.seen.names.own else { return self.unanswered(Id::A) };
        if !own.exists {
            return self.no_such_name();
        }
        let how = format!("asked our name server ({}) for A of {}", list(own.server), self.dual());
        let gateway = self.seen.gateway4();
        if own.a.is_empty() {
            return self.fault(Id::A, "the name has no A: IPv4 clients cannot come", how, "set public.ipv4 on the server");
        }
        if !gateway.is_empty() && own.a != gateway {
            let what = format!("the A is {}, but the gateway is at {}", list(&own.a), list(&gateway));
            return self.fault(Id::A, what, how, "correct public.ipv4 on the server, or the record at the name server that said so");
        }
        self.good(Id::A, format!("the A is {}, the gateway", list(&own.a)), how);
    }

    fn unanswered(&mut self, id: Id) {
        if !self.follows(id, &NO_NAMES) && !self.follows(id, &[Id::DnsUdp, Id::DnsTcp]) {
            self.not_judged(id, "no name server of the zone answered");
        }
    }

    fn no_such_name(&mut self) {
        let zone = self.seen.names.zone.as_ref().map(ToString::to_string).unwrap_or_default();
        let what = format!("there is no name {} in {zone}", self.dual());
        let remedy = "is it spelt as in `fourward host list`? `fourward host add NAME` on the server makes it";
        self.fault(Id::A, what, "asked our name server", remedy);
    }

    fn aaaa(&mut self) {
        let Some(own) = &self.seen.names.own else { return self.unanswered(Id::Aaaa) };
        if !own.exists {
            self.follows(Id::Aaaa, &[Id::A]);
            return;
        }
        let how = format!("asked our name server ({}) for AAAA of {}", list(own.server), self.dual());
        let via = self.seen.host.as_ref().and_then(|host| host.via);
        if own.aaaa.is_empty() {
            return self.no_aaaa(how);
        }
        if via.is_none() && self.seen.host.is_some() {
            return self.not_judged(Id::Aaaa, LATER);
        }
        if via == Some(Via::Gateway) {
            let good = own.aaaa == self.seen.gateway6();
            let what = format!("the AAAA is {}, the gateway (via=gateway)", list(&own.aaaa));
            return if good { self.good(Id::Aaaa, what, how) } else { self.wrong_aaaa(&self.seen.gateway6(), how) };
        }
        if self.follows(Id::Aaaa, &[Id::Loop]) {
            return;
        }
        let published = self.seen.host.as_ref().map(|host| host.address.into_iter().collect::<BTreeSet<Ipv6Addr>>());
        match published {
            Some(home) if home != own.aaaa => self.wrong_aaaa(&home, how),
            Some(home) => self.agreed_aaaa(&home, how),
            None => match self.seen.home.as_ref().and_then(|home| home.claim) {
                Some(claim) if !own.aaaa.contains(&claim) => self.wrong_aaaa(&BTreeSet::from([claim]), how),
                Some(claim) => self.good(Id::Aaaa, format!("the AAAA is {claim}, this home"), how),
                None => self.good(Id::Aaaa, format!("the AAAA is {}", list(&own.aaaa)), how),
            },
        }
    }

    fn no_aaaa(&mut self, how: String) {
        let id = Id::Aaaa;
        if self.follows(id, &NO_HOME) {
            return;
        }
        let host = self.seen.host.as_ref().filter(|host| host.address.is_none());
        let by = host.map(|host| host.leader.as_ref().unwrap_or(&host.dual).clone());
        if let Some(upstream) = host.and_then(|host| host.upstream.as_ref()) {
            let reason = host.and_then(|host| host.unresolved.clone()).unwrap_or_else(|| "it was not looked up yet".into());
            let remedy = format!(
                "`dig {upstream} AAAA` must show the home's global IPv6 address: see to the dyndns client there, or take another name (upstream=NAME)"
            );
            return self.fault(id, format!("the home is where DNS says that {upstream} is, and that is nowhere: {reason}"), how, remedy);
        }
        match (host.and_then(|host| host.address_from), by) {
            (Some(AddressFrom::Update), Some(by)) => {
                let remedy = format!(
                    "make the router or the update client send one (`ddclient -force`; FRITZ!Box: save Internet > Permit Access > DynDNS again), with                      {by} as its host or user name: `fourward host show {by}` has what it last said, `journalctl -u fourward` why it was refused, and                      `fourward host token {by}` prints its settings with a new password"
                );
                self.fault(id, format!("no update has come that says where {by} is (address-from=update)"), how, remedy);
            }
            (Some(AddressFrom::Static), Some(by)) => {
                let remedy = format!("`fourward host set {by} address=ADDRESS` with the home's IPv6 address, or address-from=link");
                self.fault(id, format!("no address is written for {by} (address-from=static)"), how, remedy);
            }
            _ => {
                let remedy = "run `fourward check` on the server or at home: they know why; mostly the agent does not run (or no update came), or the                               home's line is down";
                self.fault(id, "the name has no AAAA: the home is away", how, remedy);
            }
        }
    }

    fn agreed_aaaa(&mut self, home: &BTreeSet<Ipv6Addr>, how: String) {
        let published = home.first().copied();
        match &self.seen.home {
            Some(agent) if agent.linked && agent.claim != published => {
                let what = format!("the home claims {}, and {} is published", list(agent.claim), list(home));
                self.note(Id::Aaaa, what, how, "it has just moved, or its address is not proven: ask again in some seconds");
            }
            _ => self.good(Id::Aaaa, format!("the AAAA is {}, the home", list(home)), how),
        }
    }

    fn wrong_aaaa(&mut self, right: &BTreeSet<Ipv6Addr>, how: String) {
        let own = self.seen.names.own.as_ref().map(|own| list(&own.aaaa)).unwrap_or_default();
        let what = format!("the AAAA is {own}, but should be {}", list(right));
        let remedy = "whoever answered is no name server of this fourward, or one that lags behind: correct the NS and the glue, or its zone transfer";
        self.fault(Id::Aaaa, what, how, remedy);
    }

    fn twin(&mut self) {
        let Some(own) = &self.seen.names.own else { return self.unanswered(Id::Twin) };
        let name = self.seen.names.twin.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.follows(Id::Twin, &[Id::A, Id::Aaaa, Id::Loop]) {
            return;
        }
        let how = format!("asked our name server for A and AAAA of {name}");
        let via = self.seen.host.as_ref().and_then(|host| host.via);
        if !own.twin_exists {
            let what = format!("{name} does not exist, so that {} is no host of a fourward", self.dual());
            return self.fault(Id::Twin, what, how, "give the name of a host, or of a domain with a CNAME to one");
        }
        if !own.twin_a.is_empty() {
            let what = format!("{name} has an A ({}): who must reach the home itself is led to the gateway", list(&own.twin_a));
            return self.fault(Id::Twin, what, how, "take that record away at the name server that said so; it is not fourward's");
        }
        // What a word of a later version asks for is not known here.
        let elsewhere = self.seen.host.is_some() && via.is_none();
        let by_gateway = elsewhere || via == Some(Via::Gateway) || !own.aaaa.is_disjoint(&self.seen.gateway6());
        if own.twin_aaaa != own.aaaa && !by_gateway {
            if self.follows(Id::Twin, &NO_HOME) {
                return;
            }
            let what = format!("{name} has AAAA {}, and {} has {}", list(&own.twin_aaaa), self.dual(), list(&own.aaaa));
            if self.just_moved(MEANWHILE) == Some(true) {
                return self.note(Id::Twin, what, how, "the home has just moved: ask again in some seconds");
            }
            let remedy = "fourward changes both at once, so whoever answered is another: correct the NS and the glue, or its zone; right after a move, ask again";
            return self.fault(Id::Twin, what, how, remedy);
        }
        self.good(Id::Twin, format!("{name} has the same AAAA and no A"), how);
    }

    fn alias(&mut self) {
        let seen = self.seen;
        let (name, dual) = (&seen.name, self.dual().clone());
        if Some(name) == seen.names.twin.as_ref()
            || (*name == dual && (seen.view != View::Outside || seen.names.own.as_ref().is_none_or(|own| own.twin_exists)))
        {
            return;
        }
        if self.follows(Id::Alias, &[Id::Ports, Id::Server, Id::ZoneDelegation, Id::ZoneGlue]) {
            return;
        }
        let how = format!("asked this machine's resolver for A and AAAA of {name}");
        let Some(Ok(resolved)) = &seen.names.resolved else { return self.not_judged(Id::Alias, "this machine's resolver does not answer") };
        let cname = format!("where {name} is kept, make it a CNAME of {dual}");
        match &resolved.end {
            None => self.fault(Id::Alias, format!("the CNAMEs of {name} lead in a circle"), how, cname),
            Some(end) if Some(end) == seen.gateway.name.as_ref() => {
                let what = format!("{name} leads to {end}, the gateway itself, and to no host");
                self.fault(Id::Alias, what, how, format!("where {name} is kept, make it a CNAME of a host's name"));
            }
            Some(end) if end == name => self.alias_without_cname(resolved, how),
            Some(end) if *end != dual => self.fault(Id::Alias, format!("{name} leads to {end}, not to {dual}"), how, cname),
            Some(_) => self.good(Id::Alias, format!("{name} is a CNAME of {dual}"), how),
        }
    }

    /// At the top of a zone there can be no CNAME; who flattens it has to follow the home all the same.
    fn alias_without_cname(&mut self, resolved: &Resolved, how: String) {
        let (name, dual) = (&self.seen.name, self.dual());
        let own = self.seen.names.own.clone().unwrap_or_default();
        let remedy = format!("where {name} is kept, make it a CNAME of {dual}, with no other record beside it");
        if *name == *dual {
            let what = format!("{name} is neither a host of a fourward nor a CNAME of one; it has {}", addresses(resolved));
            return self.fault(Id::Alias, what, how, "where it is kept, make it a CNAME of a host's name, with no other record beside it");
        }
        if resolved.rcode != Rcode::NOERROR {
            return self.fault(Id::Alias, format!("there is no name {name}"), how, remedy);
        }
        if resolved.a == own.a && resolved.aaaa == own.aaaa && !resolved.a.is_empty() {
            let what = format!("{name} has the addresses of {dual}, but is no CNAME of it: it does not follow the home by itself");
            return self.note(Id::Alias, what, how, remedy);
        }
        let what = format!("{name} has {}, and {dual} has {}", addresses(resolved), both(&own.a, &own.aaaa));
        self.fault(Id::Alias, what, how, remedy);
    }

    fn resolver(&mut self) {
        let id = Id::Resolver;
        if self.follows(id, &NO_NAMES) || self.follows(id, &[Id::DnsUdp, Id::Dnssec, Id::Alias]) {
            return;
        }
        let seen = self.seen;
        let how = format!("asked this machine's resolver (/etc/resolv.conf) for A and AAAA of {}, and our name server", seen.name);
        let resolved = match &seen.names.resolved {
            Some(Ok(resolved)) => resolved,
            Some(Err(error)) => {
                if seen.names.parent.is_none() {
                    let what = format!("this machine's resolver does not answer: {error}");
                    return self.fault(id, what, how, "name a resolver that works in /etc/resolv.conf");
                }
                let what = format!("this machine's resolver finds other names, and not {}: {error}", seen.name);
                let remedy = "it cannot ask our name server, it seems: open 53/udp and 53/tcp to the server in the provider's firewall";
                return self.fault(id, what, how, remedy);
            }
            None => return self.not_judged(id, "this machine's resolver was not asked"),
        };
        let Some(own) = &seen.names.own else { return self.not_judged(id, "no name server of the zone answered to compare with") };
        if self.follows(id, &[Id::A]) {
            return;
        }
        let twin = Some(&seen.name) == seen.names.twin.as_ref();
        if resolved.rcode != Rcode::NOERROR {
            let what = match resolved.rcode {
                Rcode::NXDOMAIN => format!("this machine's resolver says that there is no {}, though our name server has it", seen.name),
                _ => format!(
                    "this machine's resolver fails to find {} (rcode {}), though our name server has it",
                    seen.name, resolved.rcode.0
                ),
            };
            let remedy = format!(
                "if the host is new, ask again in a minute; else ask another resolver: `dig @9.9.9.9 {}`. If that fails too, open 53/udp and 53/tcp to the server in the \
                 provider's firewall",
                seen.name
            );
            return self.fault(id, what, how, remedy);
        }
        if !twin && resolved.a != own.a {
            let what = format!("this machine's resolver says A {}, and our name server {}", list(&resolved.a), list(&own.a));
            return self.fault(id, what, how, "take away what the resolver, the router or /etc/hosts has of its own about this name");
        }
        let right = if twin { &own.twin_aaaa } else { &own.aaaa };
        if resolved.aaaa == *right {
            return self.good(id, "this machine's resolver says what our name server says", how);
        }
        self.stale_or_stripped(resolved, right, how);
    }

    /// Whether the home moved within `ttl` seconds, where that is known.
    fn just_moved(&self, ttl: u32) -> Option<bool> {
        let since = self.seen.host.as_ref().and_then(|host| host.since);
        since.map(|since| self.seen.now.duration_since(since) < SignedDuration::from_secs(i64::from(ttl)))
    }

    fn stale_or_stripped(&mut self, resolved: &Resolved, right: &BTreeSet<Ipv6Addr>, how: String) {
        let ttl = self.seen.names.own.as_ref().map_or(0, |own| own.ttl);
        let moved = self.just_moved(ttl);
        if resolved.aaaa.is_empty() {
            if moved == Some(true) {
                let remedy = format!("ask again in {ttl} s");
                return self.note(
                    Id::Resolver,
                    "this machine's resolver does not know the AAAA yet: the home has just come back",
                    how,
                    remedy,
                );
            }
            let what =
                format!("this machine's resolver leaves out the AAAA ({}): clients beside it cannot go to the home directly", list(right));
            let remedy = format!(
                "it protects against DNS rebinding, or filters IPv6: except {} in the router (FRITZ!Box: Home Network > Network > Network Settings > DNS Rebind \
                 Protection; dnsmasq: rebind-domain-ok; unbound: private-domain; AdGuard, Pi-hole: no AAAA filter), or use another resolver",
                self.seen.name
            );
            return self.fault(Id::Resolver, what, how, remedy);
        }
        let what = format!("this machine's resolver says AAAA {}, and our name server {}", list(&resolved.aaaa), list(right));
        if right.is_empty() {
            let remedy = format!("nothing: it forgets the home that went away within {} s", resolved.ttl);
            return self.note(Id::Resolver, what, how, remedy);
        }
        // What was kept has less time left than what is fresh.
        if moved == Some(true) || (moved.is_none() && resolved.ttl < ttl) {
            let remedy = format!("nothing: it may keep what it heard for {} s more", resolved.ttl);
            return self.note(Id::Resolver, what, how, remedy);
        }
        let remedy = format!(
            "a move is known everywhere after {ttl} s: if this stays, the resolver keeps answers for too long, or has the name from elsewhere (/etc/hosts, the router)"
        );
        self.fault(Id::Resolver, what, how, remedy);
    }
}

fn addresses(resolved: &Resolved) -> String {
    both(&resolved.a, &resolved.aaaa)
}

fn both(a: &BTreeSet<std::net::Ipv4Addr>, aaaa: &BTreeSet<Ipv6Addr>) -> String {
    list(a.iter().map(ToString::to_string).chain(aaaa.iter().map(ToString::to_string)))
}
