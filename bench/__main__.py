"""`python -m bench`: options, the rounds, the table.

The ways take turns within each round, because the speed of the machine drifts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.limits import raise_descriptors
from bench.measures import MEASURES, Effort, Measure
from bench.table import Outcome, for_a_page, save, short, table
from bench.ways import WAYS, missing, prepare, running_way
from testkit.programs import ProgramError

SPARE_DESCRIPTORS = 200
"""Descriptors of a program other than its clients' sockets."""

FULL = Effort(seconds=4, requests=2000, idle=(10, 1_000, 10_000))
QUICK = Effort(seconds=1, requests=200, idle=(10, 1_000))

WIDE = 500
"""Columns of the table. A wide table is better than one with truncated words."""

console = Console()


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="One round, a second each, at most 1,000 idle clients.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only measurements that begin with this. Repeat it, or use commas."),
    ] = None,
    ways: Annotated[
        list[str] | None,
        typer.Option(help=f"Only ways that begin with this, of {', '.join(WAYS)}."),
    ] = None,
    idle: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Idle clients in addition to 10. Default: 1,000 and 10,000."),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds. Default: 3, or 1 with --quick.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Measure all available ways in turns, and print medians."""
    names = begins(only, [measure.name for measure in MEASURES])
    effort = QUICK if quick else FULL
    if idle:
        effort = replace(effort, idle=tuple(sorted({10, *idle})))
    taken = present(ways)
    measures = [measure for measure in MEASURES if measure.name in names]
    effort = within_limits(effort)
    outcomes = run(measures, taken, effort, rounds or (1 if quick else 3))
    result = table(measures, taken, outcomes)
    Console(width=WIDE).print(for_a_page(result) if markdown else result)
    console.print(f"all rounds: {save(outcomes, effort)}", soft_wrap=True)
    if any(outcome.failures for outcome in outcomes):
        raise typer.Exit(1)


def begins(asked: list[str] | None, names: list[str]) -> list[str]:
    """Return the names with one of the prefixes that were asked for, or all names.

    :param asked: the values of an option, each with or without commas.
    """
    if not asked:
        return names
    beginnings = [word.strip() for words in asked for word in words.split(",")]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            there = ", ".join(names)
            raise typer.BadParameter(f"nothing begins with {beginning!r}; there are {there}")
    return [name for name in names if name.startswith(tuple(beginnings))]


def present(asked: list[str] | None) -> list[str]:
    """Return the ways to measure; print which are left out, and why."""
    lacking = missing()
    chosen = begins(asked, list(WAYS))
    for name in chosen:
        if name in lacking:
            console.print(f"left out: {name} ({lacking[name]})", markup=False, soft_wrap=True)
    ways = [name for name in chosen if name not in lacking]
    if not ways:
        raise typer.BadParameter("none of these ways is available")
    return ways


def within_limits(effort: Effort) -> Effort:
    """Return the effort, with idle clients limited by the available descriptors."""
    limit = raise_descriptors()
    most = limit - SPARE_DESCRIPTORS
    for count in effort.idle:
        if count > most:
            console.print(f"{most:,} idle clients instead of {count:,}: `ulimit -Hn` is {limit:,}")
    return replace(effort, idle=tuple(sorted({min(count, most) for count in effort.idle})))


def run(chosen: list[Measure], ways: list[str], effort: Effort, rounds: int) -> list[Outcome]:
    """Repeat each measurement for so many rounds. The failure of a way is recorded."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="quictunnel-bench-") as folder:
        scratch = Path(folder)
        prepare(scratch)
        for measure in chosen:
            turns = [Outcome(measure.name, way) for way in ways]
            outcomes += turns
            for number in range(rounds):
                for outcome in turns:
                    take(measure, outcome, effort, scratch, f"{number + 1}/{rounds}")
    return outcomes


def take(measure: Measure, outcome: Outcome, effort: Effort, scratch: Path, turn: str) -> None:
    """Measure one way once."""
    start = time.monotonic()
    where = f"{turn} {measure.name:9} {outcome.way:18}"
    try:
        with running_way(outcome.way, scratch) as way:
            figures = measure.take(way, effort)
    except (ProgramError, OSError) as exc:
        # OSError: a connection was reset, or idle for too long.
        outcome.failures.append(f"{type(exc).__name__}: {exc}")
        console.print(f"{where} failed: {exc}", markup=False, soft_wrap=True, style="red")
        return
    outcome.rounds.append(figures)
    name, figure = next(iter(figures.items()))
    took = time.monotonic() - start
    console.print(
        f"{where} {short(figure):>8} {name} ({took:.0f} s)", highlight=False, soft_wrap=True
    )


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"bench: {failed}")
