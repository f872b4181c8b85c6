"""Medians of the rounds, the printed table and the JSON file."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.table import Table

import quictunnel
from bench.peers import PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measures import Effort, Figures

RESULTS = Path(__file__).parent / "results"


@dataclass
class Outcome:
    """The results of one measurement on one way."""

    measure: str
    way: str
    rounds: list[Figures] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def medians(self) -> Figures:
        """Return the median of each figure."""
        names = dict.fromkeys(name for figures in self.rounds for name in figures)
        return {
            name: statistics.median(figures[name] for figures in self.rounds if name in figures)
            for name in names
        }


class Titled(Protocol):
    """A measurement, as the table sees it."""

    @property
    def name(self) -> str:
        """The name of its outcomes."""

    @property
    def title(self) -> str:
        """Its title in the table."""


def table(measures: Sequence[Titled], ways: list[str], outcomes: list[Outcome]) -> Table:
    """Return the medians as a table with a row for each figure and a column for each way."""
    result = Table(title="medians over the rounds; CPU and memory of remote and origin together")
    result.add_column("")
    for way in ways:
        result.add_column(way, justify="right", no_wrap=True)
    for measure in measures:
        columns = {o.way: o.medians() for o in outcomes if o.measure == measure.name}
        broken = {o.way for o in outcomes if o.measure == measure.name and not o.rounds}
        result.add_row(f"[bold]{measure.title}", *("failed" if w in broken else "" for w in ways))
        # The way with the most figures determines the order of rows. Others lack some of them.
        fullest = sorted(columns.values(), key=len, reverse=True)
        for name in dict.fromkeys(name for figures in fullest for name in figures):
            figures = [columns.get(way, {}).get(name) for way in ways]
            result.add_row(f"  {name}", *(short(figure) for figure in figures))
        result.add_section()
    return result


def for_a_page(result: Table) -> Table:
    """Return the table as Markdown, which has neither titles nor lines between rows."""
    result.title, result.box = None, box.MARKDOWN
    for row in result.rows:
        row.end_section = False
    return result


def short(figure: float | None) -> str:
    """Return a figure with three significant digits, or with all digits before the point.

    >>> short(0.12345), short(12.345), short(123456.0), short(None)
    ('0.123', '12.3', '123,456', '')
    """
    if figure is None:
        return ""
    digits = 3 if abs(figure) < 1 else 2 if abs(figure) < 10 else 1 if abs(figure) < 100 else 0
    return f"{figure:,.{digits}f}"


def save(outcomes: list[Outcome], effort: Effort) -> Path:
    """Write all rounds and a description of the machine as JSON; return the file."""
    now = datetime.now(UTC)
    document = {
        "time": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "peers": {name: peer.version() for name, peer in PEERS.items() if peer.is_installed},
        "effort": asdict(effort),
        "outcomes": [{**asdict(outcome), "medians": outcome.medians()} for outcome in outcomes],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Describe the machine and the versions of the programs."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processors": models,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "quictunnel": quictunnel.__version__,
        "commit": _commit(),
        "aioquic": version("aioquic"),
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # no git, or not a clone
    return done.stdout.strip()
