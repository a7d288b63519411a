#!/usr/bin/env python3
"""Questions while the zone changes: how many are lost, how many updates a second are on disk meanwhile, and how soon one is in the answers.

dnsperf asks at a steady rate for names of which some change, while as many updates a second (RFC 2136, TSIG) as are wished come from many clients
at once. Each is answered when it is on disk; of some the new address is asked for from that moment on, until it is there. The server has one
processor, who asks has another.

    cargo build --release && bench/changing.py [--signed] [--names 1000000] [--seconds 10] [--queries 50000] [--updates 2000]

Wants (Debian): dnsperf, knot-dnsutils, and 3 GB of disk for a million signed hosts. Two processors. Nothing leaves loopback.
"""

import ipaddress
import os
import re
import select
import socket
import statistics
import struct
import subprocess
import time

from servers import ZONE, scratch, wishes
from updates import start_fourward, update, wire

# As many are answered for at once, as if from so many clients.
UNDER_WAY = 128

# A host may change so often at once.
BURST = 30

# Of so many updates one is looked for in the answers.
LOOKED_FOR = 20


def question(identity, name):
    return struct.pack("!HHHHHH", identity, 0, 1, 0, 0, 0) + wire(name) + struct.pack("!HH", 28, 1)


def until_seen(asker, name, address):
    """Seconds until the answers have it."""
    began = time.monotonic()
    while True:
        asker.send(question(1, name))
        if address.packed in asker.recv(4096):
            return time.monotonic() - began


def run(server, messages, rate):
    """Sends them at that rate: updates a second that were on disk, milliseconds until each was, and until some were seen."""
    changer, asker = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for client in (changer, asker):
        client.connect(("127.0.0.1", server.port))
        client.settimeout(10)
    began, sent, waits, seen = time.monotonic(), {}, [], []
    coming = iter(enumerate(messages))
    upcoming = next(coming)
    while upcoming or sent:
        while upcoming and len(sent) < UNDER_WAY and time.monotonic() >= began + upcoming[0] / rate:
            index, (message, name, address) = upcoming
            sent[message[:2]] = (time.monotonic(), index, name, address)
            changer.send(message)
            upcoming = next(coming, None)
        if not select.select([changer], [], [], 0.0005 if upcoming else 10)[0]:
            if not upcoming:
                server.fail(f"{len(sent)} updates have no answer")
            continue
        answer = changer.recv(4096)
        if answer[3] & 0xF:
            server.fail(f"it refuses an update: rcode {answer[3] & 0xF}")
        since, index, name, address = sent.pop(answer[:2])
        waits.append(time.monotonic() - since)
        if index % LOOKED_FOR == 0:
            seen.append(until_seen(asker, name, address))
    return len(messages) / (time.monotonic() - began), [wait * 1e3 for wait in waits], [wait * 1e3 for wait in seen]


def quantile(values, share):
    return sorted(values)[int(len(values) * share)]


def main():
    parser = wishes(__doc__, [1_000_000])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--queries", type=int, default=50_000, help="a second")
    parser.add_argument("--updates", type=int, default=2_000, help="a second")
    wished = parser.parse_args()
    os.sched_setaffinity(0, {1})
    count = wished.updates * wished.seconds
    for names in wished.names:
        changed = min(names, -(-count // BURST) + 1)
        with scratch() as folder, start_fourward(folder, names, wished.signed, changed) as server:
            with open(folder / "queries", "w") as queries:
                for at in range(100_000):
                    queries.write(f"h{at * 7919 % names}.{ZONE} {'AAAA' if at % 2 else 'A'}\n")
            messages = []
            for index in range(count):
                at, address = index % changed, ipaddress.IPv6Address("2001:db8:ffff::") + index + 1
                messages.append((update(f"k{at}", f"h{at}.{ZONE}", address, index & 0xFFFF), f"h{at}.{ZONE}", address))
            asking = subprocess.Popen(["dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", folder / "queries", "-l", str(wished.seconds + 2),
                                       "-c", "16", "-Q", str(wished.queries), "-e", *(["-D"] if wished.signed else [])],
                                      stdout=subprocess.PIPE, text=True)
            time.sleep(1)
            before = server.cpu()
            rate, waits, seen = run(server, messages, wished.updates)
            spent = (server.cpu() - before) / 1e9
            said = asking.communicate()[0]
            asked, lost = (int(re.search(rf"Queries {word}:\s+(\d+)", said)[1]) for word in ("sent", "lost"))
            print(f"{names:,} names{', signed' if wished.signed else ''}: {asked / (wished.seconds + 2):,.0f} q/s, {lost} of {asked:,} lost; "
                  f"{rate:,.0f} updates a second on disk, after {statistics.median(waits):.1f} ms in the median, {max(waits):.1f} ms at worst; "
                  f"in the answers then after {statistics.median(seen):.2f} ms, {quantile(seen, 0.99):.2f} ms of 99 %, {max(seen):.2f} ms at worst of "
                  f"{len(seen)}; {spent:.1f} s CPU of the server", flush=True)


if __name__ == "__main__":
    main()
