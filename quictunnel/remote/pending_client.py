"""One client from its coming until it is joined to a stream: who it is, and its wait.

It reads a PROXY header from a trusted proxy and nothing else: a client's own bytes stay in the
kernel, unread, until there is a stream for them.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol, cast

from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.proxy_decoder import ProxyDecoder
from quictunnel.relay import Relay, SocketTransport
from quictunnel.relay.tcp_transport import READ_SIZE
from quictunnel.session.clients import Client

HEADER_TIMEOUT = 5.0
"""Seconds for a trusted proxy's header, which comes with the connection's first packet."""


_ids = random.Random()
"""Whence clients' ids come, which tell them apart in logs and are no secrets."""


class Host(Protocol):
    """Who lets arrivals in."""

    def came(self, arrival: PendingClient) -> bool:
        """Count a client that has come; False: there is no room for it."""

    def expects_header(self, peer: Address) -> bool:
        """Return whether a PROXY header stands before the bytes of this peer."""

    def known(self, arrival: PendingClient) -> None:
        """Take a client whose address is known now, and of which no more is read for now."""

    def gone(self, arrival: PendingClient, reason: str) -> None:
        """Forget a client that came and left without having been joined to a stream."""


LEFT = "it left before it was served"

PIECE = 2048
"""Bytes read at a time while a header is awaited: what comes behind it in the same read is all
that a waiting client can make us hold."""


class PendingClient(asyncio.Protocol):
    """A client that has come to an outside address.

    :param service: what the address stands for.
    :param host: is told of each step.
    """

    __slots__ = (
        "_deadline",
        "_decoder",
        "_host",
        "_loop",
        "_outside",
        "_rest",
        "_transport",
        "came",
        "client",
        "peer",
        "service",
    )

    def __init__(self, service: str, host: Host) -> None:
        self.service = service
        self.client: Client | None = None
        self.peer: Address | None = None
        self._host = host
        self._loop = asyncio.get_running_loop()
        self.came = self._loop.time()
        self._transport: SocketTransport | None = None
        self._decoder: ProxyDecoder | None = None
        self._outside: Address | None = None
        self._rest = b""
        self._deadline: asyncio.TimerHandle | None = None

    def wait(self, limit: float, reason: str) -> None:
        """Turn the client away, for this reason, unless it is joined within `limit` seconds."""
        self._set_deadline(limit, reason)

    def join(self, relay: Relay) -> None:
        """Hand the connection over to a relay, with what has been read of it."""
        transport = self._transport
        if transport is None:
            raise RuntimeError("the client has gone")
        self._set_deadline(None)
        self._transport = None
        transport.read_size = READ_SIZE
        transport.set_protocol(relay.tcp)
        relay.tcp.connection_made(transport)
        if self._rest:
            relay.tcp.data_received(self._rest)
            self._rest = b""

    def turn_away(self, reason: str) -> None:
        """Reset the connection."""
        transport = self._transport
        if transport is not None:
            self._transport = None
            self._set_deadline(None)
            transport.abort()
            self._host.gone(self, reason)

    # -- The TCP connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn where the client comes from, or begin to read its proxy's header."""
        transport = cast(SocketTransport, transport)
        if not self._host.came(self):
            transport.abort()
            return
        self._transport = transport
        peer, outside = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        if peer is None or outside is None:
            self.turn_away("it had gone before it was accepted")
            return
        self.peer, self._outside = Address.of(peer), Address.of(outside)
        if self._host.expects_header(self.peer):
            self._decoder = ProxyDecoder()
            self._set_deadline(HEADER_TIMEOUT, "no PROXY header in time")
            self._transport.read_size = PIECE
            self._transport.resume_reading()
        else:
            self._known(self.peer, self._outside)

    def data_received(self, data: bytes) -> None:
        """Read the header; keep what comes in spite of the pause, for the relay."""
        if self._decoder is None or self.peer is None or self._outside is None:
            self._rest += data
            return
        try:
            found = self._decoder.feed(data)
        except ProtocolError as exc:
            self.turn_away(f"PROXY header: {exc}")
            return
        if found is None:
            return
        preamble, self._rest = found
        self._decoder = None
        self._set_deadline(None)
        if self._transport is not None:
            self._transport.pause_reading()
        # A proxy that speaks for itself (a health check) is the client.
        self._known(preamble.client or self.peer, preamble.outside or self._outside)

    def eof_received(self) -> bool:
        """Let go of a client that ends within its proxy's header."""
        self.turn_away(LEFT)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the client, or its proxy, has left."""
        if self._transport is not None:
            self._transport = None
            self._set_deadline(None)
            reason = exc.strerror if isinstance(exc, OSError) else None
            self._host.gone(self, reason or str(exc or LEFT))

    # -- Inside

    def _known(self, address: Address, outside: Address) -> None:
        if self._transport is not None:
            self.client = Client(
                id=f"{_ids.getrandbits(64):016x}",
                address=address,
                outside=outside,
                service=self.service,
            )
            self._host.known(self)

    def _set_deadline(self, delay: float | None, reason: str = "") -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if delay is not None:
            self._deadline = self._loop.call_later(delay, self.turn_away, reason)
