"""A simulation of engines at both ends of a line, in virtual time, without sockets and event loops.

Time jumps from one event to the next. Any number of links share the line. `traffic` decides what
the ends send and read.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import deque
from typing import TYPE_CHECKING, Protocol

from bench.line.line import HEADERS, Line
from bench.line.stops import TURN, Stops
from quictunnel.config.self_signed import make_key, make_self_signed
from quictunnel.quic.engine import Endpoint, Engine, Path
from quictunnel.quic.engines.selection import select
from quictunnel.quic.settings import LinkSettings, ServerTls

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.config.settings import Congestion

READ_SIZE = 256 * 1024
STREAMS = 64
HANDSHAKE_SECONDS = 20.0

LATE = 1e-6
"""Seconds by which timers fire late, as real ones do. At the exact time, a rounding error may leave
the event just short of due."""

SERVER_PATH = Path("192.0.2.2", 9001)


class SimulatedTraffic(Protocol):
    """Sends and reads on a link."""

    def came(self, end: SimulatedEnd, stream_id: int, data: bytes, now: float) -> None:
        """Handle data that an end has received on a stream."""

    def turn(self, end: SimulatedEnd, now: float) -> None:
        """Write what this end has to send."""

    def due(self, end: SimulatedEnd) -> float | None:
        """Return when to call `turn` next even if nothing arrives."""


class SimulatedEnd:
    """One end of a link: an endpoint with one connection. It reads everything.

    :param stops: the suspensions of its process.
    """

    def __init__(self, endpoint: Endpoint, path: Path, stops: Stops, *, name: str) -> None:
        self.endpoint = endpoint
        self.stops = stops
        self.path = path
        self.name = name
        """The name of the direction in which it sends."""
        self.other: SimulatedEnd = self
        self.engine: Engine | None = None
        self.traffic: list[SimulatedTraffic] = []
        self.shaken = False
        self.inbox: deque[bytes] = deque()
        """Datagrams that have arrived and were not read yet."""
        self.deadline: float | None = None
        """When its next event is due."""
        self._readable: list[int] = []

    def take(self, data: bytes, now: float) -> None:
        """Handle a datagram, and accept the first connection."""
        arrivals = self.endpoint.receive([(data, self.other.path)], now)
        for newcomer in arrivals.incoming:
            if self.engine is None:
                self.engine = self.endpoint.accept(newcomer, now)
            else:
                self.endpoint.ignore(newcomer)

    def read(self, now: float) -> None:
        """Read all readable streams, and hand the data to the traffic."""
        readable, self._readable = self._readable, []
        for stream_id in dict.fromkeys(readable):
            while True:
                data, fin = self.engine.read(stream_id, READ_SIZE)
                for traffic in self.traffic:
                    traffic.came(self, stream_id, data, now)
                if fin or len(data) < READ_SIZE:
                    break

    # Upcalls of the engine

    def on_handshake(self) -> None:
        self.shaken = True

    def on_stream_opened(self, stream_id: int) -> None:
        pass

    def on_stream_readable(self, stream_id: int) -> None:
        self._readable.append(stream_id)

    def on_stream_reset(self, stream_id: int, code: int) -> None:
        raise AssertionError(f"stream {stream_id} was reset with {code}")

    def on_stream_stopped(self, stream_id: int, code: int) -> None:
        raise AssertionError(f"stream {stream_id} was stopped with {code}")

    def on_stream_ended(self, stream_id: int) -> None:
        pass

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        raise AssertionError(f"the connection was closed: {reason}")


class SimulatedLink:
    """A link: a dialling client and a server, which trust each other."""

    def __init__(self, client: SimulatedEnd, server: SimulatedEnd) -> None:
        self.client, self.server = client, server
        client.other, server.other = server, client

    def add(self, traffic: SimulatedTraffic) -> None:
        """Add traffic, from the next turn on."""
        for end in (self.client, self.server):
            end.traffic.append(traffic)


class Simulation:
    """A line, its links, and the clock.

    :param stops: suspensions of each end per second.
    """

    def __init__(self, line: Line, *, seed: int = 7, stops: float = 0.0) -> None:
        self.network = line.network(seed, overhead=HEADERS)
        self.now = 0.0
        self._stops = stops
        self._ends: list[SimulatedEnd] = []
        self._wire: list[tuple[float, int, SimulatedEnd, bytes]] = []
        self._numbers = itertools.count()

    def link(self, engine: str, congestion: Congestion | None = None) -> SimulatedLink:
        """Return a new link over this line, after the handshake.

        :param engine: the name of the engine at both ends.
        """
        settings = LinkSettings(engine=engine, congestion=congestion)  # type: ignore[arg-type]
        make = select(engine, congestion).endpoint
        ends = [
            make(settings, server_tls=tls, streams=STREAMS, now=self.now)
            for tls in (None, server_tls())
        ]
        number = len(self._ends)
        client = SimulatedEnd(
            ends[0], Path("192.0.2.1", 5000 + number), self._stops_of(number), name="up"
        )
        server = SimulatedEnd(ends[1], SERVER_PATH, self._stops_of(number + 1), name="down")
        link = SimulatedLink(client, server)
        client.engine = client.endpoint.connect(SERVER_PATH[:2], "localhost", self.now)
        self._ends += [client, server]
        self.run(lambda: client.shaken and server.shaken, limit=HANDSHAKE_SECONDS)
        for end in (client, server):
            end.engine.trust()
            end.engine.allow_streams(STREAMS)
        return link

    def _stops_of(self, number: int) -> Stops:
        return Stops(self._stops, self.network.seed * 31 + number)

    def move(self, link: SimulatedLink) -> None:
        """Move the client to another address, as a laptop does that changes networks."""
        link.client.path = Path(link.client.path.host, link.client.path.port + 1000)
        link.client.engine.move(self.now)
        self._turn(link.client)

    def run(self, until: Callable[[], bool], *, limit: float) -> None:
        """Simulate until `until()` is true; fail after `limit` seconds."""
        stop = self.now + limit
        for end in self._ends:
            self._turn(end)
        while not until():
            if not self._step(stop):
                raise AssertionError(f"not within {limit:g} s")

    def run_for(self, seconds: float) -> None:
        """Simulate for so many seconds."""
        stop = self.now + seconds
        for end in self._ends:
            self._turn(end)
        while self._step(stop):
            pass
        self.now = stop

    def _step(self, stop: float) -> bool:
        """Run the next event; return False if that is due after `stop`."""
        now = min((end.deadline for end in self._ends if end.deadline is not None), default=stop)
        if self._wire:
            now = min(now, self._wire[0][0])
        if now >= stop:
            return False
        self.now = max(self.now, now)
        while self._wire and self._wire[0][0] <= self.now:
            _, _, end, data = heapq.heappop(self._wire)
            end.inbox.append(data)
            self._wake(end, self.now)
        for end in self._ends:
            if end.deadline is not None and end.deadline <= self.now:
                end.deadline = None
                for _ in range(end.stops.portion(len(end.inbox))):
                    end.take(end.inbox.popleft(), self.now)
                at = None if end.engine is None else end.engine.deadline()
                if at is not None and at <= self.now:
                    end.engine.expire(self.now)
                self._turn(end)
        return True

    def _wake(self, end: SimulatedEnd, at: float) -> None:
        """Schedule an end at that time, or after its suspension."""
        at = end.stops.awake(at)
        end.deadline = at if end.deadline is None else min(end.deadline, at)

    def _turn(self, end: SimulatedEnd) -> None:
        """Do for one link what an event loop does in a turn."""
        engine = end.engine
        if engine is None:
            return
        engine.dispatch(end)
        end.read(self.now)
        for traffic in end.traffic:
            traffic.turn(end, self.now)
        self._send(end)
        for traffic in end.traffic:  # sent data leaves room for more
            traffic.turn(end, self.now)
        self._send(end)
        engine.dispatch(end)
        times = [at + LATE for at in (engine.deadline(),) if at is not None]
        times += [at for traffic in end.traffic if (at := traffic.due(end)) is not None]
        times += [self.now + TURN] if end.inbox else []
        end.deadline = None
        for at in times:
            self._wake(end, at)

    def _send(self, end: SimulatedEnd) -> None:
        for data, _ in (*end.engine.transmit(self.now), *end.endpoint.transmit()):
            for at in self.network.arrivals(len(data), end.name, self.now):
                heapq.heappush(self._wire, (at, next(self._numbers), end.other, data))


@functools.cache
def server_tls() -> ServerTls:
    """Return a self-signed certificate, the same during the whole run."""
    key = make_key()
    return ServerTls((make_self_signed(["localhost"], key),), key)
