"""Doubles for the relay's tests: a stream in memory, raw TCP sockets, a tunnel of two relays.

Not a test itself. The stream keeps asyncio's promises to the letter (see `MemoryStream`), so that
what passes here passes with the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import socket
import struct
from collections import deque

from quictunnel.errors import LinkLost, StreamReset
from quictunnel.protocol.codes import Code
from quictunnel.relay.idle_timer import IdleTimer
from quictunnel.relay.readiness import readiness
from quictunnel.relay.relay import NO_LIMITS, Relay, RelayEnd, RelayLimits
from quictunnel.relay.tcp_transport import SocketTransport

HIGH, LOW = 64 * 1024, 16 * 1024
PATIENCE = 20
"""Seconds after which a test that waits for something has failed; none takes that long."""


class MemoryStream(asyncio.Transport):
    """One end of a stream. `stream_pair()` makes two.

    Bytes and FIN wait at the writer until the reader reads and the link is not silent, so that
    back-pressure is exact. Nothing is delivered while reading is paused, except for the loss.
    `connection_lost()` comes once, never from within a call of the protocol: None after both FINs
    or the own reset, StreamReset after the peer's, LinkLost with the link.
    """

    def __init__(self, link: MemoryLink, stream_id: int) -> None:
        super().__init__({"stream_id": stream_id})
        self.link = link
        self.peer: MemoryStream
        self.protocol: asyncio.Protocol | None = None
        self.loop = asyncio.get_running_loop()
        self.sent: deque[bytes] = deque()
        self.reset_code: int | None = None
        self._fin_written = self._fin_delivered = self._fin_received = False
        self.read_limiter = None
        self._reading = True
        self._writing_paused = False
        self._closing = self._lost = False

    def attach(self, protocol: asyncio.Protocol) -> MemoryStream:
        self.protocol = protocol
        protocol.connection_made(self)
        self.peer.pump_soon()
        return self

    # asyncio.Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol  # type: ignore[assignment]

    def write(self, data) -> None:
        assert not self._fin_written, "write() behind write_eof()"
        assert isinstance(data, bytes), "what is kept must not change"
        if self._closing or not data:
            return
        self.sent.append(data)
        if self.get_write_buffer_size() > HIGH and not self._writing_paused:
            self._writing_paused = True
            self.protocol.pause_writing()
        self.pump_soon()

    def write_eof(self) -> None:
        if self._closing:
            return
        self._fin_written = True
        self.pump_soon()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.sent))

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return LOW, HIGH

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.peer.pump_soon()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        assert self._fin_written, "the relay closes a stream only behind its FIN"
        assert self._fin_received, "the relay closes a stream only behind the peer's FIN"

    def abort(self) -> None:
        self.reset(Code.INTERNAL)

    def get_extra_info(self, name, default=None):
        return self._extra.get(name, default)

    # Members that only streams have

    @property
    def is_silent(self) -> bool:
        return self.link.is_silent

    def reset(self, code: int) -> None:
        if self._closing:
            return
        self.reset_code = code
        self.lose(None)
        self.loop.call_soon(self.link.when_heard, lambda: self.peer.lose(StreamReset(code)))

    def lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._closing = self._lost = True
        self.sent.clear()
        if self.protocol is not None:
            self.loop.call_soon(self.protocol.connection_lost, exc)

    # Delivery

    def pump_soon(self) -> None:
        self.loop.call_soon(self.link.when_heard, self._pump)

    def _pump(self) -> None:
        """Deliver one piece to the other end, if it wants any."""
        reader = self.peer
        if self._lost or reader._lost or reader.protocol is None or not reader._reading:
            return
        if self.sent:
            size, limiter = len(self.sent[0]), reader.read_limiter
            if limiter is not None and not (size := limiter.allow(size)):
                return
            if limiter is not None:
                limiter.settle(size)
            piece = self.sent.popleft()
            if size < len(piece):
                self.sent.appendleft(piece[size:])
            reader.protocol.data_received(piece[:size])
            self._has_drained()
            self.pump_soon()
        elif self._fin_written and not self._fin_delivered:
            self._fin_delivered = reader._fin_received = True
            assert reader.protocol.eof_received(), "the other direction must live on"
            self._end_if_done()
            reader._end_if_done()

    def _has_drained(self) -> None:
        if self._writing_paused and self.get_write_buffer_size() <= LOW:
            self._writing_paused = False
            self.protocol.resume_writing()

    def _end_if_done(self) -> None:
        if self._fin_delivered and self._fin_received:
            self.lose(None)


class MemoryLink:
    """A link of streams, which can fall silent, come back and be lost."""

    def __init__(self) -> None:
        self.is_silent = False
        self.streams: list[MemoryStream] = []
        self._unheard: list = []

    def stream_pair(self) -> tuple[MemoryStream, MemoryStream]:
        a, b = MemoryStream(self, 4), MemoryStream(self, 4)
        a.peer, b.peer = b, a
        self.streams += [a, b]
        return a, b

    def when_heard(self, action) -> None:
        if self.is_silent:
            self._unheard.append(action)
        else:
            action()

    def fall_silent(self) -> None:
        self.is_silent = True

    def come_back(self) -> None:
        self.is_silent = False
        actions, self._unheard = self._unheard, []
        for action in actions:
            action()

    def lose(self) -> None:
        for stream in self.streams:
            stream.lose(LinkLost(None, "the hold is over"))


class Wire:
    """A raw TCP socket, as a client has one: it sees FIN as b"" and RST as an error."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, count: int = 1 << 16) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.sock, count)

    async def receive_exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = await self.receive(count - len(data))
            assert piece, f"FIN after {len(data)} bytes of {count}"
            data += piece
        return data

    async def receive_to_fin(self) -> bytes:
        """Return all that comes until FIN; an RST raises ConnectionResetError."""
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    async def sees_reset(self) -> bool:
        """Whether the connection ends in RST, whatever comes before it."""
        try:
            await self.receive_to_fin()
        except ConnectionResetError:
            return True
        return False

    async def sees_reset_behind_fin(self) -> bool:
        """Whether an RST has followed the FIN. Reading shows only the FIN."""
        await until(lambda: self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0)
        return True

    async def fill(self) -> int:
        """Send until nothing more goes, however often the loop turns; return the bytes."""
        total, turns = 0, 0
        while turns < 200:
            try:
                total += self.sock.send(bytes(1 << 16))
                turns = 0
            except BlockingIOError:
                turns += 1
                await asyncio.sleep(0)
        return total

    def fin(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


def tcp_pair(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
    """Return two ends of a TCP connection on loopback; `small` ones have small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        outer = socket.socket()
        if small:
            outer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            outer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        outer.connect(listener.getsockname())
        inner, _ = listener.accept()
    inner.setblocking(False)
    return outer, inner


async def until(condition) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  the kernel's buffers set no event
            await asyncio.sleep(0)


class VirtualTime:
    """As much of a loop as timers need; time passes when a test says so."""

    def __init__(self):
        self.now = 0.0
        self._timers = []
        self._ids = itertools.count()

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = VirtualTimer(when, callback)
        heapq.heappush(self._timers, (when, next(self._ids), timer))
        return timer

    def advance(self, seconds):
        until_time = self.now + seconds
        while self._timers and self._timers[0][0] <= until_time:
            self.now, _, timer = heapq.heappop(self._timers)
            timer.run()
        self.now = until_time


class VirtualTimer:
    def __init__(self, when, callback):
        self._when, self.run = when, callback

    def when(self):
        return self._when


class Half:
    """One relay with the far end of its TCP connection in hand."""

    def __init__(
        self,
        code: Code,
        *,
        linger: float = 300,
        small: bool = False,
        clock: asyncio.AbstractEventLoop | None = None,
        limits: RelayLimits = NO_LIMITS,
    ) -> None:
        self.ended: asyncio.Future[RelayEnd] = asyncio.get_running_loop().create_future()
        self.lingers = IdleTimer(linger, Relay.linger_expired, clock)
        self.relay = Relay(
            linger_timer=self.lingers,
            tcp_reset_code=code,
            on_end=self.ended.set_result,
            limits=limits,
        )
        self._small = small
        self.wire: Wire
        self.transport: SocketTransport

    async def stand(self) -> None:
        """Make the TCP connection."""
        outer, inner = tcp_pair(small=self._small)
        self.wire = Wire(outer)
        self.transport = SocketTransport(inner, readiness(asyncio.get_running_loop()))
        self.transport.attach(self.relay.tcp)

    async def end(self) -> RelayEnd:
        async with asyncio.timeout(PATIENCE):
            return await self.ended

    async def close(self) -> None:
        if not self.ended.done():
            self.relay.abort(Code.INTERNAL)
        await self.end()
        with contextlib.suppress(AttributeError):
            self.wire.close()


class Tunnel:
    """A client, a relay, a stream, a relay, an origin server."""

    def __init__(
        self, *, linger: float = 300, small: bool = False, limits: RelayLimits = NO_LIMITS
    ) -> None:
        self.link = MemoryLink()
        self.remote = Half(Code.CLIENT_RESET, linger=linger, small=small, limits=limits)
        self.origin = Half(Code.ORIGIN_RESET, linger=linger, small=small)

    async def stand(self) -> None:
        await self.remote.stand()
        await self.origin.stand()
        near, far = self.link.stream_pair()
        self.near = near.attach(self.remote.relay.stream)
        self.far = far.attach(self.origin.relay.stream)
        self.client, self.server = self.remote.wire, self.origin.wire

    def ways(self, way: str) -> tuple[Half, Half]:
        """Return who acts and who sees it."""
        return (self.remote, self.origin) if way == "client" else (self.origin, self.remote)

    async def close(self) -> None:
        await self.remote.close()
        await self.origin.close()
