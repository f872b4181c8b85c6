"""`python -m testkit.attacker`: attacks until SIGTERM, then reports what it has sent."""

from __future__ import annotations

import gc
import ipaddress
import json
import logging
import os
import select
import signal
import sys
import time

from testkit.attacker.attacks import ATTACKS, Attack, Scene
from testkit.attacker.line import AttackLine
from testkit.attacker.packets import UdpAddress, read_udp

NICENESS = 5
"""On a real network, the attacker has processors of its own."""

WAIT = 0.001
"""Seconds to wait for packets when nothing can be sent."""


def main(name: str, pid: str, remote: str, origin: str, megabits: str) -> None:
    """Attack the remote at `remote`, an IPv4 address and a port."""
    host, _, port = remote.rpartition(":")
    target = UdpAddress(ipaddress.ip_address(host).packed, int(port))
    logging.disable()  # aioquic would report each link that the remote closes
    os.nice(NICENESS)
    attack = ATTACKS[name](Scene(target, ipaddress.ip_address(origin).packed))
    line = AttackLine(int(pid), float(megabits), time.monotonic())
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    gc.collect()
    gc.freeze()
    print("ready: attacking", flush=True)
    start = time.monotonic()
    run(attack, line, stopping)
    seconds = time.monotonic() - start
    report = {"seconds": seconds, "packets": line.packets, "bytes": line.bytes}
    print(json.dumps(report | {"counts": attack.counts}), flush=True)


def run(attack: Attack, line: AttackLine, stopping: list[int]) -> None:
    """Send and receive until a signal comes."""
    poll = select.poll()
    poll.register(line.tun, select.POLLIN)
    while not stopping:
        now = time.monotonic()
        for packet in line.received():
            if (datagram := read_udp(packet)) is not None:
                attack.receive(datagram, now)
        line.rate.refill(time.monotonic())
        while line.rate.may_send:
            next_packet = attack.next_packet(time.monotonic())
            if next_packet is None:
                break
            line.send(next_packet)
        poll.poll(WAIT * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
