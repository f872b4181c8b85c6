"""The source of a peer: what limits per address count."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from quictunnel.protocol.address import Address

IPV6_SOURCE_BYTES = 8
"""Bytes of an IPv6 address that identify a peer's network. A peer chooses the others."""

Source: TypeAlias = str | bytes
"""An IPv4 address as text, the network of an IPv6 address as bytes, or empty for all clients
without an address."""


def source_of(address: Address | None) -> Source:
    """Return the source of a peer. None is the address of a client without one."""
    if address is None:
        return ""
    return address.packed[:IPV6_SOURCE_BYTES] if address.is_ipv6 else address.host


def format_source(source: Source) -> str:
    """Return a source that is not empty as `192.0.2.7` or `2001:db8::/64`."""
    if isinstance(source, str):
        return source
    network = source.ljust(16, b"\0")
    return f"{ipaddress.IPv6Address(network)}/{IPV6_SOURCE_BYTES * 8}"
