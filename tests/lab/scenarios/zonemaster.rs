//! What the registries' own examination (zonemaster, of AFNIC and the Swedish registry) says of a zone that we serve and that the zone above vouches for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::lab::Lab;
use crate::roles::{ZONE, said};
use crate::topology::Node::Dns;

/// What it warns of: the lab's own addresses, and what the page explains.
const KNOWN: [&str; 3] = ["ADDRESS01", "ADDRESS02", "DELEGATION01"];

#[test]
fn zonemaster_warns_of_nothing_that_the_docs_do_not_explain() {
    let lab = Lab::beside_others();
    let (vps, _home) = lab.start_figure();
    let printed = said(&vps.tell(&["zone", "ds", ZONE]));
    let ds = printed.lines().find_map(|line| line.trim().strip_prefix(&format!("{ZONE}.  DS  "))).expect("a DS");
    lab.edit_registrar(|zone| format!("{zone}dyn DS {ds}\n"));

    let hints = lab.dir().join("dns/hints").display().to_string();
    let output = lab.ns(Dns).run("zonemaster-cli", &["--hints", &hints, "--level", "INFO", "--show-testcase", ZONE]);
    let told = String::from_utf8_lossy(&output.stdout);
    // Seconds, level, test case, message.
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    let cases = |levels: &[&str]| -> BTreeSet<&str> {
        rows.iter().filter(|row| row.len() == 3 && levels.contains(&row[1])).map(|row| row[2]).collect()
    };
    assert!(cases(&["INFO"]).contains("DNSSEC10"), "it verified signatures and proofs: {told}");
    assert_eq!(cases(&["WARNING", "ERROR", "CRITICAL"]), BTreeSet::from(KNOWN), "{told}");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md")).expect("the page");
    for case in &KNOWN[1..] {
        assert!(page.contains(case), "{case} is explained");
    }
}
