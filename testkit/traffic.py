"""Connections through the tunnel: when data arrives on each, and how each ends.

A connection carries echoes (a question, its answer, a pause, the next question) or a bulk transfer.
Either side can lead. Every byte is hashed. The traffic runs in a thread of its own and records
times. The test or script that uses it judges them.
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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

Side = Literal["client", "server"]
Kind = Literal["echo", "bulk"]

SIDES: tuple[Side, Side] = ("client", "server")
KINDS: tuple[Kind, Kind] = ("echo", "bulk")

QUESTION = 100
"""Bytes of a question."""

PAUSE = 0.05
"""Seconds between an answer and the next question."""

PIECE = 16 * 1024
"""Bytes that a bulk transfer sends at a time."""

POLL_INTERVAL = 0.02
"""Seconds between two checks of what was received."""

_NUMBER = 4
"""Bytes of a connection's number, which the client sends first."""


@dataclass
class ConnectionEnd:
    """One end of a connection."""

    received_at: list[float] = field(default_factory=list)
    """When data was received, by the monotonic clock."""
    sent: int = 0
    received: int = 0
    sent_hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    received_hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    ending: str = ""
    """How it ended: `in order`, `reset`, or `end` if FIN came too early. Empty while it is open."""
    ended_at: float = 0

    def record_sent(self, data: bytes) -> bytes:
        self.sent += len(data)
        self.sent_hash.update(data)
        return data

    def record_received(self, data: bytes) -> bytes:
        self.received_at.append(time.monotonic())
        self.received += len(data)
        self.received_hash.update(data)
        return data


@dataclass
class RecordedConnection:
    """A connection: the client's end and the origin server's end."""

    number: int
    kind: Kind
    leader: Side
    ends: dict[Side, ConnectionEnd] = field(
        default_factory=lambda: {"client": ConnectionEnd(), "server": ConnectionEnd()}
    )

    def __str__(self) -> str:
        return f"{self.kind} {self.number} led by the {self.leader}"

    @property
    def follower(self) -> Side:
        return "server" if self.leader == "client" else "client"

    def first_received(self, since: float) -> float | None:
        """Return when data first arrived after a time: an answer, or a piece of a bulk transfer."""
        listener = self.leader if self.kind == "echo" else self.follower
        received_at = self.ends[listener].received_at
        at = bisect.bisect_right(received_at, since)
        return received_at[at] if at < len(received_at) else None

    @property
    def is_over(self) -> bool:
        return all(end.ending for end in self.ends.values())

    @property
    def faults(self) -> list[str]:
        """The faults of a connection that should have ended in order, in words."""
        client, server = self.ends["client"], self.ends["server"]
        found = [
            f"{self}: {side} saw {end.ending or 'no end'}"
            for side, end in self.ends.items()
            if end.ending != "in order"
        ]
        for one, other in ((client, server), (server, client)):
            if (one.sent, one.sent_hash.digest()) != (other.received, other.received_hash.digest()):
                found.append(f"{self}: {other.received} of {one.sent} bytes arrived, or wrong ones")
        return found


class RecordedTraffic:
    """All connections of a test. Its methods are for the test's thread.

    :param server: the origin server's listening socket.
    :param client: returns a new socket on the clients' host.
    :param address: the remote's address for clients.
    :param bulk_rate: the most bytes per second of a bulk transfer, or 0 for no limit but the
        network's.
    """

    def __init__(
        self,
        server: socket.socket,
        client: Callable[[], socket.socket],
        address: tuple[str, int],
        *,
        bulk_rate: float = 0,
    ) -> None:
        self.connections: list[RecordedConnection] = []
        """The connections that are judged."""
        self._all: list[RecordedConnection] = []
        self._client = client
        self._address = address
        self._server = server
        self._bulk_pause = PIECE / bulk_rate if bulk_rate else 0.0
        self._rng = random.Random(7)
        self._block = os.urandom(PIECE * 2)
        self._finishing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._gates: dict[tuple[Kind, Side], asyncio.Event] = {
            (kind, side): asyncio.Event()
            for kind in ("echo", "bulk")
            for side in ("client", "server")
        }
        self._thread.start()

    # For the test's thread

    def open(self, kind: Kind, leader: Side, count: int = 1) -> list[RecordedConnection]:
        """Connect clients. They send once `let` allows it."""
        new = [RecordedConnection(len(self._all) + number, kind, leader) for number in range(count)]
        self.connections += new
        self._all += new
        for connection in new:
            self._call(self._start, self._connect(connection))
        return new

    def connect_from(self, client: Callable[[], socket.socket], address: tuple[str, int]) -> None:
        """Let clients connect from another host from now on. See the class for the parameters."""
        self._client, self._address = client, address

    def let(self, *kinds: Kind, by: tuple[Side, ...] = SIDES) -> None:
        """Let only these lead. A question or piece that has begun is finished."""
        for (kind, side), gate in self._gates.items():
            self._call(gate.set if kind in kinds and side in by else gate.clear)

    def led(self, *kinds: Kind, by: tuple[Side, ...] = SIDES) -> list[RecordedConnection]:
        """Return the connections of these kinds that these lead."""
        return [
            connection
            for connection in self.connections
            if connection.kind in kinds and connection.leader in by
        ]

    def seconds_until_data(
        self, since: float, of: list[RecordedConnection], within: float
    ) -> dict[str, float]:
        """Wait for data on these connections after a time; return how long each took."""
        self.wait_until(lambda: all(connection.first_received(since) for connection in of), within)
        return {
            str(connection): (connection.first_received(since) or float("inf")) - since
            for connection in of
        }

    def lost(self) -> list[str]:
        """Return the connections that have ended unexpectedly."""
        ends = [
            (connection, side, end)
            for connection in self.connections
            for side, end in connection.ends.items()
        ]
        return [
            f"{connection}: {side} saw {end.ending}" for connection, side, end in ends if end.ending
        ]

    def wait_until(self, condition: Callable[[], bool], within: float) -> bool:
        """Poll a condition; return whether it was true within so many seconds."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_INTERVAL)
        return True

    def retire(self) -> list[RecordedConnection]:
        """Stop judging the present connections; return them."""
        retired, self.connections = self.connections, []
        return retired

    def finish(self, within: float) -> list[str]:
        """Let all leaders end in order; return what was lost or wrong."""
        self._call(self._finish)
        self.wait_until(lambda: all(connection.is_over for connection in self.connections), within)
        return [fault for connection in self.connections for fault in connection.faults]

    def close(self) -> None:
        """Abort all connections."""
        self._call(self._loop.stop)
        self._thread.join()
        self._server.close()

    # In the thread of the traffic

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
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

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _finish(self) -> None:
        self._finishing = True
        for gate in self._gates.values():
            gate.set()

    async def _connect(self, connection: RecordedConnection) -> None:
        sock = self._client()
        sock.setblocking(False)
        try:
            await self._loop.sock_connect(sock, self._address)
            reader, writer = await asyncio.open_connection(sock=sock)
        except OSError:
            sock.close()
            self._ended(connection.ends["client"], "reset")
            return
        writer.write(connection.number.to_bytes(_NUMBER))
        await self._run_side(connection, "client", reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            number = int.from_bytes(await reader.readexactly(_NUMBER))
            connection = self._all[number]
            await self._run_side(connection, "server", reader, writer)
        writer.close()

    async def _run_side(
        self,
        connection: RecordedConnection,
        side: Side,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Run one side to its end."""
        parts = {
            ("echo", True): self._echo_lead,
            ("echo", False): self._echo_follow,
            ("bulk", True): self._bulk_lead,
            ("bulk", False): self._bulk_follow,
        }
        end = connection.ends[side]
        gate = self._gates[connection.kind, connection.leader]
        try:
            await parts[connection.kind, side == connection.leader](end, gate, reader, writer)
            writer.write_eof()
            while data := await reader.read(PIECE):  # the leader waits for the other side's FIN
                end.record_received(data)
            self._ended(end, "in order" if self._finishing else "end")
        except asyncio.IncompleteReadError:
            self._ended(end, "end")
        except OSError:
            self._ended(end, "reset")
        finally:
            writer.close()

    def _ended(self, end: ConnectionEnd, how: str) -> None:
        end.ending, end.ended_at = how, time.monotonic()

    async def _echo_lead(
        self,
        end: ConnectionEnd,
        gate: asyncio.Event,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while not self._finishing:
            await self._wait_for_gate(gate, reader)
            writer.write(end.record_sent(self._rng.randbytes(QUESTION)))
            end.record_received(await reader.readexactly(QUESTION))
            await asyncio.sleep(PAUSE)

    async def _echo_follow(
        self,
        end: ConnectionEnd,
        _: asyncio.Event,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(PIECE):
            writer.write(end.record_sent(end.record_received(data)))
            await writer.drain()

    async def _bulk_lead(
        self,
        end: ConnectionEnd,
        gate: asyncio.Event,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        for offset in itertools.count():
            await self._wait_for_gate(gate, reader)
            if self._finishing:
                return
            begin = offset % PIECE
            writer.write(end.record_sent(self._block[begin : begin + PIECE]))
            await writer.drain()
            await asyncio.sleep(self._bulk_pause)

    async def _bulk_follow(
        self,
        end: ConnectionEnd,
        _: asyncio.Event,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(4 * PIECE):
            end.record_received(data)

    async def _wait_for_gate(self, gate: asyncio.Event, reader: asyncio.StreamReader) -> None:
        """Wait until this side may lead, or until the connection is lost."""
        while not gate.is_set():
            if reader.at_eof():
                raise ConnectionResetError
            if (exc := reader.exception()) is not None:
                raise exc
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(gate.wait(), POLL_INTERVAL * 5)
