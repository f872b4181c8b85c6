"""A path that carries a link's datagrams over something other than UDP. No code, no I/O.

To QUIC it is one more path. The accepting end assigns an address of `carried_addresses` to each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from quictunnel.events import PathKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.protocol.address import Address


__all__ = ["DatagramPath", "PathHandler", "PathKind", "PathOpener"]


class PathHandler(Protocol):
    """Receives what happens on a path."""

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Handle datagrams in the order of their arrival."""

    def path_closed(self, reason: str) -> None:
        """Handle the end of the path, which comes exactly once, and not after `close`.

        :param reason: a sentence.
        """


class DatagramPath(Protocol):
    """One open path to the peer."""

    kind: PathKind
    peer: Address
    """The other end as this machine sees it: that of a proxy, if there is one."""
    mtu: int
    """Bytes of the largest datagram. Larger ones are dropped."""
    handler: PathHandler | None
    """Set by the owner in the turn of the event loop in which the path was opened."""

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""

    def send(self, datagrams: Sequence[bytes]) -> None:
        """Send datagrams in order. Those for which the queue has no room are dropped."""

    def close(self) -> None:
        """Close the path. Queued datagrams may be lost."""


class PathOpener(Protocol):
    """Opens paths of one kind to one remote."""

    kind: PathKind

    async def open(self) -> DatagramPath:
        """Return an open path.

        :raises LinkFailed: it cannot be opened. The message is one sentence with what to check.
        """
