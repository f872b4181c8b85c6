"""Counts failed proofs by source address."""

from __future__ import annotations

from collections import OrderedDict

from quictunnel.protocol.address import Address
from quictunnel.protocol.source import Source, source_of

MAX_SOURCES = 4096
"""Sources counted at a time, which take some hundred kB. The one idle for longest is dropped."""


class ProofFailures:
    """Counts failed proofs, by source and in total."""

    def __init__(self) -> None:
        self.total = 0
        self._by_source: OrderedDict[Source, int] = OrderedDict()

    def record(self, address: Address) -> int:
        """Count one failure, and return the number of failures from its source."""
        source = source_of(address)
        self.total += 1
        failures = self._by_source.pop(source, 0) + 1
        self._by_source[source] = failures
        if len(self._by_source) > MAX_SOURCES:
            self._by_source.popitem(last=False)
        return failures

    def clear(self, address: Address) -> None:
        """Reset the count of a source after a good proof."""
        self._by_source.pop(source_of(address), None)
