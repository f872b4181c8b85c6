"""`python -m bench.line`: options, runs, the table. Exit code 2 on bad options."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table

from bench.__main__ import begins
from bench.line import real
from bench.line.figures import Sender
from bench.line.measures import NAMES, on_real_kernels, simulated
from bench.line.results import Results
from bench.line.runs import row
from bench.line.stops import LONGEST, SHORTEST
from bench.table import for_a_page
from bench.ways import missing
from quictunnel.config.settings import Congestion
from quictunnel.errors import SettingsError
from quictunnel.quic.engines.selection import select
from testkit.namespaces import what_is_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE = 500

REAL_RUNS = 5

TITLE = "shares of the line's rate; the queue's, p50 and p99 in round-trip times"

console = Console()
complain = Console(stderr=True)


def main(
    in_virtual_time: Annotated[
        bool,
        typer.Option("--simulated", help="Engines alone, in virtual time."),
    ] = False,
    engines: Annotated[
        list[str] | None,
        typer.Option(help="With --simulated: engines, optionally with /bbr, /cubic or /reno."),
    ] = None,
    stops: Annotated[
        float,
        typer.Option(
            min=0,
            help="With --simulated: suspensions of each process per second, of "
            f"{SHORTEST * 1000:.0f} to {LONGEST * 1000:.0f} ms, as on a busy machine.",
        ),
    ] = 0.0,
    ways: Annotated[
        list[str] | None,
        typer.Option(help=f"Only ways that begin with this, of {', '.join(real.WAYS)}."),
    ] = None,
    lines: Annotated[
        list[str] | None,
        typer.Option(help=f"Only lines that begin with this, of {', '.join(NAMES)}."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Counted seconds of each run.")] = 10.0,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs",
            "--seeds",
            min=1,
            help="Runs, each with another seed. Default: 5, or 1 with --simulated.",
        ),
    ] = None,
    at_once: Annotated[
        int,
        typer.Option(min=1, help="Concurrent runs, for lines and ways that leave processors idle."),
    ] = 1,
    again: Annotated[
        int,
        typer.Option(
            min=0, help="Repetitions at most of a run in which the emulator was overloaded."
        ),
    ] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table in Markdown.")] = False,
    save: Annotated[
        str, typer.Option(metavar="NAME", help="Write the medians to bench/results/NAME.json.")
    ] = "",
) -> None:
    """Measure tunnels on lines: with kernels and programs, between two hosts made of network
    namespaces; or with engines alone, in virtual time."""
    names = begins(lines, list(NAMES))
    runs = runs or (1 if in_virtual_time else REAL_RUNS)
    columns: Sequence[Any]
    if in_virtual_time:
        if ways:
            raise typer.BadParameter("--ways is for real lines; engines are chosen by --engines")
        if at_once > 1:
            raise typer.BadParameter("--at-once is for real lines")
        if again:
            raise typer.BadParameter("--again is for real lines: simulated ones are never late")
        chosen = words(engines) or ["quinn", "aioquic"]
        columns = [replace(sender(word), stops=stops) for word in chosen]
    else:
        if engines:
            raise typer.BadParameter("--engines is for --simulated; ways are chosen by --ways")
        if stops:
            raise typer.BadParameter("--stops is for --simulated")
        columns = standable(ways)
    result = Table(title=TITLE)
    for column in ("", "", *map(str, columns)):
        result.add_column(column, no_wrap=True)
    results = Results(
        columns=[str(column) for column in columns],
        simulated=in_virtual_time,
        seconds=seconds,
        runs=runs,
        stops=stops,
    )
    for name in names:
        measures = (simulated if in_virtual_time else on_real_kernels)(name, seconds)
        for figure, measure in measures.items():
            told = partial(say, name, figure)
            cells = row(measure, columns, runs=runs, at_once=at_once, again=again, say=told)
            result.add_row(name, figure, *map(str, cells))
            results.add(name, figure, cells)
    if save:
        console.print(f"saved: {results.save(save)}", soft_wrap=True)
    Console(width=WIDE).print(for_a_page(result) if markdown else result)


def say(name: str, figure: str, told: str) -> None:
    """Report a run."""
    console.print(f"{name} {figure} {told}", markup=False, soft_wrap=True, highlight=False)


def words(given: list[str] | None) -> list[str]:
    """Return the words of an option that takes commas or is repeated."""
    return [word.strip() for option in given or () for word in option.split(",")]


def sender(word: str) -> Sender:
    """Parse `engine` or `engine/congestion`."""
    engine, _, congestion = word.partition("/")
    if congestion not in ("", *get_args(Congestion)):
        raise typer.BadParameter(f"{congestion!r} is not bbr, cubic or reno")
    chosen = Sender(engine, congestion or None)  # type: ignore[arg-type]
    try:
        select(chosen.engine, chosen.congestion)
    except SettingsError as exc:
        raise typer.BadParameter(str(exc)) from exc
    return chosen


def standable(asked: list[str] | None) -> list[str]:
    """Return the ways to measure; print which are left out, and why."""
    chosen = begins(asked, list(real.WAYS))
    if lacking := what_is_missing():
        complain.print(f"bench.line: {lacking} (--simulated needs nothing)", soft_wrap=True)
        raise typer.Exit(2)
    absent = missing()
    for name in chosen:
        if name in absent:
            console.print(f"left out: {name} ({absent[name]})", markup=False, soft_wrap=True)
    return [name for name in chosen if name not in absent]


if __name__ == "__main__":
    typer.run(main)
