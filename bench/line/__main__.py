"""`python -m bench.line`: options, one run after another, the table. Exit code 2 on bad options."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table

from bench.__main__ import begins
from bench.hosts import what_is_missing
from bench.line import real
from bench.line.figures import Measured, Sender
from bench.line.measures import NAMES, Measure, on_real_kernels, simulated
from bench.processes import ProgramError
from bench.table import for_a_page
from bench.ways import missing
from quictunnel.config.settings import Congestion
from quictunnel.errors import SettingsError
from quictunnel.link.engines import choose

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE = 500

FIRST_SEED = 7

REAL_RUNS = 5

TITLE = "shares of the line's rate; the queue's, p50 and p99 in round-trip times"

console = Console()
complain = Console(stderr=True)


def main(
    in_virtual_time: Annotated[
        bool,
        typer.Option("--simulated", help="Engines alone, in virtual time: the same each run."),
    ] = False,
    engines: Annotated[
        list[str] | None,
        typer.Option(
            help="With --simulated: engines, each with /bbr, /cubic or /reno if you like."
        ),
    ] = None,
    ways: Annotated[
        list[str] | None,
        typer.Option(help=f"Only ways whose name begins so, of {', '.join(real.WAYS)}."),
    ] = None,
    lines: Annotated[
        list[str] | None, typer.Option(help=f"Only what begins so, of {', '.join(NAMES)}.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Counted seconds of each run.")] = 10.0,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs", "--seeds", min=1, help="Runs, each with other dice: 5; 1 with --simulated."
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table in Markdown.")] = False,
) -> None:
    """Measure what becomes of lines: by kernels, sockets and programs, between two hosts made of
    network namespaces; or by engines in virtual time."""
    names = begins(lines, list(NAMES))
    columns: Sequence[Any]
    if in_virtual_time:
        if ways:
            raise typer.BadParameter("--ways is for real lines; engines are chosen by --engines")
        columns = [sender(word) for word in words(engines) or ["quinn", "aioquic"]]
    else:
        if engines:
            raise typer.BadParameter("--engines is for --simulated; ways are chosen by --ways")
        columns = standable(ways)
    result = Table(title=TITLE)
    for column in ("", "", *map(str, columns)):
        result.add_column(column, no_wrap=True)
    for name in names:
        measures = (simulated if in_virtual_time else on_real_kernels)(name, seconds)
        for figure, measure in measures.items():
            cells = []
            for who in columns:
                began = time.monotonic()
                cells.append(cell(measure, who, runs or (1 if in_virtual_time else REAL_RUNS)))
                took = time.monotonic() - began
                console.print(f"{name} {figure} {who}: {cells[-1]} ({took:.0f} s)", markup=False)
            result.add_row(name, figure, *cells)
    Console(width=WIDE).print(for_a_page(result) if markdown else result)


def words(given: list[str] | None) -> list[str]:
    """Return the words of options that are given with commas or again."""
    return [word.strip() for option in given or () for word in option.split(",")]


def sender(word: str) -> Sender:
    """Return what `engine` or `engine/congestion` means."""
    engine, _, congestion = word.partition("/")
    if congestion not in ("", *get_args(Congestion)):
        raise typer.BadParameter(f"{congestion!r} is not bbr, cubic or reno")
    chosen = Sender(engine, congestion or None)  # type: ignore[arg-type]
    try:
        choose(chosen.engine, chosen.congestion)
    except SettingsError as exc:
        raise typer.BadParameter(str(exc)) from exc
    return chosen


def standable(asked: list[str] | None) -> list[str]:
    """Return the ways to measure; say which are left out, and what they lack."""
    chosen = begins(asked, list(real.WAYS))
    if lacking := what_is_missing():
        complain.print(f"bench.line: {lacking} (--simulated needs nothing)", soft_wrap=True)
        raise typer.Exit(2)
    absent = missing()
    for name in chosen:
        if name in absent:
            console.print(f"left out: {name} ({absent[name]})", markup=False, soft_wrap=True)
    return [name for name in chosen if name not in absent]


def cell(measure: Measure[Any], who: Any, runs: int) -> str:
    """Return the medians of a measure's figures over runs with other dice, in words.

    A run that fails is told and left out. One that the emulator was too slow for is told, too,
    and counted beside the figures, which it is part of.
    """
    done: list[Measured] = []
    for seed in range(FIRST_SEED, FIRST_SEED + runs):
        try:
            measured = measure(who, seed=seed)
        except (ProgramError, OSError) as exc:  # OSError: a connection was cut
            console.print(f"{who} failed: {exc}", markup=False, soft_wrap=True, style="red")
            continue
        if measured is None:
            return ""
        if measured.overload:
            told = f"{who}: the emulator was overloaded: {measured.overload}"
            console.print(told, markup=False, soft_wrap=True, style="red")
        done.append(measured)
    if not done:
        return "failed"
    medians = map(statistics.median, zip(*(each.figures for each in done), strict=True))
    words = [f"{figure:.0f}" if figure > 10 else f"{figure:.3f}" for figure in medians]
    if failed := runs - len(done):
        words.append(f"({failed} failed)")
    if overloaded := sum(bool(each.overload) for each in done):
        words.append(f"({overloaded} overloaded)")
    return " ".join(words)


if __name__ == "__main__":
    typer.run(main)
