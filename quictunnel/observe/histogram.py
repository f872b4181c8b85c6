"""Counts values in fixed buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Histogram:
    """Counts values by size.

    :param bounds: the upper bounds of the buckets, which belong to them, in ascending order. Values
        above the last bound have a bucket of their own.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    @property
    def bounds(self) -> Sequence[float]:
        """The upper bounds of the buckets."""
        return self._bounds

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self._counts)

    @property
    def sum(self) -> float:
        """The sum of the values."""
        return self._sum

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulated(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, and the number of values that do not exceed it."""
        total = 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            total += count
            yield bound, total
