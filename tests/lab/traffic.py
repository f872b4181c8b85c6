"""Connections through the tunnel: who talks, what is heard when, and how each ends. Not a test.

Echoes (a question, its answer, a pause, the next question) and bulk transfers, led by either side.
Every byte is compared or hashed. It runs in a thread of its own, and keeps time there; what it
saw is judged by others.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import hashlib
import itertools
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import socket

Side = Literal["client", "server"]
Kind = Literal["echo", "bulk"]

SIDES: tuple[Side, Side] = ("client", "server")
KINDS: tuple[Kind, Kind] = ("echo", "bulk")

QUESTION = 100
"""Bytes of an echo."""

PAUSE = 0.05
"""Seconds between an answer and the next question."""

PIECE = 16 * 1024
"""Bytes that a bulk transfer sends at a time."""

LOOK_AGAIN = 0.02
"""Seconds between two looks at what was heard."""

_NUMBER = 4
"""Bytes of a connection's number, which the client says first."""


@dataclass
class End:
    """One end of a connection."""

    heard_at: list[float] = field(default_factory=list)
    """When something was heard, by the monotonic clock."""
    sent: int = 0
    heard: int = 0
    sent_hash: object = field(default_factory=hashlib.sha256)
    heard_hash: object = field(default_factory=hashlib.sha256)
    ending: str = ""
    """Empty while it lives; `in order`, `reset`, or `end` if that came too soon."""
    ended_at: float = 0

    def says(self, data: bytes) -> bytes:
        self.sent += len(data)
        self.sent_hash.update(data)
        return data

    def hears(self, data: bytes) -> bytes:
        self.heard_at.append(time.monotonic())
        self.heard += len(data)
        self.heard_hash.update(data)
        return data


@dataclass
class Talk:
    """A connection: a client's end and the origin server's."""

    number: int
    kind: Kind
    leader: Side
    ends: dict[Side, End] = field(default_factory=lambda: {"client": End(), "server": End()})

    def __str__(self) -> str:
        return f"{self.kind} {self.number} led by the {self.leader}"

    @property
    def follower(self) -> Side:
        return "server" if self.leader == "client" else "client"

    def first_heard(self, since: float) -> float | None:
        """Return when data came again: an echo's answer, or a piece of a bulk transfer."""
        listener = self.leader if self.kind == "echo" else self.follower
        heard_at = self.ends[listener].heard_at
        at = bisect.bisect_right(heard_at, since)
        return heard_at[at] if at < len(heard_at) else None

    @property
    def is_over(self) -> bool:
        return all(end.ending for end in self.ends.values())

    @property
    def faults(self) -> list[str]:
        """What is wrong now that it is over, if it should have ended in order."""
        client, server = self.ends["client"], self.ends["server"]
        found = [
            f"{self}: {side} saw {end.ending or 'no end'}"
            for side, end in self.ends.items()
            if end.ending != "in order"
        ]
        for one, other in ((client, server), (server, client)):
            if (one.sent, one.sent_hash.digest()) != (other.heard, other.heard_hash.digest()):
                found.append(f"{self}: of {one.sent} bytes came {other.heard}, or wrong ones")
        return found


class Traffic:
    """All connections of a test.

    :param server: listens where the origin server is to be.
    :param client: gives a new socket where the clients are.
    :param door: where the remote takes clients.
    """

    def __init__(
        self, server: socket.socket, client: Callable[[], socket.socket], door: tuple[str, int]
    ) -> None:
        self.talks: list[Talk] = []
        """Those that are of interest."""
        self._all: list[Talk] = []
        self._client = client
        self._door = door
        self._server = server
        self._rng = random.Random(7)
        self._block = os.urandom(PIECE * 2)
        self._finishing = False
        self._tasks: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._gates: dict[tuple[Kind, Side], asyncio.Event] = {
            (kind, side): asyncio.Event()
            for kind in ("echo", "bulk")
            for side in ("client", "server")
        }
        self._thread.start()

    # For the test's thread

    def open(self, kind: Kind, leader: Side, count: int = 1) -> list[Talk]:
        """Have clients connect; they talk once they are let."""
        new = [Talk(len(self._all) + number, kind, leader) for number in range(count)]
        self.talks += new
        self._all += new
        for talk in new:
            self._call(self._begin, self._come(talk))
        return new

    def let(self, *kinds: Kind, by: tuple[Side, ...] = SIDES) -> None:
        """Let these lead, and no others: who is in the middle of something finishes it."""
        for (kind, side), gate in self._gates.items():
            self._call(gate.set if kind in kinds and side in by else gate.clear)

    def led(self, *kinds: Kind, by: tuple[Side, ...] = SIDES) -> list[Talk]:
        """Return the connections of these kinds that these lead."""
        return [talk for talk in self.talks if talk.kind in kinds and talk.leader in by]

    def seconds_until_data(self, since: float, of: list[Talk], within: float) -> dict[str, float]:
        """Wait until data came on these connections after a time; return after how many seconds."""
        self.wait_until(lambda: all(talk.first_heard(since) for talk in of), within)
        return {str(talk): (talk.first_heard(since) or float("inf")) - since for talk in of}

    def lost(self) -> list[str]:
        """Return the connections that have ended though nobody wanted it."""
        ends = [(talk, side, end) for talk in self.talks for side, end in talk.ends.items()]
        return [f"{talk}: {side} saw {end.ending}" for talk, side, end in ends if end.ending]

    def wait_until(self, is_so: Callable[[], bool], within: float) -> bool:
        """Look again and again; return whether it was so within that many seconds."""
        deadline = time.monotonic() + within
        while not is_so():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_AGAIN)
        return True

    def retire(self) -> list[Talk]:
        """Take no more notice of the connections there are; return them."""
        retired, self.talks = self.talks, []
        return retired

    def finish(self, within: float) -> list[str]:
        """Have all leaders end in order; return what was lost or wrong."""
        self._call(self._finish)
        self.wait_until(lambda: all(talk.is_over for talk in self.talks), within)
        return [fault for talk in self.talks for fault in talk.faults]

    def close(self) -> None:
        """Cut everything."""
        self._call(self._loop.stop)
        self._thread.join()
        self._server.close()

    # In its own

    def _call(self, function: Callable, *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = self._loop.create_task(asyncio.start_server(self._serve, sock=self._server))
        self._loop.run_until_complete(serving)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _begin(self, work) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _finish(self) -> None:
        self._finishing = True
        for gate in self._gates.values():
            gate.set()

    async def _come(self, talk: Talk) -> None:
        sock = self._client()
        sock.setblocking(False)
        try:
            await self._loop.sock_connect(sock, self._door)
            reader, writer = await asyncio.open_connection(sock=sock)
        except OSError:
            sock.close()
            self._ended(talk.ends["client"], "reset")
            return
        writer.write(talk.number.to_bytes(_NUMBER))
        await self._talk(talk, "client", reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            number = int.from_bytes(await reader.readexactly(_NUMBER))
            talk = self._all[number]
            await self._talk(talk, "server", reader, writer)
        writer.close()

    async def _talk(
        self, talk: Talk, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Play one side to its end."""
        parts = {
            ("echo", True): self._ask,
            ("echo", False): self._answer,
            ("bulk", True): self._pour,
            ("bulk", False): self._drain,
        }
        end = talk.ends[side]
        gate = self._gates[talk.kind, talk.leader]
        try:
            await parts[talk.kind, side == talk.leader](end, gate, reader, writer)
            writer.write_eof()
            while data := await reader.read(PIECE):  # the leader waits for the other's end
                end.hears(data)
            self._ended(end, "in order" if self._finishing else "end")
        except asyncio.IncompleteReadError:
            self._ended(end, "end")
        except OSError:
            self._ended(end, "reset")
        finally:
            writer.close()

    def _ended(self, end: End, how: str) -> None:
        end.ending, end.ended_at = how, time.monotonic()

    async def _ask(self, end: End, gate: asyncio.Event, reader, writer) -> None:
        while not self._finishing:
            await self._or_lost(gate, reader)
            writer.write(end.says(self._rng.randbytes(QUESTION)))
            end.hears(await reader.readexactly(QUESTION))
            await asyncio.sleep(PAUSE)

    async def _answer(self, end: End, _: asyncio.Event, reader, writer) -> None:
        while data := await reader.read(PIECE):
            writer.write(end.says(end.hears(data)))
            await writer.drain()

    async def _pour(self, end: End, gate: asyncio.Event, reader, writer) -> None:
        for offset in itertools.count():
            await self._or_lost(gate, reader)
            if self._finishing:
                return
            begin = offset % PIECE
            writer.write(end.says(self._block[begin : begin + PIECE]))
            await writer.drain()

    async def _drain(self, end: End, _: asyncio.Event, reader, writer) -> None:
        while data := await reader.read(4 * PIECE):
            end.hears(data)

    async def _or_lost(self, gate: asyncio.Event, reader: asyncio.StreamReader) -> None:
        """Wait until one may lead; see it if the connection is lost meanwhile."""
        while not gate.is_set():
            if reader.at_eof():
                raise ConnectionResetError
            if (exc := reader.exception()) is not None:
                raise exc
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(gate.wait(), LOOK_AGAIN * 5)
