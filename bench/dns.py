#!/usr/bin/env python3
"""Queries to the name server, side by side with Debian's nsd and knotd: CPU of the server a query, and queries a second.

All three serve the same names from memory, each on one processor, with dnsperf on another. With --threads 2 each has two, which it shares with
dnsperf. The rounds are interleaved, so that what else the machine does falls on all alike; medians are shown, and the ratio to nsd. dnsperf is
full before a server is: the CPU a query is the figure, the rate is what came of it.

    cargo build --release && bench/dns.py [--signed] [--names 1000 100000] [--rounds 7] [--seconds 3] [--threads 2]

With --signed all three serve the zone signed (ECDSA P-256, NSEC; nsd and knotd from one file that dnssec-signzone made), and every query asks
for signatures. Wants (Debian): bind9-dnsutils, bind9-utils (with --signed), dnsperf, knot, knot-dnsutils, nsd. Two processors. Nothing leaves loopback.
"""

import random
import re
import statistics
import subprocess
from contextlib import ExitStack

from servers import ZONE, fourward_with_hosts, knotd, nsd, scratch, wishes, write_hosts, write_zone


def sign_zone(folder):
    """Signs the file `zone`, in its place, as fourward signs: one key, NSEC, and all of it."""
    subprocess.run(["dnssec-keygen", "-q", "-K", folder, "-a", "ECDSAP256SHA256", "-f", "KSK", ZONE], check=True, capture_output=True)
    subprocess.run(["dnssec-signzone", "-q", "-S", "-K", folder, "-z", "-N", "keep", "-d", folder, "-o", ZONE, "-f", folder / "signed", folder / "zone"],
                   check=True, capture_output=True)
    (folder / "signed").rename(folder / "zone")


def write_queries(path, names, missing):
    dice = random.Random(1)
    with open(path, "w") as queries:
        for _ in range(200_000):
            at = dice.randrange(names)
            if dice.random() < missing:
                queries.write(f"x{at}.{ZONE} AAAA\n")
            else:
                queries.write(dice.choice([f"h{at}.{ZONE} A\n", f"h{at}.{ZONE} AAAA\n", f"h{at}-ip6only.{ZONE} AAAA\n"]))


def measure(server, queries, seconds, clients, signed, threads=1):
    before = server.cpu()
    asking = ["taskset", "-c", "1" if threads == 1 else f"0-{threads - 1}", "dnsperf", "-T", str(threads)]
    out = subprocess.run([*asking, "-s", "127.0.0.1", "-p", str(server.port), "-d", queries, "-l", str(seconds),
                          "-c", str(clients), "-q", "400", "-e", *(["-D"] if signed else [])], capture_output=True, text=True, check=True).stdout
    spent = server.cpu() - before
    completed = int(re.search(r"Queries completed:\s+(\d+)", out)[1])
    lost = int(re.search(r"Queries lost:\s+(\d+)", out)[1])
    return spent / 1000 / completed, completed / float(re.search(r"Run time \(s\):\s+([\d.]+)", out)[1]), lost


def main():
    parser = wishes(__doc__, [1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--missing", type=float, default=0.1, help="the share of names that do not exist")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="of each server")
    wished = parser.parse_args()
    for names in wished.names:
        with scratch() as folder, ExitStack() as running:
            write_zone(folder / "zone", names)
            if wished.signed:
                sign_zone(folder)
            write_hosts(folder / "hosts", names)
            write_queries(folder / "queries", names, wished.missing)
            threads = wished.threads
            starts = [nsd(folder, threads), knotd(folder, threads=threads), fourward_with_hosts(folder, names, wished.signed, threads=threads)]
            servers = [running.enter_context(start) for start in starts]
            print(f"{names:,} names, {wished.missing:.0%} of the queries for others, {wished.rounds} rounds{', signed' if wished.signed else ''}", flush=True)
            rows = {server.name: [] for server in servers}
            for _ in range(wished.rounds):
                for server in servers:
                    rows[server.name].append(measure(server, folder / "queries", wished.seconds, wished.clients, wished.signed, threads))
            first = statistics.median(cpu for cpu, _, _ in rows["nsd"])
            for server in servers:
                cpu = statistics.median(cpu for cpu, _, _ in rows[server.name])
                rate = statistics.median(rate for _, rate, _ in rows[server.name])
                lost = sum(lost for _, _, lost in rows[server.name])
                print(f"  {server.name:<9} {cpu:5.2f} µs CPU a query  {cpu / first:4.2f} × nsd  {rate:9,.0f} q/s"
                      f"  {lost} lost  {server.rss() / 1e6:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
