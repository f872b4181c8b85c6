"""The medians of a run of `bench.line` as JSON, from which tables in docs/ are generated."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.table import RESULTS, machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.line.runs import ResultCell


@dataclass
class Results:
    """The rows measured so far, and how they were measured."""

    columns: list[str]
    """Names of the engines or ways, in the order of the table."""
    simulated: bool
    """Whether the lines were simulated in virtual time."""
    seconds: float
    """Counted seconds of each run."""
    runs: int
    """Runs of each cell."""
    stops: float
    """How many times a second each simulated process stood still."""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, figure: str, cells: Sequence[ResultCell]) -> None:
        """Add a row of the table.

        :param name: the line, or what is measured beside the lines.
        :param figure: the names of the figures.
        """
        found = {
            column: {"medians": cell.medians(), "failed": cell.failed, "late": cell.overloaded}
            for column, cell in zip(self.columns, cells, strict=True)
        }
        self.rows.append({"name": name, "figure": figure, "cells": found})

    def save(self, name: str) -> Path:
        """Write the rows and what they were measured on; return the file."""
        document = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            **asdict(self),
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(document, indent=2) + "\n")
        return path
