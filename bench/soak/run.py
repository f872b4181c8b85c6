"""A run of the soak: the programs, tides of clients, and a check of resources after each tide."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.soak.hostile import HostilePeers
from bench.soak.plans import PlanLimits
from bench.soak.traffic import HOST, SoakTraffic
from bench.soak.verdict import Rest, memory_faults
from bench.soak.watch import JsonLog, open_files, resources
from testkit.forwarder import ForwarderProgram
from testkit.tunnel import Tunnel
from testkit.weather import Conditions

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.programs import Program

CHECK_INTERVAL = 0.2
"""Seconds between two checks of a program."""

WARM_UP = 5
"""Clients before the first tide."""

LOG_SHOWN = 5
"""Bad lines of a log to report."""


@dataclass(frozen=True)
class SoakSettings:
    """The settings of a run."""

    engines: tuple[str, str] = ("auto", "auto")
    """The engines of the remote and the origin."""
    conditions: Conditions = field(default_factory=Conditions)
    limits: PlanLimits = field(default_factory=PlanLimits)
    crowd: int = 60
    """The most concurrent clients."""
    has_hostile_peers: bool = False
    """Whether peers without a token attack the remote meanwhile."""
    tides: int = 10
    """The least number of tides. The verdict on memory needs several."""
    lasts: float = 0
    """Seconds during which further tides start."""
    visits: int = 0
    """Clients per tide, if `seconds` is 0."""
    seconds: float = 0
    """Seconds per tide in which clients come."""
    patience: float = 120
    """Seconds without progress, or before resources are released, that count as a fault."""


@dataclass
class Report:
    """The result of a run."""

    settings: SoakSettings
    seconds: float = 0
    done: Counter[str] | dict[str, int] = field(default_factory=dict)
    """Counts of what clients and servers did and saw."""
    network: dict[str, int] = field(default_factory=dict)
    hostile: dict[str, int] = field(default_factory=dict)
    """Counts of what hostile peers did."""
    rests: dict[str, list[Rest]] = field(default_factory=lambda: {"remote": [], "origin": []})
    peaks: dict[str, int] = field(default_factory=lambda: {"remote": 0, "origin": 0})
    """The largest resident memory."""
    logs: dict[str, JsonLog] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class SoakRun:
    """A run. It fills `report`.

    :param scratch: a folder of its own, in which it leaves the logs.
    :param told: called with the number of each finished tide.
    """

    def __init__(
        self, settings: SoakSettings, scratch: Path, told: Callable[[int], None] = lambda _: None
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
        """Run; return the report."""
        start = time.monotonic()
        with contextlib.closing(self.traffic.listener):
            with self._running():
                asyncio.run(self._tides())
            self._judge()
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
            with self._attacked(tunnel.link_port):
                yield
        self.report.network = forwarder.done()

    @contextlib.contextmanager
    def _attacked(self, link_port: int) -> Iterator[None]:
        """Let hostile peers attack the remote, if the settings say so."""
        if not self.settings.has_hostile_peers:
            yield
            return
        hostile = HostilePeers(link_port, self.settings.conditions.seed, self.scratch)
        with hostile:
            self.programs["hostile peers"] = hostile.program
            yield
        self.report.hostile = hostile.done()

    async def _tides(self) -> None:
        """Run all tides, unless a program ends."""
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
        # One-time allocations for the first client are not a leak.
        await self.traffic.flood(visits=WARM_UP)
        await self.traffic.ebb()
        before = {end: resources(self.programs[end].process.pid) for end in self.report.rests}
        descriptors = {end: held.descriptors for end, held in before.items()}
        ends = time.monotonic() + self.settings.lasts
        for tide in itertools.count(1):
            await self.traffic.flood(seconds=self.settings.seconds, visits=self.settings.visits)
            await self.traffic.ebb()
            await self._settle(descriptors)
            served = self.traffic.done["visits"]
            for end, rests in self.report.rests.items():
                rests.append(Rest(served, resources(self.programs[end].process.pid)))
            self._told(tide)
            if tide >= self.settings.tides and time.monotonic() >= ends:
                break
            if self.traffic.fault_count or self.report.faults:
                break  # a hang would repeat, and take as long each time
        await self.traffic.ebb()

    async def _settle(self, descriptors: dict[str, int]) -> None:
        """Wait until both ends have no client and no more descriptors than before."""
        deadline = time.monotonic() + self.settings.patience
        for end, log in self.report.logs.items():
            pid = self.programs[end].process.pid
            while not self._is_at_rest(end, descriptors[end]):
                if time.monotonic() < deadline:
                    await asyncio.sleep(CHECK_INTERVAL)
                    continue
                held = ", ".join(f"{count} {kind}" for kind, count in open_files(pid).items())
                self.report.faults.append(
                    f"{end}: did not release everything: {len(log.present)} clients by its log; "
                    f"it had {descriptors[end]} descriptors and has {held}"
                )
                break

    def _is_at_rest(self, end: str, descriptors: int) -> bool:
        log = self.report.logs[end]
        log.read()
        held = resources(self.programs[end].process.pid)
        return not log.present and held.descriptors <= descriptors

    async def _until_one_ends(self) -> None:
        """Record the peak memory until a program ends by itself, which is a fault."""
        while True:
            for name, program in self.programs.items():
                if program.process.poll() is not None:
                    self.report.faults.append(f"{name} has ended: {program.last_words()}")
                    return
                if name in self.report.peaks:
                    resident = resources(program.process.pid).resident
                    self.report.peaks[name] = max(self.report.peaks[name], resident)
            await asyncio.sleep(CHECK_INTERVAL)

    def _judge(self) -> None:
        """Complete the report after the end of the programs."""
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
            yield f"{end}: {len(log.present)} clients never closed, by its log"
        if code := self.programs[end].process.returncode:
            yield f"{end}: it ended with {code} when it was stopped"
