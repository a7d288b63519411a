//! The stories, one a file; `ground` first when something fails.

mod aliases;
mod check;
mod copies;
mod figure;
mod ground;
mod inheritance;
mod loops;
mod renumbering;
mod restarts;
