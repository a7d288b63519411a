//! Rights that are missing: each ends with exit code 3 and what to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machines::{Machines, VPS6, ZONE};
use crate::netns::Ns;
use crate::outcome::{NOT_POSSIBLE, Outcome, end_of, text};

const NOBODY: u32 = 65_534;

/// The binary where every user can run it: a build folder may be root's own.
pub(crate) fn binary_for_all(machines: &Machines) -> PathBuf {
    let copy = machines.path("fourward");
    if !copy.exists() {
        fs::set_permissions(copy.parent().expect("a folder"), Permissions::from_mode(0o755)).expect("a folder for all");
        // By another process, as in `ports`: nobody may find it busy.
        assert!(Command::new("cp").arg(crate::outcome::fourward()).arg(&copy).status().expect("cp").success(), "copy the binary");
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("a binary for all");
    }
    copy
}

fn as_nobody(machines: &Machines, ns: &Ns, arguments: &[&str], config: &Path) -> Outcome {
    let binary = binary_for_all(machines);
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    end_of(ns.command("setpriv").args(user).arg(binary).args(arguments).arg("--config").arg(config))
}

#[test]
fn low_ports_want_a_privilege() {
    let machines = Machines::new();
    let config = machines.init();
    let dns = as_nobody(&machines, &machines.vps, &["run"], &config);
    dns.fails(NOT_POSSIBLE, &["dns.listen", "no permission for TCP 192.0.2.11:53", "CAP_NET_BIND_SERVICE", "as root", "setcap"]);
    let without_dns = fs::read_to_string(&config).expect("the config").replace(&format!("[dns]\nzones = [\"{ZONE}\"]\n"), "");
    fs::write(&config, without_dns).expect("write the config");
    let gateway = as_nobody(&machines, &machines.vps, &["run"], &config);
    gateway.fails(NOT_POSSIBLE, &["gateway.tls", "no permission for TCP 192.0.2.11:443", "CAP_NET_BIND_SERVICE"]);
    assert!(!machines.path("vps-state").exists(), "no half of a server");
}

#[test]
fn a_config_or_a_key_that_may_not_be_read_is_no_reason_to_make_another() {
    let machines = Machines::new();
    let server = machines.server();
    machines.join_as("home", &server.add_host("cloud", &[])).succeeds();
    let config = machines.path("home.toml");
    let key = machines.path("home-state/agent.key");
    let contents = fs::read(&key).expect("the key");
    fs::set_permissions(machines.path("home-state"), Permissions::from_mode(0o755)).expect("an open folder");

    let outcome = as_nobody(&machines, &machines.home, &["run"], &config);
    outcome.fails(NOT_POSSIBLE, &["agent.key", "ermission denied", "the agent's user must be able to read it"]);

    fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("a closed config");
    for arguments in [&["run"][..], &["status"]] {
        let outcome = as_nobody(&machines, &machines.home, arguments, &config);
        assert!(!outcome.errors.contains("fourward init"), "that would be bad advice: {outcome:?}");
        outcome.fails(NOT_POSSIBLE, &["home.toml", "permission denied", "as root"]);
    }
    assert_eq!(fs::read(&key).expect("the key"), contents);
}

#[test]
fn the_control_socket_is_for_root_its_owner_and_its_group() {
    let machines = Machines::new();
    let server = machines.server();
    let config = machines.path("vps.toml");
    let (state, socket) = (machines.path("vps-state"), machines.path("vps-state/control.sock"));
    let refused = ["control.sock", "permission denied", "as root", "a member of the group fourward"];
    as_nobody(&machines, &machines.vps, &["host", "add", "mine"], &config).fails(NOT_POSSIBLE, &refused);

    fs::set_permissions(&state, Permissions::from_mode(0o755)).expect("an open folder");
    as_nobody(&machines, &machines.vps, &["host", "add", "mine"], &config).fails(NOT_POSSIBLE, &refused);

    // The modes were changed by accident: the server looks at who it is as well.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("an open socket");
    as_nobody(&machines, &machines.vps, &["host", "add", "mine"], &config).fails(NOT_POSSIBLE, &refused);
    assert_eq!(server.ask(&["host", "list"]), serde_json::json!([]), "and nothing was added");
}

#[test]
fn a_state_directory_or_a_folder_of_somebody_else_s_is_named() {
    let machines = Machines::new();
    // High ports, so that the state is what is in the way.
    let config = machines.path("high.toml");
    let state = machines.path("high-state");
    fs::create_dir(&state).expect("a folder of root's");
    let public = format!("[public]\nipv4 = [\"192.0.2.11\"]\nipv6 = [\"{VPS6}\"]\n");
    let roles = format!("[dns]\nzones = [\"{ZONE}\"]\nlisten = [\"127.0.0.1:5353\"]\n");
    fs::write(&config, format!("state = \"{}\"\n{public}{roles}", text(&state))).expect("write a config");
    let run = || as_nobody(&machines, &machines.vps, &["run"], &config);
    run().fails(NOT_POSSIBLE, &["high-state/lock", "ermission denied", "must belong to the user that fourward runs as"]);

    fs::write(state.join("lock"), "").expect("a lock");
    chown(state.join("lock"), Some(NOBODY), None).expect("give the lock away");
    run().fails(NOT_POSSIBLE, &["store.redb", "ermission denied", "must belong to the user that fourward runs as"]);

    let string = nobodys_join(&machines);
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut join = machines.home.command("setpriv");
    join.args(user).arg(binary_for_all(&machines)).args(["join", &string, "--config"]);
    join.arg(machines.path("home.toml")).arg("--state").arg(machines.path("home-state"));
    end_of(&mut join).fails(NOT_POSSIBLE, &["home-state", "permission denied", "as root"]);
}

fn nobodys_join(machines: &Machines) -> String {
    machines.server().add_host("cloud", &[])
}
