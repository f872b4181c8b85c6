"""Flow control: how much the peer may send before it is read, and how much waits to be sent.

A stream's receive window starts small and grows while its reader keeps up. All streams of all links
of a process share one budget for unread bytes. When the budget is used up, peers slow down; nothing
is closed. The bytes that wait to be sent follow from the path's rate, and are shared by the streams
that have something to send. Pure: no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STREAM_WINDOW = 512 * 1024
"""Initial receive window of a stream in bytes: 40 Mbit/s at 100 ms."""

STREAM_WINDOW_MAX = 16 * 1024 * 1024
"""Largest receive window of a stream in bytes: 1.3 Gbit/s at 100 ms."""

LINK_WINDOW = 64 * 1024 * 1024
"""Receive window of a link in bytes: more than the bandwidth-delay product of any known path."""

RELIEF = 64 * 1024
"""Bytes granted to a link whose window and budget are used up, every `RELIEF_EVERY` seconds."""

RELIEF_EVERY = 0.5
"""Seconds between reliefs. Streams that are read continue slowly, whatever other streams hold."""

LINK_WINDOW_UNPROVEN = 1024 * 1024
"""Bytes that a dialed peer may send before it has proven itself."""

HELLO_WINDOW = 128 * 1024
"""Bytes that an accepted peer may send before it has proven itself: twice the largest message. It
may claim this memory with two small frames."""

AHEAD_SECONDS = 0.025
"""Shortest time in seconds for which bytes are buffered ahead of sending. The buffer covers a round
trip, or this time on shorter paths, because a busy event loop refills it no sooner."""

AHEAD_MIN = 64 * 1024
"""Smallest send buffer of a link in bytes, for slow or unknown paths."""

SHARE_MIN = 16 * 1024
"""Smallest send buffer of a stream in bytes. Reading a client in smaller pieces costs more CPU than
sending does."""


def share(*, rate: float, rtt: float, streams: int) -> int:
    """Return how many unsent bytes each stream may buffer.

    :param rate: estimated rate of the path in bytes per second; 0 if unknown.
    :param rtt: round-trip time in seconds.
    :param streams: number of streams that have something to send.
    """
    ahead = max(rate * max(rtt, AHEAD_SECONDS), AHEAD_MIN)
    return max(int(ahead) // max(streams, 1), SHARE_MIN)


class Window:
    """The receive window of one stream.

    :param size: bytes that the peer may send beyond those read.
    """

    __slots__ = ("_behind", "_read_at_update", "_updated_at", "limit", "read", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.read = 0
        """Bytes read or discarded so far."""
        self.limit = size
        """The offset up to which the peer may send (MAX_STREAM_DATA)."""
        self._behind = False  # the reader fell behind since the last update
        self._read_at_update = 0
        self._updated_at: float | None = None

    def take(self, count: int, *, unread: int, now: float, rtt: float, may_grow: bool) -> bool:
        """Record that `count` bytes were read; return whether to announce a new `limit`.

        The window doubles if half of it was read within two round trips while few bytes were
        unread: then the window limits the sender, not the path or the reader.

        :param unread: bytes received and not read yet.
        :param now: seconds of a monotonic clock.
        :param rtt: round-trip time in seconds.
        :param may_grow: whether memory allows a larger window.
        """
        self.read += count
        self._behind |= unread * 4 > self.size
        since = self.read - self._read_at_update
        if since * 2 < self.size:
            return False
        if (
            may_grow
            and self._updated_at is not None
            and now - self._updated_at < 2 * rtt
            and not self._behind
        ):
            self.size = min(2 * self.size, STREAM_WINDOW_MAX)
        self._behind = unread * 4 > self.size
        self._updated_at = now
        self._read_at_update = self.read
        self.limit = self.read + self.size
        return True


@dataclass(slots=True)
class Budget:
    """The unread bytes of all links of a process."""

    limit: int
    """Limit in bytes."""
    unread: int = 0
    """Bytes received and not read yet."""
    links: int = 0
    """Number of links that share the budget equally."""

    @property
    def may_grow(self) -> bool:
        """Whether windows may grow: less than half of the budget is in use."""
        return self.unread * 2 < self.limit

    @property
    def headroom(self) -> int:
        """Bytes that each link may receive beyond those received."""
        return max(0, min(LINK_WINDOW, (self.limit - self.unread) // max(1, self.links)))


class LinkWindow:
    """The receive window of one link (MAX_DATA).

    While the budget has headroom, the window follows the bytes *received*, so that unread streams
    do not exhaust it. Without headroom it follows the bytes *read*, plus a small relief.
    """

    __slots__ = ("_budget", "_read", "relief_at")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._read = 0
        self.relief_at = math.inf
        """When to call `move` again even without traffic; infinity if not needed."""

    def begin(self) -> None:
        """Take a share of the budget."""
        self._budget.links += 1

    def end(self) -> None:
        """Return the share of the budget."""
        self._budget.links -= 1

    def move(self, limit: int, *, used: int, read: int, now: float) -> int:
        """Return the new limit of the link's bytes.

        :param limit: the current limit.
        :param used: bytes received.
        :param read: bytes read of those.
        :param now: seconds of a monotonic clock.
        """
        newly_read, self._read = read - self._read, read
        headroom = self._budget.headroom
        if headroom > RELIEF:
            self.relief_at = math.inf
            return used + headroom if (limit - used) * 2 < headroom else limit
        limit += newly_read
        if limit - used >= RELIEF:
            self.relief_at = math.inf
        elif self.relief_at == math.inf:
            self.relief_at = now + RELIEF_EVERY
        elif now >= self.relief_at:
            self.relief_at = now + RELIEF_EVERY
            limit += RELIEF
        return limit
