//! The listener: one page, for whoever asks properly.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::machines::Machines;
use crate::outcome::{FAILED, end_of, fourward, run, text};
use crate::scrape::{AT, Scrape, server};

/// Less than a slow visitor may take for a head, more than a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Far more than a slow visitor may take.
const FOR_EVER: Duration = Duration::from_secs(20);

fn request(mut stream: TcpStream, request: &str) -> String {
    stream.set_read_timeout(Some(FOR_EVER)).expect("a limit");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer");
    String::from_utf8(answer).expect("text")
}

/// A connection made on the vps itself.
fn connect(machines: &Machines) -> TcpStream {
    machines.vps.thread(|| TcpStream::connect(AT)).join().expect("a thread").expect("a connection")
}

#[test]
fn nothing_but_the_metrics_is_served() {
    let machines = Machines::new();
    let _server = server(&machines);
    let ask = |line: &str| request(connect(&machines), &format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let got = ask("GET /metrics");
    let (head, body) = got.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    Scrape::read(body);
    let head = ask("HEAD /metrics");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n") && head.contains("content-length: "), "{head}");
    for target in ["/", "/metrics/", "/nic/update?hostname=x", "/metrics.json"] {
        let got = ask(&format!("GET {target}"));
        assert!(got.starts_with("HTTP/1.1 404 "), "{target}: {got}");
    }
    let post = request(connect(&machines), "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    let long = request(connect(&machines), &format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(8_192 - 26)));
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431 "), "{long}");
}

#[test]
fn who_is_slow_holds_nobody_up() {
    let machines = Machines::new();
    let _server = server(&machines);
    let halves = ["", "G", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: x\r\n"];
    let slow: Vec<TcpStream> = (0..64)
        .map(|at| {
            let mut stream = connect(&machines);
            // The oldest are closed already.
            let _ = stream.write_all(halves[at % halves.len()].as_bytes());
            stream
        })
        .collect();
    let since = Instant::now();
    let scrape = || request(TcpStream::connect(AT).expect("a connection"), "GET /metrics HTTP/1.0\r\n\r\n");
    let scrapes: Vec<_> = (0..2).map(|_| machines.vps.thread(scrape)).collect();
    for scrape in scrapes {
        let got = scrape.join().expect("a scrape");
        Scrape::read(got.split_once("\r\n\r\n").expect("a head").1);
    }
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    for mut stream in slow {
        stream.set_read_timeout(Some(FOR_EVER)).expect("a limit");
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it is still waited for");
    }
}

#[test]
fn without_the_setting_there_is_no_listener_and_a_public_one_is_told_of() {
    let machines = Machines::new();
    let server = machines.server();
    assert!(machines.vps.thread(|| TcpStream::connect(AT)).join().expect("a thread").is_err());
    drop(server);
    let config = machines.path("vps.toml");
    let written = fs::read_to_string(&config).expect("config");
    let public = written.replace(&format!("# metrics = \"{AT}\""), "metrics = [\"127.0.0.1:9153\", \"0.0.0.0:9154\"]");
    fs::write(&config, public).expect("config");
    let said = run(&["config", "check", &text(&config)]).succeeds().out;
    assert!(said.contains("http://0.0.0.0:9154/metrics") && said.contains("everyone who can reach"), "{said}");
    let server = machines.server_by(&config);
    server.wait_until_it_says("metrics are served to everyone who can reach this address address=0.0.0.0:9154");
}

#[test]
fn a_taken_port_is_told_of_before_anything_starts() {
    let machines = Machines::new();
    let config = machines.init();
    let written = fs::read_to_string(&config).expect("config");
    fs::write(&config, written.replace("# metrics", "metrics")).expect("config");
    let _holder = machines.vps.thread(|| TcpListener::bind(AT)).join().expect("a thread").expect("a listener");
    let ended = end_of(machines.vps.command(fourward()).args(["run", "--config", &text(&config)]));
    let us = format!("(process {})", std::process::id());
    ended.fails(FAILED, &["control.metrics: TCP 127.0.0.1:9153 is taken by", &us, "give another address or port in control.metrics"]);
    assert!(!machines.path("vps-state").join("store.redb").exists(), "nothing started");
}
