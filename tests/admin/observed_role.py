"""A role whose state and end the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from quictunnel.admin.link_changes import LinkChanges
from quictunnel.admin.link_history import LinkHistory
from quictunnel.admin.managed import ManagedRole
from quictunnel.errors import SettingsError
from quictunnel.events import discard_event
from quictunnel.observe.event_history import EventHistory
from quictunnel.observe.loop_delay import LoopDelay
from quictunnel.observe.tallies import Tallies
from quictunnel.snapshots import ClientSnapshot, LinkSnapshot, RoleSnapshot, ServiceSnapshot

STATE = RoleSnapshot(
    role="remote",
    name="[::]:9001",
    engine="quinn",
    addresses=("udp [::]:9001", "tcp [::]:9000"),
    age=12.5,
    clients=0,
    max_clients=1000,
    unread_bytes=0,
    is_draining=False,
    is_ready=True,
    reason=None,
)

LINK = LinkSnapshot(
    id="l1",
    origin="box",
    token="2fdf26f2",
    agent="quictunnel/0.2.0",
    path="udp",
    local="192.0.2.1:9001",
    peer="198.51.100.7:40000",
    age=100.0,
    silent_for=None,
    hold=900.0,
    is_draining=False,
    services=("web",),
    clients=1,
    rtt=0.025,
    congestion_window=30_000,
    mtu=1400,
    bytes_sent=1000,
    bytes_received=2000,
    packets_sent=10,
    packets_lost=0,
    bytes_lost=0,
)

CLIENT = ClientSnapshot(
    id="c1",
    address="203.0.113.9:5555",
    service="web",
    origin="box",
    link="l1",
    state="open",
    age=10.0,
    bytes_up=100,
    bytes_down=1000,
)

SERVICE = ServiceSnapshot(
    name="web",
    places=("[::]:9000",),
    urls=("http://192.0.2.1:9000/",),
    target=None,
    origins=("box",),
    state="up",
    reason=None,
    clients=1,
)


def clients(count: int, **changes) -> list[ClientSnapshot]:
    """Return clients with the ids c1, c2, ..., the oldest first."""
    return [
        replace(CLIENT, id=f"c{number}", age=float(1000 - number), **changes)
        for number in range(1, count + 1)
    ]


class ScriptedRole:
    """An observed role, which can be started and ended."""

    def __init__(self) -> None:
        self.state = STATE
        self.links = [LINK]
        self.services = [SERVICE]
        self.clients = [CLIENT]
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.ended = asyncio.Event()

    def describe(self) -> RoleSnapshot:
        return self.state

    def list_services(self) -> list[ServiceSnapshot]:
        return self.services

    def list_links(self) -> list[LinkSnapshot]:
        return self.links

    def iterate_services(self) -> Iterator[ServiceSnapshot]:
        return iter(self.services)

    def iterate_clients(self) -> Iterator[ClientSnapshot]:
        return iter(self.clients)

    def close_client(self, client_id: str) -> bool:
        self.calls.append(f"close {client_id}")
        return any(client.id == client_id for client in self.clients)

    async def start(self) -> None:
        self.calls.append("start")
        if self.failure is not None:
            raise self.failure

    async def wait_closed(self) -> None:
        await self.ended.wait()
        if self.failure is not None:
            raise self.failure

    def drain(self) -> None:
        self.calls.append("drain")

    def abort(self) -> None:
        self.calls.append("abort")


class ScriptedControl:
    """The control of a role."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failure: str | None = None

    def drain(self) -> None:
        self.calls.append("drain")

    def reload(self) -> tuple[str, ...]:
        self.calls.append("reload")
        if self.failure is not None:
            raise SettingsError(self.failure)
        return ("listen",)


def managed_role(name: str = "remote", **more) -> ManagedRole:
    """Return a role with everything that the interface shows of it."""
    role = ScriptedRole()
    changes = LinkChanges()
    parts = {
        "name": name,
        "role": role,
        "history": EventHistory(first=1),
        "tallies": Tallies(),
        "loop_delay": LoopDelay(),
        "links": LinkHistory(role, name, changes, emit=discard_event),
        "control": ScriptedControl(),
    }
    return ManagedRole(**(parts | more))
