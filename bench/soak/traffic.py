"""Many clients that use the tunnel, and their server. Each visit is judged.

Clients come in tides: a flood of new ones, then an ebb until the last one has ended. At the end of
an ebb there is no client, so whatever the programs still hold is leaked.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING

from bench.soak.judge import faults
from bench.soak.plans import GREETING, HEADER, Payload, PlanLimits, draw
from bench.soak.sides import SoakSide, receive

if TYPE_CHECKING:
    from bench.soak.plans import Plan

HOST = "127.0.0.1"

BACKLOG = 1024

FAULTS_SHOWN = 20
"""Faults to keep in words. Further ones are only counted."""

CHECK_INTERVAL = 0.1
"""Seconds between two checks for progress."""


class Visit:
    """A client's connection and the server's end of it."""

    def __init__(self, number: int, plan: Plan, client: SoakSide) -> None:
        self.number = number
        self.plan = plan
        self.client = client
        self.server: SoakSide | None = None
        self.is_kept = False
        """Whether it is judged at the next ebb: a reset connection may reach the server late."""


class SoakTraffic:
    """All visits of a run.

    :param seed: the seed of their plans.
    :param crowd: the most concurrent visits.
    :param patience: seconds without any progress after which the present visits count as hung.
    """

    def __init__(self, seed: int, limits: PlanLimits, crowd: int, patience: float) -> None:
        self.done: Counter[str] = Counter()
        """Visits, bytes and endings so far, by name."""
        self.faults: list[str] = []
        self.fault_count = 0
        self.address: tuple[str, int]
        """The remote's address for clients. Set it before the first tide."""
        self.listener = socket.create_server((HOST, 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self._seed = seed
        self._limits = limits
        self._crowd = crowd
        self._patience = patience
        self._random = random.Random(f"arrivals {seed}")
        self._visits: dict[int, Visit] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved_at = time.monotonic()
        self._here = 0

    @property
    def server_port(self) -> int:
        return self.listener.getsockname()[1]

    async def serve(self) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self.listener)
            self._spawn(self._attend(sock))

    async def flood(self, *, seconds: float = 0, visits: int = 0) -> None:
        """Start visits for so many seconds, or so many visits."""
        ends = time.monotonic() + seconds
        last = self.done["visits"] + visits
        self._move()
        while time.monotonic() < ends or self.done["visits"] < last:
            if self._here < self._crowd:
                self._come()
                await asyncio.sleep(self._random.expovariate(self._crowd))
            elif self._is_stuck():
                return
            else:
                await asyncio.sleep(CHECK_INTERVAL)

    async def ebb(self) -> None:
        """Wait until all visits have ended or hang; judge each."""
        while self._tasks and not self._is_stuck():
            await asyncio.wait(self._tasks, timeout=CHECK_INTERVAL)
        visits, self._visits = self._visits, {}
        for visit in visits.values():
            if visit.server is None and visit.client.has_reset and not visit.is_kept:
                visit.is_kept = True
                self._visits[visit.number] = visit
            else:
                self._judge(visit)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_stuck(self) -> bool:
        return time.monotonic() - self._moved_at > self._patience

    def _move(self) -> None:
        self._moved_at = time.monotonic()

    def _spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()):
            self._fault(f"the soak itself failed: {exc!r}")

    def _come(self) -> None:
        self.done["visits"] += 1
        number = self.done["visits"]
        plan = draw(number, self._seed, self._limits)
        says, hears = Payload.of(number, "client"), Payload.of(number, "server")
        visit = Visit(number, plan, SoakSide(plan.client, says, hears, self._move))
        self._visits[number] = visit
        self._spawn(self._visit(visit))

    async def _visit(self, visit: Visit) -> None:
        self._here += 1
        try:
            with socket.socket() as sock:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, self.address)
                await visit.client.run(sock)
        finally:
            self._here -= 1

    async def _attend(self, sock: socket.socket) -> None:
        with sock:
            sock.setblocking(False)
            await self._serve(sock)

    async def _serve(self, sock: socket.socket) -> None:
        number = await self._header(sock)
        visit = self._visits.get(number)
        if visit is None or visit.server is not None:
            if number:
                self._fault(f"an unexpected or repeated header of visit {number}")
            return
        says, hears = Payload.of(number, "server"), Payload.of(number, "client")
        visit.server = SoakSide(visit.plan.server, says, hears, self._move, heard=HEADER.size)
        await visit.server.run(sock)

    async def _header(self, sock: socket.socket) -> int:
        """Return the number of the visit, or 0 if the connection ended before the header."""
        header = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := await receive(sock, HEADER.size - len(header)):
                header += piece
                if len(header) == HEADER.size:
                    break
        self._move()
        if len(header) < HEADER.size:
            self.done["connections without a header"] += 1
            return 0
        greeting, number = HEADER.unpack(header)
        if greeting != GREETING:
            self._fault(f"a header that was not sent: {header!r}")
            return 0
        return number

    def _judge(self, visit: Visit) -> None:
        self.done[f"{visit.plan.kind}s"] += 1
        for end, side in (("client", visit.client), ("server", visit.server)):
            if side is not None:
                self.done["bytes up" if end == "server" else "bytes down"] += side.heard
                self.done[f"resets by a {end}"] += side.has_reset
                self.done["stalls"] += bool(side.half.stalls)
                if side.ending is not None:
                    self.done[f"ended {side.ending.value}, as a {end} saw it"] += 1
        for fault in faults(visit.plan, visit.client, visit.server):
            self._fault(f"visit {visit.number} ({visit.plan.kind}): {fault}")

    def _fault(self, words: str) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(words)
