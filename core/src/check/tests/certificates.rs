//! Certificates: the service's, and the one of the server's own name.

use super::*;

#[test]
fn a_certificate_is_judged_by_its_dates_and_names() {
    let both = |certificate: Certificate| {
        faults(View::Outside, move |seen| seen.paths.iter_mut().for_each(|path| path.tls = Tls::Stands(certificate.clone())))
    };
    assert_eq!(both(Certificate { until: at(NOW), ..certificate() }), [Id::Certificate], "expired");
    assert_eq!(both(Certificate { until: at("2026-12-01T00:00:00Z"), ..certificate() }), [Id::Certificate], "nobody renews it");
    assert_eq!(both(Certificate { from: at("2026-11-24T00:00:00Z"), ..certificate() }), [Id::Certificate], "not yet");
    assert_eq!(both(Certificate { fits: false, ..certificate() }), [Id::Certificate], "another's");
    assert_eq!(both(Certificate { trusted: false, ..certificate() }), [], "a note");
}

#[test]
fn the_certificate_of_our_own_name_is_judged() {
    type Change = fn(&mut CertificateStatus);
    let of_server = |source, change: Change| {
        faults(View::Server, |seen| {
            let mut status = own_certificate(source);
            change(&mut status);
            seen.own_name.status = Some(status);
        })
    };
    let failed: Change = |status| status.last_error = Some("the authority says no".into());
    let soon: Change = |status| status.not_after = at("2026-12-01T00:00:00Z");
    let over: Change = |status| status.not_after = at(NOW);
    let nobody: Change = |status| (status.not_after, status.next) = (at("2026-12-01T00:00:00Z"), None);
    for source in [CertificateSource::Acme, CertificateSource::Files, CertificateSource::SelfSigned] {
        assert_eq!(of_server(source, |_| {}), [], "{source}");
        assert_eq!(of_server(source, over), [Id::OwnCertificate], "{source}");
        assert_eq!(of_server(source, nobody), [Id::OwnCertificate], "{source}: nobody renews it");
    }
    assert_eq!(of_server(CertificateSource::Acme, failed), [], "it is good for a month more");
    assert_eq!(of_server(CertificateSource::Acme, |status| status.not_after = at("2026-12-01T01:00:00Z")), [], "it is ordered before that");
    assert_eq!(of_server(CertificateSource::SelfSigned, failed), [], "no agent needs one");
    let routers = faults(View::Server, |seen| {
        seen.own_name.status =
            Some(CertificateStatus { last_error: Some("the authority says no".into()), ..own_certificate(CertificateSource::SelfSigned) });
        seen.host.as_mut().expect("host").address_from = Some(AddressFrom::Update);
    });
    assert!(routers.contains(&Id::OwnCertificate), "a router does: {routers:?}");
    assert_eq!(of_server(CertificateSource::Files, failed), [Id::OwnCertificate]);
    assert_eq!(of_server(CertificateSource::Files, soon), [Id::OwnCertificate]);

    let shown = |change: fn(&mut Certificate)| {
        faults(View::Outside, |seen| {
            let mut shown = certificate();
            change(&mut shown);
            seen.own_name.gateway = Some(Tls::Stands(shown));
        })
    };
    assert_eq!(shown(|shown| shown.trusted = false), [], "self-signed by its owner's choice");
    for bad in [
        (|shown| shown.until = at(NOW)) as fn(&mut Certificate),
        |shown| shown.until = at("2026-12-01T00:00:00Z"),
        |shown| shown.from = at("2026-12-01T00:00:00Z"),
        |shown| shown.fits = false,
    ] {
        assert_eq!(shown(bad), [Id::OwnCertificate]);
    }
}
