"""`python -m bench.soak`: options, what is printed as it goes, the verdict, the exit code."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.limits import raise_descriptors
from bench.soak.plans import PlanLimits
from bench.soak.run import Settings, SoakRun
from bench.soak.verdict import trends
from testkit.programs import ProgramError
from testkit.weather import Conditions

if TYPE_CHECKING:
    from bench.soak.run import Report

TIDES = 30
"""Floods of clients, if no ebb took time; as it does, there are half as many or more."""

SHORTEST_TIDE, LONGEST_TIDE = 3.0, 45.0
"""Seconds of a flood."""

MBIT = 125_000
MB = 1_000_000

console = Console(soft_wrap=True, highlight=False)


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long, for each pair.")] = 20,
    engines: Annotated[
        list[str] | None,
        typer.Option(help="REMOTE:ORIGIN, such as quinn:aioquic; a list with commas, or again."),
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="Clients at a time.")] = 100,
    megabytes: Annotated[float, typer.Option(help="Most of a client, one way.")] = 1,
    stall: Annotated[float, typer.Option(help="Seconds that an end pauses, at most.")] = 6,
    loss: Annotated[float, typer.Option(help="Per cent of datagrams, in foul weather.")] = 2,
    delay: Annotated[float, typer.Option(help="Milliseconds, one way.")] = 10,
    jitter: Annotated[float, typer.Option(help="Milliseconds more, at most.")] = 5,
    rate: Annotated[float, typer.Option(help="Mbit/s each way; 0: no limit.")] = 100,
    outages: Annotated[float, typer.Option(help="Seconds from one to the next; 0: none.")] = 20,
    outage: Annotated[float, typer.Option(help="Seconds of an outage, at most.")] = 4,
    rebindings: Annotated[float, typer.Option(help="Seconds between new ports; 0: none.")] = 15,
    seed: Annotated[int, typer.Option(help="Of all dice.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="A folder in which logs are left.")] = None,
) -> None:
    """Carry clients who do everything that clients do over a bad network, and judge each byte."""
    conditions = Conditions(
        loss=loss / 100,
        delay=delay / 1000,
        jitter=jitter / 1000,
        rate=rate * MBIT,
        outages=outages,
        outage=outage,
        rebindings=rebindings,
        seed=seed,
    )
    settings = Settings(
        conditions=conditions,
        limits=PlanLimits(most=round(megabytes * MB), longest=stall),
        crowd=clients,
        lasts=minutes * 60,
        seconds=min(max(minutes * 60 / TIDES, SHORTEST_TIDE), LONGEST_TIDE),
    )
    raise_descriptors()
    reports = []
    for pair in [pair for words in engines or ["auto:auto"] for pair in words.split(",")]:
        remote, _, origin = pair.partition(":")
        reports.append(take(replace(settings, engines=(remote, origin or remote)), keep))
    if any(report.faults for report in reports):
        raise typer.Exit(1)


def take(settings: Settings, keep: Path | None) -> Report:
    """Make one run, and print what it gives."""
    remote, origin = settings.engines
    console.print(f"[bold]remote with {remote}, origin with {origin}")
    with tempfile.TemporaryDirectory(prefix="quictunnel-soak-") as folder:
        scratch = keep / f"{remote}-{origin}" if keep else Path(folder)
        scratch.mkdir(parents=True, exist_ok=True)
        run = SoakRun(settings, scratch, lambda tide: console.print(ebb(run.report, tide)))
        report = run.run()
    console.print(table(report))
    for fault in report.faults:
        console.print(fault, style="red", markup=False)
    console.print("[bold red]failed" if report.faults else "[bold green]all is well")
    return report


def ebb(report: Report, tide: int) -> str:
    """Return a line about what both ends hold now that a tide is over."""
    words = [f"tide {tide:2}"]
    for end, rests in report.rests.items():
        held = rests[-1].held
        words.append(
            f"{end} {held.resident / MB:.1f} MB, {held.unique / MB:.1f} its own, "
            f"{held.descriptors} descriptors, {held.threads} threads"
        )
        served = rests[-1].served
    return "; ".join([*words, f"{served:,} visits"])


def table(report: Report) -> Table:
    """Return what happened as a table."""
    result = Table("", "", show_header=False, title=f"in {report.seconds:,.0f} s")
    result.columns[1].justify = "right"
    for name, count in sorted(report.done.items()):
        result.add_row(name, f"{count:,}")
    result.add_section()
    for name, count in report.network.items():
        result.add_row(f"datagrams: {name}" if "bind" not in name else name, f"{count:,}")
    for end, rests in report.rests.items():
        result.add_section()
        log = report.logs[end]
        result.add_row(f"{end}: links", f"{log.links:,}")
        result.add_row(f"{end}: warnings", f"{log.levels['warning']:,}")
        result.add_row(f"{end}: most memory (RSS), MB", f"{report.peaks[end] / MB:.1f}")
        for kind, found in trends(rests).items():
            told = "too few to tell"
            if found:
                told = f"{found.per_client:+,.0f} bytes a client, {found.rise / MB:+.2f} MB"
            result.add_row(f"{end}: {kind}, second half", told)
    return result


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"soak: {failed}")
