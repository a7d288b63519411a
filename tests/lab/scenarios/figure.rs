//! The figure stands still: what each client resolves, reaches, and by which path.

use crate::clock::figure;
use crate::lab::Lab;
use crate::probe::{Reply, Speech};
use crate::roles::{ALIAS, DUAL, OWN, TWIN};
use crate::topology::Node::{Inet, Laptop, Phone4, Phone6, Router};
use crate::topology::{PHONE6, VPS4, VPS6};
use crate::web::PAGE;

/// What the gateway may keep in memory when nobody uses it, in KiB. Nine tenths of it are pages of files: the
/// program's own text and libc's, of which the kernel maps more or fewer from run to run.
const RESTING: u64 = 18_500_000 / 1024;

#[test]
fn both_names_answer_as_in_the_figure() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let home = lab.home().to_string();
    for client in [Phone4, Phone6, Laptop] {
        let ask = |name, kind| lab.dig(client, None, name, kind);
        assert_eq!(ask(DUAL, "A").of("A"), [VPS4], "{client:?}");
        assert_eq!(ask(DUAL, "AAAA").of("AAAA"), [home.as_str()], "{client:?}");
        assert_eq!(ask(TWIN, "AAAA").of("AAAA"), [home.as_str()], "{client:?}");
        assert!(ask(TWIN, "A").is_no_data(), "{client:?}: the twin exists and has no A: {:?}", ask(TWIN, "A"));
        assert_eq!(ask("nobody.dyn.example.org", "A").status, "NXDOMAIN", "{client:?}");

        let (a, aaaa) = (ask(ALIAS, "A"), ask(ALIAS, "AAAA"));
        assert_eq!(a.of("CNAME"), [format!("{DUAL}.").as_str()], "{client:?}");
        assert_eq!(a.of("A"), [VPS4], "{client:?}");
        assert_eq!(aaaa.of("AAAA"), [home.as_str()], "{client:?}");
    }
}

#[test]
fn host_prints_the_users_domain_with_both_its_paths() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let output = lab.ns(Phone6).run("host", &[ALIAS]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&format!("{ALIAS} is an alias for {DUAL}.")), "{printed}");
    assert!(printed.contains(&format!("{DUAL} has address {VPS4}")), "{printed}");
    assert!(printed.contains(&format!("{DUAL} has IPv6 address {}", lab.home())), "{printed}");
}

#[test]
fn every_client_gets_the_page_by_its_own_path() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let home = lab.home().to_string();
    let (inet, router) = (lab.ns(Inet), lab.ns(Router));
    for (client, names, remote) in
        [(Phone4, &[DUAL, ALIAS][..], VPS4), (Phone6, &[DUAL, TWIN, ALIAS], home.as_str()), (Laptop, &[DUAL, TWIN, ALIAS], home.as_str())]
    {
        for name in names {
            for scheme in ["https", "http"] {
                let page = lab.fetch(client, &format!("{scheme}://{name}/"), &[]).expect("the page");
                assert_eq!((page.code, page.body.as_str()), (200, PAGE), "{client:?} {scheme} {name}");
                assert_eq!(page.remote, remote, "{client:?} {scheme} {name}");
            }
        }
    }
    assert_eq!(lab.visits(VPS6), 4, "phone4's requests came from the gateway");
    assert_eq!(lab.visits(PHONE6), 6, "phone6's from itself");

    assert!(inet.counter("phone4_and_vps") > 0);
    assert_eq!(inet.counter("phone4_elsewhere"), 0, "phone4 spoke to the gateway and the resolver alone");
    assert!(inet.counter("phone6_and_home") > 0);
    assert_eq!(inet.counter("phone6_and_vps"), 0, "phone6 never met the gateway");
    assert_eq!(router.counter("laptop_outside"), 0, "the laptop's bytes never left the house");
    assert!(router.counter("laptop_resolving") > 0, "all but its questions for names, so the counter counts");
}

#[test]
fn the_laptop_moves_much_without_a_byte_on_the_wan_port() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    let big = lab.dir().join("web/site/big");
    std::fs::write(&big, vec![7; 32 << 20]).expect("write a big page");
    let url = format!("https://{ALIAS}/big");
    lab.fetch(Laptop, &format!("https://{ALIAS}/"), &[]).expect("a first page");
    let before = lab.ns(Router).interface_bytes("wan");
    lab.fetch(Laptop, &url, &["-o", "/dev/null"]).expect("the big page");
    // The link's own echoes may pass meanwhile.
    let passed = lab.ns(Router).interface_bytes("wan") - before;
    assert!(passed < 1 << 20, "{passed} bytes crossed the WAN port while the laptop fetched 32 MiB");
    assert_eq!(lab.ns(Router).counter("laptop_outside"), 0);
}

#[test]
fn a_resting_gateway_is_small() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    for speech in [Speech::Http, Speech::Tls] {
        let reply = lab.attempt(speech, DUAL).reply;
        assert!(matches!(reply, Reply::Home(_) | Reply::Handshake), "{speech:?}: {reply:?}");
    }
    let memory = vps.daemon.memory();
    figure("gateway at rest", format_args!("{memory} KiB"));
    // A build with debug assertions is bigger and is nobody's gateway.
    assert!(cfg!(debug_assertions) || memory < RESTING, "the gateway keeps {memory} KiB");
}

#[test]
fn the_gateways_own_name_shows_a_page_of_its_own_to_both_families() {
    let lab = Lab::new();
    let _figure = lab.start_figure();
    for client in [Phone4, Phone6] {
        let url = format!("https://{OWN}/");
        let distrusted = lab.fetch(client, &url, &[]).expect_err("the certificate is self-signed");
        assert!(distrusted.contains("self-signed"), "{client:?}: {distrusted}");
        let page = lab.fetch(client, &url, &["--insecure"]).expect("the page");
        assert_eq!(page.code, 200, "{client:?}");
        assert!(page.body.contains(OWN) && page.body.contains("It works"), "{client:?}: {}", page.body);
        let redirect = lab.fetch(client, &format!("http://{OWN}/x"), &[]).expect("a redirect");
        assert_eq!((redirect.code, redirect.body.trim()), (308, format!("{url}x").as_str()), "{client:?}");
    }
}
