"""Who sends over a link in virtual time: a bulk stream, and requests with answers."""

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
    """As much as goes, from one end to the other, on one stream.

    It writes as a relay does, in pieces of the high water at most: up to that, then not before what
    is unsent has fallen to the low one.
    """

    def __init__(self, sender: SimulatedEnd) -> None:
        self.sender = sender
        self.stream = sender.engine.open_stream()
        self.came_at: list[tuple[float, int]] = []
        """When what came, in bytes, at the receiver's application."""

    def came(self, end: SimulatedEnd, stream_id: int, data: bytes, now: float) -> None:
        """Count it."""
        if end is not self.sender and stream_id == self.stream:
            self.came_at.append((now, len(data)))

    def turn(self, end: SimulatedEnd, now: float) -> None:
        """Fill up what is to be sent."""
        if end is not self.sender:
            return
        engine = end.engine
        high = min(HIGH_WATER, engine.share)
        if engine.unsent(self.stream) <= high // 4:
            while engine.unsent(self.stream) <= high:
                engine.write(self.stream, PIECE[:high])

    def due(self, end: SimulatedEnd) -> float | None:
        """Nothing is due by the clock."""

    def bytes_between(self, start: float, stop: float) -> int:
        """Return how many bytes came in that time."""
        return sum(size for at, size in self.came_at if start <= at < stop)


class RequestStream:
    """Somebody types: a request, its answer, a pause, the next one."""

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
        """Answer, or note that the answer is there."""
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
        """Ask, if it is time."""
        if end is self.asker and self._asked_at is None and now >= self._next_at:
            self._asked_at = now
            self._missing = SIZE
            end.engine.write(self.stream, bytes(SIZE))

    def due(self, end: SimulatedEnd) -> float | None:
        """Return when the next request is."""
        return self._next_at if end is self.asker and self._asked_at is None else None
