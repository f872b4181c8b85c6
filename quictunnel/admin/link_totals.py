"""Sums the counters of links by origin, so that the sums never fall when a link ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from quictunnel.snapshots import LinkSnapshot


@dataclass(slots=True)
class LinkCounters:
    """Counters of links. Each field is one of `LinkSnapshot`."""

    bytes_sent: int = 0
    """Bytes of datagrams sent."""
    bytes_received: int = 0
    """Bytes of datagrams received."""
    packets_sent: int = 0
    """QUIC packets sent."""
    packets_lost: int = 0
    """QUIC packets declared lost."""
    bytes_lost: int = 0
    """Bytes in those packets."""

    @classmethod
    def of(cls, link: LinkSnapshot) -> Self:
        """Return the counters of one link."""
        return cls(**{field.name: getattr(link, field.name) for field in fields(cls)})

    def add(self, after: LinkCounters, before: LinkCounters) -> None:
        """Add what has happened between two looks at a link."""
        for field in fields(self):
            grown = getattr(after, field.name) - getattr(before, field.name)
            setattr(self, field.name, getattr(self, field.name) + grown)


_NONE = LinkCounters()


class LinkTotals:
    """The sums of the counters of all links of each origin, of those that have ended too.

    A link may have counted more between the last look at it and its end. That is not included.
    """

    def __init__(self) -> None:
        self.by_origin: dict[str, LinkCounters] = {}
        """The sums, by the label of the origin."""
        self._last: dict[str, LinkCounters] = {}  # by the links' ids

    def update(self, links: Iterable[tuple[str, LinkSnapshot]]) -> None:
        """Look at the links.

        :param links: all links, each with the label of its origin.
        """
        last, self._last = self._last, {}
        for origin, link in links:
            counters = self._last[link.id] = LinkCounters.of(link)
            total = self.by_origin.setdefault(origin, LinkCounters())
            total.add(counters, last.get(link.id, _NONE))
