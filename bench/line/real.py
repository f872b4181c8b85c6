"""What is measured of a way to an origin server over a line between real kernels.

The same figures as in `figures`, each function one run on a line that is laid for it: hosts,
emulator and programs begin afresh. The clients are in the remote's network, and in this process.
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
from bench.ways import AIOQUIC, DIRECT, QUINN, RunningWay, prepare, running_way
from testkit.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from bench.line.line import Line

    C = TypeVar("C", bound=LineClient)

DIRECT_CUBIC = f"{DIRECT}/{CUBIC}"
OUTLIVES = (QUINN, AIOQUIC)
"""Ways whose connections are to outlive a change of address."""

WAYS = (DIRECT_CUBIC, f"{DIRECT}/bbr", *OUTLIVES, *PEERS)


@dataclass(frozen=True)
class MeasuredWay:
    """A way that stands."""

    way: RunningWay
    congestion: str
    """How TCP connections are to keep the network's pace that are part of it."""


class LineRun:
    """A line, with what stands on it.

    :param stack: of what is to end with the run.
    """

    def __init__(self, between: HostsWithLine, scratch: Path, stack: contextlib.ExitStack) -> None:
        self.between = between
        self._scratch = scratch
        self._stack = stack

    def stand(self, name: str) -> MeasuredWay:
        """Have a way stand, with an origin server of its own."""
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        prepare(scratch)
        family, _, congestion = name.partition("/")
        if family != DIRECT:
            family, congestion = name, CUBIC
        self.between.send_with(congestion)
        way = self._stack.enter_context(running_way(family, scratch, self.between.site))
        return MeasuredWay(way, congestion)

    def download(self, to: MeasuredWay) -> LineDownload:
        """Let a download begin."""
        self.between.send_with(to.congestion)
        return self._client(LineDownload(self.between.remote.socket(), to.way.address))

    def typist(self, to: MeasuredWay, seed: int) -> Typist:
        """Let somebody begin to type."""
        self.between.send_with(to.congestion)
        sock = self.between.remote.socket()
        return self._client(Typist(sock, to.way.address, pause=PAUSE, seed=seed))

    def _client(self, client: C) -> C:
        return self._stack.enter_context(contextlib.closing(client))


@contextlib.contextmanager
def laid(line: Line, seed: int) -> Iterator[LineRun]:
    """Lay a line; take it away with all that stands on it."""
    with (
        tempfile.TemporaryDirectory(prefix="quictunnel-line-") as folder,
        HostsWithLine(line, Path(folder), seed) as between,
        contextlib.ExitStack() as stack,
    ):
        yield LineRun(between, Path(folder), stack)


def bulk(way: str, line: Line, *, seconds: float, seed: int, warm_up: float = WARM_UP) -> Measured:
    """Measure a download alone once it has found the rate: its share, the queue, what was dropped.

    The queue is the median wait in it, as a share of the round-trip time.
    """
    with laid(line, seed) as run:
        download = run.download(run.stand(way))
        attend([download], warm_up)
        run.between.mark()
        start = monotonic()
        attend([download], seconds)
        share = download.bytes_between(start, monotonic()) / (monotonic() - start) / line.rate
        found = run.between.found()
    return Measured([share, found.queueing / line.rtt, found.dropped], found.overload)


def requests(way: str, line: Line, *, seconds: float, seed: int) -> Measured:
    """Measure requests beside a download: p50 and p99, in round-trip times, then in ms."""
    with laid(line, seed) as run:
        to = run.stand(way)
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

    :param moved: the origin's address changes with it, which is for tunnels that outlive such a
        change: None is returned for others. Else nobody is told.
    """
    if moved and way not in OUTLIVES:
        return None
    with laid(before, seed) as run:
        download = run.download(run.stand(way))
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
    """Measure what share of the rate each of two downloads gets over one line.

    The second, which is measured, begins when the first has found the rate.

    :param beside: the first one's way, which is of the same kind if it is None. (None is returned
        where only one of that kind can stand.)
    """
    if beside is None and way in PEERS and PEERS[way].is_single:
        return None
    with laid(line, seed) as run:
        stood = [run.stand(name) for name in (beside or way, way)]
        downloads: list[LineDownload] = []
        for to in stood:
            downloads.append(run.download(to))
            attend(downloads, WARM_UP)
        run.between.mark()
        start = monotonic()
        attend(downloads, seconds)
        stop = monotonic()
        found = run.between.found()
    came = [download.bytes_between(start, stop) for download in downloads]
    return Measured([size / (stop - start) / line.rate for size in came], found.overload)
