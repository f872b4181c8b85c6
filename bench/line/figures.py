"""The figures of an engine on a simulated line. Each function makes one run.

A share is the receiver application's bytes in relation to the line's rate. Headers and
retransmissions count as overhead.
"""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.line.traffic import BulkStream, RequestStream
from bench.line.virtual import Simulation

if TYPE_CHECKING:
    from bench.line.line import Line
    from quictunnel.config.settings import Congestion

WARM_UP = 3.0
"""Seconds for a bulk stream to find the rate, before counting starts."""

BETWEEN_PROBES = 3.0
"""About the time between two bandwidth probes in seconds. Events come at a random time of it."""

PAUSE = 0.02
"""Seconds at most between an answer and the next request."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The engine whose sending is measured."""

    engine: str
    congestion: Congestion | None = None
    stops: float = 0.0
    """Suspensions of each process per second."""

    def __str__(self) -> str:
        return self.engine if self.congestion is None else f"{self.engine}/{self.congestion}"


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a run."""

    figures: list[float]
    overload: str = ""
    """Why the figures are distorted by the emulator of a real line, in words. Empty if not."""


@dataclass(frozen=True, slots=True)
class BulkFigures:
    """The figures of one bulk stream."""

    share: float
    """The share of the line's rate."""
    queueing: float
    """The median wait in the line's queue, in round-trip times."""
    dropped: int
    """Datagrams that found the queue full, since the start."""


def bulk(
    sender: Sender, line: Line, *, seconds: float, seed: int = 7, warm_up: float = WARM_UP
) -> BulkFigures:
    """Measure a bulk stream alone, after it has found the rate."""
    simulation = Simulation(line, seed=seed, stops=sender.stops)
    link = simulation.link(sender.engine, sender.congestion)
    stream = BulkStream(link.client)
    link.add(stream)
    simulation.run_for(warm_up)
    start = simulation.now
    simulation.run_for(seconds)
    direction = simulation.network.direction("up")
    waits = direction.waits_since(start)
    return BulkFigures(
        share=stream.bytes_between(start, simulation.now) / seconds / line.rate,
        queueing=statistics.median(waits) / line.rtt if waits else 0.0,
        dropped=direction.overflowed,
    )


def request_times(
    sender: Sender, line: Line, *, seconds: float, seed: int = 7, warm_up: float = WARM_UP
) -> list[float]:
    """Return how long each request took beside a bulk stream, in round-trip times of the line.

    A request travels against the bulk stream and its answer beside it, as keystrokes do beside a
    download.
    """
    simulation = Simulation(line, seed=seed, stops=sender.stops)
    link = simulation.link(sender.engine, sender.congestion)
    link.add(BulkStream(link.client))
    simulation.run_for(warm_up)
    requests = RequestStream(link.server, pause=PAUSE, now=simulation.now, seed=seed)
    link.add(requests)
    simulation.run_for(seconds)
    return [time / line.rtt for time in requests.times]


def after_a_change(
    sender: Sender, before: Line, after: Line, *, moved: bool, within: float = 5.0, seed: int = 7
) -> float:
    """Return the share of the new rate in the second that ends `within` s after a change of line.

    The change comes after a warm-up and a time that depends on the seed.

    :param moved: whether the client's address changes as well, so that the engine is notified.
    """
    simulation = Simulation(before, seed=seed, stops=sender.stops)
    link = simulation.link(sender.engine, sender.congestion)
    stream = BulkStream(link.client)
    link.add(stream)
    simulation.run_for(WARM_UP + BETWEEN_PROBES * random.Random(seed).random())
    after.apply(simulation.network)
    if moved:
        simulation.move(link)
    simulation.run_for(within)
    came = stream.bytes_between(simulation.now - 1.0, simulation.now)
    return came / after.rate


def sharing(
    senders: tuple[Sender, Sender], line: Line, *, seconds: float, seed: int = 7
) -> tuple[float, float]:
    """Return the shares of the rate of two links that share a line.

    The second begins after the first has found the rate, at a time that depends on the seed.
    """
    stops = max(sender.stops for sender in senders)
    simulation = Simulation(line, seed=seed, stops=stops)
    streams = []
    for sender, wait in zip(senders, (random.Random(seed).random(), 0.0), strict=True):
        link = simulation.link(sender.engine, sender.congestion)
        streams.append(BulkStream(link.client))
        link.add(streams[-1])
        simulation.run_for(WARM_UP + wait)
    start = simulation.now
    simulation.run_for(seconds)
    first, second = (
        stream.bytes_between(start, simulation.now) / seconds / line.rate for stream in streams
    )
    return first, second


def percentile(times: list[float], share: float) -> float:
    """Return the percentile `share` of the times."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
