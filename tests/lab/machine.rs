//! A machine of the lab with an operating system of its own: systemd as process 1, over a copy of this machine's files.
//!
//! For what only a real service manager shows: the unit with all its confinement, and the documentation's commands word by word. The
//! root is an overlay whose upper layer is in memory, entered by `pivot_root`, so that nothing that runs there, systemd's
//! own cleaning at boot above all, reaches a file outside. Ended, nothing of it is left.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::clock::wait_for;
use crate::daemon::Daemon;
use crate::netns::{Ns, pipe};
use crate::roles::said;

/// systemd with nothing to start is there within two seconds.
const BOOT: Duration = Duration::from_secs(60);

/// Before the machine has a control group namespace, and so in one of this machine's control groups: one of its own.
const OUTSIDE: &str = r#"set -e
cut -d' ' -f4 /proc/self/stat >"$1"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/groups
mount -t cgroup2 cgroup2 /mnt/groups
mkdir -p "/mnt/groups/$2"
echo $$ >"/mnt/groups/$2/cgroup.procs"
exec unshare --cgroup sh -c "$3"
"#;

/// What a machine needs before its first process. Units of the machine that runs the lab, and whatever would reach the kernel that
/// all share, stay out.
const INSIDE: &str = r#"set -e
umount /mnt/groups
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
touch dev/console
mount --bind /dev/null dev/console
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts dev/mqueue
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
rm -rf etc/systemd/system
mkdir -p etc/systemd/system
for unit in systemd-modules-load.service systemd-remount-fs.service systemd-sysctl.service systemd-udevd.service \
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
    ln -s /dev/null etc/systemd/system/$unit
done
: >etc/machine-id
cat /etc/resolv.conf >etc/resolv.conf.lab
cat /etc/hosts >etc/hosts.lab
rm -f etc/resolv.conf etc/hosts
mv etc/resolv.conf.lab etc/resolv.conf
mv etc/hosts.lab etc/hosts
mkdir -p old
pivot_root . old
umount -l old
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=basic.target --show-status=0
"#;

/// A booted machine. Dropped, it is gone.
pub(crate) struct Machine {
    leader: String,
    groups: String,
    _init: Daemon,
}

impl Machine {
    /// Boots one in `ns`; its own first words go to `log`.
    pub(crate) fn boot(ns: &Ns, log: PathBuf) -> Self {
        let groups = format!("fourward-{}", ns.name());
        let leader = log.with_extension("leader");
        let told = leader.display().to_string();
        let namespaces = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--kill-child=KILL"];
        let script = ["sh", "-c", OUTSIDE, "boot", &told, &groups, INSIDE];
        let init = Daemon::start(ns, log, "unshare", &[&namespaces[..], &script].concat());
        wait_for("the machine has a first process", BOOT, || fs::read_to_string(&leader).is_ok_and(|pid| pid.ends_with('\n')));
        let leader = fs::read_to_string(&leader).expect("its first process").trim().to_owned();
        let machine = Self { leader, groups, _init: init };
        wait_for("systemd runs", BOOT, || machine.run("systemctl is-system-running").stdout == b"running\n");
        machine
    }

    /// Runs a line of shell there, as root, to its end.
    pub(crate) fn run(&self, line: &str) -> Output {
        self.command(line).stdin(Stdio::null()).output().expect("nsenter")
    }

    /// Runs a line of shell there that must succeed, on this standard input; returns what it printed.
    pub(crate) fn must(&self, line: &str, input: &str) -> String {
        let output = pipe(self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()), input);
        if !output.status.success() {
            let journal = self.run("journalctl --no-pager --lines 40 --unit fourward");
            panic!("{line}: {}\n{}", said(&output), said(&journal));
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd"]);
        // As in a shell of that machine: not as a part of this test.
        command.args(["sh", "-c", "cd \"$1\" && eval \"$2\"", "sh", env!("CARGO_MANIFEST_DIR"), line]).env_remove("NOTIFY_SOCKET");
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Killing its first process kills the others; their control groups are ours to take away.
        let _ = Command::new("kill").args(["-KILL", &self.leader]).status();
        wait_for("the machine is gone", BOOT, || !fs::exists(format!("/proc/{}", self.leader)).unwrap_or(true));
        for mounted in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let group = format!("{mounted}/{}", self.groups);
            let _ = Command::new("find").args([&group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]).stderr(Stdio::null()).status();
        }
    }
}
