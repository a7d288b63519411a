//! Hosts that somebody else's DNS knows, and gateways that send from a prefix.

use super::*;
use crate::facts::FromSource;

/// A host by upstream, away for this reason.
fn unresolved(seen: &mut Seen, reason: Option<&str>) {
    let host = seen.host.as_mut().expect("a host");
    (host.upstream, host.unresolved) = (Some(name("home.example.net")), reason.map(str::to_owned));
    (host.address_from, host.link, host.lease) = (None, Some(LinkStatus::NotJoined), None);
}

#[test]
fn a_host_by_upstream_needs_neither_link_nor_lease() {
    assert_eq!(faults(View::Server, |seen| unresolved(seen, None)), []);
    let nowhere = faults(View::Server, |seen| {
        unresolved(seen, Some("home.example.net does not exist"));
        seen.host.as_mut().expect("a host").address = None;
        let own = seen.names.own.as_mut().expect("answers");
        (own.aaaa, own.twin_aaaa) = Default::default();
    });
    assert!(nowhere.contains(&Id::Aaaa) && !nowhere.contains(&Id::Link) && !nowhere.contains(&Id::Lease), "{nowhere:?}");
}

#[test]
fn a_prefix_is_judged_where_one_is_sent_from() {
    let from = |outcome| {
        faults(View::Server, move |seen| {
            let prefix = "2001:db8:f::/96".parse().expect("a prefix");
            seen.host.as_mut().expect("a host").from_source = Some(FromSource { prefix, port: 443, outcome });
        })
    };
    assert_eq!((from(Some(Connect::Open)), from(None)), (vec![], vec![]));
    for outcome in [Connect::Silent, Connect::Unreachable, Connect::NoRoute, Connect::Refused, Connect::Prohibited] {
        assert_eq!(from(Some(outcome)), [Id::SourcePrefix], "{outcome:?}");
    }
    let report = Report::of(&seen(View::Server));
    assert!(report.findings.iter().all(|finding| finding.id != Id::SourcePrefix), "none is configured");
}
