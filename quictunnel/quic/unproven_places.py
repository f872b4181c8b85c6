"""Decides which peers without proof get a place in a table, and which ones lose theirs.

The table is for links of a listener, or for connections that carry links. Places are limited for
each source, for each site and in total. Part of them is reserved for sources with a recent proof.
"""

from __future__ import annotations

from typing import Generic

from quictunnel.events import DropKind
from quictunnel.protocol.source import Source
from quictunnel.quic.drop_reason import DropReason
from quictunnel.quic.limits import (
    HANDSHAKE_PATIENCE,
    PROVEN_SOURCE_FACTOR,
    RESERVED_SHARE,
    SITE_FACTOR,
    SOURCE_UNPROVEN_LINKS,
)
from quictunnel.quic.proven_sources import ProvenSources
from quictunnel.quic.unproven_links import Group, LinkT, UnprovenLinks

NO_PLACE = DropReason(DropKind.UNPROVEN_LINKS, "too many links without a proof")
NO_PLACE_FOR_SOURCE = DropReason(
    DropKind.UNPROVEN_LINKS, "too many links of this source without a proof"
)
NO_PLACE_FOR_SITE = DropReason(
    DropKind.UNPROVEN_LINKS, "too many links of its network of 48 bits without a proof"
)


class UnprovenPlaces(Generic[LinkT]):
    """The limits on the places of one table.

    :param links: the table. The caller adds links to it, and removes them.
    :param proven: the sources with a recent proof.
    :param most: places in total.
    """

    def __init__(self, links: UnprovenLinks[LinkT], proven: ProvenSources, most: int) -> None:
        self._links = links
        self._proven = proven
        self._most = most
        self.unreserved = most - int(most * RESERVED_SHARE)
        """Places for sources without a recent proof."""

    def is_proven(self, group: Group, now: float) -> bool:
        """Return whether a group is a source with a recent proof."""
        return group is not None and self._proven.has(group, now)

    def factor(self, source: Source, now: float) -> float:
        """Return the factor by which a source exceeds the limits on one source."""
        return PROVEN_SOURCE_FACTOR if self._proven.has(source, now) else 1.0

    def obstacle(self, group: Group, busiest: LinkT | None, now: float) -> DropReason | None:
        """Return why a new peer of a group gets no place; None if it gets one.

        :param busiest: what `busiest` returns.
        """
        if not self._needs_exchange(group, now):
            return None
        if self.displaced_by(group, busiest, now) is not None:
            return None
        if self._is_source_full(group, now):
            return NO_PLACE_FOR_SOURCE
        return NO_PLACE_FOR_SITE if self._is_site_full(group, now) else NO_PLACE

    def displaced_by(self, group: Group, busiest: LinkT | None, now: float) -> LinkT | None:
        """Return the link that loses its place to a new peer of a group; None if none does.

        :param busiest: what `busiest` returns.
        """
        if group is None or not self._needs_exchange(group, now):
            return None
        if self._is_source_full(group, now):
            oldest = self._links.oldest(group)
            return oldest if self._is_stale(oldest, now) else None
        if self._is_site_full(group, now):
            oldest = self._links.oldest_of_site(group)
            return oldest if self._is_stale(oldest, now) else None
        if busiest is None or self._is_stale(busiest, now):
            return busiest
        losing = self._links.group(busiest)
        is_busier = self._counts(losing) > self._counts(group)
        may_displace = self.is_proven(group, now) or not self.is_proven(losing, now)
        return busiest if is_busier and may_displace else None

    def busiest(self, now: float) -> LinkT | None:
        """Return the oldest link of the busiest source at the busiest site; None if there is room.

        Unknown sources are preferred. Among sources with equally many links, it is the one whose
        link is oldest.
        """

        def key(group: Group) -> tuple[bool, tuple[int, int], float]:
            opened_at = self._links.opened_at(self._links.oldest(group))
            return not self.is_proven(group, now), self._counts(group), -opened_at

        if len(self._links) < self.unreserved:
            return None
        return self._links.oldest(max(self._links.groups, key=key))

    def _needs_exchange(self, group: Group, now: float) -> bool:
        """Return whether a new peer of a group gets a place only in exchange for another link."""
        places = self._most if self.is_proven(group, now) else self.unreserved
        is_full = self._is_source_full(group, now) or self._is_site_full(group, now)
        return len(self._links) >= places or is_full

    def _is_source_full(self, group: Group, now: float) -> bool:
        if group is None:
            return False
        return self._links.count(group) >= SOURCE_UNPROVEN_LINKS * self.factor(group, now)

    def _is_site_full(self, group: Group, now: float) -> bool:
        if group is None or self.is_proven(group, now):
            return False
        return self._links.count_site(group) >= SOURCE_UNPROVEN_LINKS * SITE_FACTOR

    def _counts(self, group: Group) -> tuple[int, int]:
        """Return the numbers of links of a group's site and of the group."""
        return self._links.count_site(group), self._links.count(group)

    def _is_stale(self, link: LinkT, now: float) -> bool:
        return now - self._links.opened_at(link) >= HANDSHAKE_PATIENCE
