"""`python -m bench`: options, the rounds, the table. The ways take turns within each round.

Turns, because the machine's speed drifts: what is compared was measured within seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.limits import raise_descriptors
from bench.measures import MEASURES, Effort, Measure
from bench.processes import ProgramError
from bench.table import Outcome, save, short, table
from bench.ways import WAYS, prepare, standing

SPARE_DESCRIPTORS = 200
"""Files that a program opens beside its clients' sockets."""

FULL = Effort(seconds=4, requests=2000, idle=(10, 1_000, 10_000))
QUICK = Effort(seconds=1, requests=200, idle=(10, 1_000))

console = Console()


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="One round, a second each, at most 1,000 idle clients.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only measures whose name begins so; may be given again."),
    ] = None,
    way: Annotated[
        list[str] | None, typer.Option(help=f"Only these ways, of {', '.join(WAYS)}.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds; 3 if not --quick.")] = None,
) -> None:
    """Measure the direct way, quictunnel and a naive tunnel in turns; print medians."""
    names = ", ".join(measure.name for measure in MEASURES)
    chosen = [m for m in MEASURES if not only or m.name.startswith(tuple(only))]
    if not chosen:
        raise typer.BadParameter(f"no measure begins so; there are {names}")
    ways = way or list(WAYS)
    if unknown := set(ways) - set(WAYS):
        raise typer.BadParameter(f"no such way: {', '.join(unknown)}; there are {', '.join(WAYS)}")
    effort = within_limits(QUICK if quick else FULL)
    outcomes = run(chosen, ways, effort, rounds or (1 if quick else 3))
    console.print(table(chosen, outcomes))
    console.print(f"all rounds: {save(outcomes, effort)}", soft_wrap=True)
    if any(outcome.failures for outcome in outcomes):
        raise typer.Exit(1)


def within_limits(effort: Effort) -> Effort:
    """Return the effort without the idle clients for whom there are not enough descriptors."""
    limit = raise_descriptors()
    fitting = tuple(count for count in effort.idle if count + SPARE_DESCRIPTORS <= limit)
    for count in set(effort.idle) - set(fitting):
        console.print(f"left out: {count} idle clients, for `ulimit -Hn` is {limit}")
    return Effort(effort.seconds, effort.requests, fitting)


def run(chosen: list[Measure], ways: list[str], effort: Effort, rounds: int) -> list[Outcome]:
    """Take each measure so many rounds; a way that fails is noted, and the rest goes on."""
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
    """Take one measure on one way once."""
    start = time.monotonic()
    where = f"{turn} {measure.name:9} {outcome.way:11}"
    try:
        with standing(outcome.way, scratch) as way:
            figures = measure.take(way, effort)
    except (ProgramError, OSError) as exc:
        # OSError: a connection was reset, or quiet for too long: a figure, too.
        outcome.failures.append(f"{type(exc).__name__}: {exc}")
        console.print(f"{where} failed: {exc}", markup=False, soft_wrap=True, style="red")
        return
    outcome.rounds.append(figures)
    name, figure = next(iter(figures.items()))
    took = time.monotonic() - start
    console.print(f"{where} {short(figure):>8} {name} ({took:.0f} s)", highlight=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"bench: {failed}")
