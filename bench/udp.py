#!/usr/bin/env python3
"""A UDP forward, side by side with Debian's nginx (stream) and socat: CPU of the relay a round trip, which is two datagrams.

Each relay has one processor; the clients and the echo at home share the other. The rounds are interleaved and in another order each, so that what else
the machine does falls on all alike; medians are shown, and the median of the rounds' ratios to nginx. `direct` is no relay.

    cargo build --release && bench/udp.py [--rounds 7] [--seconds 2]

Wants root and (Debian): gcc, libnginx-mod-stream, nginx, socat. Two processors. Nothing leaves loopback.
"""

import os
import os
import random
import signal
import statistics
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers import FOURWARD, Group, Server, add_host, configure_fourward, scratch, wishes

LOAD = Path(__file__).resolve().parent / "udp_load.c"
# Where the home listens: for ends that hand datagrams over one by one, and for those that do it together.
HOMES = {0: 5310, 1: 5311}
NGINX, SOCAT, GATEWAY = {0: 5320, 1: 5321}, {0: 5330, 1: 5331}, {0: 5340, 1: 5341}
CASES = [("1 flow x 32, 1,200 B", 1, 32, 1_200, 0), ("16 flows x 4, 200 B", 16, 4, 200, 0), ("ends with GSO, 1 x 32, 1,200 B", 1, 32, 1_200, 1)]


def pinned(processor, *command):
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(processor), *map(str, command)]


class Relay(Server):
    """A server that has the second processor for itself, and may fork."""

    def __init__(self, name, port, command, folder):
        self.group = Group(name)
        super().__init__(name, port, self.group.enter("taskset", "-c", "1", *map(str, command)), folder, 2)

    def __exit__(self, *left):
        super().__exit__(*left)
        self.group.remove()

    def cpu(self):
        return self.group.cpu()


@contextmanager
def nginx(folder):
    servers = "".join(f"server {{ listen 127.0.0.1:{NGINX[gso]} udp; proxy_pass [::1]:{HOMES[gso]}; }}\n" for gso in (0, 1))
    (folder / "nginx.conf").write_text(f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error;
events {{ worker_connections 4096; }}
stream {{
{servers}}}
""")
    with Relay("nginx", NGINX[0], ["nginx", "-c", folder / "nginx.conf", "-e", folder / "nginx.error"], folder) as server:
        server.wait("its port was taken", lambda: not server.port_is_free())
        yield server


@contextmanager
def socat(folder):
    both = " & ".join(f"socat UDP4-LISTEN:{SOCAT[gso]},bind=127.0.0.1,fork,reuseaddr UDP6:[::1]:{HOMES[gso]}" for gso in (0, 1))
    with Relay("socat", SOCAT[0], ["sh", "-c", f"{both} & wait"], folder) as server:
        server.wait("its port was taken", lambda: not server.port_is_free())
        try:
            yield server
        finally:
            # One for each client there was, which would stay.
            for pid in server.family()[1:]:
                os.kill(pid, signal.SIGTERM)


@contextmanager
def fourward(folder):
    config = configure_fourward(folder, addresses=("127.0.0.1", "::1"), more="[gateway]\ntls = 5350\nhttp = 5351\n")
    command = [FOURWARD, "run", "--config", config, "--loopback-demo", "tls=5350,http=5351"]
    with Relay("fourward", GATEWAY[0], command, folder) as server:
        forwards = ",".join(f"udp/{GATEWAY[gso]}:{HOMES[gso]}" for gso in (0, 1))
        add_host(server, folder, "home", "address-from=static", "address=::1", f"forward={forwards}")
        server.wait("its port was taken", lambda: not server.port_is_free())
        yield server


def measure(load, relay, port, case, seconds):
    _, flows, window, size, gso = case
    before = relay.cpu() if relay else 0
    asked = subprocess.run(pinned(0, load, "ask", port, flows, window, size, gso, int(seconds * 1000)), capture_output=True, text=True, check=True)
    spent = (relay.cpu() if relay else 0) - before
    round_trips, lost = map(int, asked.stdout.split())
    return spent / 1000 / max(round_trips, 1), round_trips / seconds, lost


def main():
    parser = wishes(__doc__, [])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    wished = parser.parse_args()
    dice = random.Random(1)
    with scratch() as folder, ExitStack() as running:
        load = folder / "udp_load"
        subprocess.run(["gcc", "-O2", "-o", load, LOAD], check=True)
        for gso, port in HOMES.items():
            echo = subprocess.Popen(pinned(0, load, "echo", port, gso))
            running.callback(echo.wait)
            running.callback(echo.terminate)
        relays = [(running.enter_context(start(folder)), ports) for start, ports in [(nginx, NGINX), (socat, SOCAT), (fourward, GATEWAY)]]
        runs = [("direct", None, HOMES), *((relay.name, relay, ports) for relay, ports in relays)]
        for case in CASES:
            rows = {name: [] for name, _, _ in runs}
            for _ in range(wished.rounds):
                for name, relay, ports in dice.sample(runs, len(runs)):
                    rows[name].append(measure(load, relay, ports[case[4]], case, wished.seconds))
            print(f"{case[0]}, {wished.rounds} rounds", flush=True)
            for name, measured in rows.items():
                cpu, rate = (statistics.median(row[at] for row in measured) for at in (0, 1))
                ratio = statistics.median(row[0] / first[0] for row, first in zip(measured, rows["nginx"]))
                lost = sum(row[2] for row in measured)
                print(f"  {name:<9} {cpu:6.2f} µs CPU a round trip  {ratio:4.2f} x nginx  {rate:9,.0f} a second  {lost} lost", flush=True)


if __name__ == "__main__":
    main()
