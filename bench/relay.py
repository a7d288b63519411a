#!/usr/bin/env python3
"""The gateway's relay, side by side with Debian's haproxy, nginx, sniproxy, socat and 6tunnel, and with the least that a relay can cost: CPU of the
relay a gigabyte, a connection, a question; and memory of connections that do nothing.

All in one network namespace, over its loopback. The relay alone has one processor, all else the other; with --threads 2 it has both. The rounds are interleaved and shuffled, so that what else the machine does falls on all alike. Shown are medians of the cost, and medians of each
round's ratio to the leader of that case: haproxy that splices, sniproxy where connections are the question, nginx where it is small questions.

    cargo build --release --workspace && bench/relay.py [--cases raw-down connect …] [--rounds 7] [--scale 1] [--only fourward haproxy-splice …]

Wants root, two processors and (Debian) 6tunnel, ethtool, haproxy, iproute2, libnginx-mod-stream, nginx, sniproxy, socat. Nothing leaves the namespace.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers import FOURWARD, GATEWAY4, GATEWAY6, ZONE, Group, Server, add_host, configure_fourward, scratch

LOAD = FOURWARD.parent / "fourward-load"
NAME, HOME = f"cloud.{ZONE}", "2001:db8:100::11"
SPACE = "fourward-bench"

# In what the cost is shown, what a client is told to do, and to whom the others are compared.
CASES = {
    "tls-down": ("s/GB", ["bulk", "tls", "d", 1_000_000_000, 1], "haproxy-splice"),
    "tls-up": ("s/GB", ["bulk", "tls", "u", 1_000_000_000, 1], "haproxy-splice"),
    "tls-8-down": ("s/GB", ["bulk", "tls", "d", 1_000_000_000, 8], "haproxy-splice"),
    "raw-down": ("s/GB", ["bulk", "raw", "d", 4_000_000_000, 1], "haproxy-splice"),
    "raw-up": ("s/GB", ["bulk", "raw", "u", 4_000_000_000, 1], "haproxy-splice"),
    "raw-8-down": ("s/GB", ["bulk", "raw", "d", 4_000_000_000, 8], "haproxy-splice"),
    "segments-up": ("s/GB", ["bulk", "raw", "u", 500_000_000, 1], "haproxy-splice"),
    "segments-tls-up": ("s/GB", ["bulk", "tls", "u", 500_000_000, 1], "haproxy-splice"),
    "connect": ("us", ["connect", 20_000, 16], "sniproxy"),
    "connect-1": ("us", ["connect", 5_000, 1], "sniproxy"),
    "ping": ("us", ["ping", 30_000, 64], "nginx-256k"),
    "beside": ("us", ["beside", 40, 4_000_000], "haproxy-splice"),
}


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def within(processors, *command):
    return ["ip", "netns", "exec", SPACE, "taskset", "-c", processors, *map(str, command)]


@contextmanager
def namespace():
    """Where all of them are, for as long as this lasts. The home's address is nobody's there, and yet leads there: no gateway goes to an address of its
    own."""
    try:
        run("ip", "netns", "add", SPACE)
        within_it = ["ip", "netns", "exec", SPACE]
        run(*within_it, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.core.somaxconn=4096", "net.ipv4.tcp_tw_reuse=1",
            "net.ipv6.ip_nonlocal_bind=1")
        run("ip", "-n", SPACE, "link", "set", "lo", "up")
        for address in (f"{GATEWAY4}/32", f"{GATEWAY6}/128"):
            run("ip", "-n", SPACE, "address", "add", address, "dev", "lo")
        run("ip", "-6", "-n", SPACE, "route", "add", "local", f"{HOME}/128", "dev", "lo")
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", SPACE], capture_output=True)


def segments(on):
    """Whether the wire carries what fits 1,500 bytes, one by one, or loopback's large pieces."""
    state = "off" if on else "on"
    run("ip", "netns", "exec", SPACE, "ethtool", "-K", "lo", "tso", state, "gso", state, "gro", state)
    run("ip", "-n", SPACE, "link", "set", "lo", "mtu", 1500 if on else 65536)


class Relay(Server):
    """One that runs in its namespace and its group."""

    def __init__(self, name, port, command, folder, processors):
        self.name, self.port, self.log, self.group = name, port, folder / f"{name}.log", Group(name)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *self.group.enter(*within(processors, *command))], stdout=log, stderr=log)
        self.wait("it listened", self.listens)

    def __exit__(self, *left):
        super().__exit__(*left)
        self.group.remove()

    def listens(self):
        return f":{self.port} " in run("ip", "netns", "exec", SPACE, "ss", "-ltnH")

    def cpu(self):
        return self.group.cpu()

    def pss(self):
        total = 0
        for pid in self.family():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total * 1024


def haproxy(folder, name, port, splicing, threads):
    (folder / f"{name}.cfg").write_text(f"""global
    nbthread {threads}
    maxconn 9300
    maxpipes 300
    tune.pipesize 1048576
defaults
    mode tcp
    timeout client 1h
    timeout server 1h
    timeout connect 5s
    {splicing}
frontend in
    bind {GATEWAY4}:{port}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req_ssl_hello_type 1 }}
    use_backend home if {{ req_ssl_sni -i {NAME} }}
backend home
    server home [{HOME}]:443
""")
    return ["haproxy", "-db", "-f", folder / f"{name}.cfg"]


def nginx(folder, name, port, buffers, threads):
    (folder / f"{name}.conf").write_text(f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes {threads};
pid {folder}/{name}.pid;
error_log stderr error;
events {{ worker_connections 19000; }}
stream {{
    map $ssl_preread_server_name $home {{ {NAME} [{HOME}]:443; }}
    server {{ listen {GATEWAY4}:{port} backlog=4096; ssl_preread on; proxy_pass $home; proxy_timeout 1h; {buffers} }}
}}
""")
    return ["nginx", "-e", "stderr", "-c", folder / f"{name}.conf"]


def sniproxy(folder, name, port):
    (folder / f"{name}.conf").write_text(f"""user root
pidfile {folder}/{name}.pid
listener {GATEWAY4}:{port} {{
    proto tls
    table homes
}}
table homes {{
    {NAME} [{HOME}]:443
}}
""")
    return ["sniproxy", "-f", "-c", folder / f"{name}.conf"]


def fourward(folder):
    config = configure_fourward(folder, more="[gateway]\nlimits = { connections = 20000, half-open = 20000, per-network = 20000 }\n")
    return ["env", "RUST_LOG=error", FOURWARD, "run", "--config", config]


def relays(folder, only, threads):
    """Each that is wanted, at work."""
    processors = "1" if threads == 1 else "0-1"
    floor = lambda port, *how: [LOAD, "floor", f"{GATEWAY4}:{port}", f"[{HOME}]:443", *how]
    makers = {
        "fourward": (443, lambda: fourward(folder)),
        "floor": (4001, lambda: floor(4001, "plain")),
        "floor-lowat": (4002, lambda: floor(4002, "lowat")),
        "haproxy-splice": (4003, lambda: haproxy(folder, "haproxy-splice", 4003, "option splice-request\n    option splice-response", threads)),
        "haproxy-auto": (4004, lambda: haproxy(folder, "haproxy-auto", 4004, "option splice-auto", threads)),
        "nginx": (4005, lambda: nginx(folder, "nginx", 4005, "", threads)),
        "nginx-256k": (4006, lambda: nginx(folder, "nginx-256k", 4006, "proxy_buffer_size 256k;", threads)),
        "sniproxy": (4007, lambda: sniproxy(folder, "sniproxy", 4007)),
        "socat": (4008, lambda: ["socat", f"TCP4-LISTEN:4008,bind={GATEWAY4},fork,reuseaddr,backlog=4096", f"TCP6:[{HOME}]:443"]),
        "6tunnel": (4009, lambda: ["6tunnel", "-d", "-s", GATEWAY6, "4009", HOME, "443"]),
    }
    for name, (port, command) in makers.items():
        if not only or name in only:
            yield Relay(name, port, command(), folder, processors)


def ask(relay, words):
    """What the client that says `words` saw of a relay, or of the home itself."""
    to = f"[{HOME}]:443" if relay is None else f"{GATEWAY4}:{relay.port}"
    asked = subprocess.run(within("0", LOAD, words[0], to, *words[1:]), capture_output=True, text=True)
    if asked.returncode != 0:
        (relay.fail if relay else sys.exit)(f"{words}: {asked.stderr.strip()}")
    return json.loads(asked.stdout)


# So much less do those get in a round that take so much longer.
SLOWER = {"sniproxy": 0.05, "6tunnel": 0.1, "socat": 0.2, "haproxy-auto": 0.3, "nginx": 0.3}


def scaled(words, scale, relay):
    """The words for a round with this relay: fewer bytes, or connections where each is a process or a thread."""
    slower = 1 if relay is None or (words[0] != "bulk" and relay.name in ("sniproxy", "haproxy-auto", "nginx")) else SLOWER.get(relay.name, 1)
    return [max(1, int(word * scale * slower)) if isinstance(word, int) and word > 1000 else word for word in words]


def measure(case, unit, words, baseline, servers, rounds, scale):
    cost, latency = {}, {}
    for turn in range(rounds + 1):
        for relay in random.sample([None, *servers], len(servers) + 1):
            before = relay.cpu() if relay else 0
            saw = ask(relay, scaled(words, scale, relay))
            spent = (relay.cpu() if relay else 0) - before
            if turn == 0:
                continue
            name = relay.name if relay else "direct"
            if relay:
                cost.setdefault(name, []).append(spent / saw["bytes"] if "bytes" in saw else spent / 1e3 / saw["count"])
            latency.setdefault(name, []).append((saw.get("bytes", 0) / 1e9 / saw["seconds"], saw.get("p50"), saw.get("p99")))
    print(f"{case}: CPU {unit}, ratio to {baseline}")
    for name, costs in sorted(cost.items(), key=lambda item: statistics.median(item[1])):
        ratio = statistics.median(own / other for own, other in zip(costs, cost[baseline])) if baseline in cost else float("nan")
        show(name, f"{statistics.median(costs):8.3f} {ratio:6.2f}", latency[name])
    show("direct", " " * 15, latency["direct"])


def show(name, cost, seen):
    rate, p50, p99 = (statistics.median(column) if column[0] is not None else None for column in zip(*seen))
    rest = f"{rate:6.2f} GB/s" if p50 is None else f"p50 {p50:7.1f} us  p99 {p99:8.1f} us"
    print(f"  {name:15} {cost}   {rest}", flush=True)


def settle(relay):
    """Waits until its memory no longer changes, ten seconds at most."""
    last, end = None, time.monotonic() + 10
    while last != (last := relay.pss()) and time.monotonic() < end:
        time.sleep(0.5)


def hold(servers, count):
    """Memory of connections that said hello and nothing more."""
    print(f"idle: bytes of PSS, and of the memory control group, a connection, of {count}")
    for relay in servers:
        before, charged = relay.pss(), relay.group.memory()
        client = subprocess.Popen(within("0", LOAD, "hold", f"{GATEWAY4}:{relay.port}", count), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        held = client.stdout.readline()
        settle(relay)
        each, charged = (relay.pss() - before) / count, (relay.group.memory() - charged) / count
        out, _ = client.communicate("")
        left = json.loads(out)["held"] if held and out else 0
        print(f"  {relay.name:15} {each:8.0f} {charged:8.0f}   open at the end: {left}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=[*CASES, "idle"], choices=[*CASES, "idle"])
    parser.add_argument("--only", nargs="+", help="these relays alone")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1, help="of the bytes and connections of a round")
    parser.add_argument("--idle", type=int, default=9_000)
    parser.add_argument("--threads", type=int, default=1, help="of each relay that can have more")
    wished = parser.parse_args()
    with scratch() as folder, namespace(), ExitStack() as stack:
        far = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *within("0", LOAD, "far", f"[{HOME}]:443")])
        stack.callback(far.kill)
        servers = [stack.enter_context(relay) for relay in relays(folder, wished.only, wished.threads)]
        for relay in servers:
            if relay.name == "fourward":
                add_host(relay, folder, "cloud", "address-from=static", f"address={HOME}")
        for case in wished.cases:
            if case == "idle":
                hold(servers, wished.idle)
                continue
            unit, words, baseline = CASES[case]
            segments(case.startswith("segments"))
            measure(case, unit, words, baseline, servers, wished.rounds, wished.scale)


if __name__ == "__main__":
    main()
