"""The attacker's line: a network device of the remote's host, and a rate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from testkit import namespaces

DEVICE = "attack"
"""The name of the device on the remote's host."""

RATE = 10_000_000
"""Bits per second of IP packets."""

BURST = 0.05
"""Seconds of the rate that may be sent at once, after the attacker was suspended."""


class AttackLine:
    """Sends and receives IP packets. All addresses without another route lead to it.

    :param pid: the process that holds the remote's host.
    :param now: the time, in seconds.
    """

    def __init__(self, pid: int, now: float) -> None:
        self.tun = namespaces.open_tun(DEVICE, pid)
        subprocess.run(
            ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip", "-batch", "-"],
            input=f"link set dev {DEVICE} addrgenmode none\n"
            f"link set dev {DEVICE} txqueuelen 10000 up\n"
            f"route add default dev {DEVICE}\n",
            text=True,
            check=True,
        )
        self.packets = 0
        self.bytes = 0
        self._credit = 0.0
        self._at = now

    def refill(self, now: float) -> None:
        """Add the credit of the time since the last call."""
        most = RATE / 8 * BURST
        self._credit = min(self._credit + (now - self._at) * RATE / 8, most)
        self._at = now

    @property
    def may_send(self) -> bool:
        """Whether the rate allows another packet."""
        return self._credit > 0

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        self._credit -= len(packet)
        self.packets += 1
        self.bytes += len(packet)
        os.write(self.tun, packet)

    def received(self) -> Iterator[bytes]:
        """Yield some of the packets that have come."""
        return namespaces.packets(self.tun)
