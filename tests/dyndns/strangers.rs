//! Wrong passwords, and passwords in the clear.

use crate::machines::{DUAL, HOME6, VPS4};
use crate::raw::Raw;
use crate::rig::{OWN, Rig, base64};

const CANARY: &str = "canary-in-a-wrong-password";

#[test]
fn a_wrong_password_costs_its_network_and_never_the_host() {
    let rig = Rig::new(&["address-from=update"]);
    rig.machines.home.ip("addr add 192.0.2.5/24 dev v");
    let url = format!("https://{OWN}/nic/update?hostname={DUAL}&myip={HOME6}&canary={CANARY}");
    let tried = |user: &str, from: &str| rig.curl(&["--interface", from, "--user", user], &url);
    let right = format!("cloud:{}", rig.password);

    let asked = rig.curl(&[], &url);
    assert_eq!((asked.status, asked.body.as_str()), (401, "badauth\n"));
    assert!(asked.whole.to_lowercase().contains("www-authenticate: basic realm"), "{asked:?}");

    // Right ones are free, however many.
    for _ in 0..30 {
        assert_eq!(tried(&right, "192.0.2.4").status, 200);
    }
    for count in 0..10 {
        let user = if count % 2 == 0 { "cloud" } else { "nobody" };
        let wrong = tried(&format!("{user}:{CANARY}"), "192.0.2.4");
        assert_eq!((wrong.status, wrong.body.as_str()), (401, "badauth\n"), "an unknown user is answered as a wrong password is");
    }
    for user in [&format!("cloud:{CANARY}"), &right] {
        let barred = tried(user, "192.0.2.4");
        assert!(barred.status == 429 && barred.body.starts_with("abuse"), "{barred:?}");
        assert!(barred.whole.to_lowercase().contains("retry-after: 60"), "{barred:?}");
    }
    assert_eq!(tried(&right, "192.0.2.5").body, format!("nochg {HOME6}\n"), "the host is served from elsewhere");
    assert_eq!(rig.published(), (VPS4.into(), HOME6.into()));
    let mixed_up =
        rig.curl(&["--interface", "192.0.2.5", "--user", &right], &format!("https://{OWN}/nic/update?hostname={DUAL}&myip={CANARY}"));
    assert!(mixed_up.body.starts_with("dnserr "), "{mixed_up:?}");
    rig.tells_no_secret(&[CANARY, &base64(&right), &base64(&format!("cloud:{CANARY}"))]);
}

#[test]
fn plain_http_is_refused_with_the_reason() {
    let rig = Rig::new(&["address-from=update"]);
    let user = format!("cloud:{}", rig.password);
    let query = format!("/nic/update?hostname={DUAL}&myip={HOME6}&canary={CANARY}");
    let refused = rig.curl(&["--user", &user], &format!("http://{OWN}{query}"));
    assert_eq!(refused.status, 403, "{refused:?}");
    for part in ["badagent ", "https:// in place of http://", "http-updates = true", "fourward host token"] {
        assert!(refused.body.contains(part), "no {part:?} in {refused:?}");
    }
    assert!(!refused.whole.contains(CANARY), "nor is it sent on: {refused:?}");
    assert_eq!(rig.published(), (VPS4.into(), String::new()));
    let page = rig.curl(&[], &format!("http://{OWN}/"));
    assert_eq!(page.status, 308, "all else goes to HTTPS as before");
    rig.tells_no_secret(&[CANARY, &base64(&user)]);
}

#[test]
fn plain_http_is_served_where_the_owner_permits_it() {
    let rig = Rig::with(&["address-from=update"], true);
    let user = format!("cloud:{}", rig.password);
    let target = format!("http://{OWN}/nic/update?hostname={DUAL}&myip={HOME6}");
    assert_eq!(rig.curl(&["--http1.0", "--user", &user], &target).body, format!("good {HOME6}\n"));
    assert_eq!(rig.curl(&["--user", &user], &target).body, format!("nochg {HOME6}\n"));
    assert_eq!(rig.curl(&["--user", "cloud:x"], &target).status, 401);
    assert_eq!(rig.published(), (VPS4.into(), HOME6.into()));
    rig.tells_no_secret(&[&base64(&user)]);
}

#[test]
fn a_fritz_box_s_two_urls_in_one_line_are_understood_in_the_clear_too() {
    let rig = Rig::with(&["address-from=update"], true);
    let basic = base64(&format!("cloud:{}", rig.password));
    let two = format!("myip=100.64.9.9 http://{OWN}/nic/update?hostname=<domain>&myipv6={HOME6}");
    for (query, answer) in [(two.as_str(), format!("good {VPS4},{HOME6}\n")), ("myip= 100.64.9.9", format!("nochg {VPS4}\n"))] {
        let request = format!("GET /nic/update?{query} HTTP/1.0\r\nHost: {OWN}\r\nAuthorization: Basic {basic}\r\n\r\n");
        let reply = Raw::ask_plain(&rig, &request);
        assert_eq!((reply.status, reply.body), (200, answer), "{query}");
    }
    assert_eq!(rig.published(), (VPS4.into(), HOME6.into()));
    rig.tells_no_secret(&[&basic]);
}

#[test]
fn a_removed_host_s_password_and_names_are_gone_also_when_the_name_comes_back() {
    let rig = Rig::new(&["address-from=update", "wildcard=on"]);
    let url = format!("https://{OWN}/nic/update?hostname={DUAL}&myip={HOME6}");
    let user = format!("cloud:{}", rig.password);
    let status = |name: &str| {
        let (_, said) = rig.run("dig", &["+noall", "+comments", "+tries=2", "+timeout=2", &format!("@{VPS4}"), name, "AAAA"]);
        said.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).expect("a status").to_owned()
    };
    let names =
        [DUAL, "cloud-ip6only.dyn.example.org", "cloud-router.dyn.example.org", "www.cloud.dyn.example.org", "*.cloud.dyn.example.org"];
    assert_eq!(rig.curl(&["--user", &user], &url).body, format!("good {HOME6}\n"));
    for name in names {
        assert_eq!((status(name).as_str(), rig.dig(name, "AAAA").as_str()), ("NOERROR", HOME6), "{name}");
    }
    rig.server.tell(&["host", "remove", "cloud"]).succeeds();
    for name in names {
        assert_eq!(status(name), "NXDOMAIN", "{name}");
    }
    assert_eq!(rig.curl(&["--user", &user], &url).status, 401);
    rig.server.tell(&["host", "add", "cloud", "address-from=update"]).fails(1, &["was removed on", "--reuse"]);
    rig.server.tell(&["host", "add", "cloud", "address-from=update", "--reuse"]).succeeds();
    assert_eq!(rig.curl(&["--user", &user], &url).status, 401, "the old owner's password is not the new one's");
    assert_eq!(rig.published(), (VPS4.into(), String::new()));
}
