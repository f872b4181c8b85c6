"""A dialing machine, a listener, and UDP and other paths between them. In virtual time."""

from __future__ import annotations

import asyncio
import errno
import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING

from carried_listener import WEB_PEER, CarriedListener
from flooded_listener import MemoryEndpointSocket
from link_pair import Recorder, Session, until
from pair import CLIENT_TLS, SERVER_PATH, Engines, Network

from quictunnel.config.via import Via
from quictunnel.events import PathKind, UdpProbeKind
from quictunnel.quic.dialer import LinkDialer, OpenPath
from quictunnel.quic.engine import Path
from quictunnel.quic.engines.selection import select
from quictunnel.quic.path import version_probe
from quictunnel.quic.path.carried_addresses import DIALED_HOST
from quictunnel.quic.path.path_reports import PathReports
from quictunnel.quic.settings import LinkSettings
from testkit.carried_path import CarriedLine, SimulatedOpener, SimulatedPath
from testkit.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.engine import Endpoint, Engine, Peer, ReceivedBatch
    from quictunnel.quic.link import Link

HOST, PORT = SERVER_PATH[:2]
HOME, AWAY = "192.0.2.7", "198.51.100.3"
"""Addresses of the dialing machine."""

RESET_KEY = bytes(range(32))
"""Known to each process of the listener, so that its stateless resets are valid."""

RESERVED_VERSION = version_probe.encode(bytes(version_probe.ID_SIZE), 100)[1:5]
"""The version in each probe."""


class WiredListenerSocket(MemoryEndpointSocket):
    """A listener's socket on a network that may lose datagrams."""

    network: Network

    def _later(self, callback: Callable[..., None], *args: object) -> None:
        now = self._loop.time()
        size = len(args[0])  # type: ignore[arg-type]  # the datagram
        for at in self.network.arrivals(size, callback.__name__, now):
            self._loop.call_at(at + next(self._number) * 1e-10, callback, *args)


class WiredListener(CarriedListener):
    """A listener on a network."""

    def __init__(self, engine: str, network: Network) -> None:
        self.engine = engine
        self._network = network
        super().__init__(engine, settings=LinkSettings(reset_key=RESET_KEY))

    def _socket(self, *arguments: object, **options: object) -> MemoryEndpointSocket:
        self.udp = WiredListenerSocket(*arguments, **options)
        self.udp.network = self._network
        return self.udp


class MachineSocket:
    """A UDP socket of the dialing machine that is connected to the listener's host."""

    def __init__(self, machine: Machine, host: str) -> None:
        self.machine = machine
        assert machine.address is not None
        self.name = (machine.address, next(machine.ports))
        self.peer = host
        self.descriptors = 1
        self.receive: Callable[[bytes], None] = lambda _: None
        machine.sockets.append(self)
        machine.listener.udp.hosts[self.name] = self._arrive

    def _arrive(self, data: bytes) -> None:
        if self.descriptors and self.machine.address == self.name[0]:
            self.receive(data)

    def send(self, data: bytes) -> None:
        if self.machine.blocks_links and data[1:5] != RESERVED_VERSION:
            return
        if self.machine.address == self.name[0] and self.peer == HOST:
            self.machine.listener.udp.send(data, Path(*self.name))

    def getsockname(self) -> tuple[str, int]:
        return self.name

    def dup(self) -> MachineSocket:
        self.descriptors += 1
        return self

    def setsockopt(self, *_: int) -> None:
        pass

    def close(self) -> None:
        self.descriptors -= 1


class DialingSocket:
    """The endpoint socket of a `MachineSocket`. Implements `EndpointSocket`."""

    is_full = False

    def __init__(
        self,
        endpoint: Endpoint,
        sock: MachineSocket,
        *,
        peer: Peer,
        received: Callable[[ReceivedBatch], None],
        loop: asyncio.AbstractEventLoop,
        **_: object,
    ) -> None:
        self._endpoint = endpoint
        self._sock = sock
        self._source = Path(*peer.known_as)
        self._received = received
        self._loop = loop
        sock.receive = self._receive

    def transmit(self, engine: Engine, now: float) -> bool:
        datagrams = engine.transmit(now)
        for data, _ in datagrams:
            self._sock.send(data)
        return bool(datagrams)

    def _receive(self, data: bytes) -> None:
        self._received(self._endpoint.receive([(data, self._source)], self._loop.time()))

    def close(self) -> None:
        self._sock.receive = lambda _: None
        self._sock.close()


class MachineChannel:
    """A channel for probes on a `MachineSocket`. Implements `ProbeChannel`."""

    def __init__(self, sock: MachineSocket, _: object, received: Callable[[bytes], None]) -> None:
        self._sock = sock
        sock.receive = received

    def send(self, data: bytes) -> None:
        self._sock.machine.probes.append(asyncio.get_running_loop().time())
        self._sock.send(data)

    def close(self) -> None:
        self._sock.receive = lambda _: None
        self._sock.close()


class Machine:
    """A machine that dials a listener, with the networks between them.

    :param engines: those of the dialing and of the accepting end.
    :param hosts: the addresses of the listener that the machine knows.
    """

    def __init__(self, engines: Engines, *, hosts: tuple[str, ...] = (HOST,)) -> None:
        self.loop = asyncio.get_running_loop()
        self.network = Network(delay=0.02)
        """Carries UDP."""
        self.blocks_links = False
        """Whether nothing but probes leaves the machine over UDP."""
        self.address: str | None = HOME
        self.hosts = hosts
        self.ports = itertools.count(40000)
        self.sockets: list[MachineSocket] = []
        self.probes: list[float] = []
        """When UDP was probed."""
        self.paths: list[tuple[PathKind, str]] = []
        """Each change of the kind of path."""
        self.open_failures: list[str] = []
        self.probe_results: list[UdpProbeKind] = []
        """Each change of the result of probes."""
        self.listener = WiredListener(engines[1], self.network)
        self.opener = SimulatedOpener(self._accept, delay=0.02, opening_time=0.1)
        self.session = Session()
        self.is_watched = False
        self.network_changed: Callable[[str], None] | None = None
        self.dialer: LinkDialer | None = None
        kind = select(engines[0], None)
        self._kind = SimpleNamespace(endpoint=kind.endpoint, endpoint_socket=DialingSocket)
        self._settings = LinkSettings()

    @property
    def link(self) -> Link:
        """The dialing end."""
        assert self.dialer is not None
        return self.dialer.link

    @property
    def line(self) -> CarriedLine:
        """The latest path other than UDP."""
        return self.opener.lines[-1]

    def _accept(self, path: SimulatedPath) -> None:
        self.listener.listener.attach_path(path, WEB_PEER, on_proven=lambda: None)

    async def dial(self, *, over: bool = False, via: Via = Via.AUTO) -> None:
        """Make a link, over UDP or over another path."""
        start = OpenPath(await self.opener.open()) if over else self.connect(HOST, PORT)
        self.dialer = LinkDialer(
            self._kind,
            start,
            (DIALED_HOST if over else HOST, PORT),
            protocol=self.session,
            client_tls=CLIENT_TLS,
            settings=self._settings,
            hosts=self.hosts,
            opener=None if via is Via.UDP else self.opener,
            via=via,
            reports=PathReports(
                moved=lambda kind, reason: self.paths.append((kind, reason)),
                not_opened=self.open_failures.append,
                probed=lambda result, _: self.probe_results.append(result),
            ),
            monitor=self.watch,
            connect=self.connect,
            open_channel=MachineChannel,
            look=lambda: (self.address, None),
        )
        await self.dialer.made

    def connect(self, host: str, _port: int) -> MachineSocket:
        if self.address is None:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return MachineSocket(self, host)

    def watch(self, _: object, changed: Callable[[str], None]) -> Machine:
        self.network_changed = changed
        self.is_watched = True
        return self

    def close(self) -> None:
        """Watch no more."""
        self.is_watched = False

    def roam(self, address: str | None) -> None:
        """Change the machine's address. Paths from the previous one are dead."""
        self.address = address
        for line in self.opener.lines:
            line.stall()
        self.opener.obstacle = "no route" if address is None else None
        self.network_changed("the network has changed")

    def restart_listener(self) -> None:
        """Let the listener's process end, and another one take its place."""
        engine, hosts = self.listener.engine, self.listener.udp.hosts
        for link in tuple(self.listener.listener._links.values()):
            link.terminate()
        self.listener = WiredListener(engine, self.network)
        self.listener.udp.hosts = hosts
        for line in self.opener.lines:
            line.fail("the connection was reset")

    @property
    def open_sockets(self) -> int:
        """UDP sockets with an open descriptor."""
        return sum(sock.descriptors > 0 for sock in self.sockets)


class Exchange:
    """A stream whose ends write to each other all the time, and miss nothing.

    :param machine: the dialing end.
    """

    def __init__(self, machine: Machine) -> None:
        self._loop = machine.loop
        self._near = Recorder()
        self._accepted = machine.listener.sessions[-1].accepted
        self._sent = 0
        stream = machine.link.open_stream(self._near)
        stream.write(b"!")
        self._task = self._loop.create_task(self._write())

    async def _write(self) -> None:
        await until(lambda: bool(self._accepted))
        self._far = self._accepted[-1]
        await until(lambda: self._far.data == b"!")
        while True:
            await asyncio.sleep(0.05)
            self._sent += 1
            for end in (self._near, self._far):
                end.stream.write(self._sent.to_bytes(4, "big"))

    @property
    def received(self) -> tuple[int, int]:
        """How many numbers have arrived here and there."""
        return len(self._near.data) // 4, (len(self._far.data) - 1) // 4

    async def moves(self, limit: float) -> float:
        """Wait until new numbers arrive at both ends; return how many seconds that took."""
        start, sent = self._loop.time(), self._sent
        await until(lambda: min(self.received) > sent, limit=limit)
        return self._loop.time() - start

    def stop(self) -> None:
        """Write no more."""
        self._task.cancel()

    async def finish(self) -> None:
        """Write no more, and check that all has arrived in order."""
        self.stop()
        expected = b"".join(number.to_bytes(4, "big") for number in range(1, self._sent + 1))
        await until(lambda: min(self.received) == self._sent, limit=30)
        assert self._near.data == expected
        assert self._far.data[1:] == expected
        assert not self._near.lost
        assert not self._far.lost


async def established(engines: Engines, **options) -> Machine:
    """Return a machine whose link has been up for a while.

    :param options: of `Machine.dial`.
    """
    machine = Machine(engines)
    await machine.dial(**options)
    await seconds(3)
    return machine


async def ended(machine: Machine) -> None:
    """Close the link, and check that nothing is left of it."""
    machine.link.close()
    await machine.link.wait_closed()
    await seconds(0)
    assert machine.open_sockets == 0
    assert not machine.is_watched
    assert all(line.is_closed for line in machine.opener.lines)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not names & {"opening of a path", "lookup of the remote"}
    probes = len(machine.probes)
    await seconds(400)
    assert len(machine.probes) == probes


__all__ = ["AWAY", "HOME", "Exchange", "Machine", "ended", "established"]
