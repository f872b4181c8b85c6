"""`python -m bench.watching`: what an open live page and a Prometheus cost each role.

Each round measures a tunnel that nothing watches, and one whose two roles are watched. A watcher
asks what the live page asks, as often and over one connection, has a stream of events, and scrapes
the metrics over another connection. The program fails if watched tunnels are slower by more than a
few per cent (medians).
"""

from __future__ import annotations

import http.client
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import load
from bench.limits import raise_descriptors
from testkit.engines import ENGINES
from testkit.programs import PYTHON, ProgramError, free_port, running
from testkit.tunnel import LOOPBACK, Tunnel

RESOURCES = {"overview?limit=60": 1, "services": 2, "refusals": 5}
"""Seconds between two requests of the live page for each resource (`admin/page/main.js`)."""

SCRAPE_INTERVAL = 5
"""Seconds between two scrapes. Prometheus's own default is 60."""

AT_ONCE = 8
"""Short connections at a time."""

BULK = {"quinn": 2_000_000_000, "aioquic": 200_000_000}
"""Bytes of the download, by engine: some seconds. Shorter ones differ too much from run to run."""

LOSS = 0.03
"""The share that a watched tunnel may lose."""

FIGURES = ("connections/s", "CPU ms", "MB/s")
"""Short connections per second, CPU time of both roles for each, and a download."""


class Watcher:
    """Watches one role, in threads, until `stop`.

    :param port: the port of its admin interface.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._watch, args=(run,), daemon=True)
            for run in (self._be_a_page, self._be_a_stream, self._be_a_prometheus)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop.

        :raises ProgramError: a thread has failed before, so that the role was not watched.
        """
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise ProgramError(f"a watcher failed: {self._failure!r}")

    def _watch(self, run: Callable[[], None]) -> None:
        try:
            run()
        except (OSError, http.client.HTTPException, ProgramError) as exc:
            if not self._stopped.is_set():
                self._failure = exc

    def _be_a_page(self) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self._port)
        second = 0
        while not self._stopped.wait(1):
            second += 1
            for resource, interval in RESOURCES.items():
                since = f"&since={int(time.time()) - 2}" if "?" in resource else ""
                if second % interval == 0:
                    get(connection, f"/api/v1/{resource}{since}")

    def _be_a_stream(self) -> None:
        request = (
            "GET /api/v1/events?exclude=client-accepted,client-closed HTTP/1.1\r\n"
            f"Host: {LOOPBACK}\r\n\r\n"
        )
        with socket.create_connection((LOOPBACK, self._port)) as stream:
            stream.sendall(request.encode())
            stream.settimeout(0.5)
            while not self._stopped.is_set():
                try:
                    if not stream.recv(65_536):
                        raise ProgramError("the stream of events has ended")
                except TimeoutError:
                    continue

    def _be_a_prometheus(self) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self._port)
        while not self._stopped.wait(SCRAPE_INTERVAL):
            get(connection, "/metrics")


def get(connection: http.client.HTTPConnection, path: str) -> None:
    """Send a request, and read the response.

    A server may close an idle connection as the request arrives. Then, as browsers and Prometheus
    do, the request is sent again over a new one.
    """
    try:
        connection.request("GET", path)
        received = connection.getresponse()
    except ConnectionError:
        connection.close()
        connection.request("GET", path)
        received = connection.getresponse()
    with received as response:
        response.read()
        if response.status != http.HTTPStatus.OK:
            raise ProgramError(f"{path}: HTTP status {response.status}")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each without and with.")] = 9,
    seconds: Annotated[float, typer.Option(help="Seconds of short connections.")] = 5.0,
    engine: Annotated[
        list[str] | None, typer.Option(help=f"Only these engines, of {', '.join(ENGINES)}.")
    ] = None,
) -> None:
    """Measure tunnels without and with watchers, in alternation."""
    raise_descriptors()
    is_good = True
    result = Table("engine", "figure", "without", "with", "change", title="medians")
    for name in engine or ENGINES:
        found: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
        for number in range(rounds):
            for is_watched in (False, True) if number % 2 else (True, False):
                found[is_watched].append(measure(name, seconds, is_watched=is_watched))
        for number, figure in enumerate(FIGURES):
            without, watched = (
                statistics.median(run[number] for run in found[way]) for way in (False, True)
            )
            change = watched / without - 1
            is_good &= (change if figure == "CPU ms" else -change) <= LOSS
            digits = 3 if figure == "CPU ms" else 0
            values = (f"{without:,.{digits}f}", f"{watched:,.{digits}f}")
            result.add_row(name, figure, *values, f"{change:+.1%}")
    Console(width=100).print(result)
    if not is_good:
        raise typer.Exit(1)


def measure(engine: str, seconds: float, *, is_watched: bool) -> tuple[float, ...]:
    """Measure once, with programs of their own; return the figures of `FIGURES`."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watching-")))
        server = stack.enter_context(
            running("server", [PYTHON, "-m", "bench.server", LOOPBACK], scratch)
        )
        address = server.ready.partition(": ")[2]
        tunnel = stack.enter_context(Tunnel(scratch / "tunnel", (engine, engine), server=address))
        ports = [free_port(), free_port()]
        remote, origin = (("--admin", f"{LOOPBACK}:{port}") for port in ports)
        tunnel.up(remote=remote, origin=origin)
        if is_watched:
            for port in ports:
                stack.callback(Watcher(port).stop)
        outside = (LOOPBACK, tunnel.outside_port)
        load.short(outside, 1.0, AT_ONCE)
        before = tunnel.remote.cpu() + tunnel.origin.cpu()
        count, duration = load.short(outside, seconds, AT_ONCE)
        used = tunnel.remote.cpu() + tunnel.origin.cpu() - before
        bulk = load.bulk(outside, BULK[engine], 1, up=False)
        return count / duration, used / count * 1000, BULK[engine] / bulk / 1e6


if __name__ == "__main__":
    try:
        typer.run(main)
    except ProgramError as failed:
        sys.exit(f"bench: {failed}")
