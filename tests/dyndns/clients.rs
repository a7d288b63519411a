//! Debian's own clients, with the settings as they are printed.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use crate::machines::{DUAL, HOME6, VPS4, VPS6};
use crate::outcome::text;
use crate::rig::{OWN, ROUTER, Rig};

fn write(file: &Path, settings: &str) {
    fs::write(file, settings).expect("settings");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("mode");
}

fn ddclient(rig: &Rig, settings: &str) -> (bool, String) {
    let (file, cache) = (rig.machines.path("ddclient.conf"), rig.machines.path("ddclient.cache"));
    write(&file, settings);
    rig.run("ddclient", &["-daemon=0", "-force", "-verbose", "-file", &text(&file), "-cache", &text(&cache)])
}

fn inadyn(rig: &Rig, settings: &str) -> (bool, String) {
    let (file, cache) = (rig.machines.path("inadyn.conf"), rig.machines.path("inadyn.cache"));
    write(&file, settings);
    fs::create_dir_all(&cache).expect("cache");
    rig.run("inadyn", &["--once", "--foreground", "--force", "-l", "debug", "-f", &text(&file), "--cache-dir", &text(&cache)])
}

#[test]
fn ddclient_and_inadyn_update_a_host_and_verify_tls() {
    let mut rig = Rig::new(&["address-from=update"]);
    // What clients trust must outlive the server's run.
    rig.restart();

    let (_, said) = ddclient(&rig, &rig.settings_of("ddclient:"));
    assert_eq!(rig.published(), (VPS4.into(), HOME6.into()), "{said}");
    assert!(said.contains("good"), "{said}");

    rig.renumber("2001:db8:100::22");
    let (ok, said) = inadyn(&rig, &rig.settings_of("inadyn:"));
    assert_eq!(rig.published(), (VPS4.into(), "2001:db8:100::22".into()), "{said}");
    assert!(ok, "{said}");

    // With another certificate to trust neither says its password.
    rig.renumber("2001:db8:100::33");
    let stranger = rig.machines.path("stranger.pem");
    let key = text(&rig.machines.path("stranger.key"));
    let subject = format!("/CN={OWN}");
    let make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", &subject];
    let (ok, said) = rig.run("openssl", &[&make[..], &["-keyout", &key, "-out", &text(&stranger)]].concat());
    assert!(ok, "{said}");
    let trusting = |title: &str| rig.settings_of(title).replace(&text(&rig.ca), &text(&stranger));
    let before = rig.server.ask(&["host", "show", "cloud"]);
    let (_, said) = ddclient(&rig, &trusting("ddclient:"));
    assert!(said.contains("certificate verify failed"), "{said}");
    assert_eq!(rig.server.ask(&["host", "show", "cloud"]), before, "neither the address nor what the router said: {said}");
    let (_, said) = inadyn(&rig, &trusting("inadyn:"));
    assert_eq!(rig.published(), (VPS4.into(), "2001:db8:100::22".into()), "{said}");
    rig.tells_no_secret(&[]);
}

#[test]
fn inadyn_updates_by_its_plugin_for_dynv6_and_as_desec_is_asked() {
    let rig = Rig::called("dynv6.com", VPS6, &["address-from=update"]);
    let (ca, password) = (text(&rig.ca), &rig.password);
    let own = "ip -6 -brief address show dev v scope global -temporary -deprecated";
    let dynv6 = format!(
        "allow-ipv6 = true\nca-trust-file = {ca}\nprovider default@dynv6.com {{\n  ssl = true\n  username = {password}\n  password = unused\n  \
         hostname = {DUAL}\n  checkip-command = \"{own}\"\n}}\n"
    );
    let (ok, said) = inadyn(&rig, &dynv6);
    assert_eq!(rig.published(), (VPS4.into(), HOME6.into()), "where it came from: {said}");
    assert!(ok && said.contains("addresses updated"), "{said}");
    let (ok, said) = inadyn(&rig, &dynv6);
    assert!(ok && said.contains("addresses unchanged"), "{said}");

    rig.renumber("2001:db8:100::33");
    let desec = format!(
        "allow-ipv6 = true\nca-trust-file = {ca}\ncustom desec {{\n  ssl = true\n  ddns-server = dynv6.com\n  \
         ddns-path = \"/update?username=%u&password=%p&hostname=%h&myipv6=%i&myipv4=preserve\"\n  username = {DUAL}\n  password = {password}\n  \
         hostname = {DUAL}\n  checkip-command = \"{own}\"\n}}\n"
    );
    let (ok, said) = inadyn(&rig, &desec);
    assert_eq!(rig.published(), (VPS4.into(), "2001:db8:100::33".into()), "{said}");
    assert!(ok && said.contains("good 2001:db8:100::33"), "{said}");
    rig.tells_no_secret(&[]);
}

#[test]
fn a_fritz_boxs_request_is_understood_and_its_own_check_by_dns_passes() {
    let rig = Rig::new(&[]);
    let printed = rig.settings_of("FRITZ!Box:");
    let value = |key: &str| {
        let line = printed.lines().find_map(|line| line.trim_start().strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {printed}"));
        line.trim().to_owned()
    };
    let (url, domain) = (value("Update-URL"), value("Domain name"));
    assert_eq!((domain.as_str(), value("User name").as_str(), value("Password")), (ROUTER, "cloud", rig.password.clone()));
    let url = url.replace("<domain>", &domain).replace("<ipaddr>", "100.64.0.7").replace("<ip6addr>", "2001:db8:9::1");
    let user = format!("cloud:{}", rig.password);
    let answer = rig.curl(&["--http1.0", "--user", &user, "--user-agent", "Fritz!Box DDNS/1.0.1"], &url);
    assert_eq!((answer.status, answer.body.as_str()), (200, "good 192.0.2.11,2001:db8:9::1\n"), "{answer:?}");
    // What the box does then, some minutes later: it looks its domain name up.
    assert_eq!((rig.dig(&domain, "A"), rig.dig(&domain, "AAAA")), ("100.64.0.7".into(), "2001:db8:9::1".into()));
    // As long as it is not sure it sends the same again, at any rate.
    let serial = rig.serial();
    for _ in 0..60 {
        let again = rig.curl(&["--http1.0", "--user", &user, "--user-agent", "Fritz!Box DDNS/1.0.1"], &url);
        assert_eq!((again.status, again.body.as_str()), (200, "nochg 192.0.2.11,2001:db8:9::1\n"), "{again:?}");
    }
    assert_eq!(rig.serial(), serial, "nothing was written");
    assert_eq!(rig.published(), (VPS4.into(), String::new()), "the hint is not the home's address");
}

#[test]
fn an_update_is_on_disk_before_it_is_acknowledged_and_moves_the_gateways_target() {
    let mut rig = Rig::new(&["address-from=update"]);
    let home = rig.machines.home.thread(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80))).join();
    let home = home.expect("a thread").expect("a listener at home");
    thread::spawn(move || {
        for mut stream in home.incoming().flatten() {
            let _ = stream.read(&mut [0; 2048]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhome\n");
        }
    });
    let fetch = || rig.curl(&[], &format!("http://{DUAL}/"));
    assert_eq!(fetch().status, 503, "nobody said yet where it is");
    assert_eq!(rig.update(&format!("hostname={DUAL}&myip={HOME6}")), format!("good {HOME6}\n"));
    assert_eq!(fetch().body, "home\n");
    rig.renumber("2001:db8:100::22");
    assert_eq!(rig.update(&format!("hostname={DUAL}&myip=2001:db8:100::22")), "good 2001:db8:100::22\n");
    rig.restart();
    assert_eq!(rig.published(), (VPS4.into(), "2001:db8:100::22".into()));
    assert_eq!(rig.curl(&[], &format!("http://{DUAL}/")).body, "home\n");
}
