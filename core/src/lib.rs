//! What fourward decides, with no socket, no clock and no randomness of its own.
//!
//! Time and entropy are arguments, so that every decision can be tested as a sentence. The tour, from the
//! bottom: [`name`] and [`policy`] say which names and addresses there may be; [`host`] is one host;
//! [`state`] holds them all and is changed by one function, [`stored`] is how it looks on disk; [`signing`] says
//! what of a zone is to be signed after a change, and others sign; [`join`], [`link`] and [`lease`] are how a
//! home enters, speaks, and proves where it is.

#![forbid(unsafe_code)]

pub mod address;
pub mod answer;
pub mod api;
pub mod change;
pub mod check;
pub mod client_hello;
pub mod cookie;
pub mod demux;
pub mod dnssec;
pub mod dyndns;
pub mod export;
pub mod facts;
pub mod flows;
pub mod host;
pub mod http_head;
mod index;
pub mod join;
pub mod journal;
pub mod lease;
pub mod link;
pub mod master;
pub mod name;
pub mod order;
pub mod peek;
pub mod policy;
pub mod proxy_protocol;
pub mod quic_flows;
pub mod quic_initial;
pub mod rate;
mod rdata;
mod reader;
pub mod renewal;
pub mod reply;
pub mod route;
pub mod service;
pub mod signing;
pub mod source;
pub mod state;
pub mod stored;
pub mod transfer;
pub mod tsig;
pub mod update;
pub mod update_line;
pub mod wire;
pub mod zone;
