//! The addresses of this machine as a real kernel tells of them: as they come, age and go, and when it loses messages.
//!
//! Every test has a network namespace of its own, so root runs it, and a cable in it, since loopback looks for no duplicates.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, its helpers too

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fourward::netlink;
use fourward_core::address::{Candidate, Wish, choose};
use fourward_core::policy::AddressPolicy;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::watch::Receiver;

const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);
const NEW: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11);

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn in_namespace<F: Future<Output = ()>>(accept_dad: &'static str, test: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; these tests want root");
        for scope in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad"), accept_dad).expect("accept_dad");
        }
        ip("link add eth0 type veth peer name far\nlink set lo up\nlink set eth0 up\nlink set far up\n");
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(test());
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Carries out lines of `ip`, in one process; the runtime stands still meanwhile.
fn ip(lines: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("fed");
    assert!(child.wait().expect("ended").success(), "ip: {lines:.200}");
}

/// What the kernel has, by another way than the one under test.
fn kernel() -> BTreeSet<Ipv6Addr> {
    let text = fs::read_to_string("/proc/thread-self/net/if_inet6").expect("if_inet6");
    let address = |line: &str| Ipv6Addr::from_bits(u128::from_str_radix(&line[..32], 16).expect("hexadecimal"));
    text.lines().map(address).collect()
}

fn view(addresses: &Receiver<Arc<[Candidate]>>) -> BTreeSet<Ipv6Addr> {
    addresses.borrow().iter().map(|candidate| candidate.address).collect()
}

fn of(addresses: &Receiver<Arc<[Candidate]>>, address: Ipv6Addr) -> Option<Candidate> {
    addresses.borrow().iter().find(|candidate| candidate.address == address).cloned()
}

fn chosen(addresses: &Receiver<Arc<[Candidate]>>) -> Option<Ipv6Addr> {
    choose(&addresses.borrow(), &Wish::default(), &AddressPolicy::default(), None)
}

async fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    since.elapsed()
}

async fn until(what: &str, condition: impl FnMut() -> bool) -> Duration {
    within(PATIENCE, what, condition).await
}

/// Messages that the kernel could not deliver to sockets which listen for changes of IPv6 addresses (proc(5), /proc/net/netlink).
fn lost() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/netlink").expect("netlink");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| row[1] == "0" && row[3] == "00000100");
    listening.map(|row| row[8].parse::<u64>().expect("drops")).sum()
}

/// Waits until the kernel's clock of arrivals, which ticks in hundredths of a second, has gone on.
async fn a_tick_later() {
    let uptime = || fs::read_to_string("/proc/uptime").expect("uptime").split(' ').next().map(str::to_owned);
    // Twice: the two clocks need not tick together.
    for _ in 0..2 {
        let before = uptime();
        until("a tick", || uptime() != before).await;
    }
}

#[test]
fn addresses_are_seen_as_they_come_age_and_go() {
    in_namespace("0", || async {
        let addresses = netlink::watch();
        until("the link's own", || addresses.borrow().iter().any(|c| c.interface == "eth0" && c.address.is_unicast_link_local())).await;
        assert_eq!(chosen(&addresses), None);
        ip(&format!("address add {OLD}/64 dev eth0\n"));
        let took = until("come", || chosen(&addresses) == Some(OLD)).await;
        println!("figure: from `ip address add` to the choice: {took:?}");
        let seen = of(&addresses, OLD).expect("seen");
        assert_eq!((seen.interface.as_str(), seen.preferred, seen.temporary, seen.deprecated), ("eth0", u32::MAX, false, false));

        a_tick_later().await;
        ip(&format!("address add {NEW}/64 dev eth0 valid_lft 3600 preferred_lft 1800\n"));
        until("the newer prefix", || chosen(&addresses) == Some(NEW)).await;
        assert!([1_740, 1_800].contains(&of(&addresses, NEW).expect("seen").preferred), "in steps of a minute");

        ip(&format!("address change {NEW}/64 dev eth0 valid_lft 3600 preferred_lft 0\n"));
        until("deprecated", || of(&addresses, NEW).is_some_and(|seen| seen.deprecated)).await;
        assert_eq!(chosen(&addresses), Some(OLD));

        ip(&format!("address del {OLD}/64 dev eth0\n"));
        until("gone", || of(&addresses, OLD).is_none()).await;
        assert_eq!(chosen(&addresses), None);
        assert_eq!(view(&addresses), kernel());
    });
}

#[test]
fn an_address_that_ages_by_itself_is_seen_to() {
    in_namespace("0", || async {
        let addresses = netlink::watch();
        ip(&format!("address add {OLD}/64 dev eth0 valid_lft 3 preferred_lft 1\n"));
        until("come", || chosen(&addresses) == Some(OLD)).await;
        until("deprecated", || of(&addresses, OLD).is_some_and(|seen| seen.deprecated)).await;
        until("gone", || of(&addresses, OLD).is_none()).await;
    });
}

#[test]
fn the_interface_that_goes_takes_its_addresses_along() {
    in_namespace("0", || async {
        let addresses = netlink::watch();
        ip(&format!("address add {OLD}/64 dev eth0\n"));
        until("come", || chosen(&addresses) == Some(OLD)).await;
        ip("link set eth0 down\n");
        until("down", || chosen(&addresses).is_none()).await;
        ip(&format!("link set eth0 up\naddress add {OLD}/64 dev eth0\n"));
        until("up", || chosen(&addresses) == Some(OLD)).await;
        ip("link del eth0\n");
        until("gone", || chosen(&addresses).is_none()).await;
    });
}

#[test]
fn an_address_whose_uniqueness_is_not_known_yet_is_not_chosen() {
    in_namespace("1", || async {
        let addresses = netlink::watch();
        until("the cable is ready", || kernel().iter().any(Ipv6Addr::is_unicast_link_local)).await;
        ip(&format!("address add {OLD}/64 dev eth0\n"));
        let mut was_tentative = false;
        let took = until("settled", || {
            was_tentative |= of(&addresses, OLD).is_some_and(|seen| seen.tentative);
            assert!(chosen(&addresses).is_none() || of(&addresses, OLD).is_some_and(|seen| !seen.tentative));
            chosen(&addresses) == Some(OLD)
        })
        .await;
        assert!(was_tentative, "the kernel looked for duplicates, for {took:?}");
    });
}

#[test]
fn an_address_that_somebody_else_holds_is_not_chosen() {
    in_namespace("1", || async {
        let addresses = netlink::watch();
        ip(&format!("address add {OLD}/64 dev far nodad\naddress add {NEW}/64 dev eth0\n"));
        until("unique", || of(&addresses, NEW).is_some_and(|seen| !seen.tentative)).await;
        ip(&format!("address add {OLD}/64 dev eth0\n"));
        let duplicate = || addresses.borrow().iter().any(|c| c.address == OLD && c.interface == "eth0" && c.tentative);
        until("tentative", duplicate).await;
        let wish = Wish { interface: Some("eth0".into()), ..Wish::default() };
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(3) {
            assert_eq!(choose(&addresses.borrow(), &wish, &AddressPolicy::default(), None), Some(NEW));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(duplicate(), "found to be a duplicate, and there");
    });
}

#[test]
fn messages_that_the_kernel_lost_cost_nothing() {
    in_namespace("0", || async {
        let addresses = netlink::watch();
        ip(&format!("address add {OLD}/64 dev eth0\n"));
        until("come", || chosen(&addresses) == Some(OLD)).await;
        assert_eq!(lost(), 0);
        for round in 1..=3 {
            // Nobody reads meanwhile: this thread is the runtime's.
            let mut lines = String::new();
            for n in 0..2_000 {
                let _ = writeln!(lines, "address add 2001:db8:f{round}::{n:x}/128 dev eth0 nodad");
            }
            (0..2_000).filter(|n| n % 4 != 0).for_each(|n| {
                let _ = writeln!(lines, "address del 2001:db8:f{round}::{n:x}/128 dev eth0");
            });
            ip(&lines);
            assert!(lost() > 0, "the socket's buffer overflowed");
            let took = within(Duration::from_secs(5), "the kernel's view", || view(&addresses) == kernel()).await;
            println!("figure: after 3,500 changes, {} messages lost so far, the view is the kernel's again in {took:?}", lost());
        }
        assert!(kernel().len() > 1_500);
        ip(&format!("address add {NEW}/64 dev eth0\n"));
        until("heard still", || of(&addresses, NEW).is_some()).await;
    });
}

#[test]
fn chatter_does_not_starve() {
    in_namespace("0", || async {
        let addresses = netlink::watch();
        until("the link's own", || !addresses.borrow().is_empty()).await;
        let mut lines = String::new();
        for n in 0..4_000 {
            let _ =
                writeln!(lines, "address add 2001:db8:f::{:x}/128 dev far nodad\naddress del 2001:db8:f::{:x}/128 dev far", n % 7, n % 7);
        }
        let chatter = tokio::task::spawn_blocking(move || ip(&lines));
        until("the flood has begun", || kernel().iter().any(|address| address.segments()[2] == 0xf)).await;
        ip(&format!("address add {OLD}/64 dev eth0\n"));
        let took = within(Duration::from_secs(5), "seen", || chosen(&addresses) == Some(OLD)).await;
        println!("figure: amid a flood of changes a new address is seen in {took:?}");
        assert!(!chatter.is_finished(), "the flood lasted");
        chatter.await.expect("chatter");
        within(Duration::from_secs(5), "the kernel's view", || view(&addresses) == kernel()).await;
    });
}

#[test]
fn who_listens_no_more_is_left_alone() {
    in_namespace("0", || async {
        let addresses = netlink::watch();
        until("begun", || !addresses.borrow().is_empty()).await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert!(tasks() > 0);
        drop(addresses);
        until("ended", || tasks() == 0).await;
    });
}
