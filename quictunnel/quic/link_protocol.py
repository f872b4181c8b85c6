"""Who stands beside a link: the role above it, and the carrier of its datagrams below. No code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from quictunnel.quic.link import Link
    from quictunnel.quic.stream import Stream


class LinkProtocol:
    """What a link tells the role above it; subclasses override what they care for."""

    def link_made(self, link: Link) -> None:
        """The handshake is complete; nothing is known yet of who the peer is, but by its TLS."""

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """The peer has opened a stream: return its protocol."""
        raise NotImplementedError

    def link_lost(self, exc: Exception | None) -> None:
        """The link is over, after all its streams; None if it was closed at this end.

        Called exactly once, and only after `link_made`.
        """

    def link_silent(self) -> None:
        """The peer has not been heard for a while."""

    def link_back(self) -> None:
        """The silent peer was heard again."""

    def link_moved(self) -> None:
        """The link goes another way now: `Link.local` or `Link.peer` is another."""


class Carrier(Protocol):
    """What takes a link's datagrams to its peer."""

    @property
    def is_full(self) -> bool:
        """No more can be sent now; `Link.carrier_ready` is called when that is over."""

    def transmit(self, link: Link, now: float) -> bool:
        """Send what the link's engine has to send; return whether there was anything."""

    def handshake_done(self, link: Link) -> bool:
        """Return whether the link may be; if not, the carrier closes it."""

    def suspect(self, link: Link) -> None:
        """The peer does not answer: if there is another way to it, `Link.move` along it."""

    def closed(self, link: Link) -> None:
        """The link is over; `Link.lost` says why."""

    def proven(self, link: Link) -> None:
        """The link's peer has proven who it is."""

    def terminated(self, link: Link) -> None:
        """Nothing more will come of the link."""
