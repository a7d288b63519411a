#!/usr/bin/env python3
"""Queries to the name server, side by side with Debian's nsd and knotd: CPU of the server a query, and queries a second.

All three serve the same names from memory, each on one processor, with dnsperf on another. The rounds are interleaved, so that what
else the machine does falls on all alike; medians are shown, and the ratio to nsd. dnsperf is full before a server is: the CPU a query is
the figure, the rate is what came of it.

    cargo build --release && bench/dns.py [--signed] [--names 1000 100000] [--rounds 7] [--seconds 3]

With --signed all three serve the zone signed (ECDSA P-256, NSEC; nsd and knotd from one file that dnssec-signzone made), and every query asks
for signatures. Wants (Debian): bind9-dnsutils, bind9-utils (with --signed), dnsperf, knot, knot-dnsutils, nsd. Two processors. Nothing leaves loopback.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ZONE = "dyn.example.org"
GATEWAY4, GATEWAY6 = "192.0.2.11", "2001:db8:a::11"
FOURWARD = Path(__file__).resolve().parent.parent / "target/release/fourward"
TICK = os.sysconf("SC_CLK_TCK")


def home(at):
    return f"2001:db8:{1 + at // 65536:x}:{at % 65536:x}::11"


def write_zone(path, names):
    with open(path, "w") as zone:
        zone.write(f"$ORIGIN {ZONE}.\n$TTL 60\n@ SOA gw hostmaster 1 14400 3600 604800 60\n@ NS gw\ngw A {GATEWAY4}\ngw AAAA {GATEWAY6}\n")
        for at in range(names):
            zone.write(f"h{at} A {GATEWAY4}\nh{at} AAAA {home(at)}\nh{at}-ip6only AAAA {home(at)}\n")


def sign_zone(folder):
    """Signs the file `zone`, in its place, as fourward signs: one key, NSEC, and all of it."""
    subprocess.run(["dnssec-keygen", "-q", "-K", folder, "-a", "ECDSAP256SHA256", "-f", "KSK", ZONE], check=True, capture_output=True)
    subprocess.run(["dnssec-signzone", "-q", "-S", "-K", folder, "-z", "-N", "keep", "-d", folder, "-o", ZONE, "-f", folder / "signed", folder / "zone"],
                   check=True, capture_output=True)
    (folder / "signed").rename(folder / "zone")


def write_hosts(path, names):
    with open(path, "w") as hosts:
        for at in range(names):
            hosts.write(f'{{"zone":"{ZONE}","host":"h{at}","settings":["address-from=static","address={home(at)}"]}}\n')


def write_queries(path, names, missing):
    dice = random.Random(1)
    with open(path, "w") as queries:
        for _ in range(200_000):
            at = dice.randrange(names)
            if dice.random() < missing:
                queries.write(f"x{at}.{ZONE} AAAA\n")
            else:
                queries.write(dice.choice([f"h{at}.{ZONE} A\n", f"h{at}.{ZONE} AAAA\n", f"h{at}-ip6only.{ZONE} AAAA\n"]))


class Server:
    """One that runs, pinned, until it is stopped."""

    def __init__(self, name, port, command, folder, ready):
        self.name, self.port = name, port
        self.log = open(folder / f"{name}.log", "wb")
        self.process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=self.log, stderr=self.log)
        ready(self)

    def wait_until_it_answers(self, name, patience=120):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            asked = subprocess.run(["kdig", f"@127.0.0.1", "-p", str(self.port), "+timeout=1", "+retry=0", "+short", name, "AAAA"],
                                   capture_output=True, text=True)
            if asked.stdout.strip().startswith("2001:"):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"{self.name} does not answer; see {self.log.name}")

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

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def start_nsd(folder, names, signed):
    (folder / "nsd.conf").write_text(f"""server:
    ip-address: 127.0.0.1
    port: 5301
    username: ""
    chroot: ""
    server-count: 1
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
    return Server("nsd", 5301, ["nsd", "-d", "-c", folder / "nsd.conf"], folder, lambda it: it.wait_until_it_answers(f"h0.{ZONE}", 600))


def start_knot(folder, names, signed):
    (folder / "knot").mkdir()
    (folder / "knot.conf").write_text(f"""server:
    rundir: "{folder}/knot"
    listen: 127.0.0.1@5302
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "{folder}/knot"
zone:
  - domain: {ZONE}
    storage: "{folder}"
    file: zone
    zonefile-sync: -1
    journal-content: none
""")
    return Server("knotd", 5302, ["knotd", "-c", folder / "knot.conf"], folder, lambda it: it.wait_until_it_answers(f"h0.{ZONE}", 600))


def start_fourward(folder, names, signed):
    (folder / "fourward.toml").write_text(f"""state = "{folder}/state"
[public]
ipv4 = ["{GATEWAY4}"]
ipv6 = ["{GATEWAY6}"]
name = "gw.{ZONE}"
[dns]
zones = ["{ZONE}"]
listen = ["127.0.0.1:5303"]
rate-limit = 0
dnssec = {str(signed).lower()}
""")
    (folder / "state").mkdir(mode=0o700)

    def ready(server):
        end = time.monotonic() + 60
        while not (folder / "state/control.sock").exists() and time.monotonic() < end:
            time.sleep(0.05)
        begin = time.monotonic()
        subprocess.run([FOURWARD, "host", "import", folder / "hosts", "--config", folder / "fourward.toml"], check=True, capture_output=True)
        server.loaded = time.monotonic() - begin
        server.wait_until_it_answers(f"h{names - 1}.{ZONE}")

    return Server("fourward", 5303, [FOURWARD, "run", "--config", folder / "fourward.toml"], folder, ready)


def measure(server, queries, seconds, clients, signed):
    before = server.cpu()
    out = subprocess.run(["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", queries, "-l", str(seconds),
                          "-c", str(clients), "-q", "400", "-e", *(["-D"] if signed else [])], capture_output=True, text=True, check=True).stdout
    spent = server.cpu() - before
    completed = int(re.search(r"Queries completed:\s+(\d+)", out)[1])
    lost = int(re.search(r"Queries lost:\s+(\d+)", out)[1])
    return spent / 1000 / completed, completed / float(re.search(r"Run time \(s\):\s+([\d.]+)", out)[1]), lost


def main():
    wishes = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    wishes.add_argument("--names", type=int, nargs="+", default=[1_000, 100_000])
    wishes.add_argument("--rounds", type=int, default=7)
    wishes.add_argument("--seconds", type=float, default=3)
    wishes.add_argument("--missing", type=float, default=0.1, help="the share of names that do not exist")
    wishes.add_argument("--signed", action="store_true")
    wishes.add_argument("--clients", type=int, default=16)
    wishes = wishes.parse_args()
    if not FOURWARD.exists():
        sys.exit(f"{FOURWARD} is not there: cargo build --release")
    for names in wishes.names:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write_zone(folder / "zone", names)
            if wishes.signed:
                sign_zone(folder)
            write_hosts(folder / "hosts", names)
            write_queries(folder / "queries", names, wishes.missing)
            servers = [start(folder, names, wishes.signed) for start in (start_nsd, start_knot, start_fourward)]
            try:
                rows = {server.name: [] for server in servers}
                for _ in range(wishes.rounds):
                    for server in servers:
                        rows[server.name].append(measure(server, folder / "queries", wishes.seconds, wishes.clients, wishes.signed))
                first = statistics.median(cpu for cpu, _, _ in rows["nsd"])
                print(f"{names:,} names, {wishes.missing:.0%} of the queries for others, {wishes.rounds} rounds{', signed' if wishes.signed else ''}")
                for server in servers:
                    cpu = statistics.median(cpu for cpu, _, _ in rows[server.name])
                    rate = statistics.median(rate for _, rate, _ in rows[server.name])
                    lost = sum(lost for _, _, lost in rows[server.name])
                    print(f"  {server.name:<9} {cpu:5.2f} µs CPU a query  {cpu / first:4.2f} × nsd  {rate:9,.0f} q/s"
                          f"  {lost} lost  {server.rss() / 1e6:,.0f} MB", flush=True)
            finally:
                for server in servers:
                    server.stop()


if __name__ == "__main__":
    main()
