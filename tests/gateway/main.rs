//! The gateway on real sockets: what a client and a home see.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails says where")]

mod admission;
mod aliases;
mod ending;
mod flows;
mod followers;
mod forwards;
mod homes;
mod proxy_protocol;
mod quic;
mod refusals;
mod relays;
mod resolver;
mod rig;
mod rules;
mod upstreams;
mod visitors;
