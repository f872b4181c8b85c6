"""`python -m bench.attacks`: options, the table, the exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.attacks.bounds import AttackFigures
from bench.attacks.measures import measure
from bench.attacks.results import save
from bench.limits import raise_descriptors
from testkit.attacker.attacks import ATTACKS
from testkit.engines import ENGINES
from testkit.namespaces import what_is_missing
from testkit.programs import ProgramError

WIDTH = 160
"""Columns of the table."""

HEADINGS = (
    ("attack", "left"),
    ("engine", "left"),
    ("packets/s", "right"),
    ("Mbit/s", "right"),
    ("echo p99, ms", "right"),
    ("new client p99, ms", "right"),
    ("origin ready, s", "right"),
    ("memory, MB", "right"),
    ("CPU, %", "right"),
    ("log lines/min", "right"),
    ("broken", "left"),
)

console = Console(soft_wrap=True, highlight=False)


def main(
    seconds: Annotated[float, typer.Option(min=2, help="Seconds of each attack.")] = 60.0,
    idle: Annotated[float, typer.Option(min=2, help="Seconds before each attack.")] = 20.0,
    attack: Annotated[
        list[str] | None, typer.Option(help=f"Only these attacks, of {', '.join(ATTACKS)}.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help=f"Only these engines, of {', '.join(ENGINES)}.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="A folder for the logs.")] = None,
    save_as: Annotated[
        str, typer.Option("--save", metavar="NAME", help="Write bench/results/NAME.json.")
    ] = "",
) -> None:
    """Attack a remote with each engine in all ways, and compare the figures with the bounds."""
    attacks = chosen(attack, list(ATTACKS), "--attack")
    engines = chosen(engine, list(ENGINES), "--engine")
    if lacking := what_is_missing():
        console.print(f"bench.attacks: {lacking}", markup=False)
        raise typer.Exit(2)
    raise_descriptors()
    found = []
    for name in attacks:
        for kind in engines:
            figures = measure(name, kind, seconds=seconds, idle=idle, keep=keep)
            found.append(figures)
            console.print(in_words(figures), markup=False)
            if save_as:
                save(save_as, found)
    Console(width=WIDTH).print(table(found))
    if any(figures.broken() for figures in found):
        raise typer.Exit(1)


def chosen(asked: list[str] | None, known: list[str], option: str) -> list[str]:
    """Return what was asked for, or everything that is known."""
    unknown = set(asked or ()) - set(known)
    if unknown:
        raise typer.BadParameter(f"{option} {', '.join(sorted(unknown))}: not known here")
    return asked or known


def cells(figures: AttackFigures) -> list[str]:
    """Return the cells of a row."""
    return [
        figures.attack,
        figures.engine,
        f"{figures.packets_per_second:,.0f}",
        f"{figures.megabits:.1f}",
        f"{figures.echo_idle:.0f} -> {figures.echo:.0f}",
        f"{figures.new_idle:.0f} -> {figures.new:.0f}",
        f"{figures.admitted_idle:.1f} -> {figures.admitted:.1f} ({figures.dialled:.1f})",
        f"{figures.memory:+.0f}",
        f"{figures.cpu_idle:.0f} -> {figures.cpu:.0f}",
        f"{figures.log_lines:.0f}",
        ", ".join(figures.broken()),
    ]


def in_words(figures: AttackFigures) -> str:
    """Return a line about a measurement, with what the attacker reports."""
    named = zip(HEADINGS, cells(figures), strict=True)
    words = [f"{heading} {cell}" for (heading, _), cell in list(named)[2:]]
    counts = ", ".join(f"{count:,} {what}" for what, count in figures.counts.items())
    return f"{figures.attack} {figures.engine}: {'; '.join(words)} ({counts})"


def table(rows: list[AttackFigures]) -> Table:
    """Return the figures, before and during each attack."""
    result = Table(
        title="before the attack -> during the attack; in parentheses, from an origin's first dial"
    )
    for heading, justify in HEADINGS:
        result.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        result.add_row(*cells(row))
    return result


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"bench: {failed}")
