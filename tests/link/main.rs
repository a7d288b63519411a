//! The link with both its real ends: quinn over loopback, every test in a network namespace of its own (so root runs it), addresses
//! added to that namespace, the store on a disk. What a kernel tells of addresses comes from the test; netlink has its own.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, its helpers too

mod ending;
mod examination;
mod homes;
mod joining;
mod puppet;
mod rig;
mod strangers;
