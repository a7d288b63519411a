//! What a host's owner sets, as phones and a laptop see it through real DNS.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::clock::wait_for;
use crate::lab::Lab;
use crate::probe::{Reply, Speech};
use crate::roles::{ALIAS, DUAL, OWN, Role, TWIN, ZONE, said};
use crate::topology::Node::{Laptop, Phone4, Phone6, Router};
use crate::topology::{VPS4, VPS6};
use crate::web::{OTHER_PAGE, PAGE};
use crate::wire::client_hello;

/// For a resolver to ask again after a TTL of one second, and for a role to notice.
const SEEN: Duration = Duration::from_secs(15);

const BELOW: &str = "a.photos.cloud.dyn.example.org";
const PHOTOS: &str = "photos.cloud.dyn.example.org";

/// The figure, with a TTL that lets changes be seen at once.
fn figure(lab: &Lab) -> (Role, Role) {
    let (vps, home) = lab.start_figure();
    set(&vps, &["ttl=1"]);
    (vps, home)
}

fn set(vps: &Role, settings: &[&str]) -> String {
    let output = vps.tell(&[&["host", "set", "cloud"], settings].concat());
    assert!(output.status.success(), "host set cloud {settings:?}: {}", said(&output));
    said(&output)
}

#[test]
fn a_wildcard_serves_every_name_below_by_both_paths() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    assert_eq!(lab.dig(Phone4, None, "early.cloud.dyn.example.org", "A").status, "NXDOMAIN");
    set(&vps, &["wildcard=on"]);
    let home = lab.home().to_string();
    for (client, remote) in [(Phone4, VPS4), (Phone6, home.as_str()), (Laptop, home.as_str())] {
        for scheme in ["https", "http"] {
            let page = lab.fetch(client, &format!("{scheme}://{PHOTOS}/"), &[]).expect("the page");
            assert_eq!((page.code, page.body.as_str(), page.remote.as_str()), (200, PAGE, remote), "{client:?} {scheme}");
        }
    }
    // No certificate reaches two labels deep; DNS and the gateway do.
    assert_eq!(lab.dig(Phone4, None, BELOW, "AAAA").of("AAAA"), [home.as_str()]);
    assert_eq!(lab.attempt(Speech::Tls, BELOW).reply, Reply::Handshake);
    assert_eq!(lab.attempt(Speech::Tls, "x.cloud-ip6only.dyn.example.org").reply, Reply::Gateway);
    assert_eq!(lab.attempt(Speech::Tls, TWIN).reply, Reply::Gateway, "a twin is never carried");
}

#[test]
fn the_zone_itself_is_a_host_beside_its_servers_and_the_others() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    let home = lab.home().to_string();
    vps.add_host("@", &["address-from=static", &format!("address={home}"), "wildcard=on", "ttl=1"]);
    let ask = |name: &str, kind| lab.dig(Phone6, None, name, kind);
    assert_eq!((ask(ZONE, "A").of("A"), ask(ZONE, "AAAA").of("AAAA")), (vec![VPS4], vec![home.as_str()]));
    assert_eq!(ask(ZONE, "NS").of("NS"), [format!("{OWN}.")]);
    assert_eq!(ask("ip6only.dyn.example.org", "AAAA").of("AAAA"), [home.as_str()]);
    assert!(ask("ip6only.dyn.example.org", "A").is_no_data());
    for (client, remote) in [(Phone4, VPS4), (Phone6, home.as_str())] {
        for name in [ZONE, "anything.dyn.example.org", "a.b.dyn.example.org"] {
            let page = lab.fetch(client, &format!("http://{name}/"), &[]).expect("the page");
            assert_eq!((page.body.as_str(), page.remote.as_str()), (PAGE, remote), "{client:?} {name}");
        }
    }
    assert_eq!(ask("x.cloud.dyn.example.org", "A").status, "NXDOMAIN", "a host's own names are not the zone's");
    for nobody in ["nobody-ip6only.dyn.example.org", TWIN, "x.gw.dyn.example.org"] {
        assert_eq!(lab.attempt(Speech::Http, nobody).reply, Reply::Gateway, "{nobody}");
    }
    assert_eq!(lab.fetch(Phone4, &format!("http://{OWN}/"), &[]).expect("a redirect").code, 308);
}

#[test]
fn via_gateway_leads_ipv6_clients_over_it_and_back() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    let home = lab.home().to_string();
    let path = |name: &str| lab.fetch(Phone6, &format!("https://{name}/"), &[]).map(|page| (page.body, page.remote));
    assert_eq!(path(DUAL), Ok((PAGE.to_owned(), home.clone())));
    set(&vps, &["via=gateway", "wildcard=on"]);
    wait_for("phone6 comes over the gateway", SEEN, || path(DUAL).is_ok_and(|(_, remote)| remote == VPS6));
    for name in [ALIAS, PHOTOS] {
        wait_for("so do other names", SEEN, || path(name) == Ok((PAGE.to_owned(), VPS6.to_owned())));
    }
    assert_eq!(path(TWIN), Ok((PAGE.to_owned(), home.clone())), "the twin is still the home's");
    assert_eq!(lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).map(|page| page.remote), Ok(VPS4.to_owned()));
    set(&vps, &["via=auto"]);
    wait_for("phone6 goes home by itself again", SEEN, || path(DUAL) == Ok((PAGE.to_owned(), home.clone())));
}

#[test]
fn a_service_at_another_port_is_reached_once_the_agent_offers_it() {
    let lab = Lab::beside_others();
    let (vps, mut home) = figure(&lab);
    lab.ns(Router).nft("add rule inet home forward ip6 daddr & ::ffff:ffff:ffff:ffff == ::11 tcp dport 8443 accept");
    let told = set(&vps, &["home-port=tls=8443"]);
    assert!(told.contains("home-port is what the gateway dials") && told.contains("does not offer tcp/8443"), "{told}");
    assert_eq!(lab.attempt(Speech::Tls, DUAL).reply, Reply::Gateway, "its agent does not permit it");
    let log = || fs::read_to_string(lab.log("fourward-vps")).unwrap_or_default();
    assert!(log().contains("does not offer tcp/8443"), "{}", log());

    let config = lab.dir().join("home/fourward.toml");
    let text = fs::read_to_string(&config).expect("the home's configuration");
    let services = "services = [\"tcp/443\", \"tcp/80\", \"tcp/8443\"]\n";
    let offering: String = text
        .lines()
        .filter(|line| !line.trim_start_matches("# ").starts_with("services"))
        .map(|line| if line == "[agent]" { format!("{line}\n{services}") } else { format!("{line}\n") })
        .collect();
    fs::write(&config, offering).expect("write the home's configuration");
    home.restart();
    // Before anybody asks: a resolver would remember for a minute that there was no AAAA.
    lab.wait_until_published(TWIN, lab.home());
    let body = |client| lab.fetch(client, &format!("https://{DUAL}/"), &[]).map(|page| page.body);
    wait_for("phone4 is served from 8443", SEEN, || body(Phone4).is_ok_and(|body| body == OTHER_PAGE));
    wait_for("phone6 goes home to 443", SEEN, || body(Phone6).is_ok_and(|body| body == PAGE));
    set(&vps, &["via=gateway"]);
    wait_for("with via=gateway phone6 has the same", SEEN, || body(Phone6).is_ok_and(|body| body == OTHER_PAGE));
    assert!(!said(&vps.tell(&["host", "show", "cloud"])).contains("note:"));
}

#[test]
fn whom_the_owner_denies_is_told_and_others_are_served() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    set(&vps, &["deny=198.51.100.0/24"]);
    let refused = lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).expect_err("denied");
    assert!(refused.to_lowercase().contains("access denied"), "{refused}");
    let page = lab.fetch(Phone4, &format!("http://{ALIAS}/"), &[]).expect("a page");
    assert_eq!((page.code, page.remote.as_str()), (403, VPS4));
    assert_eq!(lab.fetch(Phone6, &format!("https://{DUAL}/"), &[]).expect("goes home by itself").code, 200);
    set(&vps, &["deny="]);
    assert_eq!(lab.fetch(Phone4, &format!("https://{DUAL}/"), &[]).expect("admitted again").code, 200);
}

#[test]
fn plain_http_is_redirected_by_the_gateway_and_stays_on_its_name() {
    let lab = Lab::beside_others();
    let (vps, mut home) = figure(&lab);
    set(&vps, &["redirect=on"]);
    for name in [DUAL, ALIAS] {
        let page = lab.fetch(Phone4, &format!("http://{name}/?x=y"), &["-L"]).expect("the page");
        assert_eq!((page.code, page.body.as_str(), page.remote.as_str()), (200, PAGE, VPS4), "{name}");
        let redirect = lab.fetch(Phone4, &format!("http://{name}/?x=y"), &[]).expect("a redirect");
        assert_eq!((redirect.code, redirect.body.trim()), (308, format!("https://{name}/?x=y").as_str()));
    }
    let challenge = lab.fetch(Phone4, &format!("http://{DUAL}/.well-known/acme-challenge/none"), &[]).expect("an answer");
    assert_eq!(challenge.code, 404, "it is the home that does not have it");
    home.daemon.terminate();
    wait_for("the home is away", SEEN, || lab.attempt(Speech::Tls, DUAL).reply == Reply::Gateway);
    assert_eq!(lab.fetch(Phone4, &format!("http://{DUAL}/"), &[]).expect("a redirect").code, 308);
}

#[test]
fn no_more_connections_than_the_owner_permits_at_once() {
    let lab = Lab::beside_others();
    let (vps, _home) = figure(&lab);
    set(&vps, &["max-connections=2"]);
    let connect = || {
        let mut stream = TcpStream::connect((VPS4, 443)).expect("the gateway");
        stream.write_all(&client_hello(DUAL)).expect("sent");
        stream
    };
    let connected = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|count| count > 0);
    let held: Vec<TcpStream> = (0..2).map(|_| lab.ns(Phone4).thread(connect).join().expect("a connection")).collect();
    assert!(held.iter().all(connected), "both are served");
    assert_eq!(lab.attempt(Speech::Tls, DUAL).reply, Reply::Gateway);
    assert_eq!(lab.fetch(Phone4, &format!("http://{DUAL}/"), &[]).expect("a page").code, 503);
    assert_eq!(lab.fetch(Phone6, &format!("https://{DUAL}/"), &[]).expect("goes home by itself").code, 200);
    drop(held);
    wait_for("there is room again", SEEN, || lab.attempt(Speech::Tls, DUAL).reply == Reply::Handshake);
}
