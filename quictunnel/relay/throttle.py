"""Lets one side of a relay read no faster than its token buckets allow.

A side may have several: of its client, its place and its token. It takes the bytes of one read from
each bucket, one after the other. While it waits for one of them, it keeps what others have granted.
If it gave that back, readers of single buckets could always be faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quictunnel.relay.rate_limit import TokenBucket


class ThrottledSide(Protocol):
    """A side of a relay, as its throttle sees it."""

    def hold_back(self) -> None:
        """Stop reading until `resume_reading` is called."""

    def resume_reading(self) -> bool:
        """Read again if nothing but the throttle prevented it; return whether the side reads."""


class Throttle:
    """The `ReadLimiter` of one side's transport.

    :param buckets: the buckets that must all grant what the side reads.
    """

    __slots__ = ("_buckets", "_granted", "_side", "_wanted", "is_waiting")

    def __init__(self, buckets: Sequence[TokenBucket], side: ThrottledSide) -> None:
        self._buckets = tuple(buckets)
        self._granted = [0] * len(self._buckets)
        """The bytes that each bucket has granted for the next read."""
        self._side: ThrottledSide | None = side
        self._wanted = 0
        self.is_waiting = False
        """Whether the side must not read, because it waits for a bucket."""

    def allow(self, wanted: int) -> int:
        """Return how many bytes may be read now. If it is 0, the side has stopped reading."""
        self._wanted = wanted
        if not self._has_all_grants():
            self.is_waiting = True
            if self._side is not None:
                self._side.hold_back()
            return 0
        return min([wanted, *self._granted])

    def settle(self, used: int) -> None:
        """Give back what was granted for a read but not read."""
        for index, bucket in enumerate(self._buckets):
            bucket.give_back(self._granted[index] - used)
            self._granted[index] = 0

    def charge(self, count: int) -> None:
        """Count bytes that were read without a grant. Later reads wait for them."""
        for bucket in self._buckets:
            bucket.give_back(-count)

    def close(self) -> None:
        """Stop waiting, give back what was granted, and limit nothing any more."""
        for bucket in self._buckets:
            bucket.cancel(self)
        self.settle(0)
        self._buckets, self._granted = (), []
        self._side = None
        self.is_waiting = False

    def granted(self, bucket: TokenBucket, count: int) -> None:
        """See `BucketReader`."""
        self._granted[self._buckets.index(bucket)] = count
        if not self._has_all_grants():
            return
        self.is_waiting = False
        if self._side is None or not self._side.resume_reading():
            self.settle(0)  # others can use it now

    def _has_all_grants(self) -> bool:
        """Take what the next read needs; return False if it must wait for a bucket."""
        for index, bucket in enumerate(self._buckets):
            if not self._granted[index]:
                self._granted[index] = bucket.take(self, self._wanted)
                if not self._granted[index]:
                    return False
        return True
