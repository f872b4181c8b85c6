"""Limits handshakes that do not lead to a proof: of each source, of each site and in total."""

from __future__ import annotations

from quictunnel.events import DropKind
from quictunnel.protocol.source import Source, site_of
from quictunnel.quic.drop_reason import DropReason
from quictunnel.quic.limits import (
    HANDSHAKE_BURST,
    HANDSHAKES_PER_SECOND,
    PROVEN_SOURCE_FACTOR,
    RESERVED_SHARE,
    SITE_FACTOR,
)
from quictunnel.quic.proven_sources import ProvenSources
from quictunnel.quic.rate_budget import RateBudget
from quictunnel.quic.source_handshakes import SourceHandshakes
from quictunnel.quic.unproven_links import Group
from quictunnel.quic.waiting_peers import Latest

TOO_MANY_HANDSHAKES = DropReason(DropKind.HANDSHAKES, "too many handshakes of all peers")
TOO_MANY_OF_SOURCE = DropReason(DropKind.HANDSHAKES, "too many handshakes of this source")
TOO_MANY_OF_SITE = DropReason(DropKind.HANDSHAKES, "too many handshakes of its network of 48 bits")


class HandshakeLimits:
    """The limits on the handshakes of one listener.

    :param proven: the sources with a recent proof. They have larger limits and a reserve.
    """

    def __init__(self, proven: ProvenSources, now: float) -> None:
        self._proven = proven
        self._total = RateBudget(rate=HANDSHAKES_PER_SECOND, burst=HANDSHAKE_BURST, now=now)
        self._by_source = SourceHandshakes()
        self._by_site = SourceHandshakes()

    def level(self, now: float) -> float:
        """Return how many handshakes may start now, those in the reserve included."""
        return self._total.level(now)

    def obstacle(self, group: Group, now: float) -> DropReason | None:
        """Return why a peer of a group may not start a handshake now; None if it may."""
        is_proven = group is not None and self._proven.has(group, now)
        reserved = 0.0 if is_proven else HANDSHAKE_BURST * RESERVED_SHARE
        if self._total.level(now) < 1 + reserved:
            return TOO_MANY_HANDSHAKES
        if group is None:
            return None
        if self._by_source.tokens(group, now, factor=self._factor(group, now)) < 1:
            return TOO_MANY_OF_SOURCE
        return TOO_MANY_OF_SITE if not is_proven and self._is_site_spent(group, now) else None

    def is_spent(self, source: Source, now: float) -> bool:
        """Return whether an unknown source, or its site, may start no handshake now."""
        return self._by_source.tokens(source, now) < 1 or self._is_site_spent(source, now)

    def latest(self, group: Group) -> Latest:
        """Return when the latest handshakes of a group's site and of the group started."""
        if group is None:
            return float("-inf"), float("-inf")
        return self._by_site.latest(site_of(group)), self._by_source.latest(group)

    def start(self, group: Group, now: float) -> None:
        """Count a handshake that starts."""
        self._total.take(now)
        if group is not None:
            self.charge(group, now)

    def charge(self, source: Source, now: float) -> None:
        """Count a handshake that has started for a source, because its address is validated now."""
        self._by_source.start(source, now, factor=self._factor(source, now))
        self._by_site.start(site_of(source), now, factor=SITE_FACTOR)

    def forgive(self, source: Source) -> None:
        """Stop counting a handshake of a source, because it has led to a proof."""
        self._total.put_back()
        self._by_source.forgive(source)
        self._by_site.forgive(site_of(source))

    def _factor(self, source: Source, now: float) -> float:
        return PROVEN_SOURCE_FACTOR if self._proven.has(source, now) else 1.0

    def _is_site_spent(self, source: Source, now: float) -> bool:
        return self._by_site.tokens(site_of(source), now, factor=SITE_FACTOR) < 1
