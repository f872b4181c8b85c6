"""`python -m bench.services`: what services of an origin, and origins at a remote, cost.

Each column is a remote with so many services of one origin, or so many origins with one service
each. Figures "for each added one" compare the last column with the first one in the same round.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench import load
from bench.limits import raise_descriptors
from bench.measures import AT_ONCE, BOTH, Effort, Figures
from bench.table import Outcome, for_a_page, save, table
from quictunnel.config.tokens import Token
from testkit.programs import (
    PYTHON,
    QUICTUNNEL,
    READY_ORIGIN,
    Program,
    free_port,
    free_ports,
    running,
)
from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

RELOADS = 10
"""Reloads in a round. Each changes one entry."""

SEQUENCE = 300
"""Connections that follow one another, for their duration."""

MOST_SECONDS = 60.0
"""Seconds that a start or a reload may take."""

SETTLE = 0.1
"""Seconds between two reloads."""

LOOK_INTERVAL = 0.0005
"""Seconds between two looks whether a change has been applied."""

ONE = "each added one"

FIGURES = {
    "start until ready, ms": "start until ready, ms",
    f"start: CPU ms, {BOTH}": "start, CPU ms",
    f"start: CPU ms for {ONE}": f"start, CPU ms for {ONE}",
    "reload of one entry, ms": "reload of one entry, ms",
    f"reload: CPU ms, {BOTH}": "reload of one entry, CPU ms",
    f"reload: CPU ms for {ONE}": f"reload of one entry, CPU ms for {ONE}",
    f"resident memory, MB, {BOTH}": "resident memory, MB",
    f"resident memory: kB for {ONE}": f"resident memory, kB for {ONE}",
    f"connection of 1 kB: CPU ms, {BOTH}": "connection of 1 kB, CPU ms",
    "connection of 1 kB: p50, ms": "connection of 1 kB, p50 in ms",
}
"""The figures, and their titles in the documentation."""

console = Console()


@dataclass
class Site:
    """A running remote with services, and the programs whose cost counts.

    :param change: writes one changed entry into a file; returns the port whose clients are served
        again once the change is applied.
    :param changed: the program that reads the file.
    """

    ports: tuple[int, ...]
    remote: Program
    origin: Program
    change: Callable[[], int]
    changed: Program
    start_seconds: float
    start_cpu: float

    def cpu(self) -> float:
        """Return the CPU seconds that both ends have used."""
        return self.remote.cpu() + self.origin.cpu()


def measure(site: Site, seconds: float) -> Figures:
    """Measure reloads of a site that has just started, and clients of one of its services."""
    memory = site.remote.resident_memory() + site.origin.resident_memory()
    reloads, before = [], site.cpu()
    for _ in range(RELOADS):
        port = site.change()
        start = time.perf_counter()
        site.changed.signal(signal.SIGHUP)
        wait_for_client(port)
        reloads.append(time.perf_counter() - start)
        time.sleep(SETTLE)
    reload_cpu = (site.cpu() - before) / RELOADS
    one = (LOOPBACK, site.ports[len(site.ports) // 2])
    load.short(one, 0, AT_ONCE)
    before = site.cpu()
    count, _ = load.short(one, seconds, AT_ONCE)
    client_cpu = (site.cpu() - before) / count
    durations = [duration(one) for _ in range(SEQUENCE)]
    return {
        "start until ready, ms": site.start_seconds * 1000,
        f"start: CPU ms, {BOTH}": site.start_cpu * 1000,
        "reload of one entry, ms": statistics.median(reloads) * 1000,
        f"reload: CPU ms, {BOTH}": reload_cpu * 1000,
        f"resident memory, MB, {BOTH}": memory / 1e6,
        f"connection of 1 kB: CPU ms, {BOTH}": client_cpu * 1000,
        "connection of 1 kB: p50, ms": statistics.median(durations) * 1000,
    }


def added(figures: Figures, one: Figures, count: int) -> Figures:
    """Return what each added service or origin costs, compared with the figures of one."""
    return {
        new: (figures[old] - one[old]) / (count - 1) * factor
        for new, old, factor in (
            (f"start: CPU ms for {ONE}", f"start: CPU ms, {BOTH}", 1),
            (f"reload: CPU ms for {ONE}", f"reload: CPU ms, {BOTH}", 1),
            (f"resident memory: kB for {ONE}", f"resident memory, MB, {BOTH}", 1000),
        )
    }


def duration(address: load.Address) -> float:
    """Return the seconds that a client's whole connection takes."""
    start = time.perf_counter()
    load.download(address, load.SHORT_ANSWER)
    return time.perf_counter() - start


def wait_for_client(port: int) -> None:
    """Wait until a client of a port is served.

    :raises TimeoutError: none is served in time.
    """
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError):
            load.download((LOOPBACK, port), load.SHORT_ANSWER)
            return
        time.sleep(LOOK_INTERVAL)
    raise TimeoutError(f"no client of port {port} is served")


def wait_until_closed(port: int) -> None:
    """Wait until a port refuses connections.

    :raises TimeoutError: it is open for too long.
    """
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex((LOOPBACK, port)) == errno.ECONNREFUSED:
                return
        time.sleep(LOOK_INTERVAL)
    raise TimeoutError(f"port {port} is still open")


@contextlib.contextmanager
def services_site(count: int, server: int, scratch: Path) -> Iterator[Site]:
    """Run a remote and one origin with so many services."""
    first, link = free_ports(count + 1), free_port()
    token = Token.new()
    spare = itertools.cycle((first + count, first + count - 1))
    file, remote_file = scratch / "origin.toml", scratch / "remote.toml"

    def write(last: int) -> int:
        ports = (*range(first, first + count - 1), last)
        tables = (
            f'[service.s{number}]\nto = "{LOOPBACK}:{server}"\nport = {port}\n'
            for number, port in enumerate(ports)
        )
        file.write_text("".join(tables))
        return last

    write(first + count - 1)
    remote_file.write_text(
        f'listen = "{LOOPBACK}:{link}"\noutside = "{LOOPBACK}:0"\n'
        f'ports = "{first}-{first + count}"\nstate-dir = "state"\n'
    )
    environment = {"QUICTUNNEL_TOKEN": token.reveal()}
    command = [QUICTUNNEL, "remote", "--config", remote_file]
    with running("remote", command, scratch, **environment) as remote:
        before, start = remote.cpu(), time.perf_counter()
        origin = ["origin", "--remote", f"{LOOPBACK}:{link}", "--config", file]
        with Program("origin", [QUICTUNNEL, *origin], scratch, **environment) as program:
            program.wait_for(READY_ORIGIN, times=count, within=MOST_SECONDS)
            taken = time.perf_counter() - start
            cpu = remote.cpu() - before + program.cpu()
            ports = tuple(range(first, first + count - 1)) or (first,)
            yield Site(ports, remote, program, lambda: write(next(spare)), program, taken, cpu)


@contextlib.contextmanager
def origins_site(count: int, server: int, scratch: Path) -> Iterator[Site]:
    """Run a remote and so many origins, each with a token and one service."""
    first, link = free_ports(count + 1), free_port()
    tokens = [Token.new() for _ in range(count)]
    tokens_file, file = scratch / "tokens", scratch / "remote.toml"
    tokens_file.write_text("".join(f"{token.reveal()}\n" for token in tokens))

    def write(*, last_is_allowed: bool) -> int:
        head = (
            f'listen = "{LOOPBACK}:{link}"\noutside = "{LOOPBACK}:0"\n'
            'client-wait = "0"\nstate-dir = "state"\n'
        )
        tables = (
            f'[token.{token.id}]\nsecret = "{token.secret}"\n'
            f"ports = {first + (number if number < count - 1 or last_is_allowed else count)}\n"
            for number, token in enumerate(tokens)
        )
        file.write_text(head + "".join(tables))
        return first + count - 1

    def change() -> int:
        port = write(last_is_allowed=False)
        remote.signal(signal.SIGHUP)
        wait_until_closed(port)
        return write(last_is_allowed=True)

    write(last_is_allowed=True)
    with running("remote", [QUICTUNNEL, "remote", "--config", file], scratch) as remote:
        before, start = remote.cpu(), time.perf_counter()
        command = [PYTHON, "-m", "bench.origins", link, f"{LOOPBACK}:{server}", first, tokens_file]
        with Program("origins", command, scratch) as program:
            program.wait_for("^ready", within=MOST_SECONDS)
            taken = time.perf_counter() - start
            cpu = remote.cpu() - before + program.cpu()
            ports = tuple(range(first, first + count))
            yield Site(ports, remote, program, change, remote, taken, cpu)


@dataclass(frozen=True)
class Kind:
    """A kind of site, which is measured with different numbers of services or origins."""

    name: str
    title: str
    site: Callable[[int, int, Path], contextlib.AbstractContextManager[Site]]
    counts: tuple[int, ...]


KINDS = (
    Kind("services", "services of one origin", services_site, (1, 100, 1000)),
    Kind("origins", "origins with one service each", origins_site, (1, 200)),
)

TITLES = {kind.name: kind.name for kind in KINDS}
"""The titles of the kinds in the documentation."""


def main(
    seconds: Annotated[float, typer.Option(help="Seconds of short connections.")] = 4.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    services: Annotated[
        list[int] | None, typer.Option(min=2, help="Numbers of services beside 1.")
    ] = None,
    origins: Annotated[
        list[int] | None, typer.Option(min=2, help="Numbers of origins beside 1.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Measure 1, 100 and 1,000 services, and 1 and 200 origins, and print medians."""
    raise_descriptors()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would let the programs ignore it
    asked = {"services": services, "origins": origins}
    outcomes = []
    for kind in KINDS:
        counts = asked[kind.name]
        found = run(kind, kind.counts if counts is None else (1, *counts), rounds, seconds)
        result = table([kind], [outcome.way for outcome in found], found)
        console.print(for_a_page(result) if markdown else result)
        outcomes += found
    effort = Effort(seconds=seconds, requests=SEQUENCE, idle=())
    console.print(f"all rounds: {save(outcomes, effort)}", soft_wrap=True)


def run(kind: Kind, counts: tuple[int, ...], rounds: int, seconds: float) -> list[Outcome]:
    """Measure the numbers of one kind, which take turns. The first one is that of one."""
    outcomes = {count: Outcome(kind.name, f"{count:,}") for count in counts}
    for number in range(rounds):
        one: Figures = {}
        for count, outcome in outcomes.items():
            figures = take(kind, count, seconds)
            one = one or figures
            if count == counts[-1]:  # with fewer, the difference is too small to measure
                figures |= added(figures, one, count)
            outcome.rounds.append({name: figures[name] for name in FIGURES if name in figures})
            console.print(f"{number + 1}/{rounds} {count:,} {kind.title}", highlight=False)
    return list(outcomes.values())


def take(kind: Kind, count: int, seconds: float) -> Figures:
    """Measure one site once."""
    with tempfile.TemporaryDirectory(prefix="quictunnel-bench-") as folder:
        scratch = Path(folder)
        with running("server", [PYTHON, "-m", "bench.server"], scratch) as server:
            port = int(server.ready.rpartition(":")[2])
            with kind.site(count, port, scratch) as site:
                return measure(site, seconds)


if __name__ == "__main__":
    typer.run(main)
