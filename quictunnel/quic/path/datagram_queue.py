"""The queue of a path that sends less quickly than it is given datagrams. No I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_AGE = 0.05
"""Seconds that the oldest datagram may have waited if others are to be queued behind it. A queue
that grows longer delays all streams, and hides from congestion control that the path is full."""

MIN_BYTES = 16 * 1024
"""Bytes that may be queued in any case, so that a slow line can carry a burst of ten datagrams."""

MAX_BYTES = 2 * 1024 * 1024
"""Bytes that may be queued at most: 50 ms at 340 Mbit/s. It bounds the memory of a stalled path."""


class DatagramQueue:
    """A queue that is bounded by age and by size. It drops the datagrams that do not fit."""

    def __init__(self) -> None:
        self._batches: deque[tuple[float, list[bytes]]] = deque()
        """Datagrams in order, and when they were added."""
        self.size = 0
        """Bytes in the queue."""
        self.dropped = 0
        """Datagrams that were dropped."""

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, datagrams: Sequence[bytes], now: float) -> None:
        """Queue datagrams, or drop them.

        :param now: the loop's time in seconds.
        """
        limit = MAX_BYTES
        if self._batches and now - self._batches[0][0] > MAX_AGE:
            limit = MIN_BYTES
        fitting: list[bytes] = []
        for data in datagrams:
            if self.size + len(data) > limit:
                break
            self.size += len(data)
            fitting.append(data)
        self.dropped += len(datagrams) - len(fitting)
        if fitting:
            self._batches.append((now, fitting))

    def take(self, limit: int) -> list[bytes]:
        """Remove and return the first datagrams: at least one, and at most about `limit` bytes."""
        taken: list[bytes] = []
        size = 0
        while self._batches and size < limit:
            since, batch = self._batches[0]
            count = 0
            for data in batch:
                size += len(data)
                count += 1
                if size >= limit:
                    break
            if count == len(batch):
                taken += batch
                self._batches.popleft()
            else:
                taken += batch[:count]
                self._batches[0] = since, batch[count:]
        self.size -= size
        return taken

    def clear(self) -> None:
        """Drop everything."""
        self._batches.clear()
        self.size = 0
