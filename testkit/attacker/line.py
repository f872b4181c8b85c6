"""The attacker's line: a network device of the remote's host, and a rate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from testkit import namespaces
from testkit.attacker.addresses import OWN, SPOOFED
from testkit.attacker.rate import LineRate

DEVICE = "attack"
"""The name of the device on the remote's host."""

MEGABITS = 10.0
"""The usual rate, in Mbit/s of IP packets."""


class AttackLine:
    """Sends and receives IP packets of the attacker's addresses.

    :param pid: the process that holds the remote's host.
    :param megabits: the rate in Mbit/s.
    :param now: the time, in seconds.
    """

    def __init__(self, pid: int, megabits: float, now: float) -> None:
        self.tun = namespaces.open_tun(DEVICE, pid)
        subprocess.run(
            ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip", "-batch", "-"],
            input=f"link set dev {DEVICE} addrgenmode none\n"
            f"link set dev {DEVICE} txqueuelen 10000 up\n"
            f"route add {OWN} dev {DEVICE}\n"
            f"route add {SPOOFED} dev {DEVICE}\n",
            text=True,
            check=True,
        )
        self.packets = 0
        self.bytes = 0
        self.rate = LineRate(megabits, now)
        """Says when the next packet may be sent."""

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        self.rate.spend(len(packet))
        self.packets += 1
        self.bytes += len(packet)
        os.write(self.tun, packet)

    def received(self) -> Iterator[bytes]:
        """Yield some of the packets that have come."""
        return namespaces.packets(self.tun)
