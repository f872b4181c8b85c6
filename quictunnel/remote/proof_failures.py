"""Failed proofs, counted by where they come from. Whether to refuse is decided elsewhere."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from quictunnel.protocol.address import Address

FAILURE_DELAY = 1.0
"""Seconds before a failed proof is answered: guessing costs time, a typing error costs little."""

MAX_SOURCES = 4096
"""Sources that are counted at once: some hundred kB; the one longest quiet is forgotten first."""


class ProofFailures:
    """How many proofs have failed, from where and altogether."""

    def __init__(self) -> None:
        self.total = 0
        self._by_source: OrderedDict[str, int] = OrderedDict()

    def count(self, address: Address) -> int:
        """Count one more failure and return how many came from there."""
        source = _source(address)
        self.total += 1
        failed = self._by_source.pop(source, 0) + 1
        self._by_source[source] = failed
        if len(self._by_source) > MAX_SOURCES:
            self._by_source.popitem(last=False)
        return failed

    def forgive(self, address: Address) -> None:
        """Forget the failures of a source from where a good proof came."""
        self._by_source.pop(_source(address), None)


def _source(address: Address) -> str:
    """A host, or for IPv6 its /64, of which one user has as many addresses as they like."""
    if address.is_ipv6:
        return str(ipaddress.ip_network((address.host, 64), strict=False))
    return address.host
