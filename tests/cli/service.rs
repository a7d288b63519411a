//! Under systemd: the unit's promises and the program's own are the same, and it tells when it is ready and when it ends.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{FOURWARD, Running, fourward, in_namespace};

/// Far more than a start takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn unit() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/fourward.service")).expect("the unit")
}

fn setting(unit: &str, key: &str) -> String {
    let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    line.unwrap_or_else(|| panic!("no {key} in the unit")).to_owned()
}

#[test]
fn the_unit_and_the_program_agree() {
    let unit = unit();
    assert_eq!(setting(&unit, "Type"), "notify");
    assert_eq!(setting(&unit, "RestartPreventExitStatus"), "2 3", "usage and permission: a person has to do something");
    let folder = TempDir::new().expect("folder");
    let config = folder.path().join("c.toml");
    let arguments = ["init", "--zone", "dyn.example.org", "--ipv4", "192.0.2.11", "--ipv6", "2001:db8:a::11", "--config"];
    fourward(&[&arguments[..], &[config.to_str().expect("text")]].concat()).ok();
    let explained = fourward(&["config", "check", config.to_str().expect("text")]).ok().out;
    let drain: u64 = explained.split_once(" s to drain").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok()).expect("a drain");
    let stop: u64 = setting(&unit, "TimeoutStopSec").parse().expect("seconds");
    // Aborting takes a second, and the other roles have five.
    assert!(stop > drain + 6, "systemd would kill it while it drains: {stop} s against {drain} s");
    assert_eq!(setting(&unit, "User"), "fourward");
    let users = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/fourward.sysusers")).expect("the users");
    assert!(users.lines().any(|line| line.starts_with("u fourward ")), "{users}");
}

#[test]
fn the_service_manager_is_told_of_the_start_and_of_the_end() {
    in_namespace(|| {
        let folder = TempDir::new().expect("folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let config = write_config(folder.path());
        let mut command = Command::new(FOURWARD);
        command.arg("run").arg("--config").arg(&config).env("NOTIFY_SOCKET", folder.path().join("notify"));
        let running = Running::spawn(&mut command);
        // Signing a zone may take its time, and asks for it.
        let first = std::iter::repeat_with(|| next(&socket)).find(|said| said != "EXTEND_TIMEOUT_USEC=60000000");
        assert_eq!(first.as_deref(), Some("READY=1"));
        // Ready means that its owner is answered.
        fourward(&["status", "--config", config.to_str().expect("text")]).ok();
        assert_eq!(running.end(), Some(0));
        assert_eq!(next(&socket), "STOPPING=1");
        assert_eq!(next(&socket), "EXTEND_TIMEOUT_USEC=30000000");
    });
}

fn write_config(folder: &Path) -> std::path::PathBuf {
    let config = folder.join("c.toml");
    let state = folder.join("state");
    let text = format!(
        "state = \"{}\"\n[public]\nipv4 = [\"192.0.2.11\"]\nipv6 = [\"2001:db8:a::11\"]\n[dns]\nzones = [\"dyn.example.org\"]\n[gateway]\n",
        state.display()
    );
    fs::write(&config, text).expect("a configuration");
    config
}

fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).expect("a notification");
    String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
}
