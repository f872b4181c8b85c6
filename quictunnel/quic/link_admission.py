"""Decides which new peers a listener accepts as links, and when.

A handshake costs milliseconds of CPU time, and a link without proof costs memory and a place. Both
are limited for each source and in total. The limits are to stop floods without stopping an origin:

- **A source is charged only for peers with a validated address.** A forged Initial packet costs its
  sender nothing, so it must not cost the owner of the address anything. Peers whose address is not
  validated are one group with few places, whatever addresses they claim. When that group, or a
  source, has used its part, a new peer is answered with a Retry and not ignored. An origin answers
  it; an attacker with forged addresses never sees it. The address is also validated once the
  handshake is complete, and the link then counts for its source.
- **A peer without a place waits** for 2 s. The peer whose source has had no handshake for longest
  comes first, so a flood from few sources delays a new source by one handshake. A peer that waits
  in vain is ignored, and its retransmissions start over.
- **Handshakes that lead to a proof do not count.** A whole rack of origins behind one NAT may
  connect at once. They only take turns.
- **A link without proof keeps its place only while no other peer needs it.** If the table is full,
  the busiest source loses its oldest link, so that a new source always gets in. If each source has
  as few links, or if the source itself is full, the oldest link must be 2 s old.
- **The sources of one site count together**, with limits a few times as large. A site is an IPv6
  network of 48 bits, because one customer gets 65,536 sources there. Each comparison above looks
  at the site first, and only then at the source.
- **Sources with a recent proof** have larger limits and a reserve that no other source can use.
  They need a validated address for that. The limits stay finite, because an attacker may share the
  address: behind one NAT, it competes with the origin for their common limits, and affects no other
  source outside their site. One of its sockets has one peer in the queue. The limits of its site
  do not apply to a source with a recent proof, so no neighbour keeps it out.

The engines limit the datagrams of one link: see `UNPROVEN_DATAGRAMS` in `limits`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Generic, NamedTuple

from quictunnel.events import DropKind
from quictunnel.protocol.address import Address
from quictunnel.protocol.source import Source, source_of
from quictunnel.quic.drop_reason import DropReason
from quictunnel.quic.handshake_limits import HandshakeLimits
from quictunnel.quic.limits import (
    HANDSHAKE_BURST,
    RESERVED_SHARE,
    RETRIES_PER_SECOND,
    SOURCE_UNPROVEN_LINKS,
)
from quictunnel.quic.proven_sources import ProvenSources
from quictunnel.quic.rate_budget import RateBudget
from quictunnel.quic.unproven_links import Group, LinkT, UnprovenLinks, group_of
from quictunnel.quic.unproven_places import NO_PLACE, UnprovenPlaces
from quictunnel.quic.waiting_peers import Latest, WaitingPeer, WaitingPeers

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.engine import IncomingConnection
    from quictunnel.quic.settings import LinkSettings

NO_RETRY = DropReason(DropKind.RETRIES, "too many new peers to validate their addresses")
QUEUE_FULL = DropReason(DropKind.QUEUE, "too many new peers wait")

_UNVALIDATED_LEVEL = HANDSHAKE_BURST / 2
"""Tokens below which only peers with a validated address start a handshake."""


def address_of(incoming: IncomingConnection) -> Address:
    """Return the address of a new peer about which nothing has been decided yet."""
    assert incoming.path is not None
    return Address.of(incoming.path)


class Verdict(enum.Enum):
    """The decision about a new peer."""

    WAIT = enum.auto()
    """`LinkAdmission.next_opening` returns it when its turn has come."""
    RETRY = enum.auto()
    """Answer with a Retry."""
    IGNORE = enum.auto()
    """Drop its datagrams."""


class Opening(NamedTuple, Generic[LinkT]):
    """A new peer whose turn has come."""

    peer: WaitingPeer
    displaced: LinkT | None
    """The link that loses its place to the peer."""


class LinkAdmission(Generic[LinkT]):
    """The limits on the new peers of one listener.

    :param now: the clock, in seconds.
    :param report: takes the source of a peer that was dropped, and why. Called for each of them.
    :param ignore: drops a peer that has waited in vain.
    :param address_of: returns the real address of a new peer.
    """

    def __init__(
        self,
        settings: LinkSettings,
        now: Callable[[], float],
        *,
        report: Callable[[Source, DropReason], None],
        ignore: Callable[[IncomingConnection], None],
        address_of: Callable[[IncomingConnection], Address] = address_of,
    ) -> None:
        self._now = now
        self._report = report
        self._ignore = ignore
        self._address_of = address_of
        self._retry_above = settings.retry_above
        self._links: UnprovenLinks[LinkT] = UnprovenLinks()
        self._waiting = WaitingPeers()
        self.proven_sources = ProvenSources()
        """The sources with a recent proof."""
        self._places = UnprovenPlaces(self._links, self.proven_sources, settings.max_unproven)
        self._proven_links: dict[LinkT, Source] = {}
        started_at = now()
        self._handshakes = HandshakeLimits(self.proven_sources, started_at)
        self._retries = RateBudget(
            rate=RETRIES_PER_SECOND, burst=RETRIES_PER_SECOND, now=started_at
        )

    @property
    def unproven(self) -> int:
        """The number of links without proof."""
        return len(self._links)

    @property
    def has_waiting(self) -> bool:
        """Whether a peer waits."""
        return len(self._waiting) > 0

    # New peers

    def judge(self, incoming: IncomingConnection) -> Verdict:
        """Return what to do with a new peer. It is kept if it has to wait."""
        now = self._now()
        address = self._address_of(incoming)
        source = source_of(address)
        is_validated = incoming.is_validated
        if not is_validated and self._needs_retry(source, now):
            is_known = self.proven_sources.has(source, now)
            reserved = 0.0 if is_known else RETRIES_PER_SECOND * RESERVED_SHARE
            if self._retries.take(now, reserved=reserved):
                return Verdict.RETRY
            self._report(source, NO_RETRY)
            return Verdict.IGNORE
        group = group_of(source, is_validated=is_validated)
        peer = WaitingPeer(
            incoming,
            address,
            source,
            is_validated,
            arrived_at=now,
            is_unknown=not self._places.is_proven(group, now),
            previous=self._handshakes.latest(group),
        )
        if not self._waiting.accepts(peer) or not self._make_room(peer):
            self._report(source, QUEUE_FULL)
            return Verdict.IGNORE
        self._waiting.add(peer)
        return Verdict.WAIT

    def next_opening(self) -> Opening[LinkT] | None:
        """Return the next peer to accept, whose handshake counts from now on; None if all wait."""
        now = self._now()
        busiest = self._places.busiest(now)
        for peer in self._waiting.remove_expired(now):
            self._report(peer.source, self._obstacle(peer.group, busiest, now) or NO_PLACE)
            self._ignore(peer.incoming)
        if self._handshakes.level(now) < 1:
            return None
        for group in sorted(self._waiting.groups, key=lambda each: self._rank(each, now)):
            if self._obstacle(group, busiest, now) is None:
                displaced = self._places.displaced_by(group, busiest, now)
                self._handshakes.start(group, now)
                return Opening(self._waiting.remove_first(group), displaced)
        return None

    def reject_waiting(self) -> None:
        """Drop all peers that wait, because the listener closes."""
        for peer in self._waiting.remove_all():
            self._ignore(peer.incoming)

    # Links

    def link_opened(self, link: LinkT, peer: WaitingPeer) -> None:
        """Count a new link."""
        self._links.add(link, peer.source, self._now(), is_validated=peer.is_validated)

    def link_validated(self, link: LinkT) -> None:
        """Count a link for its source: its handshake is complete, which validates the address."""
        if link in self._links and not self._links.is_validated(link):
            self._links.validate(link)
            self._handshakes.charge(self._links.source(link), self._now())

    def link_proven(self, link: LinkT) -> None:
        """Stop counting a link, and remember its source. Call `link_ended` later."""
        if link not in self._links:
            return
        source = self._links.source(link)
        self._links.remove(link)
        self._handshakes.forgive(source)
        self.proven_sources.link_proven(source)
        self._proven_links[link] = source

    def link_ended(self, link: LinkT, peer: Address) -> None:
        """Stop counting a link that has ended.

        :param peer: the peer's last address.
        """
        if link in self._links:
            self._links.remove(link)
        elif (source := self._proven_links.pop(link, None)) is not None:
            self.proven_sources.link_ended(source, source_of(peer), self._now())

    # Inside

    def _needs_retry(self, source: Source, now: float) -> bool:
        """Return whether a new peer must validate its address first."""
        unvalidated = self._waiting.count(None)
        places = min(self._retry_above, self._places.unreserved)
        if len(self._links) + unvalidated >= places:
            return True
        if self._handshakes.level(now) - unvalidated < _UNVALIDATED_LEVEL:
            return True
        claimed = self._links.count_claimed(source) + self._waiting.count_claimed(source)
        return claimed >= SOURCE_UNPROVEN_LINKS or self._handshakes.is_spent(source, now)

    def _make_room(self, peer: WaitingPeer) -> bool:
        """Return whether a peer may wait, perhaps in place of another one."""
        if not self._waiting.is_full:
            return True
        displaced = self._waiting.remove_for(peer)
        if displaced is None:
            return False
        self._report(displaced.source, QUEUE_FULL)
        self._ignore(displaced.incoming)
        return True

    def _obstacle(self, group: Group, busiest: LinkT | None, now: float) -> DropReason | None:
        """Return why no peer of a group can be accepted now; None if one can."""
        reason = self._handshakes.obstacle(group, now)
        return reason or self._places.obstacle(group, busiest, now)

    def _rank(self, group: Group, now: float) -> tuple[bool, Latest, float]:
        """Return the key by which groups are served, the smallest first."""
        arrived_at = self._waiting.first(group).arrived_at
        latest = self._handshakes.latest(group)
        return not self._places.is_proven(group, now), latest, arrived_at
