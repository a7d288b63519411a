//! How many connections the process's limit on open files allows.
//!
//! Running out of descriptors stops every role at once, so the cap is lowered beforehand, and said.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use super::{aliases, tails, upstreams};

/// For the store, the link, netlink, the listeners of all roles, the log and what libraries open; questions to DNS have a socket each, and a
/// raised mark has its own.
const RESERVED: usize = 128 + aliases::ASKED + upstreams::ASKED + tails::LIMIT;

/// A client's socket and a home's.
const PER_CONNECTION: usize = 2;

/// A reading end and a writing end.
const PER_PIPE: usize = 2;

/// More pipes would not fit the kernel's memory for an unprivileged user's pipes (64 MiB).
const PIPES: usize = 256;

/// What there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) connections: usize,
    pub(super) pipes: usize,
}

/// Raises the process's soft limit to its hard one, and says how much of `wanted` fits where other roles may have `beside` open.
pub(super) fn budget(wanted: usize, beside: usize) -> Budget {
    let open = raise();
    let budget = share(wanted, open.saturating_sub(beside));
    if budget.connections < wanted {
        warn!(
            wanted,
            fits = budget.connections,
            open_files = open,
            others = beside,
            "fewer connections than configured: raise LimitNOFILE"
        );
    }
    budget
}

fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = setrlimit(Resource::Nofile, raised).map_or(limit, |()| raised);
    now.current.map_or(usize::MAX, |current| usize::try_from(current).unwrap_or(usize::MAX))
}

/// At least one connection and no pipe; a quarter of the descriptors at most goes to pipes.
fn share(wanted: usize, open: usize) -> Budget {
    let free = open.saturating_sub(RESERVED);
    let pipes = PIPES.min(free / 4 / PER_PIPE);
    let connections = wanted.min(free.saturating_sub(pipes.saturating_mul(PER_PIPE)) / PER_CONNECTION).max(1);
    Budget { connections, pipes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_fits_the_open_files() {
        assert_eq!(share(16_384, 1_048_576), Budget { connections: 16_384, pipes: PIPES });
        assert_eq!(share(16_384, 1_024), Budget { connections: 282, pipes: 94 });
        assert_eq!(share(16_384, 0), Budget { connections: 1, pipes: 0 });
        for open in [300, 1_024, 4_096, 65_536] {
            let Budget { connections, pipes } = share(usize::MAX, open);
            assert!(connections * PER_CONNECTION + pipes * PER_PIPE + RESERVED <= open, "{open}");
        }
    }

    #[test]
    fn what_other_roles_may_have_is_left_to_them() {
        let open = raise();
        let Budget { connections, pipes } = budget(usize::MAX, open / 2);
        assert!(connections * PER_CONNECTION + pipes * PER_PIPE + RESERVED <= open.div_ceil(2), "{connections} of {open}");
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
