#!/usr/bin/env python3
"""Updates by DNS (RFC 2136, TSIG) side by side with Debian's knotd: CPU of the server an update, and updates a second, one after another.

Each update gives one name another AAAA, and is on disk before it is answered. Both serve the same zone, on one processor; who asks is on
another and has all messages ready before. The rounds are interleaved; medians are shown.

    cargo build --release && bench/updates.py [--signed] [--names 1000 100000] [--rounds 7] [--updates 1000]

Wants (Debian): knot, knot-dnsutils. Two processors. Nothing leaves loopback.
"""

import base64
import hashlib
import hmac
import ipaddress
import os
import socket
import statistics
import struct
import time
from contextlib import ExitStack

from servers import ZONE, fourward_with_hosts, home, knotd, scratch, wishes, write_zone

SECRET = b"a secret that is not one at all."
ALGORITHM = "hmac-sha256"

# As many of the names change, in turn: each of them has a key of its own at fourward, where a host may not change all the time.
CHANGED = 500


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def update(key, name, address, identity):
    """A message by which `name` has the address alone, signed now."""
    zone = wire(ZONE) + struct.pack("!HH", 6, 1)
    gone = wire(name) + struct.pack("!HHIH", 28, 255, 0, 0)
    come = wire(name) + struct.pack("!HHIH", 28, 1, 60, 16) + ipaddress.IPv6Address(address).packed
    message = struct.pack("!HHHHHH", identity, 0x2800, 1, 0, 2, 0) + zone + gone + come
    when = struct.pack("!HIH", 0, int(time.time()), 300)
    covered = message + wire(key) + struct.pack("!HI", 255, 0) + wire(ALGORITHM) + when + struct.pack("!HH", 0, 0)
    mac = hmac.new(SECRET, covered, hashlib.sha256).digest()
    data = wire(ALGORITHM) + when + struct.pack("!H", len(mac)) + mac + struct.pack("!HHH", identity, 0, 0)
    return message[:10] + struct.pack("!H", 1) + message[12:] + wire(key) + struct.pack("!HHIH", 250, 255, 0, len(data)) + data


def start_knotd(folder, signed):
    secret = base64.b64encode(SECRET).decode()
    return knotd(folder, f"""key:
  - id: k
    algorithm: {ALGORITHM}
    secret: {secret}
acl:
  - id: k
    key: k
    action: update
policy:
  - id: p
    algorithm: ecdsap256sha256
    single-type-signing: on
""", "acl: k" + ("\n    dnssec-signing: on\n    dnssec-policy: p" if signed else ""))


def start_fourward(folder, names, signed, changed=CHANGED):
    (folder / "secret").write_text(base64.b64encode(SECRET).decode())
    (folder / "secret").chmod(0o600)
    with open(folder / "hosts", "w") as hosts:
        for at in range(names):
            hosts.write(f'{{"zone":"{ZONE}","host":"h{at}","settings":["address-from=update"],"updated":{{"address":"{home(at)}","since":"2026-01-01T00:00:00Z"}}}}\n')
    keys = ",\n".join(f'  {{ name = "k{at}", secret-file = "{folder}/secret", host = "h{at}", types = ["AAAA"] }}' for at in range(min(changed, names)))
    return fourward_with_hosts(folder, names, signed, keys)


def measure(server, turn, count):
    """Microseconds of CPU an update, and updates a second."""
    key = (lambda at: "k") if server.name == "knotd" else (lambda at: f"k{at}")
    messages = []
    for index in range(count):
        at = index % CHANGED
        address = ipaddress.IPv6Address("2001:db8:ffff::") + (turn * count + index + 1)
        messages.append(update(key(at), f"h{at}.{ZONE}", address, index & 0xFFFF))
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(("127.0.0.1", server.port))
    asker.settimeout(30)
    before, began = server.cpu(), time.monotonic()
    for message in messages:
        asker.send(message)
        answer = asker.recv(4096)
        if answer[:2] != message[:2] or answer[3] & 0xF:
            server.fail(f"it refuses an update: rcode {answer[3] & 0xF}")
    took = time.monotonic() - began
    return (server.cpu() - before) / 1000 / count, count / took


def main():
    parser = wishes(__doc__, [1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=1_000)
    wished = parser.parse_args()
    os.sched_setaffinity(0, {1})
    for names in wished.names:
        with scratch() as folder, ExitStack() as running:
            write_zone(folder / "zone", names)
            starts = [start_knotd(folder, wished.signed), start_fourward(folder, names, wished.signed)]
            servers = [running.enter_context(start) for start in starts]
            print(f"{names:,} names, {wished.rounds} rounds of {wished.updates:,} updates{', signed' if wished.signed else ''}", flush=True)
            rows = {server.name: [] for server in servers}
            for turn in range(wished.rounds):
                for server in servers:
                    rows[server.name].append(measure(server, turn, wished.updates))
            medians = {name: [statistics.median(column) for column in zip(*row)] for name, row in rows.items()}
            for name, (cpu, rate) in medians.items():
                first_cpu, first_rate = medians["knotd"]
                print(f"  {name:<9} {cpu:7.0f} µs CPU an update  {cpu / first_cpu:5.3f} × knotd  {rate:7,.0f} a second  {rate / first_rate:6.1f} × knotd",
                      flush=True)


if __name__ == "__main__":
    main()
