"""Decides whether the memory of a program grows. No I/O.

Memory is measured after each tide, when there is no client. The first half of the tides is a
warm-up. A line is fitted through the points of the second half (least squares of bytes over served
clients). Its rise must be less than a small share of the memory plus the variation of an allocator.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.soak.watch import Resources

SHARE = 0.03
"""The share of a program's memory by which it may grow in the second half."""

VARIATION = 4 * 1024 * 1024
"""Bytes by which it may grow in addition: an outage leaves the heap larger and fragmented."""

LEAST = 5
"""The fewest points of the second half for a verdict."""

LEAST_SERVED = 1000
"""The fewest clients of the second half for a verdict. With fewer, noise hides a leak."""


@dataclass(frozen=True)
class Rest:
    """The resources of a program after a tide."""

    served: int
    """Clients served so far."""
    held: Resources


@dataclass(frozen=True)
class Trend:
    """The trend of a program's memory in the second half."""

    per_client: float
    """Bytes per client."""
    rise: float
    """Bytes in the whole half."""
    allowed: float

    @property
    def is_growth(self) -> bool:
        return self.rise > self.allowed


def trend(points: Sequence[tuple[int, int]]) -> Trend | None:
    """Return the trend of (clients served, bytes) after each tide, or None if there are too few."""
    half = points[len(points) // 2 :]
    if len(half) < LEAST or half[-1][0] - half[0][0] < LEAST_SERVED:
        return None
    served, held = zip(*half, strict=True)
    slope = linear_regression(served, held).slope
    return Trend(slope, slope * (served[-1] - served[0]), SHARE * fmean(held) + VARIATION)


def trends(rests: Sequence[Rest]) -> dict[str, Trend | None]:
    """Return the trends of both kinds of memory."""
    return {
        "RSS": trend([(rest.served, rest.held.resident) for rest in rests]),
        "USS": trend([(rest.served, rest.held.unique) for rest in rests]),
    }


def memory_faults(name: str, rests: Sequence[Rest]) -> Iterator[str]:
    """Yield the faults of a program's memory, in words."""
    for kind, found in trends(rests).items():
        if found and found.is_growth:
            yield (
                f"{name}: {kind} grows by {found.per_client:,.0f} bytes a client, "
                f"{found.rise:,.0f} over the second half, where {found.allowed:,.0f} are allowed"
            )
