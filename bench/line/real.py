"""The figures of a way to an origin server over a line between real kernels.

They are those of `figures`. Each function makes one run with new hosts, a new emulator and new
programs. The clients are in the remote's network, and in this process.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from bench.line.between import CUBIC, HostsWithLine
from bench.line.clients import LineClient, LineDownload, Typist, attend
from bench.line.figures import PAUSE, WARM_UP, Measured, percentile
from bench.peers import PEERS
from bench.ways import (
    AIOQUIC,
    AIOQUIC_WEBSOCKET,
    DIRECT,
    QUINN,
    QUINN_WEBSOCKET,
    RunningWay,
    prepare,
    running_way,
)
from testkit.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from bench.line.line import Line

    C = TypeVar("C", bound=LineClient)

DIRECT_CUBIC = f"{DIRECT}/{CUBIC}"
SURVIVE_MOVES = (QUINN, AIOQUIC, QUINN_WEBSOCKET, AIOQUIC_WEBSOCKET)
"""Ways whose connections should survive a change of address."""

WAYS = (DIRECT_CUBIC, f"{DIRECT}/bbr", *SURVIVE_MOVES, *PEERS)


@dataclass(frozen=True)
class MeasuredWay:
    """A way that is up."""

    way: RunningWay
    congestion: str
    """The congestion control of its TCP connections."""


class LineRun:
    """A line with ways and clients.

    :param stack: ends everything that the run starts.
    """

    def __init__(self, between: HostsWithLine, scratch: Path, stack: contextlib.ExitStack) -> None:
        self.between = between
        self._scratch = scratch
        self._stack = stack

    def start(self, name: str) -> MeasuredWay:
        """Start a way with an origin server of its own."""
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        prepare(scratch)
        family, _, congestion = name.partition("/")
        if family != DIRECT:
            family, congestion = name, CUBIC
        self.between.send_with(congestion)
        way = self._stack.enter_context(running_way(family, scratch, self.between.site))
        return MeasuredWay(way, congestion)

    def download(self, to: MeasuredWay) -> LineDownload:
        """Start a download."""
        self.between.send_with(to.congestion)
        return self._client(LineDownload(self.between.remote.socket(), to.way.address))

    def typist(self, to: MeasuredWay, seed: int) -> Typist:
        """Start a client that types."""
        self.between.send_with(to.congestion)
        sock = self.between.remote.socket()
        return self._client(Typist(sock, to.way.address, pause=PAUSE, seed=seed))

    def _client(self, client: C) -> C:
        return self._stack.enter_context(contextlib.closing(client))


@contextlib.contextmanager
def line_run(line: Line, seed: int) -> Iterator[LineRun]:
    """Set up a line; at the end, take down everything on it."""
    with (
        tempfile.TemporaryDirectory(prefix="quictunnel-line-") as folder,
        HostsWithLine(line, Path(folder), seed) as between,
        contextlib.ExitStack() as stack,
    ):
        yield LineRun(between, Path(folder), stack)


def bulk(way: str, line: Line, *, seconds: float, seed: int, warm_up: float = WARM_UP) -> Measured:
    """Measure a download alone after it has found the rate: its share, the queue, the drops.

    The queue is the median wait in it, in round-trip times.
    """
    with line_run(line, seed) as run:
        download = run.download(run.start(way))
        attend([download], warm_up)
        run.between.mark()
        start = monotonic()
        attend([download], seconds)
        share = download.bytes_between(start, monotonic()) / (monotonic() - start) / line.rate
        found = run.between.found()
    return Measured([share, found.queueing / line.rtt, found.dropped], found.overload)


def requests(way: str, line: Line, *, seconds: float, seed: int) -> Measured:
    """Measure requests beside a download: p50 and p99, in round-trip times, then in ms."""
    with line_run(line, seed) as run:
        to = run.start(way)
        download = run.download(to)
        attend([download], WARM_UP)
        run.between.mark()
        typist = run.typist(to, seed)
        attend([download], seconds, typist)
        found = run.between.found()
    if not typist.times:
        raise ProgramError(f"no request was answered within {seconds:.0f} s")
    times = [percentile(typist.times, share) for share in (0.5, 0.99)]
    figures = [*(time / line.rtt for time in times), *(time * 1000 for time in times)]
    return Measured(figures, found.overload)


def after_a_change(
    way: str, before: Line, after: Line, *, moved: bool, seed: int, within: float = 5.0
) -> Measured | None:
    """Measure the share of the new rate in the second that ends `within` s after a change of line.

    :param moved: whether the origin's address changes as well. Returns None for ways whose
        connections do not survive that.
    """
    if moved and way not in SURVIVE_MOVES:
        return None
    with line_run(before, seed) as run:
        download = run.download(run.start(way))
        attend([download], WARM_UP)
        run.between.mark()
        run.between.change(after)
        if moved:
            run.between.move_origin()
        attend([download], within)
        now = monotonic()
        found = run.between.found()
    return Measured([download.bytes_between(now - 1.0, now) / after.rate], found.overload)


def sharing(
    way: str, line: Line, *, beside: str | None, seconds: float, seed: int
) -> Measured | None:
    """Measure the shares of the rate of two downloads on one line.

    The second, of the measured way, begins after the first has found the rate.

    :param beside: the way of the first download, by default the same. Returns None if only one
        such way can run.
    """
    if beside is None and way in PEERS and PEERS[way].is_single:
        return None
    with line_run(line, seed) as run:
        ways = [run.start(name) for name in (beside or way, way)]
        downloads: list[LineDownload] = []
        for to in ways:
            downloads.append(run.download(to))
            attend(downloads, WARM_UP)
        run.between.mark()
        start = monotonic()
        attend(downloads, seconds)
        stop = monotonic()
        found = run.between.found()
    came = [download.bytes_between(start, stop) for download in downloads]
    return Measured([size / (stop - start) / line.rate for size in came], found.overload)
