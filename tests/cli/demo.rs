//! `fourward demo`: as root, as nobody, and where namespaces are not to be had.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::program::{FOURWARD, Said, has};

/// One demo at a time, each being measured.
static STAGE: Mutex<()> = Mutex::new(());

/// What the demo promises.
const LIMIT: Duration = Duration::from_secs(15);

fn play(command: &mut Command) -> (Value, String) {
    let _stage = STAGE.lock().expect("stage");
    let begun = Instant::now();
    let said = Said::of(command.stdin(Stdio::null()).output().expect("run"));
    let took = begun.elapsed();
    println!("figure: the demo took {took:?}");
    assert!(took < LIMIT, "{took:?}");
    let err = said.err.clone();
    (said.json(), err)
}

fn held(report: &Value, names: &[&str]) {
    has(report, &["clients", "ok"]);
    assert_eq!(report["ok"], true);
    let clients = report["clients"].as_array().expect("clients");
    for client in clients {
        has(client, &["name", "path", "ok", "ms", "cut_off_ms"]);
        assert_eq!(client["ok"], true, "{client}");
        assert!(client["name"].is_string() && client["path"].is_string() && client["ms"].is_number(), "{client}");
        assert!(client["cut_off_ms"].is_number() || client["cut_off_ms"].is_null(), "{client}");
    }
    for name in names {
        assert!(clients.iter().any(|client| client["name"] == *name), "no {name} in {report}");
    }
}

#[test]
fn the_figure_holds_for_root() {
    let (report, _) = play(Command::new(FOURWARD).args(["demo", "--json"]));
    held(&report, &["phone4", "phone6", "laptop"]);
}

#[test]
fn the_figure_holds_for_nobody() {
    let folder = TempDir::new().expect("folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let program = folder.path().join("fourward");
    fs::copy(FOURWARD, &program).expect("copied");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"];
    let (report, _) = play(Command::new("setpriv").args(nobody).arg(&program).args(["demo", "--json"]).current_dir("/"));
    held(&report, &["phone4", "phone6"]);
}

#[test]
fn half_the_figure_holds_where_namespaces_are_not_to_be_had() {
    // Root of a user namespace that may have no network namespace: as in a container.
    let script = "echo 0 > /proc/sys/user/max_net_namespaces; exec \"$0\" demo --json";
    let (report, err) = play(Command::new("unshare").args(["--user", "--map-root-user", "sh", "-ec", script, FOURWARD]));
    held(&report, &["phone4", "phone6"]);
    assert!(err.contains("Network namespaces are not to be had here") && err.contains("without the laptop and the renumbering"), "{err}");
    assert!(report["clients"].as_array().expect("clients").iter().all(|client| client["name"] != "laptop"));
}
