"""Two hosts with real kernels and an emulated line between them. Needs Linux and root."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.host_pair import HostPair
from bench.line.emulator import DEVICE
from testkit.namespaces import NamespaceHost
from testkit.programs import ProgramError

if TYPE_CHECKING:
    from bench.line.line import Line

ORIGIN, REMOTE, MOVED = "192.0.2.1", "192.0.2.2", "192.0.2.3"
"""Addresses. The third is the origin's after its move."""

NETWORK = "192.0.2.0/24"

EVERYWHERE = "0.0.0.0"

WAITING = 20_000
"""The queue of each device towards the emulator, in packets: more than the emulator's own queue
holds, so that only the latter drops packets while the emulator keeps up."""

CUBIC = "cubic"
"""Linux's default congestion control of TCP."""

MOST_LATE = 0.01
"""The largest share of late packets in a valid run."""


@dataclass(frozen=True)
class LineCounts:
    """The emulator's counts since the last mark."""

    queueing: float
    """The median wait in the queue from the origin, in seconds."""
    dropped: int
    """Packets that found this queue full, since the start."""
    overload: str
    """Why the emulator distorted the measurement, in words. Empty if it did not."""


class HostsWithLine:
    """An origin's host, a remote's host, and a line. Use `with`."""

    def __init__(self, line: Line, scratch: Path, seed: int) -> None:
        self._overflowed = 0
        with contextlib.ExitStack() as stack:
            self.remote = NamespaceHost("remote", {}, scratch)
            stack.callback(self.remote.end)
            self.origin = NamespaceHost("origin", {}, scratch)
            stack.callback(self.origin.end)
            self.site = HostPair(self.remote, self.origin, REMOTE, EVERYWHERE, ORIGIN)
            ends = str(self.origin.pid), str(self.remote.pid)
            facts = str(seed), json.dumps(asdict(line))
            program = [sys.executable, "-m", "bench.line.emulator"]
            pipe = subprocess.PIPE
            command = [*program, *ends, *facts]
            self._emulator = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
            stack.callback(self._emulator.communicate)
            self._answer()  # `ready`
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
        """Set the congestion control of new TCP connections.

        It is set on the route, because the default of a namespace may be locked by the machine.
        """
        for host in (self.origin, self.remote):
            host.ip(f"route replace {NETWORK} dev {DEVICE} congctl {congestion}")

    def change(self, line: Line) -> None:
        """Turn the line into another one."""
        self._command(line=asdict(line))

    def move_origin(self) -> None:
        """Replace the address of the origin's host."""
        self.origin.ip(
            f"address add {MOVED} dev {DEVICE}", f"address delete {ORIGIN}/32 dev {DEVICE}"
        )

    def mark(self) -> None:
        """Start counting anew."""
        self._command(mark=True)
        self._overflowed = self._overflows()

    def found(self) -> LineCounts:
        """Return the counts since the last mark."""
        counted = self._command()
        reasons = []
        if counted["late"] > MOST_LATE:
            late, busy = counted["late"], counted["busy"]
            reasons.append(f"{late:.0%} of the packets late, {busy:.0%} of a processor")
        if more := self._overflows() - self._overflowed:
            reasons.append(f"{more} packets dropped before it")
        return LineCounts(counted["queueing"], int(counted["dropped"]), "; ".join(reasons))

    def _command(self, **command: object) -> dict[str, float]:
        print(json.dumps(command), file=self._emulator.stdin, flush=True)
        answer: dict[str, float] = json.loads(self._answer())
        return answer

    def _answer(self) -> str:
        assert self._emulator.stdout is not None
        answer = self._emulator.stdout.readline()
        if not answer:
            raise ProgramError("the line's emulator has ended")
        return answer

    def _overflows(self) -> int:
        """Return how many packets were dropped in front of the emulator, on both hosts."""
        return sum(_dropped(host.pid) for host in (self.origin, self.remote))


def _dropped(pid: int) -> int:
    """Return how many packets the device of a host has dropped (proc_net_dev(5))."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == DEVICE:
            return int(figures.split()[11])
    raise ProgramError("the line's device has vanished")
