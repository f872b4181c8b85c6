"""A client of a shared service whose origin has not answered yet, so that another can serve it.

An origin that was killed answers nothing, and the remote notices it only after seconds. Until the
first answer, the remote keeps what it has read from the client, and can send it to another origin.
After that, the client stays: its origin may have passed on its request, which must not be executed
twice.
"""

from __future__ import annotations

import asyncio
from typing import cast

from quictunnel.protocol.codes import Code
from quictunnel.relay.relay import Relay
from quictunnel.relay.tcp_transport import SocketTransport
from quictunnel.remote.pending_client import ClientProtocol, PendingClient

MAX_KEPT = 64 * 1024
"""Bytes that are kept of a client. A client that has sent more stays with its origin."""


class MovableClient(ClientProtocol):
    """The protocol of a client's TCP connection until its origin has answered.

    Then the relay's own side takes its place.

    :param route: the key of the route at which the client has arrived.
    """

    __slots__ = ("_has_eof", "_kept", "_pending", "_relay", "_transport", "route")

    def __init__(self, pending: PendingClient, route: str, relay: Relay) -> None:
        self.route = route
        self._pending = pending
        self._relay = relay
        self._transport: asyncio.BaseTransport | None = None
        self._kept = b""
        self._has_eof = False
        relay.on_link_lost = self.move

    def answered(self) -> None:
        """Leave the client with its origin from now on. Calling it again has no effect."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.set_protocol(self._relay.tcp)
            self._relay.on_link_lost = None
            self._kept = b""

    def move(self) -> None:
        """Take the client back and reset its stream, unless something has come from the origin."""
        transport, relay = self._transport, self._relay
        if transport is None or relay.stream.received or relay.stream.has_eof:
            return
        if relay.detach(Code.MOVED):
            data, self._kept = self._kept, b""
            self._transport = relay.on_link_lost = None
            tcp = cast(SocketTransport, transport)
            self._pending.take_back(tcp, data, has_eof=self._has_eof)

    # The TCP connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport
        self._relay.tcp.connection_made(transport)

    def take_over(self, data: bytes) -> None:
        """Keep and forward bytes that were read before."""
        self._keep(data)
        self._relay.tcp.take_over(data)

    def data_received(self, data: bytes) -> None:
        """Keep the bytes, and forward them."""
        self._keep(data)
        self._relay.tcp.data_received(data)

    def eof_received(self) -> bool:
        """Forward the end of the client's direction."""
        self._has_eof = True
        return self._relay.tcp.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._relay.tcp.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._relay.tcp.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection."""
        self._transport = self._relay.on_link_lost = None
        self._kept = b""
        self._relay.tcp.connection_lost(exc)

    # Inside

    def _keep(self, data: bytes) -> None:
        kept = self._kept + data
        if len(kept) > MAX_KEPT:
            self.answered()
        else:
            self._kept = kept
