"""Token buckets, which limit how fast relays read.

A byte that is not read stays in the kernel or in the stream's window, and back-pressure slows its
sender down: no byte is lost. Many relays may share a bucket. They read in turn, one piece each.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

BURST = 0.1
"""Seconds of the rate that a bucket holds. After a pause, so much may pass at once."""

CATCH_UP = 1.0
"""Seconds of the rate that a bucket holds while readers wait. A busy event loop that returns to the
bucket within this time does not make them slower."""

PIECES = 8
"""Pieces in a full bucket, at least. With more readers there are as many pieces as readers."""

MIN_PIECE = 1024
"""Bytes of a piece, at least: about one packet. Smaller ones would cost too much CPU time."""

MIN_DELAY = 0.005
"""Seconds between two turns of a bucket, at least. Readers that are due together share one."""


class BucketReader(Protocol):
    """Reads what a bucket grants."""

    def granted(self, bucket: TokenBucket, count: int) -> None:
        """Handle bytes granted to a reader that has waited for them."""


class TokenBucket:
    """Limits what its readers read in one direction, all together.

    :param rate: bytes per second; None for no limit.
    :param loop: the running loop by default.
    """

    __slots__ = ("_filled_at", "_loop", "_rate", "_timer", "_tokens", "_waiting")

    def __init__(self, rate: float | None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._rate = rate
        self._tokens = self._capacity
        """Bytes that may be read now. Negative if more was read than granted."""
        self._filled_at = self._loop.time()
        self._waiting: dict[BucketReader, int] = {}
        """The readers that wait, in the order of their turns, and the bytes that each wants."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of readers that wait."""
        return len(self._waiting)

    def change(self, rate: float | None) -> None:
        """Set another rate, for the readers that wait too."""
        self._fill()
        self._rate = rate
        self._tokens = min(self._tokens, self._capacity)
        self._cancel_timer()
        self._serve()

    def take(self, reader: BucketReader, wanted: int) -> int:
        """Return how many bytes a reader may read now, at most `wanted`.

        If it is 0, the reader waits, and `granted` is called when it is its turn.
        """
        if self._rate is None:
            return wanted
        self._fill()
        count = min(wanted, self._piece)
        if self._waiting or self._tokens < count:
            self._waiting[reader] = wanted
            self._schedule()
            return 0
        self._tokens -= count
        return count

    def give_back(self, count: int) -> None:
        """Return granted bytes that were not read; negative for bytes read without a grant."""
        self._tokens = min(self._tokens + count, max(self._tokens, self._capacity))

    def cancel(self, reader: BucketReader) -> None:
        """Remove a reader. Has no effect if it does not wait."""
        self._waiting.pop(reader, None)
        if not self._waiting:
            self._cancel_timer()

    # -- Inside

    @property
    def _capacity(self) -> float:
        return max((self._rate or 0) * BURST, MIN_PIECE)

    @property
    def _piece(self) -> int:
        """The bytes that a reader may read before the next one's turn."""
        return max(int(self._capacity) // max(PIECES, len(self._waiting)), MIN_PIECE)

    def _fill(self) -> None:
        now = self._loop.time()
        elapsed, self._filled_at = now - self._filled_at, now
        most = self._capacity
        if self._waiting:
            most = max(most, (self._rate or 0) * CATCH_UP)
        elif elapsed < BURST:
            most = max(most, self._tokens)  # the readers are about to use what they have waited for
        self._tokens = min(self._tokens + elapsed * (self._rate or 0), most)

    def _serve(self) -> None:
        """Let readers read, in turn, as far as the tokens last."""
        self._timer = None
        self._fill()
        piece = self._piece
        while self._waiting:
            reader, wanted = next(iter(self._waiting.items()))
            if self._rate is None:
                count = wanted
            elif self._tokens >= (count := min(wanted, piece)):
                self._tokens -= count
            else:
                break
            del self._waiting[reader]
            reader.granted(self, count)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and self._waiting and self._rate is not None:
            wanted = next(iter(self._waiting.values()))
            missing = min(wanted, self._piece) - self._tokens
            delay = max(missing / self._rate, MIN_DELAY)
            self._timer = self._loop.call_later(delay, self._serve)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class RateLimit:
    """Limits the rate of one relay, or of several together, in each direction.

    :param rate: bytes per second; None for no limit.
    :param loop: the running loop by default.
    """

    __slots__ = ("from_stream", "from_tcp")

    def __init__(self, rate: float | None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.from_tcp = TokenBucket(rate, loop)
        """Limits what is read from TCP connections."""
        self.from_stream = TokenBucket(rate, loop)
        """Limits what is read from streams."""

    def change(self, rate: float | None) -> None:
        """Set another rate, for current relays too."""
        self.from_tcp.change(rate)
        self.from_stream.change(rate)
