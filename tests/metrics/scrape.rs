//! A server with metrics, and what a scraper reads there.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::machines::{Machines, Role};
use crate::netns::feed;
use crate::outcome::end_of;

/// Where `init` proposes that they be.
pub(crate) const AT: &str = "127.0.0.1:9153";

/// Reads an exposition as Prometheus does, and prints a sample a line: the name with its labels, and the value.
const READER: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, family.name
    for sample in family.samples:
        labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
        print(f"{sample.name}{{{labels}}}\t{sample.value!r}")
"#;

/// A server whose config has the line that `init` wrote for metrics.
pub(crate) fn server(machines: &Machines) -> Role {
    let config = machines.init();
    let written = fs::read_to_string(&config).expect("config");
    let line = format!("# metrics = \"{AT}\"");
    assert!(written.contains(&line), "{written}");
    fs::write(&config, written.replace(&line, &line[2..])).expect("config");
    machines.add_key(&config);
    machines.server_by(&config)
}

/// The samples of a scrape, each as `name{label=value,…}`.
#[derive(Debug)]
pub(crate) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub(crate) fn of(machines: &Machines) -> Self {
        let url = format!("http://{AT}/metrics");
        let got = end_of(machines.vps.command("curl").args(["--silent", "--fail", "--max-time", "10", &url]));
        Self::read(&got.succeeds().out)
    }

    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let read = feed(Command::new("/usr/bin/python3").args(["-c", READER]), text);
        let read = String::from_utf8(read.stdout).expect("text");
        let sample = |line: &str| line.split_once('\t').map(|(name, value)| (name.to_owned(), value.parse().expect("a number")));
        Self(read.lines().map(|line| sample(line).expect("a sample")).collect())
    }

    #[track_caller]
    pub(crate) fn get(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or_else(|| panic!("no {sample} in {self:#?}"))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
