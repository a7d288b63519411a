//! Ports that somebody else has: who it is, and what to do.
//!
//! The holder is a `sleep` under the name of a well-known server, which was given the socket as its standard input.

use std::fs::{self, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::machines::{Machines, VPS4, ZONE};
use crate::netns::Ns;
use crate::outcome::{FAILED, Outcome, end_of, fourward, text};

/// Takes a port.
type Take = fn(&Ns, &'static str) -> OwnedFd;

/// A program of this name that holds a socket until it is dropped.
struct Squatter(Child);

impl Squatter {
    fn new(machines: &Machines, name: &str, socket: OwnedFd) -> Self {
        let program = machines.path(name);
        if !program.exists() {
            // By another process: a descriptor of ours that is open for writing would be inherited by children of other tests, and
            // the program be "busy" meanwhile.
            assert!(Command::new("cp").arg("/bin/sleep").arg(&program).status().expect("cp").success(), "copy sleep");
        }
        Self(Command::new(program).arg("600").stdin(Stdio::from(socket)).spawn().expect("start a squatter"))
    }

    fn pid(&self) -> String {
        format!("(process {})", self.0.id())
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tcp(ns: &Ns, address: &'static str) -> OwnedFd {
    ns.thread(move || TcpListener::bind(address)).join().expect("a thread").expect("a free port").into()
}

fn udp(ns: &Ns, address: &'static str) -> OwnedFd {
    ns.thread(move || UdpSocket::bind(address)).join().expect("a thread").expect("a free port").into()
}

fn run(machines: &Machines, config: &Path) -> Outcome {
    end_of(machines.vps.command(fourward()).args(["run", "--config"]).arg(config))
}

#[test]
fn a_taken_port_names_its_holder_the_setting_and_what_to_do() {
    let machines = Machines::new();
    let config = machines.init();
    let ports: [(Take, &str, &str, &str); 6] = [
        (tcp, "192.0.2.11:53", "dns.listen", "TCP 192.0.2.11:53"),
        (udp, "192.0.2.11:53", "dns.listen", "UDP 192.0.2.11:53"),
        (udp, "[2001:db8:a::11]:53", "dns.listen", "UDP [2001:db8:a::11]:53"),
        (tcp, "0.0.0.0:80", "gateway.http", "TCP 192.0.2.11:80"),
        (tcp, "[::]:443", "gateway.tls", "TCP 192.0.2.11:443"),
        (udp, "192.0.2.11:443", "gateway.tls", "UDP 192.0.2.11:443"),
    ];
    for (take, held, key, wanted) in ports {
        let squatter = Squatter::new(&machines, "apache2", take(&machines.vps, held));
        let words = [key, wanted, "is taken by apache2", &squatter.pid(), "stop apache2"];
        run(&machines, &config).fails(FAILED, &words);
        assert!(!machines.path("vps-state").exists(), "{wanted}: no half of a server");
    }
    machines.server_by(&config);
}

#[test]
fn resolved_in_the_way_of_the_wildcard_is_named_with_its_own_remedy() {
    let machines = Machines::new();
    let config = behind_nat(&machines);
    for take in [udp, tcp] {
        let resolved = Squatter::new(&machines, "systemd-resolve", take(&machines.vps, "127.0.0.53:53"));
        let taken = ["dns.listen", "0.0.0.0:53 is taken by systemd-resolve"];
        let remedy = ["DNSStubListener=no", "/etc/systemd/resolved.conf", "systemctl restart systemd-resolved", "or let dns.listen name"];
        run(&machines, &config).fails(FAILED, &[&taken[..], &remedy, &[&resolved.pid()]].concat());
        // The service's user cannot look into resolved's process, and must be told all the same.
        as_service(&machines, &config).fails(FAILED, &[&taken[..], &remedy].concat());
    }
    let listening = format!("[dns]\nlisten = [\"{VPS4}:53\"]");
    fs::write(&config, fs::read_to_string(&config).expect("the config").replace("[dns]", &listening)).expect("write the config");
    let _resolved = Squatter::new(&machines, "systemd-resolve", udp(&machines.vps, "127.0.0.53:53"));
    machines.server_by(&config); // the second remedy helps too
}

#[test]
fn a_holder_that_cannot_be_seen_is_told_how_to_be_found() {
    let machines = Machines::new();
    let config = machines.init();
    let _squatter = Squatter::new(&machines, "named", udp(&machines.vps, "192.0.2.11:53"));
    let outcome = as_service(&machines, &config);
    outcome.fails(FAILED, &["dns.listen", "UDP 192.0.2.11:53 is taken by another program", "ss -lnptu sport = 53"]);
}

/// The config of a server whose provider translates its address: it listens on the wildcard.
fn behind_nat(machines: &Machines) -> PathBuf {
    let config = machines.path("nat.toml");
    let state = text(&machines.path("nat-state"));
    let addresses = "ipv4 = [\"203.0.113.9\"]\nipv6 = [\"2001:db8:a::11\"]";
    fs::write(&config, format!("state = \"{state}\"\n[public]\n{addresses}\n[dns]\nzones = [\"{ZONE}\"]\n")).expect("write a config");
    config
}

/// Runs as the unit does: a user without rights but for low ports.
fn as_service(machines: &Machines, config: &Path) -> Outcome {
    let folder = config.parent().expect("a folder");
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("a folder for all");
    let binary = crate::permissions::binary_for_all(machines);
    let rights = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"];
    end_of(machines.vps.command("setpriv").args(rights).arg(binary).args(["run", "--config"]).arg(config))
}
