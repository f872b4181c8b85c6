"""The source of a peer, which limits per address count, and the site of a source."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from quictunnel.protocol.address import Address

IPV6_SOURCE_BYTES = 8
"""Bytes of an IPv6 address that identify a peer's network. A peer chooses the others."""

IPV6_SITE_BYTES = 6
"""Bytes of an IPv6 address that identify a site. A site has 65,536 networks, and providers give a
whole one to a customer (RFC 6177)."""

Source: TypeAlias = str | bytes
"""An IPv4 address as text, the network of an IPv6 address as bytes, or empty for all clients
without an address."""

Site: TypeAlias = str | bytes
"""The first 48 bits of an IPv6 source, or any other source itself."""


def source_of(address: Address | None) -> Source:
    """Return the source of a peer. None is the address of a client without one."""
    if address is None:
        return ""
    return address.packed[:IPV6_SOURCE_BYTES] if address.is_ipv6 else address.host


def site_of(source: Source) -> Site:
    """Return the site of a source.

    An IPv4 address is a site of its own. Neighbours there are often customers of one provider that
    have nothing to do with each other, and one attacker rarely has many addresses.
    """
    return source if isinstance(source, str) else source[:IPV6_SITE_BYTES]


def format_source(source: Source) -> str:
    """Return a source that is not empty as `192.0.2.7` or `2001:db8::/64`."""
    if isinstance(source, str):
        return source
    network = source.ljust(16, b"\0")
    return f"{ipaddress.IPv6Address(network)}/{IPV6_SOURCE_BYTES * 8}"
