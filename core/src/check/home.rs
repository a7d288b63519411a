//! The home: its link, its lease, its address, and what stands between it and the world.

use std::net::Ipv6Addr;

use super::{Asked, Id, Judge, LATER, Path, RESTART, Tls, View};
use crate::facts::{Connect, LinkStatus, Listens};
use crate::host::{AddressFrom, Via};

/// What makes the link look down though nothing is wrong with it.
const SERVER: [Id; 2] = [Id::Ports, Id::Server];

/// How an interface identifier is kept over changes of the prefix, on each system.
const KEEP: &str = "keep the lower half of the address: `ip token set ::11 dev eth0` (systemd-networkd: Token=static:::11 under [IPv6AcceptRA]; \
                    NetworkManager: ipv6.addr-gen-mode eui64, or ipv6.token; dhcpcd: slaac hwaddr, or slaac token ::11), put suffix = \"::11\" into \
                    [agent], and open the router's firewall for that interface identifier";

impl Judge<'_> {
    /// From the link to the address.
    pub(super) fn home(&mut self) {
        if self.seen.view == View::Server && !self.seen.ipv6 {
            self.no_ipv6("looked for a route to IPv6 addresses");
        }
        self.link_port();
        self.link();
        self.lease();
        self.circle();
        self.identifier();
    }

    fn link_port(&mut self) {
        let id = Id::FirewallProviderLink;
        let seen = self.seen;
        let port = seen.gateway.tls;
        if seen.home.as_ref().is_some_and(|home| home.linked) {
            return self.good(id, format!("the link's port ({port}/udp) is open"), "the home is linked by it");
        }
        if seen.view == View::Server {
            if self.follows(id, &SERVER) {
                return;
            }
            return self
                .not_judged(id, "a firewall before this machine cannot be seen from it: run `fourward check` at home or elsewhere too");
        }
        let how = format!("began a QUIC connection to each of the gateway's addresses, port {port}");
        let closed = seen.link_port.iter().find(|(_, answers)| !answers);
        let Some((address, _)) = closed else {
            if seen.link_port.is_empty() {
                return self.not_judged(id, "no address of the gateway is known that this machine has a way to");
            }
            return self.good(id, format!("the link's port ({port}/udp) answers"), how);
        };
        let answers = |path: &Path| path.address == *address && !matches!(path.tls, Tls::No(_));
        let there = seen.path(address.is_ipv6()).is_some_and(answers)
            || seen.names.servers.iter().any(|server| server.address == *address && server.machine == Connect::Open);
        if !there {
            return self.note(
                id,
                format!("{address} does not answer at {port}/udp, nor at all"),
                how,
                "see the findings about that address",
            );
        }
        let what = format!("{port}/udp of {address} does not come through, though the machine is there: no home can link");
        let remedy = format!("open {port}/udp to the server in the provider's firewall (and in the server's own)");
        self.fault(id, what, how, remedy);
    }

    fn link(&mut self) {
        if self.follows(Id::Link, &SERVER) {
            return;
        }
        match self.seen.view {
            View::Outside => self.not_judged(Id::Link, "only the server and the home know"),
            View::Server => self.link_at_server(),
            View::Home => self.link_at_home(),
        }
    }

    fn link_at_server(&mut self) {
        let Some(host) = &self.seen.host else { return self.not_judged(Id::Link, "the server was not asked") };
        let by = host.leader.as_ref().unwrap_or(&host.dual);
        let how = match &host.leader {
            Some(leader) => format!("asked the server for the link of {leader}, which this host follows"),
            None => "asked the server for the host's link".into(),
        };
        if host.upstream.is_some() {
            return self.good(Id::Link, "the address of this host comes from DNS (upstream), not by a link", how);
        }
        let (Some(from), Some(link)) = (host.address_from, host.link) else { return self.not_judged(Id::Link, LATER) };
        if from != AddressFrom::Link {
            return self.good(Id::Link, "the address of this host comes by another way than a link", how);
        }
        match link {
            LinkStatus::Up => self.good(Id::Link, "the home is linked", how),
            LinkStatus::NotJoined => {
                let remedy = format!("`fourward host token {by}` here, and `fourward join -` at home with the line that it prints");
                self.fault(Id::Link, format!("no agent has joined for {by}"), how, remedy);
            }
            LinkStatus::Down => {
                let port = self.seen.gateway.tls;
                let remedy = format!(
                    "at the home of {by}: is the line up? `systemctl status fourward`, and `fourward check` there; if the agent runs, open {port}/udp to this server \
                     in the provider's firewall"
                );
                self.fault(Id::Link, "the home's agent is not linked", how, remedy);
            }
            LinkStatus::Silent => {
                let port = self.seen.gateway.tls;
                let remedy = format!(
                    "at the home of {by}: is the line up? if it is, `systemctl restart fourward` there; if that does not help, open {port}/udp to this server in the provider's \
                     firewall"
                );
                self.fault(Id::Link, "the home's agent is linked and does not answer any more", how, remedy);
            }
            LinkStatus::Conflict => self.conflict(&how),
        }
    }

    fn conflict(&mut self, how: &str) {
        let what = "a second agent with the same key was turned away less than a minute ago";
        let remedy = "two machines have a copy of the same agent.key (a cloned disk, a restored backup): stop the agent on one of them, or make it a host of its own \
                      with `fourward host add` and `fourward join -`";
        self.fault(Id::Link, what, how, remedy);
    }

    fn link_at_home(&mut self) {
        let how = "asked the agent on its control socket";
        match &self.seen.asked {
            Asked::NotRunning(_) => {
                let remedy = "`systemctl start fourward`; `journalctl -u fourward` says why it ended";
                return self.fault(Id::Link, "the agent does not run here", "nobody answers on its control socket", remedy);
            }
            Asked::Hangs => {
                let remedy = "`systemctl restart fourward`; keep its log for a report";
                return self.fault(Id::Link, "the agent is there and does not answer", how, remedy);
            }
            Asked::NotPermitted => {
                let remedy = "run it as root, or as a member of the group fourward";
                return self.note(Id::Link, "this user may not ask the agent, so that the link is not known here", how, remedy);
            }
            Asked::OtherVersion => {
                let what = "the agent that runs is of another version, so that the link is not known here";
                return self.note(Id::Link, what, how, RESTART);
            }
            Asked::Refused(reason) => {
                return self.fault(Id::Link, reason.clone(), how, "is another fourward running with this state directory?");
            }
            Asked::Answered | Asked::Nobody => {}
        }
        let Some(home) = &self.seen.home else { return self.not_judged(Id::Link, "the agent was not asked") };
        if !home.linked {
            if self.follows(Id::Link, &[Id::FirewallProviderLink]) || (self.all_dead() && self.follows(Id::Link, &[Id::DnsUdp])) {
                return;
            }
            let trouble = home.trouble.clone().unwrap_or_else(|| "it is still trying".into());
            return self.fault(Id::Link, format!("the agent has no link: {trouble}"), how, remedy_of(&trouble));
        }
        match self.seen.host.as_ref().map(|host| host.link) {
            Some(Some(LinkStatus::Conflict)) => self.conflict("asked the server through the link"),
            Some(_) => self.good(Id::Link, "this home is linked", how),
            None => self.note(
                Id::Link,
                "this home is linked",
                how,
                "the server did not answer on the link: ask again in some seconds; if this stays, it is of an earlier version: update it",
            ),
        }
    }

    /// Whatever is at home, such a server does not come there.
    fn no_ipv6(&mut self, how: &str) {
        if self.cause(&SERVER).is_some() {
            return;
        }
        // That it runs was told before.
        self.findings.retain(|finding| finding.id != Id::Server);
        let remedy = "enable IPv6 on the server (`sysctl net.ipv6.conf.all.disable_ipv6` is 0) and at its provider: `ip -6 route` must show a default route";
        self.fault(Id::Server, "the server has no IPv6, so that it cannot reach any home", how, remedy);
    }

    fn lease(&mut self) {
        if self.follows(Id::Lease, &[Id::Ports, Id::Server, Id::FirewallProviderLink, Id::Link]) {
            return;
        }
        let Some(host) = &self.seen.host else { return self.not_judged(Id::Lease, "only the server knows, and it was not asked") };
        let how = "asked the server for the lease of the home's address";
        if host.upstream.is_some() {
            return self.good(Id::Lease, "the address of this host comes from DNS (upstream) and needs no lease", how);
        }
        let Some(from) = host.address_from else { return self.not_judged(Id::Lease, LATER) };
        if from != AddressFrom::Link {
            return self.good(Id::Lease, "the address of this host needs no lease", how);
        }
        let home = self.seen.home.as_ref();
        match (host.lease, host.address) {
            (Some(left), Some(address)) => self.good(Id::Lease, format!("{address} is proven for {left} s more"), how),
            _ => {
                let claim = home.map(|home| home.claim);
                let trouble = home.and_then(|home| home.trouble.clone());
                let (what, remedy) = match (claim, trouble) {
                    (Some(None), _) => (
                        "the home is linked and has no global IPv6 address to publish".to_owned(),
                        "at home: `ip -6 address` must show one that is neither temporary nor deprecated; turn IPv6 on in the router",
                    ),
                    (_, Some(trouble)) => (
                        format!("the home's address is not proven: {trouble}"),
                        "the home's packets must reach the server with the home's own IPv6 address: no NAT66, no VPN on the way; or fix `target` in [agent]",
                    ),
                    (_, None) => ("no address of the home is proven".into(), "wait some seconds and ask again; the agent's log says more"),
                };
                self.fault(Id::Lease, what, how, remedy);
            }
        }
    }

    /// Whether the gateway would come back to itself.
    fn circle(&mut self) {
        if self.follows(Id::Loop, &SERVER) {
            return;
        }
        let seen = self.seen;
        if let Some(reason) = seen.host.as_ref().and_then(|host| host.forbidden.as_ref()) {
            let remedy = "give the host an address of the home's own: `fourward host set NAME address=…`, or address-from=link";
            let what = format!("the gateway does not dial this host's address: {reason}");
            return self.fault(Id::Loop, what, "compared the address with the server's own", remedy);
        }
        if let Some(port) = seen.returns() {
            return self.sent_back(port);
        }
        let Some(own) = &seen.names.own else { return self.not_judged(Id::Loop, "the name server does not say where the name leads") };
        let gateway = seen.gateway6();
        let how = "compared the AAAA of both names with the gateway's addresses, and looked whether what goes home comes back";
        let back = |addresses: &std::collections::BTreeSet<Ipv6Addr>| addresses.intersection(&gateway).next().copied();
        let via = seen.host.as_ref().and_then(|host| host.via);
        match (back(&own.twin_aaaa), back(&own.aaaa)) {
            (Some(address), _) => {
                let what = format!(
                    "the twin leads to {address}, the gateway itself: whoever goes there on behalf of a client comes back to where it started"
                );
                self.fault(
                    Id::Loop,
                    what,
                    how,
                    "the name server of the zone is not fourward's, or its records are of an earlier time: ask it again",
                );
            }
            (None, Some(address)) if via.is_some_and(|via| via != Via::Gateway) => {
                let what = format!("the AAAA is {address}, the gateway itself, though via=gateway is not set");
                self.fault(Id::Loop, what, how, "check public.ipv6 on the server, and the record at the zone's other name servers");
            }
            (None, Some(address)) => {
                self.note(Id::Loop, format!("IPv6 clients come by the gateway too ({address}: via=gateway)"), how, "");
            }
            (None, None) => self.good(Id::Loop, "nothing leads the gateway back to itself", how),
        }
    }

    /// No name shows it; the connections do.
    fn sent_back(&mut self, port: u16) {
        let what = format!("what goes to TCP {port} of the home is sent on to the gateway, which leads it home, and so on");
        let how = if self.seen.view == View::Outside {
            "asked the home's address for the gateway's own name, and the gateway's own certificate came"
        } else {
            "the gateway connected to the home, and met its own connection at its own door"
        };
        let remedy = format!(
            "at home, find the rule (DNAT), the container or the reverse proxy that takes TCP {port}, and lead it to the service itself: an upstream must \
             be an address in the house, never {}",
            self.dual()
        );
        self.fault(Id::Loop, what, how, remedy);
    }

    fn identifier(&mut self) {
        let id = Id::InterfaceIdentifier;
        let host = self.seen.host.as_ref();
        if host.is_some_and(|host| host.address_from == Some(AddressFrom::Static)) {
            return self.not_judged(id, "the owner writes this host's address, which shows nothing of how it is made");
        }
        // What changes within one network says nothing of a change of the prefix.
        let moved =
            host.and_then(|host| Some((host.before?, host.address?))).filter(|(before, now)| upper_half(*before) != upper_half(*now));
        if let Some((before, now)) = moved.filter(|(before, now)| lower_half(*before) != lower_half(*now)) {
            let what = format!(
                "the address was {before} and is {now}: its lower half changes with the prefix, so that a rule of the router's firewall for it dies each time"
            );
            return self.fault(id, what, "compared the last two addresses of the home", KEEP);
        }
        if self.seen.home.as_ref().and_then(|home| home.stable_privacy) == Some(true) {
            let what = "the kernel makes the lower half of the address anew for each prefix (RFC 7217): a rule of the router's firewall for it will die";
            return self.note(id, what, "read the flags of the address", KEEP);
        }
        match (host, moved) {
            (Some(_), Some((before, _))) => {
                self.good(
                    id,
                    "the lower half of the address stays when the prefix changes",
                    format!("compared it with {before}, the one before"),
                );
            }
            (Some(_), None) => {
                self.good(id, "no change of the home's prefix is known yet", "asked the server for the address before this one")
            }
            (None, _) => self.not_judged(id, "only the server and the home know"),
        }
    }

    /// What stands between the gateway and the service: the router, the home's own firewall, the service.
    pub(super) fn behind_the_address(&mut self) {
        const THREE: [Id; 3] = [Id::Service, Id::FirewallHome, Id::FirewallRouter];
        let causes = [Id::Ports, Id::Server, Id::FirewallProviderLink, Id::Link, Id::Lease, Id::Loop];
        let dial = self.seen.host.as_ref().and_then(|host| host.dials.iter().find(|dial| dial.port == host.tls)).copied();
        let Some(dial) = dial else {
            for id in THREE {
                if !self.follows(id, &causes) {
                    self.without_a_dial(id);
                }
            }
            return;
        };
        let Some(outcome) = dial.outcome else { return THREE.into_iter().for_each(|id| self.not_judged(id, LATER)) };
        let home = self.seen.home.as_ref();
        let listens = home.and_then(|home| home.services.iter().find(|own| own.port == dial.port)).and_then(|own| own.listens);
        let stopped = home.and_then(|home| home.burst).map(|burst| burst.stopped_here());
        let port = dial.port;
        self.service(port, outcome, listens, stopped);
        self.home_firewall(port, outcome, stopped);
        self.router_firewall(port, outcome, (listens, stopped));
    }

    fn without_a_dial(&mut self, id: Id) {
        match (self.seen.view, &self.seen.host) {
            (View::Outside, _) => self.not_judged(id, "only the server and the home can tell: run `fourward check` there"),
            (_, Some(host)) if self.seen.home.is_some() => {
                let remedy = format!("to have it reached, put \"tcp/{}\" into services of [agent]", host.tls);
                self.note(id, "not judged", format!("the gateway did not connect: the agent does not offer tcp/{}", host.tls), remedy);
            }
            _ => self.not_judged(id, "the gateway did not connect to the home"),
        }
    }

    fn service(&mut self, port: u16, outcome: Connect, listens: Option<Listens>, stopped: Option<bool>) {
        let id = Id::Service;
        let how = "connected to it from the gateway, and the agent at its own machine";
        let web = "`systemctl status apache2` (or nginx, caddy…) at home";
        match (outcome, listens) {
            (Connect::Open, _) => self.good(id, format!("the service at home answers at TCP {port}"), "connected to it from the gateway"),
            (_, Some(Listens::No)) => {
                self.fault(id, format!("nobody listens at TCP {port} of the home"), how, format!("start the service: {web}"));
            }
            (_, Some(Listens::Ipv4Only)) => {
                let remedy = format!("let it listen on IPv6 too: `Listen [::]:{port}` (Apache), `listen [::]:{port} ssl;` (nginx)");
                self.fault(id, format!("the service at TCP {port} of the home listens on IPv4 alone"), how, remedy);
            }
            (_, Some(Listens::Elsewhere(at))) => {
                let remedy = format!("let it listen at [::]:{port}: `Listen {port}` (Apache), `listen [::]:{port} ssl;` (nginx)");
                self.fault(id, format!("the service at TCP {port} of the home listens at {at} alone"), how, remedy);
            }
            (Connect::Refused, None) => {
                let what = format!("the home refuses connections to TCP {port}: the service is down, or a firewall rejects");
                self.fault(
                    id,
                    what,
                    "connected to it from the gateway",
                    format!("start the service: {web}; then run `fourward check` at home"),
                );
            }
            (_, Some(Listens::Stuck)) if stopped != Some(true) => {
                let what = format!("the service at TCP {port} of the home listens and does not answer even its own machine");
                self.fault(id, what, how, format!("restart the service: {web}"));
            }
            (_, Some(Listens::Yes | Listens::Stuck)) => self.good(id, format!("the service at home listens at TCP {port}"), how),
            (_, None) => self.not_judged(id, "the agent was not asked; an earlier version cannot be"),
        }
    }

    fn home_firewall(&mut self, port: u16, outcome: Connect, stopped: Option<bool>) {
        let id = Id::FirewallHome;
        let how = "the gateway connected several times at once, while the agent counted the packets that came and were not let in";
        match (outcome, stopped) {
            (Connect::Open, _) => {
                self.good(id, format!("the home server's own firewall lets TCP {port} in"), "connected to it from the gateway")
            }
            (_, Some(true)) => {
                let what = format!("connections to TCP {port} reach the home server, and its own firewall keeps them out");
                let remedy = format!(
                    "open TCP {port} on the home server: `ufw allow {port}/tcp`, `firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload`, or in \
                     /etc/nftables.conf `tcp dport {port} accept` in the chain that hooks input"
                );
                self.fault(id, what, how, remedy);
            }
            (_, Some(false)) => self.good(id, "the home server's own firewall keeps nothing out", how),
            (_, None) => self.not_judged(id, "the agent was not asked; an earlier version cannot be"),
        }
    }

    fn router_firewall(&mut self, port: u16, outcome: Connect, (listens, stopped): (Option<Listens>, Option<bool>)) {
        let id = Id::FirewallRouter;
        let how = "the gateway connected several times at once, and nothing of it came to the home";
        // Who refuses and listens not is the home itself; who refuses though it listens, and saw nothing, is refused for by another.
        let by_another = stopped == Some(false) && matches!(listens, Some(Listens::Yes | Listens::Stuck));
        match outcome {
            Connect::Open => return self.good(id, format!("the router lets TCP {port} through"), "connected to it from the gateway"),
            _ if stopped == Some(true) => {
                return self.good(id, format!("the router lets TCP {port} through"), "the agent counted the packets");
            }
            Connect::Refused if !by_another => {
                return self.good(id, format!("the router lets TCP {port} through"), "the home refuses by itself");
            }
            Connect::NoRoute => {
                self.no_ipv6("the gateway connected to the home, and knows no way there");
                self.follows(id, &[Id::Server]);
                return;
            }
            _ => {}
        }
        if self.follows(id, &[Id::InterfaceIdentifier]) {
            return;
        }
        let rule = format!(
            "open TCP {port} (and 80) to the home server in the router's IPv6 firewall, for its interface identifier (FRITZ!Box: Internet > Permit Access > \
             the device > IPv6 access)"
        );
        match (stopped, outcome) {
            (Some(false), Connect::Silent) => {
                self.fault(
                    id,
                    format!("connections to TCP {port} are dropped before they reach the home: by the router's firewall"),
                    how,
                    rule,
                );
            }
            (Some(false), _) => {
                self.fault(
                    id,
                    format!("connections to TCP {port} are turned away before they reach the home: by the router's firewall"),
                    how,
                    rule,
                );
            }
            (_, _) => {
                let what = format!("connections to TCP {port} do not come through: by the router's firewall, or the home server's own");
                self.fault(
                    id,
                    what,
                    "connected to it from the gateway",
                    format!("{rule}; `fourward check` at home tells which of them it is"),
                );
            }
        }
    }
}

fn upper_half(address: Ipv6Addr) -> u128 {
    address.to_bits() >> 64
}

fn lower_half(address: Ipv6Addr) -> u128 {
    address.to_bits() & u128::from(u64::MAX)
}

/// What to do about what the agent says.
fn remedy_of(trouble: &str) -> &'static str {
    // The agent's own sentences have their remedy in them.
    if trouble.contains("; ") {
        "as it says; then `systemctl restart fourward`"
    } else {
        "is the home's line up, and the server? `fourward check` on the server says what is wrong there"
    }
}
