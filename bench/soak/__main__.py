"""`python -m bench.soak`: options, progress, the verdict, the exit code."""

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
from bench.soak.run import SoakRun, SoakSettings
from bench.soak.verdict import trends
from testkit.programs import ProgramError
from testkit.weather import Conditions

if TYPE_CHECKING:
    from bench.soak.run import Report

TIDES = 30
"""The number of tides if ebbs took no time. In practice there are at least half as many."""

SHORTEST_TIDE, LONGEST_TIDE = 3.0, 45.0
"""Seconds of a flood."""

MBIT = 125_000
MB = 1_000_000

console = Console(soft_wrap=True, highlight=False)


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes for each pair of engines.")] = 20,
    hours: Annotated[float, typer.Option(min=0, help="Hours, in place of minutes.")] = 0,
    engines: Annotated[
        list[str] | None,
        typer.Option(help="REMOTE:ORIGIN, such as quinn:aioquic. Repeat it, or use commas."),
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="Concurrent clients.")] = 100,
    megabytes: Annotated[
        float, typer.Option(help="The most megabytes of a client in one direction.")
    ] = 1,
    stall: Annotated[float, typer.Option(help="The longest pause of an end, in seconds.")] = 6,
    loss: Annotated[float, typer.Option(help="Per cent of datagrams lost in foul weather.")] = 2,
    delay: Annotated[float, typer.Option(help="Milliseconds in one direction.")] = 10,
    jitter: Annotated[float, typer.Option(help="The most additional milliseconds.")] = 5,
    rate: Annotated[float, typer.Option(help="Mbit/s in each direction. 0: no limit.")] = 100,
    outages: Annotated[float, typer.Option(help="Seconds between outages. 0: none.")] = 20,
    outage: Annotated[float, typer.Option(help="The longest outage, in seconds.")] = 4,
    rebindings: Annotated[
        float, typer.Option(help="Seconds between NAT rebindings. 0: none.")
    ] = 15,
    hostile: Annotated[
        bool, typer.Option(help="Whether peers without a token attack the remote meanwhile.")
    ] = True,
    seed: Annotated[int, typer.Option(help="The random seed.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="A folder for the logs.")] = None,
) -> None:
    """Run clients of all kinds through a tunnel over a bad network, and verify each byte."""
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
    seconds = hours * 3600 or minutes * 60
    settings = SoakSettings(
        conditions=conditions,
        limits=PlanLimits(most=round(megabytes * MB), longest=stall),
        crowd=clients,
        has_hostile_peers=hostile,
        lasts=seconds,
        seconds=min(max(seconds / TIDES, SHORTEST_TIDE), LONGEST_TIDE),
    )
    raise_descriptors()
    reports = []
    for pair in [pair for words in engines or ["auto:auto"] for pair in words.split(",")]:
        remote, _, origin = pair.partition(":")
        reports.append(take(replace(settings, engines=(remote, origin or remote)), keep))
    if any(report.faults for report in reports):
        raise typer.Exit(1)


def take(settings: SoakSettings, keep: Path | None) -> Report:
    """Make one run, and print its result."""
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
    console.print("[bold red]failed" if report.faults else "[bold green]no faults")
    return report


def ebb(report: Report, tide: int) -> str:
    """Return a line about the resources of both ends after a tide."""
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
    """Return the result as a table."""
    result = Table("", "", show_header=False, title=f"in {report.seconds:,.0f} s")
    result.columns[1].justify = "right"
    for name, count in sorted(report.done.items()):
        result.add_row(name, f"{count:,}")
    result.add_section()
    for name, count in report.network.items():
        result.add_row(f"datagrams: {name}" if "bind" not in name else name, f"{count:,}")
    if report.hostile:
        result.add_section()
    for name, count in report.hostile.items():
        result.add_row(f"hostile peers: {name}", f"{count:,}")
    for end, rests in report.rests.items():
        result.add_section()
        log = report.logs[end]
        result.add_row(f"{end}: links", f"{log.links:,}")
        result.add_row(f"{end}: warnings", f"{log.levels['warning']:,}")
        result.add_row(f"{end}: most memory (RSS), MB", f"{report.peaks[end] / MB:.1f}")
        for kind, found in trends(rests).items():
            verdict = "too few points"
            if found:
                verdict = f"{found.per_client:+,.0f} bytes a client, {found.rise / MB:+.2f} MB"
            result.add_row(f"{end}: {kind}, second half", verdict)
    return result


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"soak: {failed}")
