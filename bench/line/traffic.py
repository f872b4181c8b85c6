"""Traffic on a simulated link: a bulk stream, and requests with answers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from quictunnel.quic.stream import HIGH_WATER

if TYPE_CHECKING:
    from bench.line.virtual import SimulatedEnd

PIECE = bytes(HIGH_WATER)
SIZE = 100
"""Bytes of a request, and of its answer."""


class BulkStream:
    """A stream that sends as much as possible from one end to the other.

    It writes as a relay does, in pieces of the high water at most: up to that, then not before what
    is unsent has fallen to the low one.
    """

    def __init__(self, sender: SimulatedEnd) -> None:
        self.sender = sender
        self.stream = sender.engine.open_stream()
        self.came_at: list[tuple[float, int]] = []
        """The time and size of each read of the receiving application."""

    def came(self, end: SimulatedEnd, stream_id: int, data: bytes, now: float) -> None:
        """Record the data."""
        if end is not self.sender and stream_id == self.stream:
            self.came_at.append((now, len(data)))

    def turn(self, end: SimulatedEnd, now: float) -> None:
        """Keep the send buffer filled."""
        if end is not self.sender:
            return
        engine = end.engine
        high = min(HIGH_WATER, engine.share)
        if engine.unsent(self.stream) <= high // 4:
            while engine.unsent(self.stream) <= high:
                engine.write(self.stream, PIECE[:high])

    def due(self, end: SimulatedEnd) -> float | None:
        """Return None: the stream is not driven by time."""

    def bytes_between(self, start: float, stop: float) -> int:
        """Return how many bytes arrived in that time."""
        return sum(size for at, size in self.came_at if start <= at < stop)


class RequestStream:
    """Keystrokes: a request, its answer, a pause, the next request."""

    def __init__(self, asker: SimulatedEnd, *, pause: float, now: float, seed: int = 5) -> None:
        self.asker = asker
        self.stream = asker.engine.open_stream()
        self.times: list[float] = []
        """Seconds from each request to its answer."""
        self._pause = pause
        self._random = random.Random(seed)
        self._asked_at: float | None = None
        self._next_at = now
        self._missing = 0  # bytes

    def came(self, end: SimulatedEnd, stream_id: int, data: bytes, now: float) -> None:
        """Send the answer, or record that it has arrived."""
        if stream_id != self.stream:
            return
        if end is not self.asker:
            end.engine.write(stream_id, data)
            return
        self._missing -= len(data)
        if not self._missing and self._asked_at is not None:
            self.times.append(now - self._asked_at)
            self._asked_at = None
            self._next_at = now + self._pause * self._random.random()

    def turn(self, end: SimulatedEnd, now: float) -> None:
        """Send the next request if it is due."""
        if end is self.asker and self._asked_at is None and now >= self._next_at:
            self._asked_at = now
            self._missing = SIZE
            end.engine.write(self.stream, bytes(SIZE))

    def due(self, end: SimulatedEnd) -> float | None:
        """Return when the next request is due."""
        return self._next_at if end is self.asker and self._asked_at is None else None
