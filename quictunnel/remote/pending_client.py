"""A client from accept until its connection is handed over to a relay.

Only the PROXY header of a trusted proxy is read here, and at a shared listener the client's first
bytes, up to the host name. All other bytes stay in the kernel until there is a stream for them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from quictunnel.config.hosts import HostName
from quictunnel.config.policy import Place
from quictunnel.config.ports import PortRange
from quictunnel.errors import ProtocolError
from quictunnel.events import ClientEnding
from quictunnel.protocol.address import Address
from quictunnel.protocol.proxy_decoder import ProxyDecoder
from quictunnel.relay.sides import TcpSide
from quictunnel.relay.tcp_transport import READ_SIZE, SocketTransport
from quictunnel.remote.last_answer import LastAnswer
from quictunnel.remote.name_readers import ClientRefusedError, NameReader, http_no_origin
from quictunnel.remote.place_gates import PlaceGate
from quictunnel.session.clients import Client
from quictunnel.session.rejection import Rejection

HEADER_TIMEOUT = 5.0
"""Seconds for a trusted proxy's header, which comes with the connection's first packet."""

NAME_TIMEOUT = 5.0
"""Seconds for the bytes that name the host. Clients send them at once."""

HEADER_READ_SIZE = 2048
"""Bytes read at a time while a header or a name is expected. Bytes behind it in the same read are
all that a waiting client can make this process hold in addition."""

DISCONNECTED = "the client disconnected before it was forwarded"

HEADER_REQUIRED = "which --accept-proxy-protocol requires (Caddy: proxy_protocol v2)"

SOCKET_REQUIRES = "which every socket of --sockets requires (Caddy: proxy_protocol v2)"

LOCAL_PROXY = Address("127.0.0.1", 0)
"""The address of a proxy that has connected to a Unix socket, which has no addresses."""

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
    def place(self) -> Place:
        """The place. Its clients choose a port or a name of it."""

    @property
    def is_closed(self) -> bool:
        """Whether it gets no more clients."""


class ClientProtocol(asyncio.Protocol):
    """A protocol beside the relay's own side that takes a client's connection: `MovableClient`."""

    __slots__ = ()

    def take_over(self, data: bytes) -> None:
        """Handle bytes that were read before the connection was handed over."""
        raise NotImplementedError


class PendingClientOwner(Protocol):
    """Decides what happens to a pending client: `Admission`."""

    def admit(self, pending: PendingClient) -> bool:
        """Count a new connection; return False if there is no room for it."""

    def expect_name(self, pending: PendingClient) -> None:
        """Count a client that has yet to name its host, and whose address is now known."""

    def expects_header(self, peer: Address) -> bool:
        """Return whether this peer is a proxy that sends a PROXY header first."""

    def client_identified(self, pending: PendingClient, client: Client, route: ClientRoute) -> None:
        """Forward a client, whose address and route are now known, or let it wait."""

    def client_returned(self, pending: PendingClient, client: Client, route: ClientRoute) -> None:
        """Forward a client again that its origin has not answered, or let it wait."""

    def client_dropped(self, pending: PendingClient, rejection: Rejection) -> None:
        """Report a client that has left, or was rejected, before it was handed over."""

    def connection_ended(self, pending: PendingClient) -> None:
        """Stop counting a dropped client, whose connection has ended."""


class PendingClient(asyncio.Protocol):
    """A client that has connected to an outside address.

    :param route: the route at that address; None if the client names it.
    :param reader: reads that name.
    :param is_local_proxy: whether it has connected to a Unix socket of the route: then it is an
        HTTP proxy of this machine, whose header is required.
    """

    def __init__(
        self,
        route: ClientRoute | None,
        owner: PendingClientOwner,
        reader: NameReader | None = None,
        *,
        is_local_proxy: bool = False,
    ) -> None:
        self.route = route
        self.client: Client | None = None
        self.peer: Address | None = None
        """The client's address; at first, that of a proxy in front."""
        self._owner = owner
        self._reader = reader
        """None once it has found the route."""
        self._is_local_proxy = is_local_proxy
        self._no_origin = http_no_origin() if is_local_proxy else b""
        """The last bytes for a client whose route has no origin."""
        self._loop = asyncio.get_running_loop()
        self.accepted_at = self._loop.time()
        self.gate: PlaceGate | None = None
        """The gate that has counted the client."""
        self._transport: SocketTransport | None = None
        self._last_answer: LastAnswer | None = None
        self._decoder: ProxyDecoder | None = None
        self._outside: Address | None = None
        self._id: str | None = None
        self._port = 0
        """The port at which the connection has arrived. A header does not change it."""
        self._name: HostName | None = None
        self._rest = bytearray()
        self._has_eof = False
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def id(self) -> str:
        """Its id in logs and at its origin. Most rejected clients never need one."""
        if self._id is None:
            self._id = f"{_ids.getrandbits(64):016x}"
        return self._id

    @property
    def is_named(self) -> bool:
        """Whether its route is known."""
        return self.route is not None

    @property
    def place(self) -> Place:
        """The place that the client has chosen, which selects its policy; once there is a route.

        It is one port, also if the route has several. Of a host name, it is the name that the
        client has sent. At a Unix socket, the socket's name counts, because the proxy does not say
        which name its client has sent.
        """
        place = None if self.route is None else self.route.place
        if isinstance(place, PortRange):
            return PortRange(self._port, self._port)
        return place if place is None else self._name or place

    @property
    def has_answer(self) -> bool:
        """Whether it was rejected, and its last bytes are on their way."""
        return self._last_answer is not None

    def give_up_after(self, delay: float, rejection: Rejection) -> None:
        """Reject the client unless it is handed over within `delay` seconds.

        A client of a host name gets the answer of its protocol, if there is one.
        """
        self._set_deadline(delay, partial(self._drop, rejection, self._no_origin))

    def reject(self, rejection: Rejection) -> None:
        """Reset the connection."""
        if self._last_answer is not None:
            self._last_answer.abort()
            self._answered()
        self._drop(rejection)

    def hand_over(self, protocol: ClientProtocol | TcpSide) -> None:
        """Give the connection to another protocol, with what was read of the client's bytes."""
        transport = self._transport
        if transport is None:
            raise RuntimeError("the client has disconnected")
        self._clear_deadline()
        self._transport = None
        transport.read_size = READ_SIZE
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._rest:
            rest = bytes(self._rest)
            self._rest.clear()
            protocol.take_over(rest)
        if self._has_eof:
            protocol.eof_received()

    def take_back(self, transport: SocketTransport, data: bytes, *, has_eof: bool) -> None:
        """Take the connection back, because the origin has not answered.

        :param data: everything that was read of the client.
        :param has_eof: whether the client has ended its direction after that.
        """
        if self.client is None or self.route is None:
            raise RuntimeError("the client was not handed over")
        transport.pause_reading()
        transport.read_limiter = None  # that of the relay, which has ended
        transport.set_protocol(self)
        self._transport, self._has_eof = transport, has_eof
        self._rest += data
        self._owner.client_returned(self, self.client, self.route)

    # -- The TCP connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client's address from the socket, or from the header that a proxy sends."""
        transport = cast(SocketTransport, transport)
        if not self._owner.admit(self):
            transport.abort()
            return
        self._transport = transport
        if self._is_local_proxy:
            self.peer = self._outside = LOCAL_PROXY
            self._expect_header(transport)
            return
        peer, outside = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        if peer is None or outside is None:
            reason = "the client disconnected before it was accepted"
            self.reject(Rejection(ClientEnding.LEFT, reason))
            return
        self.peer, self._outside = Address.of(peer), Address.of(outside)
        self._port = self._outside.port
        if self._owner.expects_header(self.peer):
            self._expect_header(transport)
        else:
            self._address_known(transport)

    def data_received(self, data: bytes) -> None:
        """Decode the header, then the name.

        Bytes that come although reading is paused are kept for the relay.
        """
        if self._decoder is not None:
            self._read_header(self._decoder, data)
        elif self._reader is not None:
            self._read_name(self._reader, data)
        else:
            self._rest += data

    def eof_received(self) -> bool:
        """Reject a connection that ends before the end of its header or name."""
        self.reject(Rejection(ClientEnding.LEFT, DISCONNECTED))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that the client, or its proxy, has disconnected."""
        if self._transport is not None:
            self._transport = None
            self._clear_deadline()
            error = exc.strerror if isinstance(exc, OSError) else None
            reason = error or str(exc or DISCONNECTED)
            self._owner.client_dropped(self, Rejection(ClientEnding.LEFT, reason))
            self._owner.connection_ended(self)

    # -- Inside

    @property
    def _requirement(self) -> str:
        return SOCKET_REQUIRES if self._is_local_proxy else HEADER_REQUIRED

    def _expect_header(self, transport: SocketTransport) -> None:
        self._decoder = ProxyDecoder()
        reason = f"no PROXY header in time, {self._requirement}"
        late = Rejection(ClientEnding.PROXY_HEADER, reason)
        self._set_deadline(HEADER_TIMEOUT, partial(self.reject, late))
        self._start_reading(transport)

    def _read_header(self, decoder: ProxyDecoder, data: bytes) -> None:
        try:
            found = decoder.feed(data)
        except ProtocolError as exc:
            reason = f"no valid PROXY header, {self._requirement}: {exc}"
            self.reject(Rejection(ClientEnding.PROXY_HEADER, reason))
            return
        if found is None or self._transport is None:
            return
        preamble, rest = found
        self._decoder = None
        self._clear_deadline()
        self._transport.pause_reading()
        # Without addresses in the header (a proxy's health check), the proxy itself is the client.
        self.peer = preamble.client or self.peer
        self._outside = preamble.outside or self._outside
        if self._reader is None:
            self._rest += rest
        self._address_known(self._transport)
        if self._reader is not None and rest:
            self.data_received(rest)

    def _address_known(self, transport: SocketTransport) -> None:
        if self.route is not None:
            self._identify(self.route)
        elif self._reader is not None:
            self._owner.expect_name(self)
            self._set_deadline(NAME_TIMEOUT, partial(self._name_timed_out, self._reader))
            self._start_reading(transport)

    def _read_name(self, reader: NameReader, data: bytes) -> None:
        self._rest += data
        try:
            self.route = reader.feed(data)
        except ClientRefusedError as exc:
            self._drop(exc.rejection, exc.answer)
            return
        if self.route is not None and self._transport is not None:
            self._clear_deadline()
            self._transport.pause_reading()
            self._no_origin, self._name = reader.no_origin(), reader.name
            self._reader = None  # it holds up to 16 KiB
            self._identify(self.route)

    def _name_timed_out(self, reader: NameReader) -> None:
        late = reader.timed_out()
        self._drop(late.rejection, late.answer)

    def _identify(self, route: ClientRoute) -> None:
        self.client = Client(self.id, self.peer, self._outside, route.name, self.accepted_at)
        self._owner.client_identified(self, self.client, route)

    def _start_reading(self, transport: SocketTransport) -> None:
        transport.read_size = HEADER_READ_SIZE
        transport.resume_reading()

    def _drop(self, rejection: Rejection, answer: bytes = b"") -> None:
        """End the connection: with a last answer, or by a reset."""
        transport = self._transport
        if transport is None:
            return
        self._transport = None
        self._clear_deadline()
        self._owner.client_dropped(self, rejection)
        if answer:
            self._rest.clear()
            self._last_answer = LastAnswer(transport, answer, self._answered)
        else:
            transport.abort()
            self._owner.connection_ended(self)

    def _answered(self) -> None:
        if self._last_answer is not None:
            self._last_answer = None
            self._owner.connection_ended(self)

    def _set_deadline(self, delay: float, expired: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self._loop.call_later(delay, expired)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
