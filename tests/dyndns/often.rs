//! Bursts, repetitions, and what is too often.

use crate::machines::{DUAL, VPS4};
use crate::raw::Raw;
use crate::rig::{OWN, Rig, base64};

/// Changes of a host that are taken at once.
const BURST: usize = 30;

#[test]
fn a_burst_of_both_families_and_any_repetition_pass_and_what_goes_on_is_told_to_wait() {
    let rig = Rig::new(&["address-from=update"]);
    let raw = Raw::new(&rig);
    let user = base64(&format!("cloud:{}", rig.password));
    let ask = |myip: &str| {
        let request = format!("GET /nic/update?hostname={DUAL}&myip={myip} HTTP/1.0\r\nAuthorization: Basic {user}\r\n\r\n");
        raw.ask(&rig, false, &request)
    };
    // A router that has dialled in: IPv4 and IPv6 by separate updaters, several times.
    for at in 1..=BURST / 2 {
        let v6 = format!("2001:db8:100:{at}::11");
        assert_eq!(ask(&format!("100.64.1.{at}")).body, format!("good {VPS4}\n"));
        assert_eq!(ask(&v6).body, format!("good {v6}\n"));
    }
    let (last4, last6) = (format!("100.64.1.{}", BURST / 2), format!("2001:db8:100:{}::11", BURST / 2));
    for _ in 0..200 {
        assert_eq!(ask(&format!("{last4},{last6}")).body, format!("nochg {VPS4},{last6}\n"));
    }
    // Time passes meanwhile, and with it comes room for more; not for so many.
    let mut refused = None;
    for at in 0..BURST * 8 {
        let reply = ask(&format!("2001:db8:100:{:x}::22", 0x100 + at));
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("too often");
    assert_eq!(refused.status, 429, "{refused:?}");
    let said = refused.body.strip_prefix("abuse too many changes in a short time; the next is taken in ").expect("the reason");
    let wait = said.strip_suffix(" s (a repetition is taken at any time)\n").expect("the remedy");
    assert!((1..=3).contains(&wait.parse::<u64>().expect("seconds")), "{refused:?}");
    assert!(refused.head.to_lowercase().contains(&format!("retry-after: {wait}")), "{refused:?}");
    let published = rig.published().1;
    assert_eq!(ask(&published).body, format!("nochg {published}\n"), "a repetition is free also then");

    // Another host from the same network is not touched by it.
    let other =
        rig.server.ask(&["host", "add", "nas", "address-from=update"])["update"]["password"].as_str().expect("a password").to_owned();
    let answer = rig.curl(&["--user", &format!("nas:{other}")], &format!("https://{OWN}/nic/update?myip=2001:db8:100::77"));
    assert_eq!(answer.body, "good 2001:db8:100::77\n");
    assert!(rig.server.log().contains("too many changes in a short time"), "and whoever asks the log learns why");
    rig.tells_no_secret(&[&other, &user]);
}

#[test]
fn what_is_refused_again_and_again_is_too_often_as_well() {
    let rig = Rig::new(&["address-from=update"]);
    let raw = Raw::new(&rig);
    let user = base64(&format!("cloud:{}", rig.password));
    for wrong in ["fe80::1", "nothing"] {
        let request = format!("GET /nic/update?hostname={DUAL}&myip={wrong} HTTP/1.0\r\nAuthorization: Basic {user}\r\n\r\n");
        let replies: Vec<_> = (0..BURST * 3).map(|_| raw.ask(&rig, false, &request)).collect();
        let begins = |word: &str| replies.iter().filter(|reply| reply.body.starts_with(word)).count();
        assert!(begins("abuse ") > BURST && begins("dnserr ") + begins("abuse ") == replies.len(), "{wrong}: {replies:?}");
    }
    assert!(rig.server.log().matches("an update was refused:").count() > BURST, "said at the lowest level");
}
