//! The corpora of the fuzz targets through the same checks, without a fuzzer: what was found once is not lost again.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that fails says where")]

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
fn every_input_that_is_kept_passes_its_check() {
    for (target, check) in checks::TARGETS {
        let corpus = folder("corpus").join(target);
        let inputs = names_in(&corpus);
        assert!(inputs.len() >= 10, "{target} has {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(corpus.join(&input)).expect("an input");
            println!("{target}/{input}"); // the test's output names the one that fails
            check(&bytes);
        }
    }
}

#[test]
fn every_target_is_listed_everywhere() {
    let targets: BTreeSet<String> = checks::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = names_in(&folder("fuzz_targets")).iter().map(|file| file.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(targets, files);
    assert_eq!(targets, names_in(&folder("corpus")));
    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("the manifest");
    assert_eq!(targets.len(), manifest.matches("[[bin]]").count());
}
