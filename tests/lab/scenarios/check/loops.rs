//! A home that sends what it gets back to the gateway, which leads it home, and so on.

use std::fs;
use std::time::Duration;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::netns::Ns;
use crate::probe::{Reply, Speech};
use crate::roles::{DUAL, OWN, PUBLISHED};
use crate::topology::Node::{Laptop, Phone4, Phone6, Server};
use crate::topology::{VPS4, VPS6};

/// What one network may have, so that a loop is at its end soon.
const CAP: u64 = 100;

/// For closed connections to be gone from the gateway.
const SETTLED: Duration = Duration::from_secs(20);

/// A rule at home that leads a port on to the gateway.
fn send_back(server: &Ns, port: u16) {
    server.sysctl("ipv6/conf/all/forwarding", "1");
    server.nft(&format!(
        "table ip6 back {{\n counter sent_back {{}}\n chain prerouting {{\n type nat hook prerouting priority dstnat;\n iifname eth0 tcp dport {port} counter name sent_back dnat to [{VPS6}]:{port}\n }}\n \
         chain postrouting {{\n type nat hook postrouting priority srcnat;\n ip6 daddr {VPS6} ct status dnat masquerade\n }}\n}}"
    ));
}

#[test]
fn a_rule_that_sends_the_gateways_connections_back_is_named() {
    let lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    for port in [443, 80] {
        send_back(lab.ns(Server), port);
        vps.check(DUAL).names_only("loop", "reverse proxy");
        home.check(DUAL).names_only("loop", "reverse proxy");
        if port == 443 {
            lab.check(Phone6, DUAL).names_only("loop", "reverse proxy");
            lab.check(Laptop, DUAL).names_only("loop", "reverse proxy");
            // Who cannot go to the home sees only that the gateway does not come to a service.
            lab.check(Phone4, DUAL).names_only("path4", "fourward check");
        }
        lab.ns(Server).nft("delete table ip6 back");
    }
    vps.check(DUAL).is_healthy("server", &["loop"]);
    lab.check(Phone6, DUAL).is_healthy("outside", &["loop"]);
}

/// Where the gateway takes IPv6 for the host too, nothing but its limit for one network ends it.
#[test]
fn a_loop_in_earnest_is_named_and_does_no_harm() {
    let lab = Lab::beside_others();
    let vps =
        lab.start_vps_with(&["--no-acme"], |text| text.replace("[gateway]", &format!("[gateway]\nlimits = {{ per-network = {CAP} }}")));
    let join = vps.add_host("cloud", &["via=gateway"]);
    let home = lab.start_home(&join);
    let base = vps.daemon.descriptors();
    send_back(lab.ns(Server), 443);
    vps.check(DUAL).names_only("loop", "reverse proxy");
    home.check(DUAL).names_only("loop", "reverse proxy");

    const TIMES: u64 = 5;
    let before = lab.ns(Server).packets("sent_back");
    for _ in 0..TIMES {
        let attempt = lab.attempt(Speech::Tls, DUAL);
        assert!(matches!(attempt.reply, Reply::Nobody(_) | Reply::Gateway), "{:?}", attempt.reply);
        let page = lab.fetch(Phone4, &format!("https://{OWN}/"), &["--insecure"]).expect("the gateway answers others meanwhile");
        assert_eq!(page.code, 200);
    }
    // As often round as the home's network may come, and no more.
    let turns = lab.ns(Server).packets("sent_back") - before;
    assert!((CAP..=TIMES * (CAP + 1)).contains(&turns), "{turns} turns");
    let log = fs::read_to_string(lab.log("fourward-vps")).expect("a log");
    assert!(!log.contains("panicked"), "{log}");
    lab.ns(Server).nft("delete table ip6 back");
    wait_for("the gateway's descriptors are back to base", SETTLED, || vps.daemon.descriptors() <= base + 2);
    assert_eq!(lab.attempt(Speech::Http, DUAL).reply, Reply::Home(lab.home()));
}

/// Apache at home is told to ask the gateway for what it should serve itself.
#[test]
fn a_reverse_proxy_whose_upstream_is_the_gateway_is_named() {
    let mut lab = Lab::beside_others();
    let (vps, home) = lab.start_figure();
    let config = lab.dir().join("web/apache.conf");
    let healthy = fs::read_to_string(&config).expect("Apache's configuration");
    for (scheme, port) in [("https", 443), ("http", 80)] {
        let modules: String = ["proxy", "proxy_http"]
            .iter()
            .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
            .collect();
        let proxy = format!(
            "<VirtualHost *:{port}>\nSSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off\nSSLProxyCheckPeerCN off\nSSLProxyCheckPeerExpire off\n\
             ProxyPreserveHost On\nProxyPass / {scheme}://{VPS4}/\n"
        );
        let text = modules + &healthy.replace(&format!("<VirtualHost *:{port}>\n"), &proxy);
        fs::write(&config, text).expect("written");
        for role in [&vps, &home] {
            // What goes round would hold it until it gives up.
            lab.web().kill();
            lab.web().start_again();
            let serving = ["-sk", "--max-time", "2", "-o", "/dev/null", "https://127.0.0.1:8443/"];
            wait_for("Apache is back", PUBLISHED, || lab.ns(Server).run("curl", &serving).status.success());
            role.check(DUAL).names_only("loop", "reverse proxy");
        }
    }
}
