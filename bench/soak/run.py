"""A run: the programs, tide after tide of clients, and at each ebb a look at what is still held."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.soak.plans import PlanLimits
from bench.soak.traffic import HOST, SoakTraffic
from bench.soak.verdict import Rest, memory_faults
from bench.soak.watch import JsonLog, holdings, open_files
from testkit.forwarder import ForwarderProgram
from testkit.tunnel import Tunnel
from testkit.weather import Conditions

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.programs import Program

LOOK_AGAIN = 0.2
"""Seconds between two looks at a program."""

FIRST = 5
"""Clients before it begins."""

LOG_SHOWN = 5
"""Bad lines of a log that are told."""


@dataclass(frozen=True)
class Settings:
    """What a run is to be like."""

    engines: tuple[str, str] = ("auto", "auto")
    """The remote's and the origin's."""
    conditions: Conditions = field(default_factory=Conditions)
    limits: PlanLimits = field(default_factory=PlanLimits)
    crowd: int = 60
    """Clients at a time, at most."""
    tides: int = 10
    """At least; the verdict on memory asks for so many."""
    lasts: float = 0
    """Seconds, within which another tide begins even if there were enough."""
    visits: int = 0
    """How many clients come in a tide; or:"""
    seconds: float = 0
    """For how long they come."""
    patience: float = 120
    """Seconds in which nothing moves, or something is not let go, before it is a fault."""


@dataclass
class Report:
    """What a run gave."""

    settings: Settings
    seconds: float = 0
    done: Counter[str] | dict[str, int] = field(default_factory=dict)
    """What clients and servers did and saw."""
    network: dict[str, int] = field(default_factory=dict)
    rests: dict[str, list[Rest]] = field(default_factory=lambda: {"remote": [], "origin": []})
    peaks: dict[str, int] = field(default_factory=lambda: {"remote": 0, "origin": 0})
    """The most memory (RSS) that was seen."""
    logs: dict[str, JsonLog] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class SoakRun:
    """One run; `report` is filled as it goes.

    :param scratch: a folder of its own, where the logs are left.
    :param told: called with the number of each tide that is over.
    """

    def __init__(
        self, settings: Settings, scratch: Path, told: Callable[[int], None] = lambda _: None
    ) -> None:
        self.report = Report(settings)
        self.settings = settings
        self.scratch = scratch
        self.traffic = SoakTraffic(
            settings.conditions.seed, settings.limits, settings.crowd, settings.patience
        )
        self.programs: dict[str, Program] = {}
        self._told = told

    def run(self) -> Report:
        """Do it all; return what it gave, faults among it."""
        start = time.monotonic()
        with contextlib.closing(self.traffic.door):
            with self._running():
                asyncio.run(self._tides())
            self._look_back()
        self.report.seconds = time.monotonic() - start
        return self.report

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Run the remote, the network and the origin."""
        remote_engine, origin_engine = self.settings.engines
        json_log = ("--log-format", "json")
        tunnel = Tunnel(
            self.scratch,
            (origin_engine, remote_engine),
            server=f"{HOST}:{self.traffic.server_port}",
        )
        forwarder = ForwarderProgram(tunnel.link_port, self.scratch, self.settings.conditions)
        with tunnel, forwarder:
            via = forwarder.address
            tunnel.up(
                remote=("--client-wait", "15m", *json_log), origin=("--remote", via, *json_log)
            )
            self.programs = {
                "remote": tunnel.remote,
                "network": forwarder.program,
                "origin": tunnel.origin,
            }
            self.report.logs = {end: JsonLog(self.programs[end].log) for end in self.report.rests}
            self.traffic.address = (HOST, tunnel.outside_port)
            yield
        self.report.network = forwarder.done()

    async def _tides(self) -> None:
        """Go through all tides, unless a program ends."""
        serving = asyncio.create_task(self.traffic.serve())
        tides = asyncio.create_task(self._come_and_go())
        ended = asyncio.create_task(self._until_one_ends())
        await asyncio.wait((tides, ended, serving), return_when=asyncio.FIRST_COMPLETED)
        for task in (tides, ended, serving):
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(tides, ended, serving, return_exceptions=True)

    async def _come_and_go(self) -> None:
        # What a program makes for its first client and keeps is none of a client's.
        await self.traffic.flood(visits=FIRST)
        await self.traffic.ebb()
        before = {end: holdings(self.programs[end].process.pid) for end in self.report.rests}
        descriptors = {end: held.descriptors for end, held in before.items()}
        ends = time.monotonic() + self.settings.lasts
        for tide in itertools.count(1):
            await self.traffic.flood(seconds=self.settings.seconds, visits=self.settings.visits)
            await self.traffic.ebb()
            await self._settle(descriptors)
            served = self.traffic.done["visits"]
            for end, rests in self.report.rests.items():
                rests.append(Rest(served, holdings(self.programs[end].process.pid)))
            self._told(tide)
            if tide >= self.settings.tides and time.monotonic() >= ends:
                break
            if self.traffic.fault_count or self.report.faults:
                break  # what hung once hangs again, for as long each time
        await self.traffic.ebb()

    async def _settle(self, descriptors: dict[str, int]) -> None:
        """Wait until both ends hold no client and no descriptor more than in the beginning."""
        deadline = time.monotonic() + self.settings.patience
        for end, log in self.report.logs.items():
            pid = self.programs[end].process.pid
            while not self._is_at_rest(end, descriptors[end]):
                if time.monotonic() < deadline:
                    await asyncio.sleep(LOOK_AGAIN)
                    continue
                held = ", ".join(f"{count} {kind}" for kind, count in open_files(pid).items())
                self.report.faults.append(
                    f"{end}: not back to rest: {len(log.present)} clients are in by its log; "
                    f"it had {descriptors[end]} descriptors and has {held}"
                )
                break

    def _is_at_rest(self, end: str, descriptors: int) -> bool:
        log = self.report.logs[end]
        log.read()
        held = holdings(self.programs[end].process.pid)
        return not log.present and held.descriptors <= descriptors

    async def _until_one_ends(self) -> None:
        """Watch the memory until a program ends by itself, which none should."""
        while True:
            for name, program in self.programs.items():
                if program.process.poll() is not None:
                    self.report.faults.append(f"{name} has ended: {program.last_words()}")
                    return
                if name in self.report.peaks:
                    resident = holdings(program.process.pid).resident
                    self.report.peaks[name] = max(self.report.peaks[name], resident)
            await asyncio.sleep(LOOK_AGAIN)

    def _look_back(self) -> None:
        """Judge what can be judged at the end alone."""
        report, traffic = self.report, self.traffic
        report.done = traffic.done
        report.faults += traffic.faults
        if traffic.fault_count > len(traffic.faults):
            report.faults.append(f"{traffic.fault_count - len(traffic.faults)} more visits")
        for end, rests in report.rests.items():
            report.faults += self._end_faults(end)
            report.faults += memory_faults(end, rests)
            threads = [rest.held.threads for rest in rests]
            if len(set(threads)) > 1:
                report.faults.append(f"{end}: the number of threads changed: {threads}")

    def _end_faults(self, end: str) -> Iterator[str]:
        log = self.report.logs[end]
        log.read()
        if log.bad:
            lines = "\n".join(log.bad[:LOG_SHOWN])
            yield f"{end}: {len(log.bad)} bad lines in its log:\n{lines}"
        if log.present:
            yield f"{end}: {len(log.present)} clients never went out, by its log"
        if code := self.programs[end].process.returncode:
            yield f"{end}: it ended with {code} when it was stopped"
