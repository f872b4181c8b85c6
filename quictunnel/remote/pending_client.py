"""A client from accept until its connection is handed over to a relay.

Only the PROXY header of a trusted proxy is read here. The client's own bytes stay in the kernel
until there is a stream for them.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol, cast

from quictunnel.config.ports import PortRange
from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.proxy_decoder import ProxyDecoder
from quictunnel.relay.relay import Relay
from quictunnel.relay.tcp_transport import READ_SIZE, SocketTransport
from quictunnel.remote.gate import Gate
from quictunnel.session.clients import Client

HEADER_TIMEOUT = 5.0
"""Seconds for a trusted proxy's header, which comes with the connection's first packet."""

HEADER_READ_SIZE = 2048
"""Bytes read at a time while a header is expected. Bytes behind the header in the same read are all
that a waiting client can make this process hold."""

DISCONNECTED = "the client disconnected before it was forwarded"

HEADER_REQUIRED = "which --accept-proxy-protocol requires (Caddy: proxy_protocol v2)"

_ids = random.Random()
"""Source of client ids. They identify clients in logs and are not secret."""


class ClientRoute(Protocol):
    """A place where clients arrive: `routes.Route`."""

    @property
    def key(self) -> str:
        """Identifies it."""

    @property
    def name(self) -> str:
        """The name of its service."""

    @property
    def ports(self) -> PortRange | None:
        """Its ports; None at the outside address."""


class PendingClientOwner(Protocol):
    """Decides what happens to a pending client: `Admission`."""

    def admit(self, pending: PendingClient) -> bool:
        """Count a new connection; return False if there is no room for it."""

    def expects_header(self, peer: Address) -> bool:
        """Return whether this peer is a proxy that sends a PROXY header first."""

    def client_identified(self, pending: PendingClient, client: Client) -> None:
        """Forward a client, whose address is now known, or let it wait."""

    def client_dropped(self, pending: PendingClient, reason: str) -> None:
        """Remove a client that has left, or was rejected, before it was handed over."""


class PendingClient(asyncio.Protocol):
    """A client that has connected to an outside address.

    :param route: the route at that address.
    """

    def __init__(self, route: ClientRoute, owner: PendingClientOwner) -> None:
        self.route = route
        self.client: Client | None = None
        self.peer: Address | None = None
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.accepted_at = self._loop.time()
        self.gate: Gate | None = None
        """The gate that has counted the client."""
        self._transport: SocketTransport | None = None
        self._decoder: ProxyDecoder | None = None
        self._outside: Address | None = None
        self._rest = b""
        self._deadline: asyncio.TimerHandle | None = None

    def reject_after(self, delay: float, reason: str) -> None:
        """Reject the client unless it is handed over within `delay` seconds."""
        self._clear_deadline()
        self._deadline = self._loop.call_later(delay, self.reject, reason)

    def reject(self, reason: str) -> None:
        """Reset the connection."""
        transport = self._transport
        if transport is not None:
            self._transport = None
            self._clear_deadline()
            transport.abort()
            self._owner.client_dropped(self, reason)

    def hand_over(self, relay: Relay) -> None:
        """Give the connection to a relay, with the bytes that were read behind the header."""
        transport = self._transport
        if transport is None:
            raise RuntimeError("the client has disconnected")
        self._clear_deadline()
        self._transport = None
        transport.read_size = READ_SIZE
        transport.set_protocol(relay.tcp)
        relay.tcp.connection_made(transport)
        if self._rest:
            relay.tcp.data_received(self._rest)
            self._rest = b""

    # -- The TCP connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client's address from the socket, or from the header that a proxy sends."""
        transport = cast(SocketTransport, transport)
        if not self._owner.admit(self):
            transport.abort()
            return
        self._transport = transport
        peer, outside = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        if peer is None or outside is None:
            self.reject("the client disconnected before it was accepted")
            return
        self.peer, self._outside = Address.of(peer), Address.of(outside)
        if self._owner.expects_header(self.peer):
            self._decoder = ProxyDecoder()
            self.reject_after(HEADER_TIMEOUT, f"no PROXY header in time, {HEADER_REQUIRED}")
            self._transport.read_size = HEADER_READ_SIZE
            self._transport.resume_reading()
        else:
            self._identify(self.peer, self._outside)

    def data_received(self, data: bytes) -> None:
        """Decode the header. Bytes that come although reading is paused are kept for the relay."""
        if self._decoder is None or self.peer is None or self._outside is None:
            self._rest += data
            return
        try:
            found = self._decoder.feed(data)
        except ProtocolError as exc:
            self.reject(f"no valid PROXY header, {HEADER_REQUIRED}: {exc}")
            return
        if found is None:
            return
        preamble, self._rest = found
        self._decoder = None
        self._clear_deadline()
        if self._transport is not None:
            self._transport.pause_reading()
        # Without addresses in the header (a proxy's health check), the proxy itself is the client.
        self._identify(preamble.client or self.peer, preamble.outside or self._outside)

    def eof_received(self) -> bool:
        """Reject a connection that ends before the end of its header."""
        self.reject(DISCONNECTED)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that the client, or its proxy, has disconnected."""
        if self._transport is not None:
            self._transport = None
            self._clear_deadline()
            reason = exc.strerror if isinstance(exc, OSError) else None
            self._owner.client_dropped(self, reason or str(exc or DISCONNECTED))

    # -- Inside

    def _identify(self, address: Address, outside: Address) -> None:
        if self._transport is not None:
            client_id = f"{_ids.getrandbits(64):016x}"
            self.client = Client(client_id, address, outside, self.route.name)
            self._owner.client_identified(self, self.client)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
