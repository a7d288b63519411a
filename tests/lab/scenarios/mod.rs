//! The stories, one a file; `ground` first when something fails.

mod attacks;
mod copies;
mod credentials;
mod figure;
mod ground;
mod idle;
mod inheritance;
mod loops;
mod renumbering;
mod restarts;
mod scarcity;
