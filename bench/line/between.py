"""Two hosts with a line between them: real kernels, and `emulator`. Linux, and root."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.line.emulator import DEVICE
from bench.sites import Site
from testkit.namespaces import NamespaceHost
from testkit.programs import ProgramError

if TYPE_CHECKING:
    from bench.line.line import Line

ORIGIN, REMOTE, MOVED = "192.0.2.1", "192.0.2.2", "192.0.2.3"
"""Addresses: the third is the origin's, once it has moved."""

NETWORK = "192.0.2.0/24"

EVERYWHERE = "0.0.0.0"

WAITING = 20_000
"""Packets that may wait for the emulator in each device: more than its own queue holds, so that
this one is the only one that drops, while the emulator keeps up."""

CUBIC = "cubic"
"""What Linux sends with over TCP, unless told otherwise."""

MOST_LATE = 0.01
"""The share of packets that may be handed over late in a run that counts."""


@dataclass(frozen=True)
class Found:
    """What the emulator has counted since it was told to."""

    queueing: float
    """The median wait in the queue on the way from the origin, in seconds."""
    dropped: int
    """Packets that found this queue full, from the beginning on."""
    overload: str
    """Why what was measured is the emulator's doing, in words; empty if it is not."""


class HostsWithLine:
    """An origin's host, a remote's host, and a line. Use `with`.

    :param seed: other dice with each.
    """

    def __init__(self, line: Line, scratch: Path, seed: int) -> None:
        self._overflowed = 0
        with contextlib.ExitStack() as stack:
            self.remote = NamespaceHost("remote", {}, scratch)
            stack.callback(self.remote.end)
            self.origin = NamespaceHost("origin", {}, scratch)
            stack.callback(self.origin.end)
            self.site = Site(self.remote, self.origin, REMOTE, EVERYWHERE, ORIGIN)
            ends = str(self.origin.pid), str(self.remote.pid)
            facts = str(seed), json.dumps(asdict(line))
            program = [sys.executable, "-m", "bench.line.emulator"]
            pipe = subprocess.PIPE
            command = [*program, *ends, *facts]
            self._emulator = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
            stack.callback(self._emulator.communicate)
            self._answer()  # it is ready
            for host, address in ((self.origin, ORIGIN), (self.remote, REMOTE)):
                host.ip(
                    f"link set dev {DEVICE} txqueuelen {WAITING} addrgenmode none",
                    f"link set dev {DEVICE} up",
                    f"address add {address} dev {DEVICE}",
                )
            self.send_with(CUBIC)
            self._stack = stack.pop_all()

    def __enter__(self) -> HostsWithLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send_with(self, congestion: str) -> None:
        """Let TCP connections that begin from now on keep the network's pace in this way.

        Said of the route: a network namespace may have another default only if the machine allows.
        """
        for host in (self.origin, self.remote):
            host.ip(f"route replace {NETWORK} dev {DEVICE} congctl {congestion}")

    def change(self, line: Line) -> None:
        """Go on as another line."""
        self._command(line=asdict(line))

    def move_origin(self) -> None:
        """Give the origin's host another address instead of its own."""
        self.origin.ip(
            f"address add {MOVED} dev {DEVICE}", f"address delete {ORIGIN}/32 dev {DEVICE}"
        )

    def mark(self) -> None:
        """Count from now on."""
        self._command(mark=True)
        self._overflowed = self._overflows()

    def found(self) -> Found:
        """Return what was counted since the last mark."""
        counted = self._command()
        reasons = []
        if counted["late"] > MOST_LATE:
            late, busy = counted["late"], counted["busy"]
            reasons.append(f"{late:.0%} of the packets late, {busy:.0%} of a processor")
        if more := self._overflows() - self._overflowed:
            reasons.append(f"{more} packets dropped before it")
        return Found(counted["queueing"], int(counted["dropped"]), "; ".join(reasons))

    def _command(self, **command: object) -> dict[str, float]:
        print(json.dumps(command), file=self._emulator.stdin, flush=True)
        answer: dict[str, float] = json.loads(self._answer())
        return answer

    def _answer(self) -> str:
        assert self._emulator.stdout is not None
        answer = self._emulator.stdout.readline()
        if not answer:
            raise ProgramError("the emulator of the line is gone")
        return answer

    def _overflows(self) -> int:
        """Return how many packets the emulator was too slow to take, in either host."""
        return sum(_dropped(host.pid) for host in (self.origin, self.remote))


def _dropped(pid: int) -> int:
    """Return how many packets the device of a host could not put anywhere (proc_net_dev(5))."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == DEVICE:
            return int(figures.split()[11])
    raise ProgramError("the line's device is gone")
