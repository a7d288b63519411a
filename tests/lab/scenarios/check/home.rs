//! What can be wrong at home and before it.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::netns::succeed;
use crate::roles::{DUAL, PUBLISHED, Role, TWIN, fourward};
use crate::topology::Node::{Laptop, Phone4, Phone6, Router, Server};

/// What the home's own firewall does to connections to 443.
fn firewall_at_home(lab: &Lab, verdict: &str) {
    lab.ns(Server)
        .nft(&format!("table inet own {{\n chain input {{\n type filter hook input priority filter;\n tcp dport 443 {verdict}\n }}\n}}"));
}

pub(super) fn inside(vps: &Role, home: &Role, id: &str, remedy: &str) {
    vps.check(DUAL).names_only(id, remedy);
    home.check(DUAL).names_only(id, remedy);
}

#[test]
fn the_routers_firewall_the_homes_own_and_the_service_are_told_apart() {
    let mut lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();

    for verdict in ["drop", "reject with tcp reset", "reject with icmpv6 admin-prohibited", "iifname != lo drop"] {
        firewall_at_home(&lab, verdict);
        inside(&vps, &home, "firewall-home", "ufw allow 443/tcp");
        lab.ns(Server).nft("delete table inet own");
    }
    firewall_at_home(&lab, "drop");
    lab.check(Phone6, DUAL).names_only("path6", "fourward check");
    lab.check(Phone4, DUAL).names_only("path4", "fourward check");
    lab.ns(Server).nft("delete table inet own");

    for verdict in ["drop", "reject with tcp reset"] {
        lab.ns(Router).nft(&format!(
            "table inet shut {{\n chain forward {{\n type filter hook forward priority filter - 2;\n iifname wan tcp dport 443 {verdict}\n }}\n}}"
        ));
        inside(&vps, &home, "firewall-router", "open TCP 443");
        // From outside a refusal is the service's, as far as can be seen.
        let seen = if verdict == "drop" { "path6" } else { "service" };
        lab.check(Phone6, DUAL).names_only(seen, "fourward check");
        lab.check(Phone4, DUAL).names_only("path4", "fourward check");
        lab.ns(Router).nft("delete table inet shut");
    }

    lab.web().kill();
    inside(&vps, &home, "service", "start the service");
    lab.check(Phone6, DUAL).names_only("service", "start the service");
    lab.check(Phone4, DUAL).names_only("path4", "fourward check");
    let config = lab.dir().join("web/apache.conf");
    let text = fs::read_to_string(&config).expect("Apache's configuration");
    fs::write(&config, text.replace("Listen 443", "Listen 0.0.0.0:443")).expect("written");
    lab.web().start_again();
    wait_for("Apache is back", PUBLISHED, || lab.ns(Server).run("curl", &["-sS", "http://127.0.0.1/"]).status.success());
    inside(&vps, &home, "service", "listen [::]:443");
    lab.check(Phone6, DUAL).names_only("service", "start the service");
    lab.check(Phone4, DUAL).names_only("path4", "fourward check");
}

#[test]
fn a_link_that_is_down_frozen_or_doubled_is_named() {
    let lab = Lab::beside_others();
    let (vps, mut home) = lab.start_figure();

    let pid = Pid::from_raw(i32::try_from(home.daemon.pid()).expect("a process ID")).expect("a process ID");
    kill_process(pid, Signal::STOP).expect("SIGSTOP");
    home.check(DUAL).names_only("link", "systemctl restart fourward");
    lab.check_until("link", || vps.check(DUAL)).names_only("link", "systemctl");
    kill_process(pid, Signal::CONT).expect("SIGCONT");
    lab.check_until_well(&["link"], || home.check(DUAL));

    home.daemon.terminate();
    vps.check(DUAL).names_only("link", "systemctl status fourward");
    home.check(DUAL).names_only("link", "systemctl start fourward");
    for client in [Phone4, Phone6] {
        lab.check(client, DUAL).names_only("aaaa", "the agent does not run");
    }
    vps.add_host("nas", &[]);
    vps.check("nas").names_only("link", "fourward join -");

    home.daemon.start_again();
    lab.wait_until_published(TWIN, lab.home());
    let copy = copy_of_home(&lab);
    wait_for("the copy was turned away", PUBLISHED, || vps.check(DUAL).faults() == ["link"]);
    vps.check(DUAL).names_only("link", "agent.key");
    home.check(DUAL).names_only("link", "agent.key");
    drop(copy);
}

/// The agent's files on another machine, and an agent that runs by them.
fn copy_of_home(lab: &Lab) -> Daemon {
    let (from, to) = (lab.dir().join("home"), lab.dir().join("copy"));
    succeed(Command::new("cp").arg("-a").arg(&from).arg(&to));
    let _ = fs::remove_file(to.join("state/control.sock"));
    let config = to.join("fourward.toml");
    let text = fs::read_to_string(&config).expect("the home's configuration");
    fs::write(&config, text.replace(&from.display().to_string(), &to.display().to_string())).expect("written");
    Daemon::start(lab.ns(Laptop), lab.log("fourward-copy"), fourward(), &["run", "--config", &config.display().to_string()])
}

#[test]
fn a_home_without_an_address_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    lab.ns(Server).ip(&format!("addr del {}/64 dev eth0", lab.home()));
    lab.check_until("lease", || home.check(DUAL)).names_only("lease", "ip -6 address");
    lab.check_until("lease", || vps.check(DUAL)).names_only("lease", "ip -6 address");
    lab.forget();
    for client in [Phone4, Phone6] {
        lab.check(client, DUAL).names_only("aaaa", "fourward check");
    }
}

/// The gateway sees another address than the home has: NAT66, or a VPN on the way.
#[test]
fn a_home_whose_address_is_translated_on_the_way_is_named() {
    let lab = Lab::beside_others();
    let (vps, mut home) = lab.start_figure();
    lab.ns(Router).nft(&format!(
        "table ip6 nat66 {{\n chain postrouting {{\n type nat hook postrouting priority srcnat;\n ip6 saddr {} masquerade\n }}\n}}",
        lab.home()
    ));
    home.restart();
    lab.check_until("lease", || home.check(DUAL)).names_only("lease", "no NAT66");
    lab.check_until("lease", || vps.check(DUAL)).names_only("lease", "no NAT66");
    lab.forget();
    for client in [Phone4, Phone6] {
        lab.check(client, DUAL).names_only("aaaa", "fourward check");
    }
}

#[test]
fn an_interface_identifier_that_changes_with_the_prefix_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    // The router's rule is for the interface identifier that the home had.
    let new = lab.renumber_with_another_end();
    lab.wait_until_published(TWIN, new);
    inside(&vps, &home, "interface-identifier", "ip token set");
    lab.check(Phone4, DUAL).names_only("path4", "fourward check");
}

/// The kernel at home makes its addresses itself, out of what the router announces and a secret (RFC 7217).
#[test]
fn an_address_out_of_a_secret_is_named_before_and_after_it_changes() {
    let lab = Lab::beside_others();
    let server = lab.ns(Server);
    server.sysctl("ipv6/conf/eth0/accept_ra", "1");
    server.sysctl("ipv6/conf/eth0/stable_secret", "2001:db8:5ec:5ec:5ec:5ec:5ec:5ec");
    server.ip(&format!("addr del {}/64 dev eth0", lab.home()));
    let first = lab.announce(0);
    lab.ns(Router).nft(&format!("add rule inet home forward ip6 daddr {first} tcp dport {{ 80, 443 }} accept"));
    let vps = lab.start_vps();
    let home = lab.join_home("home", Server, &vps.add_host("cloud", &[]));
    lab.wait_until_published(TWIN, first);
    for (role, view) in [(&vps, "server"), (&home, "home")] {
        let found = role.check(DUAL);
        found.is_healthy(view, &["path6", "firewall-router"]);
        found.notes("interface-identifier");
    }
    lab.nodes.route_prefix(1);
    let second = lab.announce(1);
    assert_ne!(first.to_bits() << 64, second.to_bits() << 64, "the kernel made another lower half");
    lab.wait_until_published(TWIN, second);
    inside(&vps, &home, "interface-identifier", "ip token set");
}
