"""A link in memory, as roles see it: both ends, without QUIC, sockets or loss.

Data that one end writes reaches the other in a later iteration of the loop, in order. Endings are
reported as a real link reports them. `freeze` delays everything, as a dead network would.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from quictunnel.errors import LinkForgotten, LinkLost, StreamReset
from quictunnel.events import PathKind
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Statistics
from quictunnel.quic.link import AcknowledgementObserver, LinkProtocol, LinkStatistics


class FakeStream(asyncio.Transport):
    def __init__(self, link: FakeLink) -> None:
        super().__init__({"link": link, "peername": link.peer})
        self.link = link
        self.other: FakeStream | None = None
        self.protocol: asyncio.Protocol | None = None
        self.code: int | None = None
        self._arrived: deque[bytes | None] = deque()  # None: the end
        self._reading = True
        self._eof_sent = self._eof_read = False
        self._lost = False

    is_silent = property(lambda self: self.link.is_silent)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._lost:
            assert not self._eof_sent
            self._carry(bytes(data))

    def write_eof(self) -> None:
        if not (self._eof_sent or self._lost):
            self._eof_sent = True
            self._carry(None)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.link.soon(self.deliver)

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._lost

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 65_536

    def close(self) -> None:
        self.write_eof()

    def abort(self) -> None:
        self.reset(Code.INTERNAL)

    def reset(self, code: int) -> None:
        if not self._lost:
            self.code = code
            self.lose(None)
            other = self.other
            assert other is not None
            self.link.carry(lambda: other.lose(StreamReset(code)))

    def lose(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self.link.streams.discard(self)
            assert self.protocol is not None
            self.link.soon(lambda: self.protocol.connection_lost(exc))  # type: ignore[union-attr]

    def arrive(self, data: bytes | None) -> None:
        if not self.link.is_closed:
            self._arrived.append(data)
            self.deliver()

    def deliver(self) -> None:
        while self._arrived and self._reading and not self._lost:
            data = self._arrived.popleft()
            assert self.protocol is not None
            if data is not None:
                self.protocol.data_received(data)
                continue
            self._eof_read = True
            if not self.protocol.eof_received():
                self.close()
            assert self.other is not None
            self._end()
            self.other._end()

    def _end(self) -> None:
        """End in order once both directions have ended and all data was read."""
        assert self.other is not None
        if self._eof_sent and self._eof_read and self.other._eof_read:
            self.lose(None)

    def _carry(self, data: bytes | None) -> None:
        other = self.other
        assert other is not None
        self.link.carry(lambda: other.arrive(data))


class FakeLink:
    def __init__(self, name: int, exporter: bytes) -> None:
        self.local = Address("127.0.0.1", name)
        self.peer = Address("192.0.2.1", name)
        self.exporter = exporter
        self.path_kind = PathKind.UDP
        self.path_reason = self.udp_probe = ""
        self.rtt = 0.02
        self.is_silent = False
        self.silent_since: float | None = None
        self.unheard_for = 0.0
        self.hold = 900.0
        self.is_closed = False
        self.is_trusted = False
        self.allowed = 0
        self.code: int | None = None
        self.streams: set[FakeStream] = set()
        self.acknowledgements: AcknowledgementObserver | None = None
        self.unacknowledged = False
        self.protocol: LinkProtocol | None = None
        self.other: FakeLink | None = None
        self._loop = asyncio.get_running_loop()
        self._held: list[Callable[[], Any]] | None = None

    @property
    def statistics(self) -> LinkStatistics:
        figures = Statistics(self.rtt, 60_000, 1350, 5000, 4000, 40, 3, 3600)
        return LinkStatistics(self.local, self.peer, figures)

    def soon(self, callback: Callable[[], Any]) -> None:
        self._loop.call_soon(callback)

    def carry(self, callback: Callable[[], Any]) -> None:
        """Call back at the other end, or when the network is thawed."""
        if self._held is not None:
            self._held.append(callback)
        else:
            self.soon(callback)

    def freeze(self) -> None:
        self._held = []

    def thaw(self) -> None:
        held, self._held = self._held or [], None
        for callback in held:
            self.soon(callback)

    def go_silent(self, since: float = 0.0) -> None:
        """Become silent, with the last packet received so many seconds ago."""
        self.is_silent = True
        self.silent_since = self._loop.time() - since
        assert self.protocol is not None
        self.protocol.link_silent()

    def come_back(self) -> None:
        self.is_silent = False
        self.silent_since = None
        assert self.protocol is not None
        self.protocol.link_back()

    def open_stream(self, protocol: asyncio.Protocol) -> FakeStream:
        if self.is_closed:
            raise LinkLost(None, "closed")
        near = FakeStream(self)
        assert self.other is not None
        far = FakeStream(self.other)
        near.other, far.other = far, near
        self.streams.add(near)
        near.set_protocol(protocol)
        self.carry(lambda: self.other.accept(far))  # type: ignore[union-attr]
        protocol.connection_made(near)
        self.soon(self._send)
        return near

    def _send(self) -> None:
        """Tell who observes it that everything was sent, and that the peer has acknowledged it."""
        other, observer = self.other, self.acknowledgements
        if observer is not None and other is not None:
            observer.sent(self._loop.time())
            self.carry(lambda: other.carry(self._acknowledge))

    def _acknowledge(self) -> None:
        if self.acknowledgements is not None:
            self.acknowledgements.acknowledged(self._loop.time(), self)  # type: ignore[arg-type]

    def accept(self, stream: FakeStream) -> None:
        if self.is_closed:
            return
        self.streams.add(stream)
        assert self.protocol is not None
        stream.set_protocol(self.protocol.stream_accepted(stream))  # type: ignore[arg-type]
        assert stream.protocol is not None
        stream.protocol.connection_made(stream)

    def ask(self, within: float, on_result: Callable[[bool], None]) -> None:
        """Be asked for an answer, which comes unless the link is silent or frozen."""
        if self.is_silent or self._held is not None:
            self._loop.call_later(within, on_result, False)
        else:
            self._loop.call_soon(on_result, not self.is_closed)

    def allow_streams(self, count: int) -> None:
        self.allowed = max(self.allowed, count)

    def trust(self) -> None:
        self.is_trusted = True

    def close(self, code: int = Code.NO_ERROR, reason: str = "") -> None:
        if not self.is_closed:
            self.code = code
            self.over(LinkLost(code, reason), told=None)
            other = self.other
            assert other is not None
            lost = LinkLost(code, reason)
            self.carry(lambda: other.over(lost, told=lost))

    def die(self) -> None:
        """End as a link does at the end of its hold."""
        lost = LinkLost(None, "nothing heard for the whole hold")
        self.over(lost, told=lost)

    def be_forgotten(self) -> None:
        """End by a stateless reset, as a link does whose peer has restarted."""
        lost = LinkForgotten(None, "the peer no longer knows the connection")
        self.over(lost, told=lost)

    def over(self, lost: LinkLost, *, told: LinkLost | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        for stream in tuple(self.streams):
            stream.lose(lost)
        assert self.protocol is not None
        protocol = self.protocol
        self.soon(lambda: protocol.link_lost(told))

    async def wait_closed(self) -> None:
        assert self.is_closed


def join(
    origin: LinkProtocol, remote: LinkProtocol, *, exporters: tuple[bytes, bytes] | None = None
) -> tuple[FakeLink, FakeLink]:
    """Make a link between two sessions. With a man in the middle the exporters differ."""
    mine, yours = exporters or (b"e" * 32, b"e" * 32)
    near, far = FakeLink(1001, mine), FakeLink(1002, yours)
    near.other, far.other = far, near
    near.protocol, far.protocol = origin, remote
    remote.link_made(far)  # type: ignore[arg-type]
    origin.link_made(near)  # type: ignore[arg-type]
    return near, far
