"""The measurements: functions that take a running way and return figures.

The name of a figure has its unit. CPU time and memory are those of both ends of the tunnel. The CPU
time of each end and of the load (clients and origin server) is listed as well, because all run on
the same processors.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.ways import RunningWay

Figures = dict[str, float]

MB = 1_000_000
GB = 1_000_000_000

FIRST_BULK = 8 * MB
"""Bytes of the first transfer, which opens the windows and shows the rate."""

MOST_BULK = 4 * GB
"""The most bytes of a transfer, so that no measurement takes long."""

AT_ONCE = 16
"""Concurrent short connections: enough to keep two processors busy."""


BOTH = "both ends"
LOAD = "the load"


@dataclass(frozen=True)
class Effort:
    """The duration of measurements."""

    seconds: float
    """Seconds for each rate."""
    requests: int
    """The most requests."""
    idle: tuple[int, ...]
    """Numbers of idle clients, in ascending order."""


@dataclass(frozen=True)
class Measure:
    """A measurement with its name for `--only`."""

    name: str
    title: str
    take: Callable[[RunningWay, Effort], Figures]


def cpu(way: RunningWay) -> dict[str, float]:
    """Return the CPU seconds used so far by each end of the tunnel and by the load."""
    ends = {name: p.cpu() for name, p in zip(("remote", "origin"), way.tunnel, strict=False)}
    return {**ends, LOAD: time.process_time() + way.server.cpu()}


def spent(way: RunningWay, before: dict[str, float], per: float, unit: str) -> Figures:
    """Return the CPU time since `before` divided by `per`: of both ends, each end, and the load."""
    used = {name: (seconds - before[name]) / per for name, seconds in cpu(way).items()}
    if way.tunnel:
        used = {BOTH: used["remote"] + used["origin"], **used}
    return {f"CPU {unit}, {name}": seconds for name, seconds in used.items()}


def bulk(way: RunningWay, effort: Effort, *, up: bool, streams: int) -> Figures:
    """Transfer as much as takes about the effort's seconds."""
    first = FIRST_BULK / load.bulk(way.address, FIRST_BULK, streams, up=up)
    size = int(min(max(first * effort.seconds, FIRST_BULK), MOST_BULK)) // streams * streams
    before = cpu(way)
    seconds = load.bulk(way.address, size, streams, up=up)
    return {"Mbit/s": size * 8 / seconds / MB, **spent(way, before, size / GB, "s/GB")}


def short(way: RunningWay, effort: Effort) -> Figures:
    """Open connections that fetch 1 kB each."""
    load.short(way.address, 0, AT_ONCE)
    before = cpu(way)
    count, seconds = load.short(way.address, effort.seconds, AT_ONCE)
    return {"connections/s": count / seconds, **spent(way, before, count / 1000, "ms each")}


def requests(way: RunningWay, effort: Effort) -> Figures:
    """Send requests of 128 bytes with answers of 1 kB on one connection, one after the other."""
    load.requests(way.address, 20, effort.seconds)
    before = cpu(way)
    times = load.requests(way.address, effort.requests, effort.seconds)
    percentiles = statistics.quantiles(times, n=100)
    return {
        "p50, ms": percentiles[49] * 1000,
        "p99, ms": percentiles[98] * 1000,
        **spent(way, before, len(times) / 1000, "ms each"),
    }


def idle(way: RunningWay, effort: Effort) -> Figures:
    """Measure requests beside a growing number of idle clients, and the memory per idle client.

    If a way accepts fewer clients, report their number and stop.
    """
    load.requests(way.address, 20, effort.seconds)
    empty = memory(way)
    clients = load.IdleClients(way.address)
    figures: Figures = {}
    try:
        for count in effort.idle:
            if not clients.grow(count):
                figures[f"{count:,} idle: accepted"] = len(clients.sockets)
                break
            if way.tunnel:
                grown = memory(way) - empty
                figures[f"{count:,} idle: bytes a client, {BOTH}"] = grown / count
            beside = requests(way, effort)
            figures[f"{count:,} idle: p50, ms"] = beside["p50, ms"]
            figures[f"{count:,} idle: p99, ms"] = beside["p99, ms"]
            if way.tunnel:
                figures[f"{count:,} idle: CPU ms each, {BOTH}"] = beside[f"CPU ms each, {BOTH}"]
    finally:
        clients.close()
    return figures


def memory(way: RunningWay) -> int:
    """Return the memory of both ends of the tunnel, in bytes."""
    return sum(program.memory() for program in way.tunnel)


MEASURES = (
    Measure("down-1", "download, 1 stream", partial(bulk, up=False, streams=1)),
    Measure("down-8", "download, 8 streams", partial(bulk, up=False, streams=8)),
    Measure("up-1", "upload, 1 stream", partial(bulk, up=True, streams=1)),
    Measure("up-8", "upload, 8 streams", partial(bulk, up=True, streams=8)),
    Measure("short", "connections of 1 kB", short),
    Measure("requests", "requests, answers of 1 kB", requests),
    Measure("idle", "requests beside idle", idle),
)
