"""A simulated path other than UDP: ordered and without losses behind a short queue, as over TCP.

For tests in virtual time. A stall holds all data back, as while TCP retransmits, and a failure ends
the path at both ends at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed
from quictunnel.protocol.address import Address
from quictunnel.quic.path.datagram_path import PathKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quictunnel.quic.path.datagram_path import PathHandler

MTU = 1472
"""Bytes of the largest datagram that is received."""

QUEUE_BYTES = 256 * 1024
"""Bytes that a queue holds however short they wait."""

CLOSED_BY_PEER = "the other end has closed the path"
"""The reason that an end is given when the other end closes the path."""


class CarriedLine:
    """Two joined ends. Sizes in bytes, times in seconds. `delay`, `rate` and `queue` may change.

    :param rate: bytes per second in each direction; None for no limit.
    :param queue: the longest that a datagram waits in front of `rate`. Later ones are dropped.
    """

    def __init__(
        self,
        *,
        delay: float = 0.01,
        rate: float | None = None,
        queue: float = 0.05,
        mtu: int = MTU,
        kind: PathKind = PathKind.WEBSOCKET,
    ) -> None:
        self.delay = delay
        self.rate = rate
        self.queue = queue
        self.is_stalled = False
        """Whether nothing moves. Set by `stall`."""
        self.is_closed = False
        """Whether either end was closed, or the line has failed."""
        self.dialing = SimulatedPath(self, mtu, kind)
        self.accepting = SimulatedPath(self, mtu, kind)
        self.dialing.other, self.accepting.other = self.accepting, self.dialing

    @property
    def ends(self) -> tuple[SimulatedPath, SimulatedPath]:
        """Both ends."""
        return self.dialing, self.accepting

    def stall(self) -> None:
        """Hold everything back until `resume`. The queues fill, and then drop."""
        self.is_stalled = True

    def resume(self) -> None:
        """Let data move again. Data that was held back arrives first."""
        self.is_stalled = False
        for end in self.ends:
            end.resumed()

    def fail(self, reason: str = "the connection was reset") -> None:
        """End the path at both ends, as when a proxy in between dies. Queued data is lost."""
        self.is_closed = True
        for end in self.ends:
            end.failed(reason)


class SimulatedPath:
    """One end of a `CarriedLine`. Implements `quictunnel.quic.path.datagram_path.DatagramPath`."""

    other: SimulatedPath

    def __init__(self, line: CarriedLine, mtu: int, kind: PathKind) -> None:
        self.kind = kind
        self.peer = Address("192.0.2.9", 443)
        self.mtu = mtu
        self.handler: PathHandler | None = None
        self.queued = 0
        """Bytes that wait to be sent."""
        self.sent = 0
        """Datagrams that have left the queue."""
        self.dropped = 0
        """Datagrams that were too large, or for which the queue had no room."""
        self.is_closed = False
        """Whether the end was closed here, by the other end, or by a failure."""
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()  # with the time of their arrival in it
        self._free_at = 0.0
        self._departure: asyncio.TimerHandle | None = None
        self._in_flight: deque[bytes | None] = deque()  # to the other end; None for its end
        self._held_back = 0

    # DatagramPath

    def send(self, datagrams: Sequence[bytes]) -> None:
        """Queue datagrams. Those for which there is no room are dropped."""
        if self.is_closed:
            return
        for data in datagrams:
            if len(data) > self.mtu or self._is_full(len(data)):
                self.dropped += 1
            else:
                self._queue.append((self._loop.time(), data))
                self.queued += len(data)
                self._depart()

    def close(self) -> None:
        """Close both ends. Queued data is lost, and data in flight still arrives."""
        if not self.is_closed:
            self._end()
            self._line.is_closed = True
            self._fly(None)

    # For the line

    def resumed(self) -> None:
        """Deliver what was held back, and send what waits."""
        held_back, self._held_back = self._held_back, 0
        for _ in range(held_back):
            self._land()
        self._depart()

    def failed(self, reason: str) -> None:
        """End without the other end's help."""
        if not self.is_closed:
            self._end()
            self._loop.call_soon(self._report_closed, reason)

    # Inside

    def _is_full(self, size: int) -> bool:
        if self.queued + size > QUEUE_BYTES:
            return True
        if self._line.rate:
            return (self.queued + size) / self._line.rate > self._line.queue
        return bool(self._queue) and self._loop.time() - self._queue[0][0] > self._line.queue

    def _depart(self) -> None:
        """Send the first datagrams, at once or as soon as the line is free."""
        while self._queue and self._departure is None and not self._line.is_stalled:
            if self._line.rate:
                start = max(self._free_at, self._loop.time())
                self._free_at = start + len(self._queue[0][1]) / self._line.rate
                self._departure = self._loop.call_at(self._free_at, self._departed)
            else:
                self._leave()

    def _departed(self) -> None:
        self._departure = None
        if self._queue and not self._line.is_stalled:
            self._leave()
        self._depart()

    def _leave(self) -> None:
        _, data = self._queue.popleft()
        self.queued -= len(data)
        self.sent += 1
        self._fly(data)

    def _fly(self, data: bytes | None) -> None:
        self._in_flight.append(data)  # timers of one time fire in any order
        self._loop.call_later(self._line.delay, self._land)

    def _land(self) -> None:
        if not self._in_flight:
            return  # lost by a failure
        if self._line.is_stalled:
            self._held_back += 1
            return
        data = self._in_flight.popleft()
        if data is None:
            self.other.failed(CLOSED_BY_PEER)
        elif not self.other.is_closed:
            assert self.other.handler is not None, "the owner sets the handler at once"
            self.other.handler.datagrams_received([data])

    def _end(self) -> None:
        self.is_closed = True
        self._queue.clear()
        self.queued = 0
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None

    def _report_closed(self, reason: str) -> None:
        if self.handler is not None:
            self.handler.path_closed(reason)


class SimulatedOpener:
    """Opens lines to an accepting end. Implements `quictunnel.quic.path.datagram_path.PathOpener`.

    :param accept: takes the accepting end of each line, in the turn in which it is opened.
    :param options: of each `CarriedLine`.
    """

    def __init__(
        self,
        accept: Callable[[SimulatedPath], None],
        *,
        kind: PathKind = PathKind.WEBSOCKET,
        opening_time: float = 0.03,
        **options: float,
    ) -> None:
        self.kind = kind
        self.opening_time = opening_time
        """Seconds until a line is open, or has failed to open."""
        self.obstacle: str | None = None
        """Why no line can be opened; None if lines can be opened."""
        self.lines: list[CarriedLine] = []
        """All lines that were opened, the latest last."""
        self.options = options
        """The options of each line."""
        self._accept = accept

    async def open(self) -> SimulatedPath:
        """Return the dialing end of a new line."""
        await asyncio.sleep(self.opening_time)
        if self.obstacle is not None:
            raise LinkFailed(self.obstacle)
        line = CarriedLine(kind=self.kind, **self.options)  # type: ignore[arg-type]
        self.lines.append(line)
        self._accept(line.accepting)
        return line.dialing
