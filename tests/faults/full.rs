//! A disk that is really full: a small one of memory, mounted where only the test sees it.

use std::fs::{self, OpenOptions};
use std::io::Write;

use fourward_core::api::Reply;

use crate::server::{Server, Site, add, in_namespaces, sh};

/// Room for a store and not for much in it.
const ROOM: &str = "4m";

/// A server that was told to add more hosts than this has had room enough.
const HOSTS: usize = 20_000;

#[test]
fn a_disk_too_small_for_a_store_is_named() {
    in_namespaces(|| {
        let site = on_a_disk_of("8k");
        let mut server = site.start(&[]);
        server.failed_clearly(&["store.redb", "cannot be created", "No space left on device", "have room"], "a new store");
        sh(&format!("mount -o remount,size={ROOM} {}", site.state().display()));
        let mut server = site.start(&[]);
        assert!(server.is_up(), "what was left behind is in the way: {}", server.said());
    });
}

#[test]
fn a_full_disk_loses_nothing_and_room_is_all_that_it_takes() {
    in_namespaces(|| {
        let site = on_a_disk_of(ROOM);
        let mut server = site.start(&[]);
        assert!(server.is_up(), "{}", server.said());
        assert!(matches!(server.ask(&add("first")), Ok(Reply::Secrets(_))));
        fill(&site);
        let (added, refusal) = add_until_refused(&server);
        assert!(refusal.contains("was not stored") && refusal.contains("No space left on device"), "{refusal}");
        server.failed_clearly(&["store.redb", "cannot be written", "No space left on device"], "a change");

        // Still full: it starts and serves what it has, or says what is wrong; it never starts over.
        let mut still_full = site.start(&[]);
        if still_full.is_up() {
            has_all(&still_full, added);
            still_full.kill();
        } else {
            still_full.failed_clearly(&["store.redb", "No space left on device"], "a start on a full disk");
        }

        fs::remove_file(site.state().join("filler")).expect("room again");
        let mut server = site.start(&[]);
        assert!(server.is_up(), "{}", server.said());
        has_all(&server, added);
        assert!(matches!(server.ask(&add("after")), Ok(Reply::Secrets(_))));
    });
}

fn on_a_disk_of(size: &str) -> Site {
    let site = Site::new();
    let state = site.state();
    sh(&format!("mkdir -p {0}; mount -t tmpfs -o size={size},mode=0750 tmpfs {0}", state.display()));
    site
}

/// Takes all the room that is left.
fn fill(site: &Site) {
    let mut filler = OpenOptions::new().create_new(true).write(true).open(site.state().join("filler")).expect("filler");
    while filler.write_all(&[1; 4096]).is_ok() {}
}

/// How many hosts were added, and what the server said to the next.
fn add_until_refused(server: &Server) -> (usize, String) {
    for at in 0..HOSTS {
        match server.ask(&add(&format!("h{at}"))) {
            Ok(Reply::Secrets(_)) => {}
            Ok(Reply::Failed(reason)) => return (at, reason),
            other => panic!("host {at}: {other:?}; {}", server.said()),
        }
    }
    panic!("{HOSTS} hosts fit a full disk");
}

#[track_caller]
fn has_all(server: &Server, added: usize) {
    server.show("first");
    (0..added).for_each(|at| drop(server.show(&format!("h{at}"))));
}
