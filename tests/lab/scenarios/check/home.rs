//! What can be wrong at home and before it.

use std::fs;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
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

fn inside(vps: &Role, home: &Role, id: &str, remedy: &str) {
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
}

#[test]
fn a_wrong_certificate_is_named() {
    let mut lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    let both = |lab: &Lab, remedy: &str| {
        inside(&vps, &home, "certificate", remedy);
        lab.check(Phone6, DUAL).names_only("certificate", remedy);
        lab.check(Phone4, DUAL).names_only("certificate", remedy);
    };
    serve_with(&mut lab, DUAL, (2020, 2021));
    both(&lab, "renew");
    serve_with(&mut lab, DUAL, (2090, 2091));
    both(&lab, "clock");
    serve_with(&mut lab, "other.example.org", (2020, 2091));
    both(&lab, DUAL);
}

fn serve_with(lab: &mut Lab, name: &str, (from, until): (i32, i32)) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let certificate = params.self_signed(&key).expect("a certificate");
    let web = lab.dir().join("web");
    fs::write(web.join("server.pem"), certificate.pem()).expect("written");
    fs::write(web.join("server.key"), key.serialize_pem()).expect("written");
    lab.web().kill();
    lab.web().start_again();
    wait_for("Apache is back", PUBLISHED, || lab.ns(Server).run("curl", &["-sSk", "https://127.0.0.1/"]).status.success());
}

#[test]
fn two_servers_behind_one_name_are_named() {
    let lab = Lab::beside_others();
    let (vps, _home) = lab.start_figure();
    // Somebody's proxy answers IPv6 clients, but not the gateway.
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec![DUAL.to_owned()]).and_then(|params| params.self_signed(&key)).expect("a certificate");
    let (pem, secret) = (lab.dir().join("other.pem"), lab.dir().join("other.key"));
    fs::write(&pem, certificate.pem()).expect("written");
    fs::write(&secret, key.serialize_pem()).expect("written");
    let (pem, secret) = (pem.display().to_string(), secret.display().to_string());
    let arguments = ["s_server", "-6", "-accept", "9443", "-quiet", "-www", "-cert", &pem, "-key", &secret];
    let mut other = Daemon::start(lab.ns(Server), lab.log("other"), "openssl", &arguments);
    other.ready("the other server", PUBLISHED, || lab.ns(Server).run("curl", &["-sSk", "https://[::1]:9443/"]).status.success());
    lab.ns(Server).nft("table ip6 other {\n chain prerouting {\n type nat hook prerouting priority dstnat;\n ip6 saddr 192::/128 accept\n ip6 saddr 2001:db8:a::11 accept\n tcp dport 443 redirect to :9443\n }\n}");
    lab.ns(Router).nft("add rule inet home forward tcp dport 9443 accept");
    let laptop = lab.check(Laptop, DUAL);
    laptop.names_only("same-server", "both ways");
    vps.check(DUAL).is_healthy("server", &["same-server"]);
}

#[test]
fn a_link_that_is_down_frozen_or_doubled_is_named() {
    let lab = Lab::beside_others();
    let (vps, mut home) = lab.start_figure();

    let pid = Pid::from_raw(i32::try_from(home.daemon.pid()).expect("a process ID")).expect("a process ID");
    kill_process(pid, Signal::STOP).expect("SIGSTOP");
    home.check(DUAL).names_first("link", "systemctl restart fourward");
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
}

#[test]
fn an_interface_identifier_that_changes_with_the_prefix_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    // The router's rule is for the interface identifier that the home had.
    let new = lab.renumber_with_another_end();
    lab.wait_until_published(TWIN, new);
    inside(&vps, &home, "interface-identifier", "ip token set");
    lab.check(Phone4, DUAL).names_first("path4", "fourward check");
}
