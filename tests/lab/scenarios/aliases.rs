//! The user's own domain, known to DNS alone: its CNAME is enough, and the resolver may be flooded by nobody, or be gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::{figure, median_and_worst};
use crate::lab::Lab;
use crate::probe::{Reply, Speech};
use crate::roles::{ALIAS, DUAL, OWN, Role};
use crate::topology::Node::{Laptop, Phone4, Phone6, Vps};
use crate::topology::VPS4;
use crate::web::PAGE;
use crate::wire::client_hello;

/// Fatal, unrecognized_name (RFC 6066 §3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// What a hello may take, and a lookup with it.
const LIMIT: Duration = Duration::from_secs(5);
/// Nothing was waited for; the machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(2);

/// The figure, with a host that has no alias in its settings.
fn figure_without_alias(lab: &Lab) -> (Role, Role) {
    let vps = lab.start_vps();
    let join = vps.add_host("cloud", &[]);
    let home = lab.start_home(&join);
    (vps, home)
}

/// What phone4 is told that says these names over TLS, eight at a time, and how long that took.
fn told(lab: &Lab, names: Vec<String>) -> Vec<(Vec<u8>, Duration)> {
    let one = |name: String| {
        let began = Instant::now();
        let mut stream = TcpStream::connect((VPS4, 443)).expect("the gateway");
        stream.set_read_timeout(Some(LIMIT * 2)).expect("a time limit");
        stream.write_all(&client_hello(&name)).expect("sent");
        let mut said = Vec::new();
        let _ = stream.take(7).read_to_end(&mut said);
        (said, began.elapsed())
    };
    let chunks: Vec<Vec<String>> = names.chunks(names.len().div_ceil(8)).map(<[String]>::to_vec).collect();
    let all = move || {
        let clients = chunks.into_iter().map(|names| thread::spawn(move || names.into_iter().map(one).collect::<Vec<_>>()));
        clients.collect::<Vec<_>>().into_iter().flat_map(|client| client.join().expect("a client")).collect()
    };
    lab.ns(Phone4).thread(all).join().expect("the clients")
}

fn assert_unknown(lab: &Lab, name: &str, limit: Duration) {
    let told = told(lab, vec![name.to_owned()]);
    assert_eq!(told[0].0, UNRECOGNIZED_NAME, "{name}");
    assert!(told[0].1 < limit, "{name} took {:?}", told[0].1);
}

#[test]
fn a_cname_alone_brings_every_client_home() {
    let lab = Lab::new();
    let _figure = figure_without_alias(&lab);
    let home = lab.home().to_string();
    for (client, remote) in [(Phone4, VPS4), (Phone6, home.as_str()), (Laptop, home.as_str())] {
        for scheme in ["https", "http"] {
            let page = lab.fetch(client, &format!("{scheme}://{ALIAS}/"), &[]).expect("the page");
            assert_eq!((page.code, page.body.as_str(), page.remote.as_str()), (200, PAGE, remote), "{client:?} {scheme}");
        }
    }
    let asked = lab.ns(Vps).packets("asked");
    assert!((1..=2).contains(&asked), "{asked} datagrams: the second time it was known");
}

#[test]
fn what_leads_to_no_host_is_unknown() {
    let lab = Lab::new();
    let _figure = figure_without_alias(&lab);
    for name in ["nobody.example.org", "twinalias.example.org", "gwalias.example.org", "loop-a.example.org", "ns.example.org"] {
        assert_unknown(&lab, name, LIMIT);
        assert_eq!(lab.attempt(Speech::Http, name).reply, Reply::Gateway, "{name}");
    }
    assert_eq!(lab.ns(Vps).counter("dialled_itself"), 0);
    let asked = lab.ns(Vps).packets("asked");
    for name in ["nobody.dyn.example.org", "cloud-ip6only.dyn.example.org"] {
        assert_unknown(&lab, name, AT_ONCE);
    }
    assert_eq!(lab.ns(Vps).packets("asked"), asked, "nobody is asked about our own zone");
}

#[test]
fn made_up_names_do_not_flood_the_resolver() {
    let lab = Lab::new();
    let _figure = figure_without_alias(&lab);
    assert_eq!(lab.attempt(Speech::Tls, ALIAS).reply, Reply::Handshake);
    let (before, began) = (lab.ns(Vps).packets("asked"), Instant::now());
    let told = told(&lab, (0..500).map(|at| format!("made-up-{at}.example.org")).collect());
    let took = began.elapsed();
    let asked = lab.ns(Vps).packets("asked") - before;
    assert!(told.iter().all(|(said, _)| said == &UNRECOGNIZED_NAME));
    let times: Vec<Duration> = told.iter().map(|(_, took)| *took).collect();
    let (median, worst) = median_and_worst(&times);
    figure("500 made-up names", format_args!("{asked} datagrams to the resolver, refused in {median:?}, at worst {worst:?}"));
    assert!(worst < LIMIT, "{worst:?}");
    // Twenty at once, two for each second that it took, each perhaps sent twice.
    let most = 2 * (20 + 2 * (took.as_secs() + 1));
    assert!((8..=most).contains(&asked), "{asked} datagrams, {most} at most");
    assert_eq!(lab.attempt(Speech::Tls, ALIAS).reply, Reply::Handshake, "what was known is known still");
    assert_eq!(lab.attempt(Speech::Http, DUAL).reply, Reply::Home(lab.home()));
}

#[test]
fn a_dead_resolver_is_felt_by_unlisted_names_alone() {
    let mut lab = Lab::new();
    let (vps, _home) = figure_without_alias(&lab);
    let output = vps.tell(&["host", "set", "cloud", "alias=listed.example.org"]);
    assert!(output.status.success());
    assert_eq!(lab.attempt(Speech::Tls, ALIAS).reply, Reply::Handshake);
    for silent in [true, false] {
        if silent {
            lab.resolver().freeze();
        } else {
            lab.resolver().kill();
        }
        assert_unknown(&lab, if silent { "silent.example.org" } else { "closed.example.org" }, LIMIT);
        for name in [DUAL, OWN, "listed.example.org", ALIAS] {
            let attempt = lab.attempt(Speech::Tls, name);
            assert_eq!(attempt.reply, Reply::Handshake, "{name}");
            assert!(attempt.answered - attempt.began < AT_ONCE, "{name} took {:?}", attempt.answered - attempt.began);
        }
    }
}
