"""Finds the address of a peer behind HTTP proxies, by their header `X-Forwarded-For`.

Each proxy adds the address from which its connection came to the end of the list. Only what a
trusted proxy has added is believed, so the list is read from its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from quictunnel.config.networks import NetworkSet
from quictunnel.protocol.address import Address

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def forwarded_peer(peer: Address, headers: Sequence[str], proxies: NetworkSet) -> Address:
    """Return the address behind the trusted proxies, the last one that is not a proxy's.

    :param peer: the other end of the connection. If it is no trusted proxy, it is the result.
    :param headers: the values of `X-Forwarded-For`, in their order.
    :param proxies: the trusted proxies.
    :return: with the port of the proxy's connection if the header has none, so that peers of one
        host differ. If the list ends early or is no list of addresses, it is the last address that
        a trusted proxy has vouched for.
    """
    found = peer
    for entry in _from_the_end(headers):
        if ip_address(found.host) not in proxies:
            return found
        address = _parse(entry, peer.port)
        if address is None:
            return found
        found = address
    return found


def _from_the_end(headers: Sequence[str]) -> Iterator[str]:
    for value in reversed(headers):
        yield from reversed(value.split(","))


def _parse(entry: str, default_port: int) -> Address | None:
    """Return the address of an entry, which may have a port; None if it is none (`unknown`)."""
    host, port = entry.strip(), ""
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        return Address(host, int(port) if _PORT.fullmatch(port) else default_port)
    except ValueError:
        return None
