//! `fourward check` on each machine, and what it found.

use std::time::Duration;

use serde_json::Value;

use crate::clock::try_until;
use crate::lab::Lab;
use crate::netns::Ns;
use crate::roles::{Role, fourward, said};
use crate::topology::Node;

/// What breaks or heals may take some seconds to be known everywhere: links, leases, caches.
const KNOWN: Duration = Duration::from_secs(45);

/// What `fourward check` found.
#[derive(Debug)]
pub(crate) struct Found {
    status: Option<i32>,
    view: String,
    findings: Vec<Value>,
    said: String,
}

impl Found {
    fn of(output: &std::process::Output) -> Self {
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)));
        let findings = json["findings"].as_array().expect("findings").clone();
        let found =
            Self { status: output.status.code(), view: json["view"].as_str().expect("a view").into(), findings, said: said(output) };
        for finding in &found.findings {
            let text = |key: &str| finding[key].as_str().expect("a text").to_owned();
            assert!(!text("what").is_empty() && !text("how").is_empty(), "{finding}");
            assert!(finding["ok"] == true || !text("remedy").is_empty(), "a fault without a remedy: {finding}");
        }
        assert_eq!(found.status, Some(i32::from(!found.faults().is_empty())), "{}", found.said);
        found
    }

    /// The faults, in their order.
    pub(crate) fn faults(&self) -> Vec<&str> {
        self.findings.iter().filter(|finding| finding["ok"] == false).filter_map(|finding| finding["id"].as_str()).collect()
    }

    fn finding(&self, id: &str) -> &Value {
        self.findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no finding {id}: {}", self.said))
    }

    /// Asserts that nothing is wrong, and that these were really judged and good.
    pub(crate) fn is_healthy(&self, view: &str, judged: &[&str]) {
        assert_eq!((self.view.as_str(), self.faults()), (view, Vec::new()), "{}", self.said);
        for id in judged {
            assert_eq!(self.finding(id)["note"], false, "{id} was not judged good: {}", self.said);
        }
    }

    /// Whether nothing is wrong, and these were really judged and good.
    fn judges_good(&self, judged: &[&str]) -> bool {
        self.faults().is_empty() && judged.iter().all(|id| self.finding(id)["note"] == false)
    }

    /// Asserts that `id` is a note, or was not judged.
    pub(crate) fn notes(&self, id: &str) {
        assert!(self.finding(id)["note"] == true && self.finding(id)["ok"] == true, "{id}: {}", self.said);
    }

    /// Asserts that `id` is the only fault, and that its remedy speaks of `remedy`.
    pub(crate) fn names_only(&self, id: &str, remedy: &str) {
        assert_eq!(self.faults(), [id], "{}", self.said);
        self.tells(id, remedy);
    }

    /// Asserts that `id` is the first fault, and that its remedy speaks of `remedy`.
    pub(crate) fn names_first(&self, id: &str, remedy: &str) {
        assert_eq!(self.faults().first(), Some(&id), "{}", self.said);
        self.tells(id, remedy);
    }

    /// Asserts that `id` was found in a way that speaks of `how`.
    pub(crate) fn finds(&self, id: &str, how: &str) {
        let told = self.finding(id)["how"].as_str().unwrap_or_default();
        assert!(told.contains(how), "{id} does not speak of {how}: {told}");
    }

    fn tells(&self, id: &str, remedy: &str) {
        let told = self.finding(id)["remedy"].as_str().unwrap_or_default();
        assert!(told.contains(remedy), "the remedy of {id} does not speak of {remedy}: {told}");
    }
}

impl Lab {
    /// What a machine finds that stands outside.
    pub(crate) fn check(&self, from: Node, name: &str) -> Found {
        Found::of(&run(self.ns(from), &["check", name, "--json"]))
    }

    /// Asks again until there is this fault first, or none where `id` is empty.
    pub(crate) fn check_until(&self, id: &str, mut check: impl FnMut() -> Found) -> Found {
        let mut found = check();
        try_until(KNOWN, || {
            let first = found.faults().first().copied().unwrap_or_default().to_owned();
            if first == id {
                return true;
            }
            found = check();
            false
        });
        found
    }

    /// Asks again until nothing is wrong and these are judged good: linked again, an end may need a moment until it answers on the link.
    pub(crate) fn check_until_well(&self, judged: &[&str], mut check: impl FnMut() -> Found) {
        let mut found = check();
        let well = try_until(KNOWN, || {
            found.judges_good(judged) || {
                found = check();
                false
            }
        });
        assert!(well, "{judged:?}: {}", found.said);
    }
}

impl Role {
    /// What the server, or the home, finds.
    pub(crate) fn check(&self, name: &str) -> Found {
        Found::of(&self.tell(&["check", name, "--json"]))
    }
}

fn run(ns: &Ns, arguments: &[&str]) -> std::process::Output {
    ns.run(fourward(), arguments)
}
