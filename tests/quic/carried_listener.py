"""A listener with paths beside UDP, and links to it that change between them. In virtual time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

from flooded_listener import MemoryEndpointSocket
from link_pair import Recorder, Session
from pair import CLIENT_PATH, CLIENT_TLS, SERVER_PATH, endpoint, server_tls

from quictunnel.protocol.address import Address
from quictunnel.quic.engine import Path
from quictunnel.quic.engines.selection import select
from quictunnel.quic.link import Link
from quictunnel.quic.listener import Listener
from quictunnel.quic.path.carried_paths import PeerPath
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.settings import LinkSettings
from testkit.carried_path import CarriedLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.events import Event
    from quictunnel.quic.engine import Engine
    from quictunnel.quic.path.datagram_path import DatagramPath

WEB_PEER = Address("192.0.2.1", 40_443)
"""The address behind a path beside UDP."""


class Attached:
    """Collects the reports of a listener about one path."""

    def __init__(self, listener: Listener, path: DatagramPath, peer: Address = WEB_PEER) -> None:
        self.path = path
        self.proven = 0
        self.closed: list[str] = []
        self.close = listener.attach_path(
            path, peer, on_proven=self._count_proven, on_closed=self.closed.append
        )

    def _count_proven(self) -> None:
        self.proven += 1


class CarriedListener:
    """A listener whose UDP network is in memory. Its sessions trust everyone."""

    def __init__(self, engine: str, *, settings: LinkSettings | None = None) -> None:
        self.events: list[Event] = []
        self.sessions: list[Session] = []
        self.udp: MemoryEndpointSocket
        self.listener = Listener(
            SimpleNamespace(endpoint=select(engine, None).endpoint, endpoint_socket=self._socket),
            SimpleNamespace(getsockname=lambda: SERVER_PATH[:2]),
            protocol_factory=self._new_session,
            server_tls=server_tls(),
            settings=settings or LinkSettings(),
            emit=self.events.append,
        )

    @property
    def link(self) -> Link:
        """The accepting end of the latest link."""
        link = self.sessions[-1].link
        assert link is not None
        return link

    def _socket(self, *arguments: object, **options: object) -> MemoryEndpointSocket:
        self.udp = MemoryEndpointSocket(*arguments, **options)
        return self.udp

    def _new_session(self) -> Session:
        session = Session()
        self.sessions.append(session)
        return session


class Roamer:
    """A dialed link that changes between UDP and other paths.

    Implements `quictunnel.quic.engine.EndpointSocket`, `quictunnel.quic.link.LinkOwner` and
    `quictunnel.quic.path.datagram_path.PathHandler`.

    :param udp: the network towards the listener; None if there is no UDP.
    :param over: the path to start on; None for UDP.
    """

    is_full = False

    def __init__(
        self,
        engine: str,
        udp: MemoryEndpointSocket | None,
        *,
        over: DatagramPath | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._udp = udp
        self._loop = loop
        self._path = CLIENT_PATH
        self._over: DatagramPath | None = None
        self.ended: list[str] = []
        """Why paths have ended."""
        self.session = Session()
        self.endpoint = endpoint(
            engine, settings or LinkSettings(), accepts=False, streams=16, now=loop.time()
        )
        self.link = Link(
            self.endpoint.connect(SERVER_PATH[:2], CLIENT_TLS.server_name, loop.time()),
            self,
            self,
            self.session,
            local=Address(*CLIENT_PATH[:2]),
            is_client=True,
            loop=loop,
            path=PeerPath(
                Address(*SERVER_PATH[:2]), PathKind.UDP if over is None else PathKind.WEBSOCKET
            ),
        )
        self._use(over)
        self.link.start()

    def move_over(self, path: DatagramPath) -> None:
        """Continue on a path other than UDP."""
        self._use(path)
        self._move(PathKind.WEBSOCKET)

    def move_to_udp(self, path: Path = CLIENT_PATH) -> None:
        """Continue over UDP, from another address if one is given."""
        self._path = path
        self._use(None)
        self._move(PathKind.UDP)

    def open_stream(self, data: bytes = b"!") -> Recorder:
        """Open a stream that carries some bytes."""
        recorder = Recorder()
        self.link.open_stream(recorder).write(data)
        return recorder

    def _use(self, path: DatagramPath | None) -> None:
        self._over = path
        if path is not None:
            path.handler = self
        elif self._udp is not None:
            self._udp.hosts[self._path[:2]] = self._receive

    def _move(self, kind: PathKind) -> None:
        self.link.move(self, self.link.local, Address(*SERVER_PATH[:2]), kind)

    def _receive(self, *datagrams: bytes) -> None:
        arrived = [(data, SERVER_PATH) for data in datagrams]
        batch = self.endpoint.receive(arrived, self._loop.time())
        if batch.connections:
            self.link.datagrams_received()

    # EndpointSocket

    def transmit(self, engine: Engine, now: float) -> bool:
        datagrams = [data for data, _ in engine.transmit(now)]
        if self._over is not None:
            self._over.send(datagrams)
        elif self._udp is not None:
            for data in datagrams:
                self._udp.send(data, self._path)
        return bool(datagrams)

    # PathHandler

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        self._receive(*datagrams)

    def path_closed(self, reason: str) -> None:
        self.ended.append(reason)

    # LinkOwner

    def handshake_completed(self, _: Link) -> bool:
        return True

    def proven(self, link: Link) -> None:
        pass

    def closed(self, link: Link) -> None:
        self._loop.call_soon(link.terminate)

    def terminated(self, link: Link) -> None:
        pass


class Heard:
    """Collects the datagrams of a path. Implements `PathHandler`."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.something = asyncio.Event()

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        self.datagrams += datagrams
        self.something.set()

    def path_closed(self, reason: str) -> None:
        pass


def attached_line(listener: Listener, peer: Address = WEB_PEER, **options) -> CarriedLine:
    """Return a line whose accepting end the listener has."""
    line = CarriedLine(**options)
    Attached(listener, line.accepting, peer)
    return line
