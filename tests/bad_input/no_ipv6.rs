//! Machines without IPv6: the server says what that means and goes on, the home is shown as away, and each mends itself.

use std::fs;
use std::time::Duration;

use crate::clock::wait_for;
use crate::machines::{HOME6, Machines, VPS4, VPS6, ZONE};
use crate::outcome::{NOT_POSSIBLE, end_of, fourward, text};

#[test]
fn a_vps_without_ipv6_answers_names_and_says_that_no_home_can_be_reached() {
    let machines = Machines::new();
    machines.vps.sysctl("ipv6/conf/all/disable_ipv6", "1");
    let server = machines.server();
    server.wait_until_it_says("this machine has no global IPv6 address, so no home can be reached");
    assert!(server.log().contains("`ip -6 address` shows it"), "{}", server.log());
    server.add_host("cloud", &[]);
    let output = machines.home.run("dig", &["+short", &format!("@{VPS4}"), "cloud.dyn.example.org", "A"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), VPS4, "names are answered all the same");

    // It comes late, as at boot: no restart is needed.
    machines.vps.sysctl("ipv6/conf/all/disable_ipv6", "0");
    machines.vps.ip(&format!("addr replace {VPS6}/64 dev v\nroute replace 2001:db8:100::/64 dev v"));
    wait_for("it answers over IPv6", Duration::from_secs(5), || {
        let output = machines.home.run("dig", &["+short", "+tries=1", "+time=1", &format!("@{VPS6}"), "cloud.dyn.example.org", "A"]);
        String::from_utf8_lossy(&output.stdout).trim() == VPS4
    });
}

#[test]
fn a_kernel_without_ipv6_is_named() {
    let machines = Machines::new();
    let config = machines.init();
    let mut command = machines.vps.command("perl");
    command.args(["-e", &without_ipv6(), fourward(), "run", "--config"]).arg(&config);
    end_of(&mut command).fails(NOT_POSSIBLE, &["dns.listen", "[2001:db8:a::11]:53", "this machine has no IPv6", "enable it"]);
    assert!(!machines.path("vps-state").exists(), "no half of a server");
}

/// Perl that forbids itself IPv6 sockets as a kernel without IPv6 does, by a seccomp filter (seccomp(2)), and becomes its arguments.
fn without_ipv6() -> String {
    let (prctl, socket) = if cfg!(target_arch = "aarch64") { (167, 198) } else { (157, 41) };
    format!(
        r#"
        my @filter = ([0x20, 0, 0, 0],                   # the call's number
                      [0x15, 0, 3, {socket}],            # socket(2)?
                      [0x20, 0, 0, 16],                  # its first argument
                      [0x15, 0, 1, 10],                  # AF_INET6?
                      [0x06, 0, 0, 0x00050000 | 97],     # EAFNOSUPPORT
                      [0x06, 0, 0, 0x7fff0000]);         # anything else goes on
        my $filter = join "", map {{ pack "SCCL", @$_ }} @filter;
        my $program = pack "S x6 P", scalar @filter, $filter;
        syscall({prctl}, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
        syscall({prctl}, 22, 2, $program, 0, 0) == 0 or die "seccomp: $!";
        exec @ARGV or die $!;
        "#
    )
}

#[test]
fn a_home_without_ipv6_is_linked_over_ipv4_and_shown_as_away_until_it_has_an_address() {
    let machines = Machines::new();
    let server = machines.server();
    machines.home.sysctl("ipv6/conf/all/disable_ipv6", "1");
    machines.join_as("home", &server.add_host("cloud", &[])).succeeds();
    let agent = machines.agent("home");
    let cloud = || server.ask(&["host", "show", "cloud"]);
    wait_for("the link is up", Duration::from_secs(10), || cloud()["link"] == "up");
    agent.wait_until_it_says("no global IPv6 address that could be published; the host is shown as away");
    assert!(cloud()["address"].is_null() && cloud()["link_from"] == "192.0.2.4", "{}", cloud());
    let page = machines.home.run("curl", &["-sS", "-w", "%{http_code}", "-H", "Host: cloud.dyn.example.org", "http://192.0.2.11/"]);
    assert!(String::from_utf8_lossy(&page.stdout).ends_with("503"), "clients are told: {page:?}");

    machines.home.sysctl("ipv6/conf/all/disable_ipv6", "0");
    machines.home.ip(&format!("addr replace {HOME6}/64 dev v\nroute replace 2001:db8:a::/64 dev v"));
    server.wait_until_published(HOME6);
}

#[test]
fn an_address_of_another_machine_in_dns_listen_is_named() {
    let machines = Machines::new();
    let config = machines.path("vps.toml");
    let public = format!("[public]\nipv4 = [\"{VPS4}\"]\nipv6 = [\"{VPS6}\"]\n");
    let dns = format!("[dns]\nzones = [\"{ZONE}\"]\nlisten = [\"[2001:db8:b::1]:53\"]\n");
    fs::write(&config, format!("state = \"{}\"\n{public}{dns}", text(&machines.path("state")))).expect("write a config");
    let mut command = machines.vps.command(fourward());
    let outcome = end_of(command.args(["run", "--config"]).arg(&config));
    outcome.fails(1, &["dns.listen", "[2001:db8:b::1]:53 is no address of this machine", "`ip address` shows"]);
}
