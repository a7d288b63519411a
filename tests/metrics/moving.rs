//! What happens is counted, and what `status` says is said here too.

use std::io::{Read, Write};
use std::time::Duration;

use crate::clock::wait_for;
use crate::machines::{DUAL, HOME6, Machines, SIGNS, VPS4};
use crate::outcome::end_of;
use crate::scrape::{Scrape, server};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(20);

fn ask(machines: &Machines, arguments: &[&str]) {
    let mut command = machines.home.command("dig");
    end_of(command.args(["+tries=1", "+timeout=5", &format!("@{VPS4}")]).args(arguments)).succeeds();
}

#[test]
fn questions_are_counted_by_transport_and_answer() {
    let machines = Machines::new();
    let server = server(&machines);
    server.add_host("cloud", &[]);
    ask(&machines, &[DUAL, "A"]);
    ask(&machines, &["nobody.dyn.example.org", "A"]);
    ask(&machines, &["elsewhere.example.net", "A"]);
    ask(&machines, &["+edns=1", "+noednsnegotiation", DUAL, "A"]);
    ask(&machines, &["+tcp", DUAL, "AAAA"]);
    let script = "printf x >/dev/udp/192.0.2.11/53";
    assert!(machines.home.command("bash").args(["-c", script]).status().expect("bash").success());
    wait_for("all are counted", SOON, || Scrape::of(&machines).get("fourward_dns_queries_total{transport=udp}") == 5.0);
    let scrape = Scrape::of(&machines);
    let answers = |transport: &str, code: &str| scrape.get(&format!("fourward_dns_answers_total{{rcode={code},transport={transport}}}"));
    assert_eq!(["NOERROR", "NXDOMAIN", "REFUSED", "BADVERS", "SERVFAIL"].map(|code| answers("udp", code)), [1.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!((answers("tcp", "NOERROR"), scrape.get("fourward_dns_queries_total{transport=tcp}")), (1.0, 1.0));
    assert_eq!(scrape.get("fourward_dns_silent_total{transport=udp}"), 1.0, "one byte is no question");
    assert_eq!(scrape.get("fourward_dns_dropped_total{}"), 0.0);
}

#[test]
fn homes_and_their_clients_are_counted_as_status_has_them() {
    let machines = Machines::new();
    let server = server(&machines);
    let before = Scrape::of(&machines);
    assert_eq!((before.get("fourward_hosts{}"), before.get("fourward_joins_total{outcome=accepted}")), (0.0, 0.0));
    assert!(before.names().all(|name| !name.contains("host=")), "{before:#?}");

    let mut agent = machines.home_of(&server);
    let mut client = machines.connect(80);
    let request = format!("GET / HTTP/1.1\r\nHost: {DUAL}\r\n\r\n");
    client.write_all(request.as_bytes()).expect("sent");
    client.read_exact(&mut vec![0; request.len()]).expect("the echo");
    let mut stranger = machines.connect(80);
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: nobody.example.org\r\nConnection: close\r\n\r\n").expect("sent");
    stranger.read_to_end(&mut Vec::new()).expect("the answer");
    wait_for("the stranger is gone", SOON, || server.ask(&["status"])["gateway"]["connections"] == 1);

    let (status, scrape) = (server.ask(&["status"]), Scrape::of(&machines));
    assert_eq!(scrape.get("fourward_gateway_open_connections{}"), 1.0);
    assert_eq!(scrape.get("fourward_gateway_connections_total{}"), 2.0);
    assert_eq!(scrape.get("fourward_gateway_refused_total{reason=unknown}"), 1.0);
    let bytes = ["homes", "clients"].map(|to| scrape.get(&format!("fourward_gateway_relayed_bytes_total{{to={to}}}")));
    assert_eq!(bytes, [request.len() as f64; 2]);
    assert_eq!(status["gateway"]["bytes"].as_f64(), Some(bytes.iter().sum()));
    assert_eq!(scrape.get("fourward_gateway_dial_seconds_count{}"), 1.0);
    assert_eq!(scrape.get("fourward_zone_serial{zone=dyn.example.org}"), status["zones"][0]["serial"].as_f64().expect("a serial"));
    assert_eq!((scrape.get("fourward_hosts{}"), scrape.get("fourward_links{state=up}")), (1.0, 1.0));
    assert_eq!((status["hosts"][0]["link"].as_str(), status["hosts"][0]["address"].as_str()), (Some("up"), Some(HOME6)));
    assert_eq!((scrape.get("fourward_host_up{host=cloud}"), scrape.get("fourward_host_moves_total{host=cloud}")), (1.0, 1.0));
    assert!(scrape.get("fourward_host_proven_since_timestamp_seconds{host=cloud}") > 1.6e9);
    assert!(scrape.get("fourward_echoes_total{}") >= 1.0);
    assert_eq!(scrape.get("fourward_joins_total{outcome=accepted}"), 1.0);
    let commits = scrape.get("fourward_store_commit_seconds_count{}");
    assert!(scrape.get("fourward_store_changes_total{}") >= commits && commits > before.get("fourward_store_commit_seconds_count{}"));
    for (name, least) in [("process_resident_memory_bytes{}", 1e6), ("process_open_fds{}", 10.0), ("process_start_time_seconds{}", 1.6e9)] {
        assert!(scrape.get(name) >= least, "{name}: {}", scrape.get(name));
    }

    agent.daemon.terminate();
    wait_for("the home is away", SOON, || Scrape::of(&machines).get("fourward_host_up{host=cloud}") == 0.0);
    wait_for("its address is gone", SOON, || Scrape::of(&machines).get("fourward_host_leases_lost_total{host=cloud}") == 1.0);
    let mut late = machines.connect(80);
    late.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).expect("sent");
    late.read_to_end(&mut Vec::new()).expect("the answer");
    let scrape = Scrape::of(&machines);
    assert_eq!(scrape.get("fourward_gateway_refused_total{reason=away}"), 1.0);
    assert_eq!(scrape.get("fourward_gateway_dial_failures_total{reason=no-address}"), 1.0);

    server.tell(&["host", "remove", "cloud"]).succeeds();
    let scrape = Scrape::of(&machines);
    assert!(scrape.names().all(|name| !name.contains("cloud")), "{scrape:#?}");
}

#[test]
fn joins_and_updates_are_counted_by_their_outcome() {
    let machines = Machines::new();
    let server = server(&machines);
    let join = server.add_host("cloud", &["address-from=update"]);
    let password = server.ask(&["host", "token", "cloud"])["update"]["password"].as_str().expect("a password").to_owned();
    assert_ne!(machines.join_as("home", &join).code, Some(0), "that token ended");
    let update = |user: &str| {
        let target = format!("https://gw.dyn.example.org/nic/update?hostname={DUAL}&myip={HOME6}");
        let resolve = format!("gw.dyn.example.org:443:{VPS4}");
        end_of(machines.home.command("curl").args(["-sk", "--max-time", "10", "--resolve", &resolve, "--user", user, &target]))
            .succeeds()
            .out
    };
    assert_eq!(update(&format!("cloud:{password}")), format!("good {HOME6}\n"));
    assert_eq!(update(&format!("cloud:{password}")), format!("nochg {HOME6}\n"));
    assert_eq!(update("cloud:wrong"), "badauth\n");
    server.add_host("nas", &["address-from=update"]);
    machines.update(&format!("hmac-sha256:signs:{SIGNS}")).succeeds();
    assert_ne!(machines.update(&format!("hmac-sha256:other:{SIGNS}")).code, Some(0));
    let scrape = Scrape::of(&machines);
    let by_dns = ["good", "bad-signature", "unsigned"].map(|word| scrape.get(&format!("fourward_dns_updates_total{{outcome={word}}}")));
    assert_eq!(by_dns, [1.0, 1.0, 0.0]);
    let outcomes = ["good", "nochg", "badauth", "abuse"].map(|word| scrape.get(&format!("fourward_updates_total{{outcome={word}}}")));
    assert_eq!(outcomes, [1.0, 1.0, 1.0, 0.0]);
    let joins = ["accepted", "refused"].map(|outcome| scrape.get(&format!("fourward_joins_total{{outcome={outcome}}}")));
    assert_eq!(joins, [0.0, 1.0]);
    assert_eq!(scrape.get("fourward_host_up{host=cloud}"), 1.0, "an update says where it is");
}
