"""A network of several hosts, as a program of its own: it forwards IPv4 packets by destination.

    python -m testkit.switch DELAY NETWORK=PID NETWORK=PID...

Each host is held by a process and has a network of 256 addresses, which is written as its first
three bytes: `192.0.2=4711`. Its device is called `net`. Packets take `DELAY` seconds. The program
ends with its standard input.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections import deque

from testkit.namespaces import open_tun, packets, write

DEVICE = "net"
"""The name of the device on each host."""

MOST_WAITING = 10_000
"""Packets in flight above which new ones are dropped."""


def main(delay: str, *hosts: str) -> None:
    """Forward until standard input ends, with real-time priority if it is granted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: the caller ends this program
    tuns: dict[bytes, int] = {}
    for host in hosts:
        network, _, pid = host.partition("=")
        tuns[bytes(map(int, network.split(".")))] = open_tun(DEVICE, int(pid))
    with contextlib.suppress(PermissionError):  # in a container
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print("ready", flush=True)
    forward(tuns, float(delay))


def forward(tuns: dict[bytes, int], delay: float) -> None:
    """Forward packets between these devices, which are given by the hosts' networks."""
    poll = select.poll()
    for descriptor in (0, *tuns.values()):
        poll.register(descriptor, select.POLLIN)
    in_flight: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait = None if not in_flight else max(in_flight[0][0] - time.monotonic(), 0) * 1000
        for descriptor, _ in poll.poll(wait):
            if descriptor == 0:
                return
            for packet in packets(descriptor):
                out = tuns.get(packet[16:19]) if packet[0] >> 4 == 4 else None
                if out is not None and len(in_flight) < MOST_WAITING:
                    in_flight.append((time.monotonic() + delay, out, packet))
        now = time.monotonic()
        while in_flight and in_flight[0][0] <= now:
            _, out, packet = in_flight.popleft()
            write(out, packet)


if __name__ == "__main__":
    main(*sys.argv[1:])
