"""Is what a program holds growing? And what else is wrong, in words. Pure.

Memory is looked at when nobody is there, after each tide, and only over the second half of them:
the first half warms up. A line is laid through those points (least squares), bytes over clients
served. What it rises by over the half must be less than a small share of all, plus what an
allocator's moods make.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.soak.watch import Holdings

SHARE = 0.03
"""Of a program's memory, by which it may rise over the second half."""

MOODS = 4 * 1024 * 1024
"""Bytes by which it may rise besides: an outage leaves a heap larger and full of holes."""

LEAST = 5
"""Points that make a line; with fewer there is no verdict."""

LEAST_SERVED = 1000
"""Clients in the second half; with fewer the moods hide what each leaves behind."""


@dataclass(frozen=True)
class Rest:
    """What a program held at one ebb."""

    served: int
    """Clients served until then."""
    held: Holdings


@dataclass(frozen=True)
class Trend:
    """How a program's memory went over the second half."""

    per_client: float
    """Bytes."""
    rise: float
    """Bytes, over the half."""
    allowed: float

    @property
    def is_growth(self) -> bool:
        return self.rise > self.allowed


def trend(points: Sequence[tuple[int, int]]) -> Trend | None:
    """Return how the memory went, from (clients served, bytes) at each ebb; None: too few."""
    half = points[len(points) // 2 :]
    if len(half) < LEAST or half[-1][0] - half[0][0] < LEAST_SERVED:
        return None
    served, held = zip(*half, strict=True)
    slope = linear_regression(served, held).slope
    return Trend(slope, slope * (served[-1] - served[0]), SHARE * fmean(held) + MOODS)


def trends(rests: Sequence[Rest]) -> dict[str, Trend | None]:
    """Return how both kinds of memory went."""
    return {
        "RSS": trend([(rest.served, rest.held.resident) for rest in rests]),
        "USS": trend([(rest.served, rest.held.unique) for rest in rests]),
    }


def memory_faults(name: str, rests: Sequence[Rest]) -> Iterator[str]:
    """Yield what is wrong with a program's memory, in words."""
    for kind, found in trends(rests).items():
        if found and found.is_growth:
            yield (
                f"{name}: {kind} grows by {found.per_client:,.0f} bytes a client, "
                f"{found.rise:,.0f} over the second half, where {found.allowed:,.0f} are allowed"
            )
