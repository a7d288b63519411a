//! The figure in network namespaces: real clients, a real renumbering, and what the *client* sees.
//!
//! Read `topology` first: it draws the machines. `lab` builds them with the DNS around them
//! (`registry`) and the web service at home (`web`); `authority` gives certificates, where a story needs them; `roles` starts this package's own binary in two
//! of them; `renumber` changes the home's address; `probe` and `stranger` watch. The tests are in
//! `scenarios`, one story a file; `scenarios::ground` proves the lab itself, without fourward.
//!
//! Needs root and Debian's packages iproute2, nftables, nsd, unbound, pebble, lego, certbot, apache2, rclone, curl, dnsutils,
//! bind9-host, openssl and util-linux. It fails, never skips, where they are missing. Everything happens inside the
//! namespaces. Left out: loss and delay (`netem` is not in every kernel).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy's own exemption covers only the #[test] functions"
)]

mod announce;
mod authority;
mod bystander;
mod clock;
mod daemon;
mod examine;
mod faketime;
mod lab;
mod machine;
mod many;
mod netns;
mod probe;
mod registry;
mod renumber;
mod roles;
mod scenarios;
mod stranger;
mod topology;
mod web;
mod wire;
