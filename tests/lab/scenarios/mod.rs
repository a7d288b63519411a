//! The stories, one a file; `ground` first when something fails.

mod accounts;
mod acme;
mod aliases;
mod attacks;
mod check;
mod copies;
mod credentials;
mod docs;
mod figure;
mod forwards;
mod ground;
mod hosts;
mod idle;
mod inheritance;
mod loops;
mod renumbering;
mod restarts;
mod scarcity;
mod sources;
mod upstreams;
mod zonemaster;
