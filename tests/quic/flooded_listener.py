"""A listener in memory, on a loop of virtual time, with honest peers and floods. No sockets."""

from __future__ import annotations

import asyncio
import itertools
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING

from aioquic.quic.crypto import CryptoPair
from pair import CLIENT_TLS, SERVER_PATH, endpoint, server_tls

from quictunnel.quic.engine import Path
from quictunnel.quic.engines.selection import select
from quictunnel.quic.link import Link, LinkProtocol
from quictunnel.quic.listener import Listener
from quictunnel.quic.path.carried_addresses import is_carried
from quictunnel.quic.settings import LinkSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from quictunnel.events import Event
    from quictunnel.quic.engine import Datagram, Endpoint, Engine, ReceivedBatch

DELAY = 0.025
"""Seconds that a datagram is on its way, in either direction."""

BATCH = 64
"""Datagrams that the listener reads at a time."""

VERSION = 1


class MemoryEndpointSocket:
    """A listener's socket, and the network. Implements `quictunnel.quic.engine.EndpointSocket`."""

    is_full = False

    def __init__(
        self,
        endpoint: Endpoint,
        _: object,
        *,
        received: Callable[[ReceivedBatch], None],
        carried: Callable[[Sequence[Datagram]], None],
        loop: asyncio.AbstractEventLoop,
        **__: object,
    ) -> None:
        self.endpoint = endpoint
        self.hosts: dict[tuple[str, int], Callable[[bytes], None]] = {}
        """Takes the datagrams for an address and port."""
        self.otherwise: Callable[[bytes, Path], None] = lambda *_: None
        """Takes the datagrams for all others."""
        self._received = received
        self._carried = carried
        self._loop = loop
        self._arrived: list[Datagram] = []
        self._reading: asyncio.Handle | None = None
        self._is_accepted: Callable[[str], bool] | None = None
        self._number = itertools.count()

    def send(self, data: bytes, path: Path) -> None:
        """Send a datagram to the listener."""
        self._later(self._arrive, data, path)

    def _later(self, callback: Callable[..., None], *args: object) -> None:
        # A loop takes timers of one time in any order; a network does not.
        at = self._loop.time() + DELAY + next(self._number) * 1e-10
        self._loop.call_at(at, callback, *args)

    def _arrive(self, data: bytes, path: Path) -> None:
        self._arrived.append((data, path))
        if self._reading is None:
            self._reading = self._loop.call_soon(self._read)

    def _read(self) -> None:
        batch, self._arrived = self._arrived[:BATCH], self._arrived[BATCH:]
        self._reading = self._loop.call_soon(self._read) if self._arrived else None
        if self._is_accepted is not None:
            batch = [each for each in batch if self._is_accepted(each[1][0])]
        self._received(self.endpoint.receive(batch, self._loop.time()))

    def _deliver(self, data: bytes, path: Path) -> None:
        if (take := self.hosts.get((path[0], path[1]))) is not None:
            take(data)
        else:
            self.otherwise(data, path)

    def transmit(self, engine: Engine, now: float) -> bool:
        return self._send(engine.transmit(now))

    def answer(self) -> None:
        self._send(self.endpoint.transmit())

    def _send(self, datagrams: Sequence[Datagram]) -> bool:
        for data, path in datagrams:
            if is_carried(path[0]):
                self._carried([(data, path)])
            else:
                self._later(self._deliver, data, path)
        return bool(datagrams)

    def accept_only(self, is_accepted: Callable[[str], bool] | None) -> None:
        self._is_accepted = is_accepted

    def close(self) -> None:
        pass


class Flooded:
    """A listener that trusts peers at some ports, one round trip after their handshake."""

    def __init__(self, engine: str, *, settings: LinkSettings | None = None) -> None:
        self.engine = engine
        self.events: list[Event] = []
        self.honest_ports: set[int] = set()
        self.proven_at: dict[int, float] = {}
        """When a peer was trusted, by its port."""
        self.most_unproven = 0
        kind = select(engine, None)
        self.listener = Listener(
            SimpleNamespace(endpoint=kind.endpoint, endpoint_socket=self._make_socket),
            SimpleNamespace(getsockname=lambda: SERVER_PATH[:2]),
            protocol_factory=self._new_session,
            server_tls=server_tls(),
            settings=settings or LinkSettings(),
            emit=self.events.append,
        )

    def _make_socket(self, *args: object, **options: object) -> MemoryEndpointSocket:
        self.network = MemoryEndpointSocket(*args, **options)
        return self.network

    def _new_session(self) -> LinkProtocol:
        self.most_unproven = max(self.most_unproven, self.listener._admission.unproven + 1)
        return Deciding(self)

    def honest(self, host: str, port: int, **options) -> Caller:
        """Let a peer call that knows a token."""
        self.honest_ports.add(port)
        return Caller(self, host, port, **options)


class Deciding(LinkProtocol):
    """A session that trusts honest peers once their hello would have come."""

    def __init__(self, flooded: Flooded) -> None:
        self._flooded = flooded

    def link_made(self, link: Link) -> None:
        if link.peer.port in self._flooded.honest_ports:
            link.loop.call_later(2 * DELAY, self._trust, link)

    def _trust(self, link: Link) -> None:
        if not link.is_closed:
            self._flooded.proven_at[link.peer.port] = link.loop.time()
            link.trust()

    def link_lost(self, exc: Exception | None) -> None:
        pass


class Caller:
    """A QUIC client that calls the listener.

    :param closes: close as soon as the handshake is complete.
    """

    def __init__(
        self,
        flooded: Flooded,
        host: str,
        port: int,
        *,
        alpn: str | None = None,
        closes: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._network = flooded.network
        self.path = Path(host, port)
        self.closes = closes
        self.closed: tuple[int | None, str] | None = None
        settings = LinkSettings() if alpn is None else LinkSettings(alpn=alpn)
        self._endpoint = endpoint(
            flooded.engine, settings, accepts=False, streams=16, now=self._loop.time()
        )
        self.engine = self._endpoint.connect(
            SERVER_PATH[:2], CLIENT_TLS.server_name, self._loop.time()
        )
        self._timer: asyncio.TimerHandle | None = None
        self.called_at = self._loop.time()
        self._network.hosts[host, port] = self._receive
        self._turn()

    def move(self, host: str) -> None:
        """Continue from another host."""
        self.path = Path(host, self.path.port)
        self._network.hosts[host, self.path.port] = self._receive
        self.engine.move(self._loop.time())
        self._turn()

    def stop(self) -> None:
        """Vanish."""
        del self._network.hosts[self.path[:2]]
        if self._timer is not None:
            self._timer.cancel()

    def _receive(self, data: bytes) -> None:
        self._endpoint.receive([(data, SERVER_PATH)], self._loop.time())
        self._turn()

    def _expire(self) -> None:
        self._timer = None
        self.engine.expire(self._loop.time())
        self._turn()

    def _turn(self) -> None:
        self.engine.dispatch(self)
        for data, _ in self.engine.transmit(self._loop.time()):
            self._network.send(data, self.path)
        self.engine.dispatch(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.engine.deadline()
        if deadline is not None and not self.engine.is_terminated:
            self._timer = self._loop.call_at(deadline + 1e-6, self._expire)

    def on_handshake(self) -> None:
        if self.closes:
            self.engine.close_with(0, "")

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        self.closed = code, reason

    def __getattr__(self, name: str) -> object:
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)


class Initials:
    """Initial packets with a good ClientHello, many times cheaper than a client for each."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        client = endpoint("aioquic", LinkSettings(), accepts=False, streams=16)
        engine = client.connect(SERVER_PATH[:2], CLIENT_TLS.server_name, 0.0)
        ((first, _), *_) = engine.transmit(0.0)
        id_end = 6 + first[5]
        self._source = first[id_end + 1 : id_end + 1 + first[id_end]]
        offset = id_end + 1 + len(self._source) + 1 + 2  # no token; two bytes of length
        crypto = CryptoPair()
        crypto.setup_initial(first[6:id_end], is_client=False, version=VERSION)
        end = offset + (int.from_bytes(first[offset - 2 : offset], "big") & 0x3FFF)
        _, self._frames, _ = crypto.decrypt_packet(first[:end], offset, 0)

    def initial(self, destination: bytes | None = None, token: bytes = b"") -> bytes:
        """Return an Initial packet, for a connection ID of its own by default."""
        destination = destination or self._random.randbytes(8)
        crypto = CryptoPair()
        crypto.setup_initial(destination, is_client=True, version=VERSION)
        header = bytes([0xC1]) + VERSION.to_bytes(4, "big")
        for part in (destination, self._source):
            header += bytes([len(part)]) + part
        header += (0x4000 | len(token)).to_bytes(2, "big") + token
        payload = self._frames.rstrip(b"\0").ljust(1162, b"\0")
        header += (0x4000 | (len(payload) + 2 + 16)).to_bytes(2, "big") + b"\0\0"
        return crypto.encrypt_packet(header, payload, 0)

    def answer(self, retry: bytes) -> bytes | None:
        """Return the Initial packet that answers a Retry; None if the packet is none."""
        if retry[0] & 0xF0 != 0xF0:
            return None
        id_end = 6 + retry[5]
        source_end = id_end + 1 + retry[id_end]
        return self.initial(retry[id_end + 1 : source_end], retry[source_end:-16])


class Flood:
    """Sends Initial packets at a rate, and nothing after them.

    :param paths: where they come from.
    :param answers: whether a Retry is answered.
    """

    def __init__(
        self, flooded: Flooded, paths: Iterator[Path], *, rate: float, answers: bool
    ) -> None:
        self._network = flooded.network
        self._paths = paths
        self._interval = 1 / rate
        self._initials = Initials(1)
        self._loop = asyncio.get_running_loop()
        self.retries = 0
        if answers:
            self._network.otherwise = self._answer
        self._timer = self._loop.call_soon(self._send)

    def stop(self) -> None:
        """End the flood."""
        self._timer.cancel()
        self._network.otherwise = lambda *_: None

    def _send(self) -> None:
        self._network.send(self._initials.initial(), next(self._paths))
        self._timer = self._loop.call_later(self._interval, self._send)

    def _answer(self, data: bytes, path: Path) -> None:
        answer = self._initials.answer(data)
        if answer is not None:
            self.retries += 1
            self._network.send(answer, Path(*path[:2]))
