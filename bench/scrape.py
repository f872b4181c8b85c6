"""`python -m bench.scrape`: what a scrape of `/metrics` costs, and whether clients notice it.

A remote has idle clients. Its metrics are scraped twice a second. Then another client sends
requests, first without scrapes and then with them. The remote's own histogram shows how late its
event loop was meanwhile. The program fails if a scrape takes 100 ms or longer. It also fails if the
share of moments at which the event loop was late by more than 5 ms rises with scrapes by more than
0.5 percentage points.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import load
from bench.limits import raise_descriptors
from testkit.engines import ENGINES
from testkit.programs import PYTHON, ProgramError, free_port, running
from testkit.tunnel import LOOPBACK, Tunnel

INTERVAL = 0.5
"""Seconds between two scrapes."""

REQUESTS = 1_000_000
"""More requests than can be measured."""

LATE = 0.005
"""Seconds by which the event loop must not be late."""

TOLERANCE = 0.005
"""Share of moments by which it may be late more often than without scrapes."""

MOST = 0.1
"""Seconds that a scrape may take."""

BUCKET = re.compile(
    r'^quictunnel_event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE
)

WARM_UP = 5
"""Scrapes before the measurement. The first one loads a library."""


@dataclass
class Scraper:
    """Scrapes one address again and again, in a thread, between `start` and `stop`."""

    url: str
    times: list[float] = field(default_factory=list)
    """The duration of each scrape in seconds."""

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def scrape(self) -> str:
        """Scrape once; return the metrics."""
        start = time.perf_counter()
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            text = answer.read().decode()
        self.times.append(time.perf_counter() - start)
        return text

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self.scrape()


@dataclass(frozen=True)
class Row:
    """The figures of one measurement."""

    engine: str
    clients: int
    size: int
    """Bytes of the metrics."""
    scrape: tuple[float, float]
    """Seconds of the scrapes: the median, and the longest."""
    requests: dict[str, tuple[float, float]]
    """Seconds of requests, with scrapes and without: the median, and the 99th percentile."""
    late: dict[str, float]
    """Share of the moments at which the event loop was late by more than `LATE`, likewise."""

    @property
    def is_good(self) -> bool:
        return self.scrape[1] < MOST and self.late["with"] <= self.late["without"] + TOLERANCE


def main(
    clients: Annotated[list[int] | None, typer.Option(min=1, help="Idle clients.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds for each measurement.")] = 10.0,
    engine: Annotated[
        list[str] | None, typer.Option(help=f"Only these engines, of {', '.join(ENGINES)}.")
    ] = None,
) -> None:
    """Measure each engine and each number of clients once."""
    raise_descriptors()
    rows = [
        measure(name, count, seconds) for name in engine or ENGINES for count in clients or [10_000]
    ]
    Console(width=130).print(table(rows))
    if not all(row.is_good for row in rows):
        raise typer.Exit(1)


def measure(engine: str, clients: int, seconds: float) -> Row:
    """Measure once, with programs of its own."""
    with tempfile.TemporaryDirectory(prefix="quictunnel-scrape-") as folder:
        scratch = Path(folder)
        admin = f"{LOOPBACK}:{free_port()}"
        with (
            running("server", [PYTHON, "-m", "bench.server"], scratch) as server,
            Tunnel(
                scratch / "tunnel", (engine, engine), server=server.ready.partition(": ")[2]
            ) as tunnel,
        ):
            tunnel.up(remote=("--admin", admin, "--log-level", "warning"))
            address = (LOOPBACK, tunnel.outside_port)
            idle = load.IdleClients(address)
            if not idle.grow(clients):
                raise ProgramError(f"only {len(idle.sockets)} of {clients} clients were accepted")
            scraper = Scraper(f"http://{admin}/metrics")
            size = [len(scraper.scrape()) for _ in range(WARM_UP)][-1]
            scraper.times.clear()
            requests, late = {}, {}
            for way in ("without", "with"):
                before = delays(scraper.scrape())
                if way == "with":
                    scraper.times.clear()
                    scraper.start()
                times = load.requests(address, REQUESTS, seconds)
                if way == "with":
                    scraper.stop()
                late[way] = late_share(before, delays(scraper.scrape()))
                percentiles = statistics.quantiles(times, n=100)
                requests[way] = (percentiles[49], percentiles[98])
            idle.close()
            scrape = (statistics.median(scraper.times), max(scraper.times))
            return Row(engine, clients, size, scrape, requests, late)


def delays(metrics: str) -> dict[float, float]:
    """Return how often the event loop was late by at most so many seconds."""
    return {float(bound): float(count) for bound, count in BUCKET.findall(metrics)}


def late_share(before: dict[float, float], after: dict[float, float]) -> float:
    """Return the share of moments between two scrapes in which the loop was late."""
    total = after[float("inf")] - before[float("inf")]
    return 1 - (after[LATE] - before[LATE]) / total


def table(rows: list[Row]) -> Table:
    """Return the figures, with times in ms."""
    result = Table(title="a scrape, and requests with and without scrapes; times in ms")
    headings = ["engine", "clients", "kB", "scrape p50", "scrape max"]
    headings += ["p50 without", "p50 with", "p99 without", "p99 with", "late without", "late with"]
    for heading in headings:
        result.add_column(heading, justify="right")
    for row in rows:
        cells = [row.engine, f"{row.clients:,}", f"{row.size / 1000:.0f}"]
        cells += [f"{each * 1000:.1f}" for each in row.scrape]
        for number in (0, 1):
            cells += [f"{row.requests[way][number] * 1000:.2f}" for way in ("without", "with")]
        cells += [f"{row.late[way]:.1%}" for way in ("without", "with")]
        result.add_row(*cells)
    return result


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"bench: {failed}")
