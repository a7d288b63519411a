use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use super::*;
use crate::api::{CertificateSource, CertificateStatus};
use crate::facts::{BURST, Burst, Connect, Dial, HomeFacts, HostFacts, LinkStatus, Listens, Own};
use crate::host::{AddressFrom, Via};
use crate::wire::Rcode;

const NOW: &str = "2026-11-23T12:00:00Z";

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn set<T: std::str::FromStr<Err: fmt::Debug> + Ord>(texts: &[&str]) -> BTreeSet<T> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

fn certificate() -> Certificate {
    Certificate {
        digest: "d".into(),
        from: at("2026-10-01T00:00:00Z"),
        until: at("2027-01-01T00:00:00Z"),
        fits: true,
        names: vec!["cloud.dyn.example.org".into()],
        trusted: true,
    }
}

fn path(address: &str) -> Path {
    Path { address: address.parse().expect("an address"), tls: Tls::Stands(certificate()), http: Connect::Open }
}

fn own_certificate(source: CertificateSource) -> CertificateStatus {
    let not_after = at("2027-01-01T00:00:00Z");
    CertificateStatus { source, not_after, public: true, next: Some(at("2026-12-01T00:00:00Z")), last_error: None }
}

fn host() -> HostFacts {
    HostFacts {
        upstream: None,
        unresolved: None,
        dual: name("cloud.dyn.example.org"),
        twin: name("cloud-ip6only.dyn.example.org"),
        leader: None,
        address_from: Some(AddressFrom::Link),
        address: Some("2001:db8:1::11".parse().expect("v6")),
        since: Some(at("2026-11-23T00:00:00Z")),
        before: None,
        via: Some(Via::Auto),
        link: Some(LinkStatus::Up),
        lease: Some(27),
        forbidden: None,
        tls: 443,
        http: 80,
        dials: vec![Dial { port: 443, outcome: Some(Connect::Open), returned: false }],
        from_source: None,
    }
}

fn home() -> HomeFacts {
    HomeFacts {
        version: "1".into(),
        claim: Some("2001:db8:1::11".parse().expect("v6")),
        stable_privacy: Some(false),
        linked: true,
        trouble: None,
        services: vec![Own { port: 443, listens: Some(Listens::Yes) }],
        burst: Some(Burst { sent: BURST, kept_out: 0, before: 0 }),
    }
}

/// All as it should be, seen from `view`.
fn seen(view: View) -> Seen {
    let gateway: BTreeSet<IpAddr> = set(&["192.0.2.11", "2001:db8:a::11"]);
    let gw = name("gw.dyn.example.org");
    let glue: BTreeSet<(DnsName, IpAddr)> = gateway.iter().map(|address| (gw.clone(), *address)).collect();
    let servers =
        gateway.iter().map(|address| NameServer { address: *address, udp: Said::Authority, tcp: Said::Authority, machine: Connect::Open });
    Seen {
        name: name("cloud.dyn.example.org"),
        view,
        now: at(NOW),
        ipv4: true,
        ipv6: true,
        asked: if view == View::Outside { Asked::Nobody } else { Asked::Answered },
        host: (view != View::Outside).then(host),
        home: (view != View::Outside).then(home),
        names: Names {
            dual: Some(name("cloud.dyn.example.org")),
            twin: Some(name("cloud-ip6only.dyn.example.org")),
            zone: Some(name("dyn.example.org")),
            parent: Some(Parent {
                zone: Some(name("example.org")),
                asked: vec![(
                    "192.0.2.53".parse().expect("v4"),
                    Referral::To { servers: BTreeSet::from([gw.clone()]), glue: glue.clone() },
                )],
            }),
            nameservers: BTreeSet::from([gw.clone()]),
            servers: servers.collect(),
            own: Some(Answers {
                server: Some("192.0.2.11".parse().expect("v4")),
                exists: true,
                a: set(&["192.0.2.11"]),
                aaaa: set(&["2001:db8:1::11"]),
                ttl: 60,
                twin_exists: true,
                twin_a: BTreeSet::new(),
                twin_aaaa: set(&["2001:db8:1::11"]),
                servers: glue,
            }),
            dnssec: Some(dnssec(&[7], &[7])),
            resolved: Some(Ok(Resolved {
                rcode: Rcode::NOERROR,
                end: Some(name("cloud.dyn.example.org")),
                a: set(&["192.0.2.11"]),
                aaaa: set(&["2001:db8:1::11"]),
                ttl: 60,
            })),
        },
        gateway: Gateway { name: Some(gw), addresses: gateway.clone(), configured: view != View::Outside, tls: 443 },
        paths: vec![path("192.0.2.11"), path("2001:db8:1::11")],
        own_name: OwnName {
            gateway: Some(Tls::Stands(Certificate { digest: "g".into(), ..certificate() })),
            home: (view == View::Outside).then(|| Tls::Stands(certificate())),
            nobody: (view == View::Outside).then(|| Tls::Stands(certificate())),
            status: (view == View::Server).then(|| own_certificate(CertificateSource::Acme)),
        },
        link_port: if view == View::Outside { gateway.into_iter().map(|address| (address, true)).collect() } else { Vec::new() },
    }
}

fn own(seen: &mut Seen) -> &mut Answers {
    seen.names.own.as_mut().expect("answers")
}

fn resolved(seen: &mut Seen) -> &mut Resolved {
    seen.names.resolved.as_mut().expect("asked").as_mut().expect("answered")
}

fn dialled(seen: &mut Seen, outcome: Connect, listens: Listens, kept_out: u64) {
    if let Some(host) = &mut seen.host {
        host.dials = vec![Dial { port: 443, outcome: Some(outcome), returned: false }];
    }
    if let Some(home) = &mut seen.home {
        home.services = vec![Own { port: 443, listens: Some(listens) }];
        home.burst = Some(Burst { sent: BURST, kept_out, before: 0 });
    }
    seen.paths[0].tls = Tls::Alert(80);
    seen.paths[1].tls = Tls::No(outcome);
}

/// The host has another authority than its link, which has said nothing.
fn by(seen: &mut Seen, from: AddressFrom) {
    let host = seen.host.as_mut().expect("host");
    (host.address_from, host.address, host.lease, host.link) = (Some(from), None, None, Some(LinkStatus::NotJoined));
    host.dials.clear();
    seen.home = None;
    away(seen);
}

/// The host follows another, whose agent is not there.
fn follower(seen: &mut Seen, link: LinkStatus) {
    let host = seen.host.as_mut().expect("host");
    (host.leader, host.link, host.address, host.lease) = (Some(name("nas.dyn.example.org")), Some(link), None, None);
    host.dials.clear();
    seen.home = None;
    away(seen);
}

/// The name has no AAAA, and the gateway answers in the home's place.
fn away(seen: &mut Seen) {
    own(seen).aaaa.clear();
    own(seen).twin_aaaa.clear();
    resolved(seen).aaaa.clear();
    seen.paths = vec![Path { tls: Tls::Alert(80), ..path("192.0.2.11") }];
}

/// Nothing of the server's machine at these addresses answers any more.
fn dead(seen: &mut Seen, said: &Said, machine: Connect, is: fn(&IpAddr) -> bool) {
    for server in seen.names.servers.iter_mut().filter(|server| is(&server.address)) {
        (server.udp, server.tcp, server.machine) = (said.clone(), said.clone(), machine);
    }
}

/// The server is gone as a whole; of a closed UDP port its kernel speaks at a limited rate alone.
fn server_down(seen: &mut Seen, said: &Said, machine: Connect) {
    dead(seen, said, machine, |_| true);
    seen.names.servers[0].udp = Said::Silent;
    seen.names.own = None;
    seen.paths[0].tls = Tls::No(machine);
    seen.paths[0].http = machine;
    seen.own_name.gateway = Some(Tls::No(machine));
    seen.link_port = seen.gateway.addresses.iter().map(|address| (*address, false)).collect();
    seen.host = None;
    seen.home = seen.home.take().map(|home| HomeFacts { linked: false, trouble: Some("no gateway answered".into()), ..home });
}

/// The faults from `view` once `broken` is so.
fn faults(view: View, broken: impl Fn(&mut Seen)) -> Vec<Id> {
    let mut seen = seen(view);
    broken(&mut seen);
    let report = Report::of(&seen);
    let mut ids: Vec<Id> = report.findings.iter().map(|finding| finding.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), report.findings.len(), "each is told once: {report:#?}");
    for finding in report.faults() {
        assert!(!finding.what.is_empty() && !finding.how.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
    }
    report.faults().map(|finding| finding.id).collect()
}

const ALL: [View; 3] = [View::Server, View::Home, View::Outside];
const INSIDE: [View; 2] = [View::Server, View::Home];

#[test]
fn what_is_well_is_well_from_everywhere() {
    for view in ALL {
        assert_eq!(faults(view, |_| {}), [], "{view:?}");
        let report = Report::of(&seen(view));
        let notes = report.findings.iter().filter(|finding| finding.note).count();
        assert!(view == View::Outside || notes <= 2, "{report:#?}");
    }
}

/// A way to break something.
type Broken = fn(&mut Seen);

/// Breaks in the way of each row, in each of its views.
fn each_is_named_alone(table: &[(Id, &[View], Broken)]) {
    for (row, (id, views, broken)) in table.iter().enumerate() {
        for view in *views {
            assert_eq!(faults(*view, broken), [*id], "row {row}, {view:?}");
        }
    }
}

#[test]
fn a_fault_of_the_names_is_named_and_nothing_that_follows_from_it() {
    each_is_named_alone(&[
        (Id::ZoneDelegation, &ALL, |seen| {
            seen.names.parent.as_mut().expect("parent").asked[0].1 = Referral::None;
            (seen.names.own, resolved(seen).rcode) = (None, Rcode::NXDOMAIN);
        }),
        (Id::ZoneGlue, &ALL, |seen| {
            let servers = BTreeSet::from([name("gw.dyn.example.org")]);
            seen.names.parent.as_mut().expect("parent").asked[0].1 = Referral::To { servers, glue: BTreeSet::new() };
            resolved(seen).rcode = Rcode::SERVFAIL;
        }),
        (Id::FirewallProviderDns, &ALL, |seen| seen.names.servers.iter_mut().for_each(|server| server.udp = Said::Silent)),
        (Id::DnsTcp, &ALL, |seen| seen.names.servers[0].tcp = Said::Silent),
        (Id::DnsUdp, &ALL, |seen| seen.names.servers[0].udp = Said::Else("it refuses".into())),
        // No name server, on a machine whose gateway is there.
        (Id::DnsUdp, &ALL, |seen| dead(seen, &Said::Closed, Connect::Open, |_| true)),
        (Id::DnsUdp, &[View::Home, View::Outside], |seen| server_down(seen, &Said::Closed, Connect::Refused)),
        (Id::DnsUdp, &[View::Home, View::Outside], |seen| server_down(seen, &Said::Silent, Connect::Silent)),
        (Id::DnsTcp, &ALL, |seen| seen.names.servers[0].tcp = Said::Closed),
        (Id::Aaaa, &INSIDE, |seen| by(seen, AddressFrom::Update)),
        (Id::Aaaa, &INSIDE, |seen| by(seen, AddressFrom::Static)),
        (Id::Aaaa, &[View::Outside], away),
        (Id::Aaaa, &INSIDE, |seen| {
            own(seen).aaaa = set(&["2001:db8:9::11"]);
            own(seen).twin_aaaa = set(&["2001:db8:9::11"]);
            resolved(seen).aaaa = set(&["2001:db8:9::11"]);
        }),
        (Id::A, &ALL, |seen| own(seen).a = set(&["198.51.100.9"])),
        (Id::Twin, &INSIDE, |seen| own(seen).twin_exists = false),
        (Id::Twin, &ALL, |seen| own(seen).twin_a = set(&["192.0.2.11"])),
        (Id::Twin, &ALL, |seen| own(seen).twin_aaaa = set(&["2001:db8:9::11"])),
        (Id::Twin, &ALL, |seen| own(seen).twin_aaaa.clear()),
        (Id::Alias, &[View::Outside], |seen| own(seen).twin_exists = false),
        (Id::Alias, &ALL, |seen| {
            seen.name = name("cloud.example.org");
            resolved(seen).end = Some(name("cloud.example.org"));
            resolved(seen).a = set(&["198.51.100.9"]);
        }),
        (Id::Alias, &ALL, |seen| (seen.name, resolved(seen).end) = (name("cloud.example.org"), None)),
        (Id::Resolver, &ALL, |seen| resolved(seen).rcode = Rcode::NXDOMAIN),
        (Id::Resolver, &ALL, |seen| resolved(seen).aaaa.clear()),
        (Id::Resolver, &ALL, |seen| resolved(seen).aaaa = set(&["2001:db8:9::11"])),
    ]);
}

#[test]
fn a_fault_of_server_or_link_is_named_and_nothing_that_follows_from_it() {
    each_is_named_alone(&[
        (Id::Server, &[View::Server], |seen| seen.asked = Asked::NotRunning(Vec::new())),
        (Id::Ports, &[View::Server], |seen| {
            seen.asked = Asked::NotRunning(vec![Held { port: "UDP 0.0.0.0:53".into(), by: "unbound".into() }])
        }),
        (Id::Link, &[View::Home], |seen| (seen.asked, seen.home, seen.host) = (Asked::NotRunning(Vec::new()), None, None)),
        (Id::Link, &[View::Home], |seen| (seen.asked, seen.home, seen.host) = (Asked::Hangs, None, None)),
        (Id::Link, &INSIDE, |seen| {
            (seen.host.as_mut().expect("host").link, seen.home) = (Some(LinkStatus::Down), Some(HomeFacts { linked: false, ..home() }));
            own(seen).aaaa.clear();
            seen.paths[0].tls = Tls::Alert(80);
            seen.paths.truncate(1);
        }),
        (Id::Link, &INSIDE, |seen| seen.host.as_mut().expect("host").link = Some(LinkStatus::Conflict)),
        (Id::Lease, &INSIDE, |seen| {
            seen.host.as_mut().expect("host").lease = None;
            seen.home.as_mut().expect("home").claim = None;
            own(seen).aaaa.clear();
            seen.paths.truncate(1);
        }),
        (Id::Lease, &INSIDE, |seen| {
            let trouble = "it claims 2001:db8:1::11, and the gateway sees 2001:db8:3::2";
            (seen.host.as_mut().expect("host").lease, seen.host.as_mut().expect("host").address) = (None, None);
            seen.home.as_mut().expect("home").trouble = Some(trouble.into());
            away(seen);
        }),
        (Id::Link, &[View::Server], |seen| follower(seen, LinkStatus::Down)),
        (Id::Link, &[View::Server], |seen| follower(seen, LinkStatus::NotJoined)),
        // A server without IPv6 comes to no home, and who is well on it runs.
        (Id::Server, &[View::Server], |seen| {
            (seen.ipv6, seen.host.as_mut().expect("host").link) = (false, Some(LinkStatus::Down));
            seen.home = None;
            away(seen);
        }),
        (Id::Server, &[View::Server], |seen| (seen.ipv6, seen.asked) = (false, Asked::NotRunning(Vec::new()))),
        (Id::Server, &[View::Home, View::Outside], |seen| {
            dead(seen, &Said::Silent, Connect::Silent, IpAddr::is_ipv6);
            seen.paths[0].tls = Tls::Alert(80);
        }),
        (Id::Server, &INSIDE, |seen| dialled(seen, Connect::NoRoute, Listens::Yes, 0)),
        (Id::Server, &[View::Home], |seen| {
            dialled(seen, Connect::NoRoute, Listens::Yes, 0);
            seen.home = None;
        }),
        (Id::FirewallProviderLink, &[View::Home, View::Outside], |seen| {
            seen.link_port = vec![("192.0.2.11".parse().expect("v4"), false)];
            seen.home = seen.home.take().map(|home| HomeFacts { linked: false, ..home });
        }),
    ]);
}

#[test]
fn a_fault_on_the_way_home_is_named_and_nothing_that_follows_from_it() {
    each_is_named_alone(&[
        (Id::Loop, &INSIDE, |seen| seen.host.as_mut().expect("host").forbidden = Some("the gateway's own".into())),
        (Id::Loop, &ALL, |seen| own(seen).twin_aaaa = set(&["2001:db8:a::11"])),
        (Id::Loop, &INSIDE, |seen| {
            own(seen).aaaa = set(&["2001:db8:a::11"]);
            resolved(seen).aaaa = set(&["2001:db8:a::11"]);
        }),
        (Id::Loop, &INSIDE, |seen| {
            seen.host.as_mut().expect("host").dials[0].returned = true;
            seen.paths.clear();
        }),
        (Id::Loop, &[View::Outside], |seen| {
            (seen.own_name.home, seen.own_name.nobody) = (seen.own_name.gateway.clone(), Some(Tls::Alert(112)));
            seen.paths.clear();
        }),
        (Id::InterfaceIdentifier, &INSIDE, |seen| {
            seen.host.as_mut().expect("host").before = "2001:db8:2::22".parse().ok();
            dialled(seen, Connect::Silent, Listens::Yes, 0);
        }),
        (Id::Service, &INSIDE, |seen| dialled(seen, Connect::Refused, Listens::No, 0)),
        (Id::Service, &INSIDE, |seen| dialled(seen, Connect::Refused, Listens::Ipv4Only, 0)),
        (Id::Service, &[View::Outside], |seen| dialled(seen, Connect::Refused, Listens::No, 0)),
        (Id::FirewallHome, &INSIDE, |seen| dialled(seen, Connect::Silent, Listens::Stuck, 12)),
        (Id::FirewallHome, &INSIDE, |seen| dialled(seen, Connect::Refused, Listens::Yes, 12)),
        (Id::FirewallRouter, &INSIDE, |seen| dialled(seen, Connect::Silent, Listens::Yes, 0)),
        (Id::FirewallRouter, &INSIDE, |seen| dialled(seen, Connect::Refused, Listens::Yes, 0)),
        (Id::FirewallRouter, &INSIDE, |seen| {
            dialled(seen, Connect::Silent, Listens::Yes, 0);
            seen.home = None;
        }),
        (Id::Path4, &[View::Home, View::Outside], |seen| seen.paths[0].tls = Tls::No(Connect::Silent)),
        (Id::Path4, &[View::Outside], |seen| seen.paths[0].tls = Tls::Alert(80)),
        (Id::Path4, &ALL, |seen| seen.paths[0].tls = Tls::Alert(112)),
        (Id::Path6, &[View::Outside], |seen| seen.paths[1].tls = Tls::No(Connect::Silent)),
        (Id::Path6, &ALL, |seen| seen.paths[1].tls = Tls::Broken("no TLS".into())),
        (Id::Path6, &ALL, |seen| seen.paths.iter_mut().for_each(|path| path.tls = Tls::Broken("no TLS".into()))),
        (Id::Path6, &ALL, |seen| seen.paths.iter_mut().for_each(|path| path.tls = Tls::Alert(40))),
        (Id::Path4, &ALL, |seen| seen.paths[0].tls = Tls::Alert(40)),
        (Id::SameServer, &ALL, |seen| seen.paths[1].tls = Tls::Stands(Certificate { digest: "e".into(), ..certificate() })),
    ]);
}

#[test]
fn what_cannot_be_known_from_here_is_no_fault() {
    let table: &[(View, Broken)] = &[
        (View::Outside, |seen| {
            (seen.ipv6, seen.paths[1].tls) = (false, Tls::No(Connect::NoRoute));
            seen.names.servers[1].udp = Said::NoRoute;
        }),
        (View::Server, |seen| seen.paths[0].tls = Tls::No(Connect::Silent)),
        (View::Home, |seen| seen.host = None),
        (View::Server, |seen| seen.home = None),
        (View::Home, |seen| (seen.asked, seen.home, seen.host) = (Asked::NotPermitted, None, None)),
        (View::Home, |seen| (seen.asked, seen.home, seen.host) = (Asked::OtherVersion, None, None)),
        (View::Server, |seen| (seen.asked, seen.home, seen.host) = (Asked::OtherVersion, None, None)),
        (View::Outside, |seen| seen.names.parent = None),
        // Words of a later version.
        (View::Server, |seen| seen.host.as_mut().expect("host").link = None),
        (View::Server, |seen| seen.host.as_mut().expect("host").address_from = None),
        (View::Server, |seen| {
            seen.host.as_mut().expect("host").via = None;
            own(seen).aaaa = set(&["2001:db8:9::11"]);
            resolved(seen).aaaa = set(&["2001:db8:9::11"]);
        }),
        (View::Home, |seen| seen.host.as_mut().expect("host").dials[0].outcome = None),
        (View::Home, |seen| seen.home.as_mut().expect("home").services[0].listens = None),
        // The move is younger than what a resolver may remember.
        (View::Server, |seen| {
            seen.host.as_mut().expect("host").since = Some(at("2026-11-23T11:59:30Z"));
            resolved(seen).aaaa = set(&["2001:db8:9::11"]);
        }),
        (View::Outside, |seen| {
            (resolved(seen).aaaa, resolved(seen).ttl) = (set(&["2001:db8:9::11"]), 30);
        }),
        (View::Server, |seen| {
            seen.host.as_mut().expect("host").since = Some(at("2026-11-23T11:59:55Z"));
            own(seen).twin_aaaa = set(&["2001:db8:9::11"]);
        }),
        (View::Server, |seen| {
            seen.host.as_mut().expect("host").via = Some(Via::Gateway);
            own(seen).aaaa = set(&["2001:db8:a::11"]);
            resolved(seen).aaaa = set(&["2001:db8:a::11"]);
        }),
        // One certificate for all names on both machines is no loop, if the home answers for any name.
        (View::Outside, |seen| seen.own_name.home = seen.own_name.gateway.clone()),
        (View::Outside, |seen| seen.own_name.nobody = Some(Tls::Alert(112))),
        (View::Outside, |seen| seen.paths.iter_mut().for_each(|path| path.http = Connect::Refused)),
        (View::Home, |seen| seen.home.as_mut().expect("home").stable_privacy = Some(true)),
        // Another end in one network, and one that the owner writes, tell nothing of a change of the prefix.
        (View::Server, |seen| seen.host.as_mut().expect("host").before = "2001:db8:1::22".parse().ok()),
        (View::Server, |seen| {
            let host = seen.host.as_mut().expect("host");
            (host.address_from, host.before) = (Some(AddressFrom::Static), "2001:db8:2::22".parse().ok());
        }),
    ];
    for (row, (view, broken)) in table.iter().enumerate() {
        assert_eq!(faults(*view, broken), [], "row {row}, {view:?}");
    }
}

/// What the finding `id` says to do once `broken` is so.
fn told(view: View, id: Id, broken: impl Fn(&mut Seen)) -> String {
    let mut seen = seen(view);
    broken(&mut seen);
    let report = Report::of(&seen);
    let finding = report.findings.iter().find(|finding| finding.id == id).expect("judged");
    format!("{} {}", finding.what, finding.remedy)
}

#[test]
fn who_is_to_be_mended_is_called_by_name() {
    let remedy = |link| told(View::Server, Id::Link, |seen| follower(seen, link));
    assert!(remedy(LinkStatus::NotJoined).contains("fourward host token nas.dyn.example.org"));
    assert!(remedy(LinkStatus::Down).contains("home of nas.dyn.example.org"));
    let alone = told(View::Server, Id::Link, |seen| seen.host.as_mut().expect("host").link = Some(LinkStatus::NotJoined));
    assert!(alone.contains("fourward host token cloud.dyn"), "{alone}");
    let remedy = |from| told(View::Server, Id::Aaaa, |seen| by(seen, from));
    assert!(remedy(AddressFrom::Update).contains("fourward host show cloud.dyn.example.org"));
    assert!(remedy(AddressFrom::Static).contains("address="));
    assert!(told(View::Outside, Id::DnsUdp, |seen| server_down(seen, &Said::Closed, Connect::Refused)).contains("start fourward"));
    let led = told(View::Server, Id::Aaaa, |seen| {
        by(seen, AddressFrom::Update);
        seen.host.as_mut().expect("host").leader = Some(name("nas.dyn.example.org"));
    });
    assert!(led.contains("fourward host show nas.dyn.example.org"), "{led}");
}

#[test]
fn what_an_update_moved_is_compared_too() {
    let moved = |seen: &mut Seen| {
        by(seen, AddressFrom::Update);
        let host = seen.host.as_mut().expect("host");
        (host.address, host.before) = ("2001:db8:1::11".parse().ok(), "2001:db8:2::22".parse().ok());
    };
    assert!(told(View::Server, Id::InterfaceIdentifier, moved).contains("lower half changes with the prefix"));
}

#[test]
fn what_runs_in_another_version_is_to_be_restarted() {
    for (view, id) in [(View::Server, Id::Server), (View::Home, Id::Link)] {
        let mut seen = seen(view);
        (seen.asked, seen.home, seen.host) = (Asked::OtherVersion, None, None);
        let report = Report::of(&seen);
        let finding = report.findings.iter().find(|finding| finding.id == id).expect("judged");
        assert!(finding.note && finding.what.contains("another version") && finding.remedy.contains("systemctl restart"), "{finding:?}");
    }
}

mod certificates;
mod origins;
mod signed;
use signed::dnssec;
mod words;
