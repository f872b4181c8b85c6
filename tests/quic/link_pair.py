"""Two links joined in memory on a loop of virtual time, over the network of `pair`. No sockets."""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING

from pair import (
    AIOQUIC,
    CLIENT_PATH,
    CLIENT_TLS,
    SERVER_PATH,
    TIMER_LATENESS,
    Engines,
    Network,
    endpoint,
)
from probes import PROBES

from quictunnel.protocol.address import Address
from quictunnel.quic.link import Link, LinkProtocol
from quictunnel.quic.settings import LinkSettings
from quictunnel.quic.stream import Stream
from testkit.clock import seconds, settle, virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quictunnel.quic.engine import Datagram, Endpoint, Engine, IncomingConnection, Path


class Spied:
    """A link's engine of which some calls are answered by the test.

    Put in the place of `Link.engine`: engines need not be changeable.
    """

    def __init__(self, engine: Engine, **calls: Callable[..., object]) -> None:
        self.engine = engine
        vars(self).update(calls)

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)


class MemorySocket:
    """Carries a link's datagrams to the other end, and owns the link.

    Implements `quictunnel.quic.engine.EndpointSocket` and `quictunnel.quic.link.LinkOwner`.
    """

    def __init__(
        self,
        network: Network,
        path: Path,
        endpoint: Endpoint,
        welcome: Callable[[IncomingConnection], None] | None = None,
    ) -> None:
        self.network = network
        self.path = path
        """Where the datagrams of this end come from."""
        self.endpoint = endpoint
        self.peer: MemorySocket | None = None
        self.links: dict[Engine, Link] = {}
        self.is_full = False
        self.batches: list[int] = []
        """How many datagrams were sent at a time."""
        self.unanswered = 0
        self.terminated_links = 0
        self.closed_links = 0
        self.trusts = True
        self._welcome = welcome
        self._number = itertools.count()

    def transmit(self, engine: Engine, now: float) -> bool:
        assert not self.is_full
        datagrams = engine.transmit(now)
        if datagrams:
            self.batches.append(len(datagrams))
        self._send(datagrams, now)
        return bool(datagrams)

    def _send(self, datagrams: Sequence[Datagram], now: float) -> None:
        loop = asyncio.get_running_loop()
        for data, _ in datagrams:
            for at in self.network.arrivals(len(data), self, now):
                # A loop takes timers of one time in any order; a network does not.
                loop.call_at(at + next(self._number) * 1e-12, self.peer._arrive, data)

    def _arrive(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        arrivals = self.endpoint.receive([(data, self.peer.path)], now)
        for engine in arrivals.connections:
            self.links[engine].datagrams_received()
        for newcomer in arrivals.incoming:
            self._welcome(newcomer)
        self._send(self.endpoint.transmit(), now)

    def handshake_completed(self, link: Link) -> bool:
        if not self.trusts:
            link.close(0x29)
        return self.trusts

    def proven(self, link: Link) -> None:
        pass

    def closed(self, link: Link) -> None:
        self.closed_links += 1

    def on_unanswered(self) -> None:
        self.unanswered += 1

    def terminated(self, link: Link) -> None:
        self.terminated_links += 1


class Recorder(asyncio.Protocol):
    """A stream's protocol that writes down what it is told.

    :param paused: pause reading in `connection_made`.
    :param keep_open: what `eof_received` returns.
    """

    def __init__(self, *, paused: bool = False, keep_open: bool = True) -> None:
        self.paused = paused
        self.keep_open = keep_open
        self.stream: Stream | None = None
        self.data = bytearray()
        self.pieces: list[int] = []
        self.calls: list[str] = []
        self.exc: Exception | None = None

    @property
    def lost(self) -> bool:
        return "connection_lost" in self.calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Stream)
        self.stream = transport
        self.calls.append("connection_made")
        if self.paused:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        assert not self.lost
        self.data += data
        self.pieces.append(len(data))

    def eof_received(self) -> bool:
        self.calls.append("eof_received")
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause_writing")

    def resume_writing(self) -> None:
        self.calls.append("resume_writing")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("connection_lost")
        self.exc = exc


class Session(LinkProtocol):
    """A role that trusts everyone and writes down what it is told.

    :param streams: how many the peer may have open.
    """

    def __init__(self, *, streams: int = 1000) -> None:
        self.streams = streams
        self.link: Link | None = None
        self.calls: list[str] = []
        self.moves: list[tuple[Address, Address]] = []
        self.exc: Exception | None = None
        self.accepted: list[Recorder] = []
        self.make: Callable[[], asyncio.Protocol] = Recorder

    def link_made(self, link: Link) -> None:
        self.link = link
        self.calls.append("link_made")
        link.trust()
        link.allow_streams(self.streams)

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        protocol = self.make()
        self.accepted.append(protocol)  # type: ignore[arg-type]  # tests know what they make
        return protocol

    def link_lost(self, exc: Exception | None) -> None:
        self.calls.append("link_lost")
        self.exc = exc

    def link_silent(self) -> None:
        self.calls.append("link_silent")

    def link_back(self) -> None:
        self.calls.append("link_back")

    def link_moved(self) -> None:
        self.moves.append((self.link.local, self.link.peer))


class LinkPair:
    """A dialling and an accepting link."""

    def __init__(
        self,
        network: Network | None = None,
        *,
        engines: Engines = AIOQUIC,
        settings: LinkSettings | None = None,
        streams: int = 1000,
    ) -> None:
        settings = settings or LinkSettings()
        loop = asyncio.get_running_loop()
        self.network = network or Network()
        self.client_session = Session(streams=streams)
        self.server_session = Session(streams=streams)
        client, server = (
            endpoint(engine, settings, accepts=accepts, streams=16, now=loop.time())
            for engine, accepts in zip(engines, (False, True), strict=True)
        )
        self.client_socket = MemorySocket(self.network, CLIENT_PATH, client)
        self.server_socket = MemorySocket(self.network, SERVER_PATH, server, self._welcome)
        self.client_socket.peer = self.server_socket
        self.server_socket.peer = self.client_socket
        engine = client.connect(SERVER_PATH[:2], CLIENT_TLS.server_name, loop.time())
        self.client = self.client_socket.links[engine] = Link(
            engine,
            self.client_socket,
            self.client_socket,
            self.client_session,
            local=Address(*CLIENT_PATH[:2]),
            is_client=True,
            loop=loop,
        )
        self.client.on_unanswered = self.client_socket.on_unanswered
        self.stream_window = PROBES[engines[1]].stream_window
        """Bytes that a stream may be sent which the server does not read."""
        self.server: Link | None = None
        """None until the client's first datagram has come."""

    def _welcome(self, newcomer: IncomingConnection) -> None:
        loop = asyncio.get_running_loop()
        engine = self.server_socket.endpoint.accept(newcomer, loop.time())
        self.server = self.server_socket.links[engine] = Link(
            engine,
            self.server_socket,
            self.server_socket,
            self.server_session,
            local=Address(*SERVER_PATH[:2]),
            is_client=False,
            loop=loop,
        )
        self.server.datagrams_received()

    @classmethod
    async def made(cls, network: Network | None = None, **options) -> LinkPair:
        """Return a pair that has shaken hands and searched its MTU."""
        pair = cls(network, **options)
        pair.start()
        await until(lambda: pair.client.is_made and pair.server is not None and pair.server.is_made)
        await seconds(2)
        return pair

    def start(self) -> None:
        self.client.start()

    def restart_server(self, engine: str, settings: LinkSettings) -> None:
        """Let the accepting end's process die, and another one take its place."""
        now = asyncio.get_running_loop().time()
        if self.server is not None:
            self.server.terminate()
        self.server_socket.links.clear()
        self.server_socket.endpoint = endpoint(engine, settings, accepts=True, streams=16, now=now)

    async def streams(
        self, *, ours: Recorder | None = None, theirs: Recorder | None = None
    ) -> tuple[Recorder, Recorder]:
        """Open a stream that the peer has accepted; return both protocols."""
        if theirs is not None:
            self.server_session.make = lambda: theirs
        ours = ours or Recorder()
        before = len(self.server_session.accepted)
        self.client.open_stream(ours).write(b"!")
        await until(lambda: len(self.server_session.accepted) > before)
        await seconds(1)
        accepted = self.server_session.accepted[-1]
        accepted.data.clear()
        accepted.pieces.clear()
        return ours, accepted


async def until(done: Callable[[], bool], *, limit: float = 60.0) -> None:
    """Let virtual time go by until `done()`."""
    loop = asyncio.get_running_loop()
    end_at = loop.time() + limit
    while not done():
        assert loop.time() < end_at, f"not within {limit:g} s"
        await asyncio.sleep(0.001)


over_links = functools.partial(virtual_time, lateness=TIMER_LATENESS)
"""Turn an async function into a test that runs on a virtual clock whose timers fire late."""


__all__ = ["LinkPair", "Network", "Recorder", "Session", "over_links", "seconds", "settle", "until"]
