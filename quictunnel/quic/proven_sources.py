"""Remembers the sources of links that have proven themselves, so that they get in during floods."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from quictunnel.quic.limits import PROVEN_SOURCE_LIFETIME, PROVEN_SOURCES

if TYPE_CHECKING:
    from quictunnel.protocol.source import Source


class ProvenSources:
    """The sources that have a proven link, and those that had one recently.

    Only a proof adds a source, so a peer without a token cannot fill the table.
    """

    def __init__(self) -> None:
        self._linked: Counter[Source] = Counter()
        self._left_at: OrderedDict[Source, float] = OrderedDict()  # the newest last

    def has(self, source: Source, now: float) -> bool:
        """Return whether a source has proven itself recently."""
        if source in self._linked:
            return True
        left_at = self._left_at.get(source)
        return left_at is not None and now - left_at <= PROVEN_SOURCE_LIFETIME

    def link_proven(self, source: Source) -> None:
        """Count a link of this source that has proven itself. Call `link_ended` later."""
        self._linked[source] += 1

    def link_ended(self, source: Source, last_source: Source, now: float) -> None:
        """Count a proven link as ended.

        :param source: as in `link_proven`.
        :param last_source: where the peer was last. It differs if the link has moved.
        """
        self._linked[source] -= 1
        if not self._linked[source]:
            del self._linked[source]
        for left in {source: None, last_source: None}:
            self._left_at[left] = now
            self._left_at.move_to_end(left)
        while len(self._left_at) > PROVEN_SOURCES:
            self._left_at.popitem(last=False)
