//! Files go up and down by WebDAV from phone4, through the gateway, and come back as they were.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clock::{figure, try_until};
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::netns::succeed;
use crate::roles::{ALIAS, Role};
use crate::topology::Node::{Inet, Phone4};
use crate::web;

/// A copy of 1 GiB takes some ten seconds, TLS at both ends included, on two shared cores.
const COPY: Duration = Duration::from_secs(180);
/// What a relay may add to the gateway's memory while bytes flow: buffers for some connections, never the file. In KiB.
const GROWTH: u64 = 8 << 10;

#[test]
fn two_hundred_files_go_up_and_come_down_unchanged() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let here = lab.dir().join("files");
    for number in 0..200_u64 {
        let folder = here.join(format!("folder {}", number % 7));
        fs::create_dir_all(&folder).expect("make a folder");
        // From nothing to 400 KB, with names that need escaping.
        write_noise(&folder.join(format!("Datei {number} ü&#%.bin")), number * number * 10);
    }
    there_and_back(&lab, &vps, &here);
}

#[test]
fn a_gibibyte_goes_up_and_comes_down_while_the_gateways_memory_stays_flat() {
    let lab = Lab::new();
    let (vps, _home) = lab.start_figure();
    let here = lab.dir().join("big");
    fs::create_dir(&here).expect("make a folder");
    write_noise(&here.join("gibibyte"), 1 << 30);
    there_and_back(&lab, &vps, &here);
    assert!(lab.ns(Inet).counter("phone4_and_vps") > 2 << 30, "all of it passed the gateway, twice");
}

/// Copies a folder to the home and back into another, watching the gateway's memory.
fn there_and_back(lab: &Lab, vps: &Role, here: &Path) {
    lab.fetch(Phone4, &format!("https://{ALIAS}/"), &[]).expect("a first page, so that the gateway has its buffers");
    let (from, back) = (here.display().to_string(), here.with_extension("back").display().to_string());
    let before = vps.daemon.memory();
    let up = copy(lab, vps, &from, ":webdav:copy");
    let down = copy(lab, vps, ":webdav:copy", &back);
    succeed(Command::new("diff").args(["-rq", &from, &back]));
    let peak = up.peak.max(down.peak);
    figure("copy up", format_args!("{:.1?}", up.took));
    figure("copy down", format_args!("{:.1?}", down.took));
    figure("gateway memory", format_args!("{before} KiB before, {peak} KiB at most"));
    assert!(peak < before + GROWTH, "the gateway grew from {before} to {peak} KiB");
}

struct Copied {
    took: Duration,
    /// The gateway's largest memory meanwhile, in KiB.
    peak: u64,
}

fn copy(lab: &Lab, vps: &Role, from: &str, to: &str) -> Copied {
    let (authority, config) = (web::authority(lab.dir()).display().to_string(), lab.dir().join("rclone.conf").display().to_string());
    File::create(&config).expect("an empty configuration");
    let url = format!("https://{ALIAS}/dav/");
    let arguments = ["copy", from, to, "--webdav-url", &url, "--webdav-vendor", "other", "--ca-cert", &authority, "--config", &config];
    let began = Instant::now();
    let mut rclone = Daemon::start(lab.ns(Phone4), lab.log("rclone"), "rclone", &[&arguments[..], &["--retries", "1"]].concat());
    let (mut peak, mut status) = (0, None);
    let ended = try_until(COPY, || {
        peak = peak.max(vps.daemon.memory());
        status = rclone.ended();
        status.is_some()
    });
    assert!(ended, "rclone still copies after {COPY:?}");
    assert!(status.is_some_and(|status| status.success()), "rclone copy {from} {to}: {status:?}");
    Copied { took: began.elapsed(), peak }
}

/// Bytes that no compression makes fewer.
fn write_noise(path: &Path, length: u64) {
    let mut noise = File::open("/dev/urandom").expect("open /dev/urandom").take(length);
    io::copy(&mut noise, &mut File::create(path).expect("make a file")).expect("write a file");
}
