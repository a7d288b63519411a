//! The real program, by its command line: what it prints, for people and as JSON, and how it ends.
//!
//! Where a server runs, it does so in a network namespace of its own, on its real ports, so root runs these tests.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, its helpers too

mod bulk;
mod certificates;
mod check;
mod demo;
mod docs;
mod files;
mod hosts;
mod names;
mod program;
mod service;
mod zones;
