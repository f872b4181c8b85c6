"""The measured lines by name, with the share of its rate that each should carry."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.line.line import MBIT, Line

HOME = Line(rate=50 * MBIT, rtt=0.050)
"""The usual line of a laptop at home, without loss."""


@dataclass(frozen=True, slots=True)
class NamedLine:
    """A line with a name."""

    name: str
    line: Line
    shares: dict[str, float]
    """The least share of the rate, by engine. Engines without one are only shown."""


ROWS = (
    NamedLine("home", HOME, {"quinn": 0.95, "aioquic": 0.93}),
    NamedLine("loss-0.1", replace(HOME, loss=0.001), {"quinn": 0.94, "aioquic": 0.92}),
    NamedLine("loss-1", replace(HOME, loss=0.01), {"quinn": 0.92, "aioquic": 0.90}),
    NamedLine("loss-3", replace(HOME, loss=0.03), {"quinn": 0.86, "aioquic": 0.82}),
    NamedLine("bursts-3", replace(HOME, loss=0.03, burst=3), {"quinn": 0.88, "aioquic": 0.85}),
    NamedLine(
        "mobile",
        Line(rate=10 * MBIT, rtt=0.200, jitter=0.020, loss=0.01),
        {"quinn": 0.85, "aioquic": 0.85},
    ),
    NamedLine(
        "mobile-overtaking",
        Line(rate=10 * MBIT, rtt=0.200, jitter=0.020, overtaking=True, loss=0.01),
        {},
    ),
    NamedLine("fast", Line(rate=200 * MBIT, rtt=0.020, loss=0.001), {"quinn": 0.90}),
    NamedLine("long-fat", Line(rate=500 * MBIT, rtt=0.100, queue=2_000_000), {}),
)

BY_NAME = {row.name: row for row in ROWS}
