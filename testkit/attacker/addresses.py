"""The addresses of an attack. All are for documentation, benchmarks or carriers' own use."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator

from testkit.attacker.packets import UdpAddress

OWN = ipaddress.ip_network("198.18.0.0/16")
"""The attacker's addresses."""

SPOOFED = ipaddress.ip_network("100.64.0.0/10")
"""Addresses of others, which the attacker pretends to have."""

FIRST_PORT, LAST_PORT = 1024, 65_000


def own(number: int) -> bytes:
    """Return an address of the attacker."""
    return OWN[number + 1].packed


def is_own(address: bytes) -> bool:
    """Return whether an address is the attacker's."""
    return ipaddress.ip_address(address) in OWN


def spoofed() -> bytes:
    """Return a random address that is not the attacker's."""
    return SPOOFED[random.randrange(SPOOFED.num_addresses)].packed


def endpoints(addresses: int) -> Iterator[UdpAddress]:
    """Yield addresses and ports of the attacker, all different for as long as possible."""
    while True:
        for port in range(FIRST_PORT, LAST_PORT):
            for number in range(addresses):
                yield UdpAddress(own(number), port)


def spoofed_endpoints() -> Iterator[UdpAddress]:
    """Yield random addresses and ports that are not the attacker's."""
    while True:
        yield UdpAddress(spoofed(), random.randrange(FIRST_PORT, LAST_PORT))
