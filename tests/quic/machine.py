"""A machine with routes, sockets that are none, and a resolver: what `PathMigration` decides by."""

from __future__ import annotations

import asyncio
import errno
import itertools
from types import SimpleNamespace

from quictunnel.events import discard_event
from quictunnel.protocol.address import Address
from quictunnel.quic.path.candidates import Candidates
from quictunnel.quic.path.migration import PathMigration

FOUR, SIX = "203.0.113.1", "2001:db8:1::1"
UNREACHABLE = OSError(errno.ENETUNREACH, "Network is unreachable")
RTT = 0.02


class FakeSocket:
    def __init__(self, machine: Machine, local: str, peer: str) -> None:
        self.machine = machine
        self.local = (local, next(machine.ports))
        self.peer = peer
        self.is_open = True
        machine.sockets.append(self)

    def getsockname(self) -> tuple[str, int]:
        return self.local

    def close(self) -> None:
        self.is_open = False


class Machine:
    """A machine with routes, and a link from it to a peer that answers where it can be reached.

    :param routes: which local address a datagram of a family leaves from.
    """

    def __init__(self, *, hosts: tuple[str, ...] = (FOUR, SIX), **routes: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.routes = routes
        self.answers_at: set[str] = {FOUR, SIX}
        self.ports = itertools.count(40000)
        self.sockets: list[FakeSocket] = []
        self.asked: list[float] = []
        self.moves: list[tuple[str, str]] = []
        self.moved_at: list[float] = []
        self.acquittals: list[float] = []
        self.has_room = True
        self.resolved: list[float] = []
        self.resolver: asyncio.Future[list[str]] | None = None
        self.name: list[str] | OSError = list(hosts)
        self.takes = 0.0
        self.link = SimpleNamespace(
            is_closed=False,
            rtt=RTT,
            local=None,
            engine=SimpleNamespace(pto=0.05, answered_at=0.0),
            ping=self._ask,
            path_changed=lambda: self.acquittals.append(self.loop.time()),
        )
        self.candidates = Candidates(
            hosts[0],
            9001,
            hosts=hosts,
            resolve=self._resolve,
            loop=self.loop,
            connect=self._connect,
        )
        self.mover = PathMigration(self.link, self.candidates, self._take, self.loop, discard_event)
        way = self.candidates.open(next_host=False)
        self.socket = way.sock
        self.link.local = Address.of(self.socket.local)

    def _connect(self, host: str, port: int) -> FakeSocket:
        family = "six" if ":" in host else "four"
        if family not in self.routes:
            raise UNREACHABLE
        return FakeSocket(self, self.routes[family], host)

    async def _resolve(self) -> list[str]:
        self.resolved.append(self.loop.time())
        if self.resolver is not None:
            return await asyncio.shield(self.resolver)
        name = self.name
        await asyncio.sleep(self.takes)
        if isinstance(name, OSError):
            raise name
        return name

    def _take(self, way, local: Address) -> None:
        if not self.has_room:
            raise OSError(errno.EMFILE, "Too many open files")
        self.socket.close()
        self.socket = way.sock
        self.link.local = local
        self.link.rtt = None
        self.moves.append((way.sock.local[0], way.host))
        self.moved_at.append(self.loop.time())
        self._ask_unheard()

    def _ask(self) -> None:
        self.asked.append(self.loop.time())
        self._ask_unheard()

    def _ask_unheard(self) -> None:
        sock = self.socket
        if sock.peer in self.answers_at and sock.local[0] in self.routes.values():
            self.loop.call_later(RTT, self._answer, sock)

    def _answer(self, sock: FakeSocket) -> None:
        if sock.is_open:
            self.link.engine.answered_at = self.loop.time()
            self.link.rtt = RTT

    def close(self) -> None:
        self.mover.close()
        assert [sock for sock in self.sockets if sock.is_open] == [self.socket]
