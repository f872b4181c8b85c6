"""`python -m bench.line`: options, one run after another, the table. Exit code 2 on bad options."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table

from bench.__main__ import begins
from bench.line import figures
from bench.line.figures import Sender
from bench.line.lines import BY_NAME, HOME, Row
from bench.table import for_a_page
from quictunnel.config.settings import Congestion
from quictunnel.errors import SettingsError
from quictunnel.link.engines import choose

if TYPE_CHECKING:
    from collections.abc import Callable

WIDE = 500
FEW = "requests", "changes", "sharing"
"""What is measured beside the lines' rows."""

LOSSY = replace(HOME, loss=0.01)
FASTER = replace(HOME, rate=2 * HOME.rate)
SLOWER = replace(HOME, rate=HOME.rate / 5)

console = Console()


def main(
    simulated: Annotated[
        bool, typer.Option("--simulated", help="In virtual time: exact, and the same each run.")
    ] = False,
    engines: Annotated[
        list[str] | None, typer.Option(help="Engines, each with /bbr, /cubic or /reno if you like.")
    ] = None,
    lines: Annotated[
        list[str] | None,
        typer.Option(help=f"Only what begins so, of {', '.join([*BY_NAME, *FEW])}."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Counted seconds of each run.")] = 10.0,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, each with other dice.")] = 1,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table in Markdown.")] = False,
) -> None:
    """Measure what links make of lines."""
    if not simulated:
        raise typer.BadParameter("say --simulated: lines are measured in virtual time only")
    senders = [sender(word) for word in words(engines) or ["quinn", "aioquic"]]
    names = begins(lines, [*BY_NAME, *FEW])
    result = Table(title="shares of the line's rate; p50 and p99 in round-trip times")
    for column in ("", "", *map(str, senders)):
        result.add_column(column, no_wrap=True)
    for name in names:
        for figure, measure in measures(name, seconds).items():
            cells = []
            for who in senders:
                began = time.monotonic()
                cells.append(measured(measure, who, seeds))
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


def measures(name: str, seconds: float) -> dict[str, Callable[[Sender, int], list[str]]]:
    """Return what is measured under a name: words that describe a run's figures."""
    if name in BY_NAME:
        return {"share, queue, dropped": lambda who, seed: _bulk(who, BY_NAME[name], seconds, seed)}
    if name == "requests":
        return {"p50, p99": lambda who, seed: _requests(who, seconds, seed)}
    if name == "changes":
        return {
            f"{words}, {how}": lambda who, seed, b=before, a=after, m=moved: [
                figures.after_a_change(who, b, a, moved=m, seed=seed)
            ]
            for words, before, after in (("faster", HOME, FASTER), ("slower", HOME, SLOWER))
            for how, moved in (("moved", True), ("untold", False))
        }
    return {
        "two links": lambda who, seed: list(
            figures.sharing((who, who), HOME, seconds=seconds, seed=seed)
        ),
        "beside cubic": lambda who, seed: list(
            figures.sharing((Sender("aioquic", "cubic"), who), HOME, seconds=seconds, seed=seed)
        ),
    }


def _bulk(who: Sender, row: Row, seconds: float, seed: int) -> list[float]:
    found = figures.bulk(who, row.line, seconds=seconds, seed=seed)
    return [found.share, found.queueing, found.dropped]


def _requests(who: Sender, seconds: float, seed: int) -> list[float]:
    times = figures.request_times(who, LOSSY, seconds=seconds, seed=seed)
    return [figures.percentile(times, 0.5), figures.percentile(times, 0.99)]


def measured(measure: Callable[[Sender, int], list[float]], who: Sender, seeds: int) -> str:
    """Return the medians of a measure's figures over runs with other dice."""
    runs = [measure(who, seed) for seed in range(7, 7 + seeds)]
    medians = [statistics.median(run) for run in zip(*runs, strict=True)]
    return " ".join(f"{figure:.0f}" if figure > 10 else f"{figure:.3f}" for figure in medians)


if __name__ == "__main__":
    typer.run(main)
