#!/usr/bin/env python3
"""What many hosts cost: importing them, memory a host, and the time until a start answers, unsigned and signed.

    cargo build --release && bench/scale.py [--names 100000 1000000] [--signed]

Wants (Debian): knot-dnsutils, and 3 GB of disk for a million signed hosts. Nothing leaves loopback.
"""

import time

from servers import ZONE, configure_fourward, fourward, import_hosts, scratch, wait_for_control, wishes, write_hosts


def main():
    wished = wishes(__doc__, [100_000, 1_000_000]).parse_args()
    for names in wished.names:
        with scratch() as folder:
            write_hosts(folder / "hosts", names)
            configure_fourward(folder, wished.signed)
            with fourward(folder) as server:
                wait_for_control(server, folder)
                empty, began = server.rss(), time.monotonic()
                import_hosts(server, folder)
                imported, spent = time.monotonic() - began, server.cpu() / 1e9
            began = time.monotonic()
            with fourward(folder) as server:
                server.wait_until_it_answers(f"h{names - 1}.{ZONE}")
                started = time.monotonic() - began
                print(f"{names:,} hosts{', signed' if wished.signed else ''}: imported in {imported:.1f} s ({spent:.1f} s CPU); "
                      f"{(server.rss() - empty) / names:,.0f} bytes a host; a start answers after {started:.1f} s "
                      f"({server.cpu() / 1e9:.1f} s CPU); {(folder / 'state/store.redb').stat().st_size / 1e6:,.0f} MB on disk", flush=True)


if __name__ == "__main__":
    main()
