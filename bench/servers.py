"""What the benches share: the zone, and nsd, knotd and fourward that serve it on loopback, each started, waited for, measured and stopped alike."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ZONE = "dyn.example.org"
GATEWAY4, GATEWAY6 = "192.0.2.11", "2001:db8:a::11"
FOURWARD = Path(__file__).resolve().parent.parent / "target/release/fourward"


def wishes(doc, names):
    """What every bench may be asked."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--names", type=int, nargs="+", default=names)
    parser.add_argument("--signed", action="store_true")
    return parser


@contextmanager
def scratch():
    """A folder for as long as a bench needs it. One that is terminated cleans up, too."""
    if not FOURWARD.exists():
        sys.exit(f"{FOURWARD} is not there: cargo build --release")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def home(at):
    # Far from the gateway's, which no home may have.
    return f"2001:db8:{0x100 + at // 65536:x}:{at % 65536:x}::11"


def write_zone(path, names):
    with open(path, "w") as zone:
        zone.write(f"$ORIGIN {ZONE}.\n$TTL 60\n@ SOA gw hostmaster 1 14400 3600 604800 60\n@ NS gw\ngw A {GATEWAY4}\ngw AAAA {GATEWAY6}\n")
        for at in range(names):
            zone.write(f"h{at} A {GATEWAY4}\nh{at} AAAA {home(at)}\nh{at}-ip6only AAAA {home(at)}\n")


def write_hosts(path, names):
    with open(path, "w") as hosts:
        for at in range(names):
            hosts.write(f'{{"zone":"{ZONE}","host":"h{at}","settings":["address-from=static","address={home(at)}"]}}\n')


class Server:
    """One that runs, pinned to as many processors as it may have threads, until it is left (`with`), or the bench ends in whatever way. One that
    does not start ends the bench."""

    def __init__(self, name, port, command, folder, threads=1):
        self.name, self.port, self.log = name, port, folder / f"{name}.log"
        if not self.port_is_free():
            sys.exit(f"{name} cannot start: another server has port {port}, see `ss -lunp`; stop that one first")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "taskset", "-c", f"0-{threads - 1}", *command], stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def port_is_free(self):
        # Not all servers would notice: nsd and knotd share a port with whoever does.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            try:
                own.bind(("127.0.0.1", self.port))
            except OSError:
                return False
        return True

    def wait(self, until, is_so, patience=60):
        """Waits until `is_so` says so. Where it never does, the bench ends."""
        end = time.monotonic() + patience
        while not is_so():
            if self.process.poll() is not None:
                self.fail(f"it ended, with {self.process.returncode}, before {until}")
            if time.monotonic() > end:
                self.fail(f"{patience} s went by before {until}")
            time.sleep(0.1)

    def wait_until_it_answers(self, name):
        def answers():
            asked = subprocess.run(["kdig", "@127.0.0.1", "-p", str(self.port), "+timeout=1", "+retry=0", "+short", name, "AAAA"],
                                   capture_output=True, text=True)
            return asked.stdout.strip().startswith("2001:")

        self.wait(f"it answered for {name}", answers, patience=600)

    def fail(self, why):
        """Ends the bench, and shows what the server said last."""
        said = self.log.read_text(errors="replace").splitlines()[-10:]
        sys.exit("\n".join([f"{self.name}, port {self.port}: {why}", *said]))

    def family(self):
        """It, and all that it forked."""
        of_parent = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                after_name = status.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            of_parent.setdefault(int(after_name[1]), []).append(int(status.parent.name))
        found, new = [], [self.process.pid]
        while new:
            found += new
            new = [child for parent in new for child in of_parent.get(parent, [])]
        return found

    def cpu(self):
        """Nanoseconds on a processor so far, all threads of all its processes."""
        total = 0
        for pid in self.family():
            for thread in Path(f"/proc/{pid}/task").glob("*"):
                total += int((thread / "schedstat").read_text().split()[0])
        return total

    def rss(self):
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.family())
        return pages * os.sysconf("SC_PAGE_SIZE")


class Group:
    """A control group, which only root can make: what all that ever ran in it has cost, those that ended included."""

    def __init__(self, name):
        root, is_old = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpuacct").exists()
        self.folders = [root / kind / f"fwb-{name}" for kind in (["cpuacct", "memory"] if is_old else [""])]
        for folder in self.folders:
            folder.mkdir(exist_ok=True)

    def enter(self, *command):
        return ["sh", "-c", 'for file in %s; do echo $$ >"$file"; done; exec "$@"' % " ".join(f"{folder}/cgroup.procs" for folder in self.folders), "sh", *command]

    def cpu(self):
        old = self.folders[0] / "cpuacct.usage"
        if old.exists():
            return int(old.read_text())
        return int((self.folders[0] / "cpu.stat").read_text().split()[1]) * 1000

    def memory(self):
        name = "memory.usage_in_bytes" if len(self.folders) > 1 else "memory.current"
        return int((self.folders[-1] / name).read_text())

    def remove(self):
        for folder in self.folders:
            end = time.monotonic() + 10
            while True:
                try:
                    folder.rmdir()
                    break
                except OSError:
                    # Whoever was forked takes a moment to end.
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.05)


@contextmanager
def nsd(folder, threads=1):
    """nsd, which serves the file `zone`."""
    (folder / "nsd.conf").write_text(f"""server:
    ip-address: 127.0.0.1
    port: 5301
    username: ""
    chroot: ""
    server-count: {threads}
    reuseport: yes
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/nsd.xfrd"
    zonelistfile: "{folder}/nsd.list"
    rrl-ratelimit: 0
    verbosity: 0
remote-control:
    control-enable: no
zone:
    name: {ZONE}
    zonefile: zone
""")
    with Server("nsd", 5301, ["nsd", "-d", "-c", folder / "nsd.conf"], folder, threads) as server:
        server.wait_until_it_answers(f"h0.{ZONE}")
        yield server


@contextmanager
def knotd(folder, sections="", of_zone="journal-content: none", threads=1):
    """knotd, which serves the file `zone`, with more `sections` in its configuration, and this `of_zone`."""
    (folder / "knot").mkdir()
    (folder / "knot.conf").write_text(f"""server:
    rundir: "{folder}/knot"
    listen: 127.0.0.1@5302
    udp-workers: {threads}
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "{folder}/knot"
{sections}
zone:
  - domain: {ZONE}
    storage: "{folder}"
    file: zone
    zonefile-sync: -1
    {of_zone}
""")
    with Server("knotd", 5302, ["knotd", "-c", folder / "knot.conf"], folder, threads) as server:
        server.wait_until_it_answers(f"h0.{ZONE}")
        yield server


def configure_fourward(folder, signed=False, keys="", addresses=(GATEWAY4, GATEWAY6), more=""):
    """A name server on port 5303, and the roles of the tables in `more`; where its configuration is."""
    (folder / "state").mkdir(mode=0o700)
    config = folder / "fourward.toml"
    config.write_text(f"""state = "{folder}/state"
[public]
ipv4 = ["{addresses[0]}"]
ipv6 = ["{addresses[1]}"]
name = "gw.{ZONE}"
[dns]
zones = ["{ZONE}"]
listen = ["127.0.0.1:5303"]
rate-limit = 0
dnssec = {str(signed).lower()}
keys = [{keys}]
{more}""")
    return config


def add_host(server, folder, *settings):
    """Has fourward know one more host."""
    wait_for_control(server, folder)
    command = [FOURWARD, "host", "add", *settings, "--config", folder / "fourward.toml"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        server.fail(f"its host could not be added: {done.stderr.strip()}")


def fourward(folder, threads=1):
    """fourward, as it is configured in the folder."""
    return Server("fourward", 5303, [FOURWARD, "run", "--config", folder / "fourward.toml"], folder, threads)


def import_hosts(server, folder):
    """Has it import the file `hosts`."""
    done = subprocess.run([FOURWARD, "host", "import", folder / "hosts", "--config", folder / "fourward.toml"], capture_output=True, text=True)
    if done.returncode != 0:
        server.fail(f"its hosts could not be imported: {done.stderr.strip()}")


def wait_for_control(server, folder):
    server.wait("its control socket was there", (folder / "state/control.sock").exists)


@contextmanager
def fourward_with_hosts(folder, names, signed, keys="", threads=1):
    """fourward, which serves the file `hosts`."""
    configure_fourward(folder, signed, keys)
    with fourward(folder, threads) as server:
        wait_for_control(server, folder)
        import_hosts(server, folder)
        server.wait_until_it_answers(f"h{names - 1}.{ZONE}")
        yield server
