"""The measurements of each name, in virtual time or on a real line."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from bench.line import figures, real
from bench.line.figures import Measured, Sender
from bench.line.lines import BY_NAME, HOME

if TYPE_CHECKING:
    from bench.line.line import Line

BESIDE = "requests", "changes", "sharing"
"""Measurements other than those of a line's bulk throughput."""

NAMES = (*BY_NAME, *BESIDE)

LOSSY = replace(HOME, loss=0.01)
CHANGES = {"faster": replace(HOME, rate=2 * HOME.rate), "slower": replace(HOME, rate=HOME.rate / 5)}
"""The lines that a home line changes to."""

BULK = "share, queue, dropped"

Who_contra = TypeVar("Who_contra", contravariant=True)


class LineMeasure(Protocol[Who_contra]):
    """A measurement: a call makes one run."""

    def __call__(self, who: Who_contra, *, seed: int) -> Measured | None:
        """Return the figures, or None if these do not exist for `who`."""


def simulated(name: str, seconds: float) -> dict[str, LineMeasure[Sender]]:
    """Return the measurements of a name in virtual time, by the names of their figures."""
    if name in BY_NAME:
        return {BULK: partial(_bulk, BY_NAME[name].line, seconds)}
    if name == "requests":
        return {"p50, p99": partial(_requests, seconds)}
    if name == "changes":
        return {
            f"{word}, {how}": partial(_change, after, how == "moved")
            for word, after in CHANGES.items()
            for how in ("moved", "untold")
        }
    return {
        "two links": partial(_sharing, None, seconds),
        "beside cubic": partial(_sharing, Sender("aioquic", "cubic"), seconds),
    }


def _bulk(line: Line, seconds: float, who: Sender, *, seed: int) -> Measured:
    found = figures.bulk(who, line, seconds=seconds, seed=seed)
    return Measured([found.share, found.queueing, found.dropped])


def _requests(seconds: float, who: Sender, *, seed: int) -> Measured:
    times = figures.request_times(who, LOSSY, seconds=seconds, seed=seed)
    return Measured([figures.percentile(times, 0.5), figures.percentile(times, 0.99)])


def _change(after: Line, moved: bool, who: Sender, *, seed: int) -> Measured:
    return Measured([figures.after_a_change(who, HOME, after, moved=moved, seed=seed)])


def _sharing(first: Sender | None, seconds: float, who: Sender, *, seed: int) -> Measured:
    both = first or who, who
    return Measured(list(figures.sharing(both, HOME, seconds=seconds, seed=seed)))


def on_real_kernels(name: str, seconds: float) -> dict[str, LineMeasure[str]]:
    """Return the measurements of a name on a real line, by the names of their figures."""
    if name in BY_NAME:
        return {BULK: partial(real.bulk, line=BY_NAME[name].line, seconds=seconds)}
    if name == "requests":
        return {
            "p50, p99, in ms": partial(real.requests, line=LOSSY, seconds=seconds),
            "without loss: p50, p99, in ms": partial(real.requests, line=HOME, seconds=seconds),
        }
    if name == "changes":
        return {
            f"{word}, {how}": partial(real.after_a_change, before=HOME, after=after, moved=moved)
            for word, after in CHANGES.items()
            for how, moved in (("moved", True), ("untold", False))
        }
    sharing = partial(real.sharing, line=HOME, seconds=seconds)
    return {
        "two at once, the first's first": partial(sharing, beside=None),
        "beside cubic, cubic's first": partial(sharing, beside=real.DIRECT_CUBIC),
    }
