"""The addresses that engines see for paths other than UDP.

An engine identifies a path by an IP address and a port. A path that something else carries gets an
address of the network 100::/64, which is never routed (RFC 6666).
"""

from __future__ import annotations

import ipaddress

NETWORK = ipaddress.IPv6Network("100::/64")

PORT = 443
"""The port of all these addresses. It means nothing."""

DIALED_HOST = "100:0:0:1::1"
"""The address that a connection dials which starts on such a path: its peer has no address that it
could use. It is in another network that is never routed (RFC 9780), so that it is no path's."""

MAX_NUMBER = 2**64 - 1


def address_of(number: int) -> tuple[str, int]:
    """Return the address of the path with this number, which is from 1 to `MAX_NUMBER`."""
    return str(NETWORK[number]), PORT


def is_carried(host: str) -> bool:
    """Return whether an IP address is one of a path other than UDP."""
    return host.startswith("100::") and ipaddress.IPv6Address(host) in NETWORK
