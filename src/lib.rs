//! fourward as a library: the parts that touch the world, and how they are wired.

pub mod agent;
pub mod cli;
pub mod config;
pub mod control;
pub mod crypto;
pub mod demo;
pub mod dns;
pub mod gateway;
pub mod leases;
pub mod link;
pub mod listener;
pub mod netlink;
pub mod quic;
pub mod store;
pub mod supervisor;
pub mod telemetry;
