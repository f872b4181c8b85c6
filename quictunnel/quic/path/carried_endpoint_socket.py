"""The endpoint socket of a dialed link on a path other than UDP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from quictunnel.quic.engine import Endpoint, Engine, ReceivedBatch
    from quictunnel.quic.path.datagram_path import DatagramPath, PathKind


class CarriedEndpointSocket:
    """Joins an endpoint that has one dialed connection with an open path.

    Implements `quictunnel.quic.engine.EndpointSocket` and `PathHandler`.

    It is never full. A path drops what its short queue has no room for, as a network does, and the
    connection's congestion control sees that.

    :param known_as: the address that the connection has dialed, under which it knows its peer.
    :param received: called with the result of each batch of datagrams.
    :param closed: takes this socket and the reason, when the path has ended by itself.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        path: DatagramPath,
        *,
        known_as: tuple[str, int],
        loop: asyncio.AbstractEventLoop,
        received: Callable[[ReceivedBatch], None],
        closed: Callable[[CarriedEndpointSocket, str], None],
    ) -> None:
        self.is_reading = False
        """Whether datagrams reach the endpoint. Those of a path that is not in use are dropped:
        their acknowledgements would look like answers on the path in use."""
        self._endpoint = endpoint
        self._path: DatagramPath | None = path
        self._kind = path.kind
        self.peer = path.peer
        """The other end of the path."""
        self._source = (*known_as, b"")
        self._loop = loop
        self._on_received = received
        self._on_closed = closed
        path.handler = self

    @property
    def kind(self) -> PathKind:
        """The kind of the path."""
        return self._kind

    @property
    def is_open(self) -> bool:
        """Whether the path has not ended."""
        return self._path is not None

    # EndpointSocket

    @property
    def is_full(self) -> bool:
        """Always False."""
        return False

    def transmit(self, engine: Engine, now: float) -> bool:
        """Send the datagrams of a connection; return whether there were any.

        After the end of the path they are lost.
        """
        datagrams = engine.transmit(now)
        if datagrams and self._path is not None:
            self._path.send([data for data, _ in datagrams])
        self.answer()
        return bool(datagrams)

    def answer(self) -> None:
        """Send the endpoint's own datagrams."""
        answers = self._endpoint.transmit()
        if answers and self._path is not None:
            self._path.send([data for data, _ in answers])

    def accept_only(self, is_accepted: Callable[[str], bool] | None) -> None:
        """Do nothing: the path has one peer, which this end has chosen."""

    def close(self) -> None:
        """Close the path. The connection stays."""
        path, self._path = self._path, None
        if path is not None:
            path.close()

    # PathHandler

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Pass datagrams on as the endpoint takes them. Those that are too large are dropped."""
        if not self.is_reading or self._path is None:
            return
        mtu = self._path.mtu
        batch = [(data, self._source) for data in datagrams if len(data) <= mtu]
        if batch:
            self._on_received(self._endpoint.receive(batch, self._loop.time()))

    def path_closed(self, reason: str) -> None:
        """Report the end of the path, unless it was closed here."""
        if self._path is not None:
            self._path = None
            self._on_closed(self, reason)
