#!/usr/bin/env python3
"""What many hosts cost: importing them, memory a host, and the time until a start answers, unsigned and signed.

    cargo build --release && bench/scale.py [--names 100000 1000000] [--signed]

Wants (Debian): knot-dnsutils, and 3 GB of disk for a million signed hosts. Nothing leaves loopback.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dns import FOURWARD, GATEWAY4, GATEWAY6, ZONE, Server, write_hosts


def start(folder, ready):
    return Server("fourward", 5303, [FOURWARD, "run", "--config", folder / "fourward.toml"], folder, ready)


def main():
    wishes = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    wishes.add_argument("--names", type=int, nargs="+", default=[100_000, 1_000_000])
    wishes.add_argument("--signed", action="store_true")
    wishes = wishes.parse_args()
    if not FOURWARD.exists():
        sys.exit(f"{FOURWARD} is not there: cargo build --release")
    for names in wishes.names:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write_hosts(folder / "hosts", names)
            (folder / "state").mkdir(mode=0o700)
            (folder / "fourward.toml").write_text(f"""state = "{folder}/state"
[public]
ipv4 = ["{GATEWAY4}"]
ipv6 = ["{GATEWAY6}"]
name = "gw.{ZONE}"
[dns]
zones = ["{ZONE}"]
listen = ["127.0.0.1:5303"]
dnssec = {str(wishes.signed).lower()}
""")
            socket = folder / "state/control.sock"

            def is_up(server):
                while not socket.exists():
                    time.sleep(0.05)

            server = start(folder, is_up)
            empty, began = server.rss(), time.monotonic()
            subprocess.run([FOURWARD, "host", "import", folder / "hosts", "--config", folder / "fourward.toml"], check=True, capture_output=True)
            imported, spent = time.monotonic() - began, server.cpu() / 1e9
            server.stop()
            began = time.monotonic()
            server = start(folder, lambda it: it.wait_until_it_answers(f"h{names - 1}.{ZONE}", 600))
            started = time.monotonic() - began
            print(f"{names:,} hosts{', signed' if wishes.signed else ''}: imported in {imported:.1f} s ({spent:.1f} s CPU); "
                  f"{(server.rss() - empty) / names:,.0f} bytes a host; a start answers after {started:.1f} s "
                  f"({server.cpu() / 1e9:.1f} s CPU); {(folder / 'state/store.redb').stat().st_size / 1e6:,.0f} MB on disk", flush=True)
            server.stop()


if __name__ == "__main__":
    main()
