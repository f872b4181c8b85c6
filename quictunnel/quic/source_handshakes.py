"""Limits the handshakes of each source, or of each site, that do not lead to a proof."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from quictunnel.quic.limits import SOURCE_HANDSHAKE_BURST, SOURCE_HANDSHAKES_PER_SECOND

if TYPE_CHECKING:
    from quictunnel.protocol.source import Source

MAX_SOURCES = 4096
"""Sources that are remembered, some 500 kB. With the limit on all handshakes, the bucket of a
source is full again long before the source is dropped from the table. The table of
sites remembers a flood from more sources of one site."""


class _Usage(NamedTuple):
    spent: float
    """Tokens missing in the source's bucket at the time `at`."""
    at: float


class SourceHandshakes:
    """A token bucket for each source whose address is validated, or for each site.

    Buckets start full. `factor` multiplies rate and burst: of a source that has proven itself, or
    of a site.
    """

    def __init__(self) -> None:
        self._usage: OrderedDict[Source, _Usage] = OrderedDict()  # the latest handshake last

    def tokens(self, source: Source, now: float, *, factor: float = 1.0) -> float:
        """Return how many handshakes a source may start now."""
        return SOURCE_HANDSHAKE_BURST * factor - self._spent(source, now, factor)

    def latest(self, source: Source) -> float:
        """Return when the source's latest handshake started; negative infinity if it had none."""
        usage = self._usage.get(source)
        return float("-inf") if usage is None else usage.at

    def start(self, source: Source, now: float, *, factor: float = 1.0) -> None:
        """Count a handshake."""
        most = SOURCE_HANDSHAKE_BURST * factor
        spent = min(most, self._spent(source, now, factor) + 1.0)
        self._usage[source] = _Usage(spent, now)
        self._usage.move_to_end(source)
        if len(self._usage) > MAX_SOURCES:
            self._usage.popitem(last=False)

    def forgive(self, source: Source) -> None:
        """Stop counting a handshake, because it has led to a proof."""
        usage = self._usage.get(source)
        if usage is not None:
            self._usage[source] = usage._replace(spent=max(0.0, usage.spent - 1.0))

    def _spent(self, source: Source, now: float, factor: float) -> float:
        usage = self._usage.get(source)
        if usage is None:
            return 0.0
        refilled = (now - usage.at) * SOURCE_HANDSHAKES_PER_SECOND * factor
        return max(0.0, usage.spent - refilled)
