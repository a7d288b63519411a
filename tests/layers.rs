//! Who may name whom: each layer names only what stands above it.
//!
//! Reads the sources as text: `crate::x` and `use crate::{x, …}` in the root package, the same in core. Macros and climbing
//! `super::` paths out of a module are not seen; nothing here uses them.

#![allow(clippy::expect_used, clippy::indexing_slicing)] // a test that cannot read its own sources must fail

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rows from the top; a module may name rows above its own, itself, and (where `true`) its own row.
const ROOT: &[(&[&str], bool)] = &[
    (
        &[
            "accounts",
            "certificate",
            "crowd",
            "crypto",
            "listener",
            "mmsg",
            "netlink",
            "pace",
            "probe",
            "quic",
            "redact",
            "resolver",
            "supervisor",
            "tally",
            "telemetry",
        ],
        true,
    ),
    (&["config"], false),
    (&["leases", "store"], false),
    (&["examination", "signer"], false),
    (&["acme", "agent", "dns", "gateway", "link"], false),
    (&["control"], false),
    (&["check", "cli", "demo"], true),
    (&["run"], false),
];

const CORE: &[(&[&str], bool)] = &[
    (
        &[
            "cookie",
            "demux",
            "flows",
            "index",
            "lease",
            "name",
            "order",
            "proxy_protocol",
            "reader",
            "renewal",
            "service",
            "source",
            "update_line",
        ],
        false,
    ),
    (&["host", "peek", "policy", "wire"], false),
    (&["dnssec", "facts"], false),
    (&["address", "api", "change", "client_hello", "http_head", "join", "reply"], false),
    (&["link", "quic_initial", "state"], false),
    (&["check", "dyndns", "quic_flows", "route", "stored", "zone"], false),
    (&["rdata"], false),
    (&["signing"], false),
    (&["answer", "export"], false),
    (&["transfer"], false),
    (&["journal", "master"], false),
    (&["rate", "tsig"], false),
    (&["update"], false),
];

#[test]
fn the_root_package_names_upwards_only() {
    check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), ROOT);
}

#[test]
fn core_names_upwards_only() {
    check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/core/src")), CORE);
}

#[test]
fn a_sideways_import_is_caught() {
    assert_eq!(forbidden("dns", "use crate::gateway::Traffic;", ROOT), ["gateway"]);
    assert_eq!(forbidden("dns", "fn f() { crate::control::x() }", ROOT), ["control"]);
    assert_eq!(forbidden("dns", "use crate::{store, link::Links};", ROOT), ["link"]);
    assert!(forbidden("dns", "use crate::store::Store;", ROOT).is_empty());
}

fn check(source: &Path, rows: &[(&[&str], bool)]) {
    let mut files = Vec::new();
    collect(source, &mut files);
    let known: BTreeSet<&str> = rows.iter().flat_map(|(row, _)| row.iter().copied()).chain(["lib", "main"]).collect();
    let mut complaints = Vec::new();
    for file in files {
        let module = module_of(source, &file);
        if !known.contains(module.as_str()) {
            complaints.push(format!("{}: the module {module} has no row", file.display()));
            continue;
        }
        if module == "lib" || module == "main" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("readable source");
        for other in forbidden(&module, &text, rows) {
            complaints.push(format!("{}: {module} may not name {other}", file.display()));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module_of(source: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(source).expect("below the source");
    let first = inside.components().next().expect("a component").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn forbidden(module: &str, text: &str, rows: &[(&[&str], bool)]) -> Vec<String> {
    let row_of = |name: &str| rows.iter().position(|(row, _)| row.contains(&name));
    let Some(own) = row_of(module) else { return Vec::new() };
    let within_row = rows[own].1;
    let allowed = |name: &str| name == module || row_of(name).is_none_or(|row| row < own || (row == own && within_row));
    named(text).into_iter().filter(|name| !allowed(name)).collect()
}

/// The modules that `text` names through `crate::`.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(top_names(group)),
            None => names.extend(identifier(rest)),
        }
    }
    names
}

/// The first identifiers of the parts of `{a, b::{c, d}, e}`, without its opening brace.
fn top_names(group: &str) -> Vec<String> {
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ if depth == 0 => part.push(c),
            _ => {}
        }
    }
    parts.push(part);
    parts.iter().filter_map(|part| identifier(part.trim_start())).collect()
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty() && name.starts_with(|c: char| c.is_ascii_lowercase())).then_some(name)
}
