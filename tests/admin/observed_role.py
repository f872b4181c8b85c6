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
from testkit.snapshots import CLIENT, LINK, SERVICE, STATE


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
