//! The stories, one a file; `ground` first when something fails.

mod copies;
mod figure;
mod ground;
mod hosts;
mod inheritance;
mod loops;
mod renumbering;
mod restarts;
