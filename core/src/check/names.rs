//! The server itself, and the way from the zone above to our name servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Asked, Id, Judge, NameServer, Parent, RESTART, Referral, Said, View, list};
use crate::facts::Connect;
use crate::name::DnsName;

impl Judge<'_> {
    /// Everything that has to hold before a name can be asked for.
    pub(super) fn names(&mut self) {
        if self.seen.view == View::Server {
            self.server();
        }
        self.delegation();
        self.glue();
        self.half_a_server();
        self.name_servers();
    }

    fn server(&mut self) {
        let how = "asked the server on its control socket";
        match &self.seen.asked {
            Asked::NotRunning(held) if !held.is_empty() => {
                let ports = list(held.iter().map(|held| format!("{} is held by {}", held.port, held.by)));
                let what = format!("the server does not run, and its ports are taken: {ports}");
                let others: BTreeSet<&str> = held.iter().map(|held| held.by.as_str()).collect();
                let remedy = format!(
                    "stop {} or move it to other ports (systemd-resolved: DNSStubListener=no), then `systemctl start fourward`",
                    list(others)
                );
                self.fault(Id::Ports, what, "nobody answers on the control socket; looked who holds the ports", remedy);
                self.follows(Id::Server, &[Id::Ports]);
            }
            Asked::NotRunning(_) => {
                self.good(Id::Ports, "nobody else holds the ports of the server", "looked in the kernel's tables");
                let remedy = "`systemctl start fourward`; `journalctl -u fourward` says why it ended";
                self.fault(Id::Server, "the server does not run", "nobody answers on its control socket", remedy);
            }
            Asked::Hangs => {
                let remedy = "`systemctl restart fourward`; keep its log for a report";
                self.fault(Id::Server, "the server is there and does not answer", how, remedy);
            }
            Asked::NotPermitted => {
                let remedy = "run it as root, or as a member of the group fourward";
                self.note(Id::Server, "this user may not ask the server, so its state is not known here", how, remedy);
            }
            Asked::OtherVersion => {
                self.note(Id::Server, "the server that runs is of another version, so its state is not known here", how, RESTART)
            }
            Asked::Refused(reason) => {
                self.fault(Id::Server, reason.clone(), how, "`fourward host list` shows the hosts, `fourward host add NAME` makes one");
            }
            Asked::Answered | Asked::Nobody => {
                self.good(Id::Ports, "the server holds all its ports", "it runs, and does not start without them");
                self.good(Id::Server, "the server runs", how);
            }
        }
    }

    fn delegation(&mut self) {
        let names = &self.seen.names;
        let (Some(zone), Some(parent)) = (&names.zone, &names.parent) else {
            let why = match &names.resolved {
                Some(Err(error)) => format!("this machine's resolver does not answer, so that the zone above cannot be found: {error}"),
                _ => "the name servers of the zone above were not found".into(),
            };
            return self.not_judged(Id::ZoneDelegation, &why);
        };
        let above = above(parent);
        let how = format!("asked the name servers of {above} ({}) for NS of {zone}", list(parent.asked.iter().map(|(server, _)| server)));
        let heard: Vec<&Referral> = parent.asked.iter().map(|(_, said)| said).filter(|said| **said != Referral::Silent).collect();
        if heard.is_empty() {
            return self.note(Id::ZoneDelegation, format!("not judged: no name server of {above} answers"), how, "try again later");
        }
        let wanted = list(&names.nameservers);
        if heard.iter().any(|said| **said == Referral::None) {
            let server = if names.nameservers.is_empty() { "the server's own name".into() } else { wanted };
            let what = format!("{above} does not delegate {zone}: nobody can find a name in it");
            let remedy = format!("at the registrar of {above}, enter NS for {zone}: {server} (`fourward init` printed the lines)");
            return self.fault(Id::ZoneDelegation, what, how, remedy);
        }
        let told: BTreeSet<DnsName> = referrals(parent).flat_map(|(servers, _)| servers.clone()).collect();
        if !names.nameservers.is_empty() && told != names.nameservers {
            let what = format!("{above} sends questions about {zone} to {}, but its name servers are {wanted}", list(&told));
            let remedy = format!("at the registrar of {above}, set the NS of {zone} to {wanted}, and nothing else");
            return self.fault(Id::ZoneDelegation, what, how, remedy);
        }
        // Where we do not know who should be named, those who are must at least speak for the zone.
        let mut reachable = names.servers.iter().filter(|server| server.udp != Said::NoRoute).peekable();
        if names.nameservers.is_empty() && reachable.peek().is_some() && reachable.all(is_lame) {
            let what = format!("{above} sends questions about {zone} to {}, which does not speak for it", list(&told));
            let remedy =
                format!("at the registrar of {above}, set the NS of {zone} to the server's own name (`fourward init` printed the lines)");
            return self.fault(Id::ZoneDelegation, what, how, remedy);
        }
        self.good(Id::ZoneDelegation, format!("{above} delegates {zone} to {}", list(&told)), how);
    }

    fn glue(&mut self) {
        if self.follows(Id::ZoneGlue, &[Id::ZoneDelegation]) {
            return;
        }
        let names = &self.seen.names;
        let (Some(zone), Some(parent)) = (&names.zone, &names.parent) else {
            return self.not_judged(Id::ZoneGlue, "the name servers of the zone above were not found");
        };
        let servers: BTreeSet<&DnsName> = referrals(parent).flat_map(|(servers, _)| servers).collect();
        let inside: BTreeSet<&DnsName> = servers.into_iter().filter(|server| server.within(zone).is_some()).collect();
        let above = above(parent);
        let how = format!("asked the name servers of {above} for NS of {zone}, and read the addresses beside them");
        if inside.is_empty() {
            return self.good(Id::ZoneGlue, "the name servers are outside the zone and need no glue", how);
        }
        let told: BTreeSet<IpAddr> =
            referrals(parent).flat_map(|(_, glue)| glue).filter(|(owner, _)| inside.contains(owner)).map(|(_, address)| *address).collect();
        let wanted: BTreeSet<IpAddr> = if self.seen.gateway.configured {
            self.seen.gateway.addresses.clone()
        } else {
            names.own.iter().flat_map(|own| &own.servers).map(|(_, address)| *address).collect()
        };
        let server = list(&inside);
        let addresses = list(&wanted);
        if told.is_empty() {
            let what = format!("{server} is in {zone} itself, and {above} has no address for it: nobody can ask it");
            let remedy = format!("at the registrar of {above}, enter glue (host records) for {server}: {addresses}");
            return self.fault(Id::ZoneGlue, what, how, remedy);
        }
        let wrong: BTreeSet<&IpAddr> = told.difference(&wanted).collect();
        if !wanted.is_empty() && !wrong.is_empty() {
            let what = format!("the glue of {server} at {above} leads to {}, where this server is not", list(wrong));
            let remedy = format!("at the registrar of {above}, set the glue (host records) of {server} to {addresses}");
            return self.fault(Id::ZoneGlue, what, how, remedy);
        }
        let missing: Vec<&IpAddr> = wanted.difference(&told).collect();
        if !missing.is_empty() {
            let what = format!("the glue of {server} at {above} lacks {}: resolvers of that family alone cannot ask", list(missing));
            return self.note(Id::ZoneGlue, what, how, format!("at the registrar of {above}, set it to {addresses}"));
        }
        self.good(Id::ZoneGlue, format!("the glue of {server} is {}", list(&told)), how);
    }

    /// A server that is there by IPv4 alone comes to no home. By its state it is known on the server itself.
    fn half_a_server(&mut self) {
        let seen = self.seen;
        let of_gateway = |server: &&NameServer| seen.gateway.addresses.contains(&server.address) && seen.reaches(server.address);
        let (six, four): (Vec<_>, Vec<_>) = seen.names.servers.iter().filter(of_gateway).partition(|server| server.address.is_ipv6());
        let lost = !six.is_empty() && six.iter().all(|server| is_dead(server)) && four.iter().any(|server| !is_dead(server));
        if seen.view == View::Server || !lost {
            return;
        }
        let addresses = list(six.iter().map(|server| server.address));
        let what = format!("the server answers by IPv4 and not at all by IPv6 ({addresses}): so it cannot reach any home");
        let remedy = format!(
            "on the server, `ip -6 address` must show {addresses}, and `ip -6 route` a default route: enable IPv6 there and at its provider; if no other IPv6              address answers from here either, it is the line here"
        );
        self.fault(Id::Server, what, "asked each of its addresses by UDP and TCP, port 53, and connected to its port for TLS", remedy);
    }

    fn name_servers(&mut self) {
        const THREE: [Id; 3] = [Id::FirewallProviderDns, Id::DnsUdp, Id::DnsTcp];
        for id in THREE {
            if self.follows(id, &[Id::Ports, Id::Server]) {
                continue;
            }
            let seen = self.seen;
            let asked: Vec<&NameServer> = seen.names.servers.iter().filter(|server| seen.reaches(server.address)).collect();
            if asked.is_empty() && self.follows(id, &[Id::ZoneDelegation, Id::ZoneGlue]) {
                continue;
            }
            if asked.is_empty() {
                self.not_judged(id, "no address of the zone's name servers is known that this machine has a way to");
                continue;
            }
            match id {
                Id::FirewallProviderDns => self.provider_dns(&asked),
                Id::DnsUdp => self.dns(id, &asked, |server| &server.udp),
                _ => self.dns(id, &asked, |server| &server.tcp),
            }
        }
    }

    /// UDP 53 that does not come through, though the machine is there.
    fn provider_dns(&mut self, asked: &[&NameServer]) {
        let id = Id::FirewallProviderDns;
        let how = "asked each address of the name servers by UDP and TCP, port 53, and connected to its port for TLS";
        let blocked: Vec<String> = asked.iter().filter(|server| is_blocked(server)).map(|server| server.address.to_string()).collect();
        if self.seen.view == View::Server && blocked.is_empty() {
            return self
                .not_judged(id, "a firewall before this machine cannot be seen from it: run `fourward check` at home or elsewhere too");
        }
        if blocked.is_empty() {
            return self.good(id, "questions come through to port 53", how);
        }
        let what = format!("questions by UDP to port 53 of {} are dropped, though the machine is there", list(blocked));
        let remedy = "open 53/udp and 53/tcp to the server in the provider's firewall (and in the server's own)";
        self.fault(id, what, how, remedy);
    }

    /// Whether nothing of the machine at `address` answers, which the name server's finding tells.
    pub(super) fn is_dead(&self, address: IpAddr) -> bool {
        self.seen.names.servers.iter().any(|server| server.address == address && is_dead(server))
    }

    /// Whether nothing of the gateway answers, wherever it is asked.
    pub(super) fn all_dead(&self) -> bool {
        let mut reachable = self.seen.gateway.addresses.iter().filter(|address| self.seen.reaches(**address)).peekable();
        reachable.peek().is_some() && reachable.all(|address| self.is_dead(*address))
    }

    fn dns(&mut self, id: Id, asked: &[&NameServer], said: impl Fn(&NameServer) -> &Said) {
        let (protocol, port) = if id == Id::DnsUdp { ("UDP", "53/udp") } else { ("TCP", "53/tcp") };
        let zone = self.seen.names.zone.as_ref().map(ToString::to_string).unwrap_or_default();
        let how = format!("asked {} by {protocol} for SOA of {zone}", list(asked.iter().map(|server| server.address)));
        let bad = asked.iter().find(|server| *said(server) != Said::Authority);
        let Some(bad) = bad else {
            return self.good(id, format!("the name server answers for {zone} by {protocol}"), how);
        };
        let address = bad.address;
        let heard = match said(bad) {
            // What a machine says of a closed port is limited by its rate for UDP (ICMP, RFC 1812 §4.3.2.8), and not for TCP.
            Said::Silent if bad.tcp == Said::Closed && is_dead(bad) => &Said::Closed,
            said => said,
        };
        match heard {
            Said::Closed if (bad.udp == Said::Closed || is_dead(bad)) && self.follows(id, &[Id::DnsUdp]) => {}
            Said::Closed => {
                let remedy = "start fourward there, with [dns] in its configuration; if that address is not the server's, correct the glue";
                self.fault(id, format!("no name server listens at {address} by {protocol}"), how, remedy);
            }
            Said::Else(_) if self.follows(id, &[Id::ZoneDelegation]) => {}
            Said::Else(reason) => {
                let what = format!("what answers at {address} by {protocol} does not speak for {zone}: {reason}");
                let remedy =
                    format!("put \"{zone}\" into dns.zones on the server; or somebody on the way answers in its place: ask from elsewhere");
                self.fault(id, what, how, remedy);
            }
            Said::Silent | Said::NoRoute | Said::Authority => {
                if self.follows(id, &[Id::FirewallProviderDns]) || (bad.udp == Said::Silent && self.follows(id, &[Id::DnsUdp])) {
                    return;
                }
                let what = format!("{address} does not answer by {protocol}");
                let remedy =
                    format!("is the server up, and is {address} its address (public.*, glue)? Is {port} open in the provider's firewall?");
                self.fault(id, what, how, remedy);
            }
        }
    }
}

/// Answers, and not as an authority.
fn is_lame(server: &NameServer) -> bool {
    matches!(server.udp, Said::Else(_))
}

/// Nothing of it answers: not as a name server, and not as a gateway.
fn is_dead(server: &NameServer) -> bool {
    let mute = |said: &Said| matches!(said, Said::Closed | Said::Silent);
    mute(&server.udp) && mute(&server.tcp) && server.machine != Connect::Open
}

/// Silent by UDP, while something else of the machine answers.
fn is_blocked(server: &NameServer) -> bool {
    server.udp == Said::Silent && (server.machine == Connect::Open || matches!(server.tcp, Said::Authority | Said::Else(_)))
}

fn above(parent: &Parent) -> String {
    parent.zone.as_ref().map_or_else(|| "the root".into(), ToString::to_string)
}

fn referrals(parent: &Parent) -> impl Iterator<Item = (&BTreeSet<DnsName>, &BTreeSet<(DnsName, IpAddr)>)> {
    parent.asked.iter().filter_map(|(_, said)| match said {
        Referral::To { servers, glue } => Some((servers, glue)),
        Referral::Silent | Referral::None => None,
    })
}
