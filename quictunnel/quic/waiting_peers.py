"""New peers that wait for a handshake: a short queue for each group of them."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from quictunnel.quic.limits import SOURCE_WAITING_PEERS, WAITING_PEERS, WAITING_TIME
from quictunnel.quic.unproven_links import Group, group_of, site_of_group

if TYPE_CHECKING:
    from collections.abc import Collection

    from quictunnel.protocol.address import Address
    from quictunnel.protocol.source import Site, Source
    from quictunnel.quic.engine import IncomingConnection

Latest: TypeAlias = tuple[float, float]
"""When the latest handshake of a site started, and when that of a source there; negative infinity
if there was none."""

Standing: TypeAlias = tuple[bool, int, int, Latest]
"""Whether a group is unknown, the peers of its site, its own peers, and its latest handshakes."""


class WaitingPeer(NamedTuple):
    """A new peer that waits."""

    incoming: IncomingConnection
    address: Address
    source: Source
    """The source of the address."""
    is_validated: bool
    """Whether the peer has answered a Retry."""
    arrived_at: float
    """In seconds of the listener's clock."""
    is_unknown: bool
    """Whether its source has not proven itself recently, as of its arrival."""
    previous: Latest
    """The latest handshakes of its site and its source, as of its arrival."""

    @property
    def group(self) -> Group:
        """The group in which it waits."""
        return group_of(self.source, is_validated=self.is_validated)


class WaitingPeers:
    """The new peers that wait. Those of one group are in order of arrival."""

    def __init__(self) -> None:
        self._queues: dict[Group, deque[WaitingPeer]] = {}
        self._sites: Counter[Site | None] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def groups(self) -> Collection[Group]:
        """The groups of which peers wait."""
        return self._queues.keys()

    def count(self, group: Group) -> int:
        """Return the number of peers of a group."""
        return len(self._queues.get(group, ()))

    def count_claimed(self, source: Source) -> int:
        """Return the number of peers of a source, and of those that only claim to be of it."""
        unvalidated = self._queues.get(None, ())
        return self.count(source) + sum(peer.source == source for peer in unvalidated)

    def first(self, group: Group) -> WaitingPeer:
        """Return the peer of a group that has waited for longest. There is one."""
        return self._queues[group][0]

    @property
    def is_full(self) -> bool:
        """Whether all places are taken."""
        return self._size >= WAITING_PEERS

    def accepts(self, peer: WaitingPeer) -> bool:
        """Return whether the peer's group may have another peer, and this one.

        Of each address and port, one peer waits: otherwise a flood from one socket would displace
        others behind the same NAT.
        """
        queue = self._queues.get(peer.group, ())
        is_known = any(peer.address == each.address for each in queue)
        return len(queue) < SOURCE_WAITING_PEERS and not is_known

    def remove_for(self, newcomer: WaitingPeer) -> WaitingPeer | None:
        """Remove and return the peer that leaves so that this one can wait; None if none does.

        It is the last peer of the site with the most peers, and there, of the group with the most
        peers. Among several such groups, the one with the latest handshake loses a peer. Groups of
        sources that have proven themselves come last. The newcomer is counted as if it
        waited, so the site with the most peers makes room in its own ranks.
        """
        own = self._standing(newcomer, newcomer)
        others = [queue[0] for group, queue in self._queues.items() if group != newcomer.group]
        worst = max(others, key=lambda first: self._standing(first, newcomer), default=None)
        if worst is None or self._standing(worst, newcomer) <= own:
            return None
        return self.remove_last(worst.group)

    def add(self, peer: WaitingPeer) -> None:
        """Add a peer behind the others of its group."""
        self._queues.setdefault(peer.group, deque()).append(peer)
        self._sites[site_of_group(peer.group)] += 1
        self._size += 1

    def remove_last(self, group: Group) -> WaitingPeer:
        """Remove and return the peer of a group that came last. There is one."""
        return self._removed(group, self._queues[group].pop())

    def remove_first(self, group: Group) -> WaitingPeer:
        """Remove and return the peer of a group that has waited for longest. There is one."""
        return self._removed(group, self._queues[group].popleft())

    def remove_expired(self, now: float) -> list[WaitingPeer]:
        """Remove and return the peers that have waited for `WAITING_TIME`."""
        expired: list[WaitingPeer] = []
        for group in tuple(self._queues):
            while group in self._queues and now - self.first(group).arrived_at >= WAITING_TIME:
                expired.append(self.remove_first(group))
        return expired

    def remove_all(self) -> list[WaitingPeer]:
        """Remove and return all peers."""
        peers = [peer for queue in self._queues.values() for peer in queue]
        self._queues.clear()
        self._sites.clear()
        self._size = 0
        return peers

    def _removed(self, group: Group, peer: WaitingPeer) -> WaitingPeer:
        self._size -= 1
        if not self._queues[group]:
            del self._queues[group]
        site = site_of_group(group)
        self._sites[site] -= 1
        if not self._sites[site]:
            del self._sites[site]
        return peer

    def _standing(self, peer: WaitingPeer, newcomer: WaitingPeer) -> Standing:
        """Return the key by which the group is found that loses a peer: the greatest one.

        :param newcomer: is counted as if it waited.
        """
        group, site = peer.group, site_of_group(peer.group)
        of_site = self._sites[site] + (site == site_of_group(newcomer.group))
        of_group = self.count(group) + (group == newcomer.group)
        return peer.is_unknown, of_site, of_group, peer.previous
