//! This process as the kernel sees it, under the names that all programs use for it.

use std::fs;

use jiff::{SignedDuration, Timestamp};

/// What the kernel says of this process; what it does not say is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Bytes.
    pub(super) resident: Option<u64>,
    pub(super) descriptors: Option<u64>,
    /// Seconds since 1970.
    pub(super) started: Option<f64>,
    /// Seconds of all threads, in user and system mode.
    pub(super) processor: Option<f64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let ticks = |field| Some(ticks_in(&stat, field)? as f64 / rustix::param::clock_ticks_per_second() as f64);
        Self {
            resident: fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_in(&status)),
            descriptors: fs::read_dir("/proc/self/fd").ok().and_then(|open| u64::try_from(open.count()).ok()),
            started: ticks(22).map(since_boot),
            processor: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
        }
    }
}

/// A moment so many seconds after the start of the machine, in seconds since 1970.
fn since_boot(seconds: f64) -> f64 {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Timestamp::now().duration_since(Timestamp::UNIX_EPOCH);
    (now - SignedDuration::new(up.tv_sec, i32::try_from(up.tv_nsec).unwrap_or(0))).as_secs_f64() + seconds
}

/// The field of this number in `stat` (proc_pid_stat(5)), from the third on: the second may hold anything, parentheses too.
fn ticks_in(stat: &str, field: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(field.checked_sub(3)?)?.trim().parse().ok()
}

/// `VmRSS` of `status` (proc_pid_status(5)), in bytes.
fn resident_in(status: &str) -> Option<u64> {
    let kibibytes: u64 = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_name_does_not_move_the_fields() {
        let stat = "7 (a) 1 2) 3) S 1 7 7 0 -1 4194560 100 0 0 0 14 15 0 0 20 0 4 0 22222 1 2\n";
        assert_eq!([14, 15, 22, 99].map(|field| ticks_in(stat, field)), [Some(14), Some(15), Some(22222), None]);
        assert_eq!(resident_in("VmPeak:\t 9 kB\nVmRSS:\t  11716 kB\n"), Some(11_997_184));
    }

    #[test]
    fn this_process_began_a_moment_ago() {
        let process = Process::now();
        let (started, now) = (process.started.expect("a start"), Timestamp::now().as_second() as f64);
        assert!((now - 3_600.0..=now + 1.0).contains(&started), "{started} and now {now}");
        assert!(process.resident.is_some_and(|bytes| bytes > 1 << 20) && process.descriptors.is_some_and(|open| open > 2), "{process:?}");
    }
}
