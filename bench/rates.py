"""Rate limits: how exact they are, and whether other services keep their speed: `make bench-rates`.

A place is limited to 10 Mbit/s. Clients send or receive as much as they can there for ten seconds,
while a client of another service of the same origin transfers at full speed in the same direction.
The bytes are counted where they arrive. Some are always under way on a link that is used fully, so
counting starts after a second. The program fails if the rate is not from 9.5 to 10.5.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import load
from bench.limits import raise_descriptors
from testkit.engines import ENGINES
from testkit.flows import flow
from testkit.programs import PYTHON, ProgramError, free_port, running
from testkit.tunnel import LOOPBACK, Tunnel

LIMIT = 10.0
"""The rate in Mbit/s."""

LOWEST, HIGHEST = 9.5, 10.5
"""The rates in Mbit/s that count as exact."""

FIRST = 16_000_000
"""Bytes of the first transfer of the other service, which shows its rate."""

ALONE_SECONDS = 4.0
"""Seconds of the transfer of the other service while the limited place is not used."""

WIDTH = 120
"""Columns of the table."""

WARM_UP = 1.0
"""Seconds before bytes are counted."""

OVERLAP = 0.9
"""The part of the measured time that the transfer beside the limited place should take."""


@dataclass(frozen=True)
class Row:
    """The figures of one measurement."""

    engine: str
    way: str
    """`down` for downloads, `up` for uploads."""
    clients: int
    limited: float
    """Mbit/s of the limited clients, all together."""
    share: tuple[float, float]
    """Mbit/s of the slowest and of the fastest of them."""
    alone: float
    """Mbit/s of the other service before."""
    beside: float
    """Mbit/s of the other service at the same time."""

    @property
    def is_exact(self) -> bool:
        """Whether the rate is close enough to the limit."""
        return LOWEST <= self.limited <= HIGHEST


def main(
    seconds: Annotated[float, typer.Option(help="Seconds for each measurement.")] = 10.0,
    clients: Annotated[
        list[int] | None, typer.Option(min=1, help="Limited clients. Default: 1 and 50.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help=f"Only these engines, of {', '.join(ENGINES)}.")
    ] = None,
) -> None:
    """Measure each engine, each direction and each number of clients once."""
    raise_descriptors()
    rows = []
    for name in engine or ENGINES:
        for way in ("down", "up"):
            for count in clients or [1, 50]:
                rows.append(measure(name, way, count, seconds))
                print(f"{name} {way} {count}: {rows[-1].limited:.2f} Mbit/s", flush=True)
    Console(width=WIDTH).print(table(rows))
    if not all(row.is_exact for row in rows):
        raise typer.Exit(1)


def measure(engine: str, way: str, clients: int, seconds: float) -> Row:
    """Measure once, with programs of its own."""
    with tempfile.TemporaryDirectory(prefix="quictunnel-rates-") as folder:
        scratch = Path(folder)
        file = scratch / "remote.toml"
        file.write_text(f'[policy.default]\nrate = "{LIMIT:g}Mbit"\n')
        port = free_port()
        with (
            running("server", [PYTHON, "-m", "bench.server"], scratch) as other,
            Tunnel(scratch / "tunnel", (engine, engine)) as tunnel,
        ):
            server = other.ready.partition(": ")[2]
            tunnel.up(
                remote=("--config", file, "--ports", port),
                origin=("--origin", tunnel.server_address, "--origin", f"{port}={server}"),
            )
            address = (LOOPBACK, port)
            first = transfer(address, FIRST, way)
            alone = transfer(address, int(first * ALONE_SECONDS), way)
            pairs = [tunnel.pair() for _ in range(clients)]
            ends = ([server for _, server in pairs], [client for client, _ in pairs])
            senders, receivers = ends if way == "down" else ends[::-1]
            with ThreadPoolExecutor(1) as pool:
                size = int(alone * (WARM_UP + seconds) * OVERLAP)
                beside = pool.submit(transfer, address, size, way)
                result = flow(senders, receivers, seconds, warm_up=WARM_UP)
                tunnel.reset_connections()
            each = [count * 8 / result.seconds / 1e6 for count in result.received]
            megabits = (alone * 8 / 1e6, beside.result() * 8 / 1e6)
            return Row(engine, way, clients, sum(each), (min(each), max(each)), *megabits)


def transfer(address: tuple[str, int], size: int, way: str) -> float:
    """Transfer so many bytes of the other service; return the bytes per second."""
    start = time.perf_counter()
    load.bulk(address, size, 1, up=way == "up")
    return size / (time.perf_counter() - start)


def table(rows: list[Row]) -> Table:
    """Return the figures, in Mbit/s."""
    result = Table(title=f"a place limited to {LIMIT:g} Mbit/s; all figures in Mbit/s")
    for heading in ("engine", "way", "clients", "limited", "slowest", "fastest"):
        result.add_column(heading, justify="right")
    for heading in ("other alone", "other beside", "beside/alone"):
        result.add_column(heading, justify="right")
    for row in rows:
        cells = [f"{row.limited:.2f}", *(f"{each:.3f}" for each in row.share)]
        cells += [f"{row.alone:,.0f}", f"{row.beside:,.0f}", f"{row.beside / row.alone:.2f}"]
        result.add_row(row.engine, row.way, str(row.clients), *cells)
    return result


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"bench: {failed}")
