//! Signatures are good for four weeks, and are made anew long before they end.

use crate::machines::Machines;
use crate::validity::name;
use crate::verifiers::{Unbound, anchors};

const QUESTIONS: [(&str, &str); 7] =
    [("", "SOA"), ("", "DNSKEY"), ("cloud", "A"), ("cloud", "AAAA"), ("cloud-ip6only", "AAAA"), ("nobody", "A"), ("cloud", "TXT")];

fn asked(questions: &[(String, &'static str)]) -> Vec<(&'static str, bool)> {
    questions.iter().map(|(_, kind)| (*kind, true)).collect()
}

#[test]
fn a_server_that_was_away_signs_anew_before_it_answers() {
    let machines = Machines::new();
    let config = machines.init();
    let server = machines.server_by(&config);
    server.tell(&["host", "add", "cloud", "address-from=static", "address=2001:db8:1::11"]).succeeds();
    let anchor = anchors(&server).remove(0);
    let questions: Vec<(String, &'static str)> = QUESTIONS.iter().map(|(left, kind)| (name(left), *kind)).collect();
    let questions_ref: Vec<(&str, &str)> = questions.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let verified_at = |by: &str| -> Vec<(&'static str, bool)> {
        let unbound = Unbound::start(&machines, &anchor, by);
        let said = unbound.ask(&questions_ref);
        said.iter().zip(&questions).map(|(said, (_, kind))| (*kind, said.verified)).collect()
    };
    assert_eq!(verified_at("+27d"), asked(&questions), "for four weeks");
    assert_eq!(
        verified_at("+31d"),
        questions.iter().map(|(_, kind)| (*kind, false)).collect::<Vec<_>>(),
        "and no longer (but for a day that unbound grants), if nobody signs anew"
    );
    drop(server);

    // With less than a quarter of their life left.
    let server = machines.server_ahead(&config, "+22d");
    assert_eq!(verified_at("+22d"), asked(&questions));
    assert_eq!(verified_at("+45d"), asked(&questions), "made anew, not kept");
    drop(server);
    // And after they had ended.
    let _server = machines.server_ahead(&config, "+80d");
    assert_eq!(verified_at("+80d"), asked(&questions));
}
