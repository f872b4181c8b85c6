"""`python -m bench.soak.hostile`: hostile peers of a remote on this machine, until SIGTERM.

They attack it in one way after another (`testkit.attacker`), at a low rate, because this is a test
of what the remote keeps, not of what it can take.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from testkit.attacker.addresses import own
from testkit.attacker.attacks import ATTACKS, Scene
from testkit.attacker.loopback import LoopbackLine
from testkit.attacker.packets import UdpAddress
from testkit.programs import PYTHON, Program

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.attacker.attacks import Attack

LOOPBACK = b"\x7f\0\0\1"

MEGABITS = 0.5
"""The rate in Mbit/s of IP packets."""

SPELL = 10.0
"""The mean length of an attack in seconds."""

WAIT = 0.02
"""Seconds to wait for packets."""

NICENESS = 10

NEED_OTHER_LINES = ("half-open-spoofed", "icmp-strangers", "icmp-guessed")
"""Attacks that loopback cannot carry: forged addresses and ICMP."""

NAMES = [name for name in ATTACKS if name not in NEED_OTHER_LINES]


class HostilePeers:
    """The hostile peers as a program. Use `with`.

    :param remote: the remote's UDP port on loopback.
    :param scratch: a folder for its output.
    """

    def __init__(self, remote: int, seed: int, scratch: Path) -> None:
        command = [PYTHON, "-m", "bench.soak.hostile", remote, seed]
        self.program = Program("hostile", command, scratch)

    def __enter__(self) -> HostilePeers:
        self.program.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def done(self) -> dict[str, int]:
        """Return what they have done, by name, once the program has ended."""
        lines = self.program.stdout.splitlines()
        return dict(json.loads(lines[-1])) if len(lines) > 1 else {}


def main(port: str, seed: str) -> None:
    """Attack until SIGTERM, then print what was done, as JSON."""
    logging.disable()  # aioquic would report each link that the remote closes
    os.nice(NICENESS)
    remote = UdpAddress(LOOPBACK, int(port))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    dice = random.Random(f"hostile {seed}")
    line = LoopbackLine(remote, MEGABITS, time.monotonic())
    done: Counter[str] = Counter()
    print("ready: attacking", flush=True)
    # Each way once in random order, and then again.
    for name in itertools.chain.from_iterable(dice.sample(NAMES, len(NAMES)) for _ in iter(int, 1)):
        attack = ATTACKS[name](Scene(remote, own(0)))
        done["attacks"] += 1
        run(attack, line, time.monotonic() + dice.expovariate(1 / SPELL), stopping)
        done.update(attack.counts)
        if stopping:
            break
    line.close()
    done["packets"] = line.packets
    print(json.dumps(done), flush=True)


def run(attack: Attack, line: LoopbackLine, ends: float, stopping: list[int]) -> None:
    """Send and receive until a time or a signal comes."""
    while not stopping and (now := time.monotonic()) < ends:
        for datagram in line.received(WAIT):
            attack.receive(datagram, now)
        line.rate.refill(time.monotonic())
        while line.rate.may_send:
            packet = attack.next_packet(time.monotonic())
            if packet is None:
                break
            line.send(packet)


if __name__ == "__main__":
    main(*sys.argv[1:])
