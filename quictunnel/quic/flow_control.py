"""Flow control's arithmetic: what may come before it is read, and wait before it is sent. No I/O.

A stream's window starts small and grows while its reader keeps up; all streams of all links of a
process share one budget for what is received and not yet read. Connector the budget slows the peers
down, it never ends anything. What waits to be sent is as much as a link's path needs, shared by the
streams that have something to send.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STREAM_WINDOW = 512 * 1024
"""Bytes a stream may have under way at first: 40 Mbit/s at 100 ms."""

STREAM_WINDOW_MAX = 16 * 1024 * 1024
"""Bytes a stream may have under way at most: 1.3 Gbit/s at 100 ms."""

LINK_WINDOW = 64 * 1024 * 1024
"""Bytes a link may have under way: no path that we know of holds more."""

RELIEF = 64 * 1024
"""Bytes that a link is granted when the budget is used up and its window as well, ..."""

RELIEF_EVERY = 0.5
"""... and how often, in seconds: those whose bytes are read go on, slowly, whatever others hold."""

UNREAD_LIMIT = 256 * 1024 * 1024
"""Bytes received and not yet read in the whole process, by default."""

LINK_WINDOW_UNPROVEN = 1024 * 1024
"""Bytes that a peer may send in all before it has proven who it is."""

AHEAD_SECONDS = 0.025
"""Seconds. What leaves within a round trip waits here beside what is in flight, so that two
bandwidth-delay products are held in all; on shorter paths what leaves within so long, for an event
loop that has much to do comes round no sooner."""

AHEAD_MIN = 64 * 1024
"""Bytes that wait though the path is slow, or not known yet, ..."""

SHARE_MIN = 16 * 1024
"""... and those of one stream, however many there are: reading a client's bytes in smaller pieces
costs more than sending them."""


def share(*, rate: float, rtt: float, streams: int) -> int:
    """Return how many bytes each stream may have unsent.

    :param rate: bytes a second that the path is taken to carry; 0 if that is not known.
    :param rtt: seconds.
    :param streams: how many have something to send.
    """
    ahead = max(rate * max(rtt, AHEAD_SECONDS), AHEAD_MIN)
    return max(int(ahead) // max(streams, 1), SHARE_MIN)


class Window:
    """The receive window of one stream.

    :param size: bytes the peer may send beyond what has been read.
    """

    __slots__ = ("_behind", "_read_at_update", "_updated_at", "limit", "read", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.read = 0
        """Bytes read so far, or dropped."""
        self.limit = size
        """The offset that the peer may send up to."""
        self._behind = False  # much has waited for the reader since the last update
        self._read_at_update = 0
        self._updated_at: float | None = None

    def take(self, count: int, *, unread: int, now: float, rtt: float, may_grow: bool) -> bool:
        """Account for `count` bytes read; return whether `limit` has moved and should be told.

        :param unread: bytes still waiting for the reader, who keeps up while they are few.
        :param now: seconds; `rtt`: the round-trip time in seconds.
        :param may_grow: whether memory allows a larger window.

        Half a window that was read within two round trips means that the window, and not the path
        or the reader, holds the sender back.
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
    """What a whole process holds unread, over all its links."""

    limit: int = UNREAD_LIMIT
    """Bytes that should not be exceeded."""
    unread: int = 0
    """Bytes received and not yet read, now."""
    links: int = 0
    """How many links share it: each is granted its part of what is free."""

    @property
    def may_grow(self) -> bool:
        """Whether windows may still grow: until half of the budget is in use."""
        return self.unread * 2 < self.limit

    @property
    def headroom(self) -> int:
        """Bytes that may come on a link now, beyond those that have."""
        return max(0, min(LINK_WINDOW, (self.limit - self.unread) // max(1, self.links)))


class LinkWindow:
    """How much all streams of one link together may send.

    While the process holds little unread, the window moves with what *arrives*, so that streams
    which are not read cannot use it up. As the budget is reached it moves only by what was *read*,
    and by a little relief now and then.
    """

    __slots__ = ("_budget", "_read", "relief_at")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._read = 0
        self.relief_at = math.inf
        """When `move` should be called again even if nothing happens, in seconds."""

    def begin(self) -> None:
        """Take a share of the budget."""
        self._budget.links += 1

    def end(self) -> None:
        """Give it back."""
        self._budget.links -= 1

    def move(self, limit: int, *, used: int, read: int, now: float) -> int:
        """Return the new limit on the link's bytes.

        :param limit: the limit now; `used`: bytes that have come; `read`: of them, those read.
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
