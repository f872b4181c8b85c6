"""Reads the state of a role for its metrics, in short steps."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quictunnel.admin.link_totals import LinkCounters, LinkTotals
from quictunnel.observe import process
from quictunnel.observe.histogram import Histogram
from quictunnel.observe.loop_delay import LoopDelay
from quictunnel.observe.tallies import Tallies
from quictunnel.snapshots import LinkSnapshot, ObservedRole, RoleSnapshot

CLIENTS_PER_TURN = 250
"""Clients that are read before other callbacks of the event loop run. It takes a millisecond."""

SERVICES_PER_TURN = 100
"""Services that are read before other callbacks run. A service takes longer than a client."""

Direction = tuple[str, str]
"""The label of a service, and `up` or `down`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a role and its process, as the metrics show it."""

    role: RoleSnapshot
    """The role as a whole."""
    started_at: float
    """When it was started, in seconds since 1970."""
    services_up: Mapping[str, bool]
    """Whether a new client of a service is forwarded at once, by the service's label."""
    services_by_state: Mapping[str, int]
    """The number of services, by state."""
    clients: Mapping[tuple[str, str], int]
    """The number of clients, by their service's label and their state."""
    forwarded: Mapping[Direction, int]
    """Bytes of all clients since the start, also of those that have left."""
    links: Mapping[str, LinkSnapshot]
    """The link that gets the new clients of an origin, by the origin's label."""
    links_by_state: Mapping[str, int]
    """The number of links that are `up`, `silent` or `draining`."""
    link_totals: Mapping[str, LinkCounters]
    """The counters of all links of an origin, by its label."""
    tallies: Tallies
    """The counted events."""
    loop_delay: Histogram
    """By how many seconds the event loop was late."""
    descriptors: int | None
    """Open file descriptors of the process, if they are known."""


class MetricsReader:
    """Reads a role again and again. No counter in the readings ever falls.

    :param tallies: receives the role's events.
    :param loop_delay: measures the event loop of the role.
    """

    def __init__(self, role: ObservedRole, tallies: Tallies, loop_delay: LoopDelay) -> None:
        self._role = role
        self._tallies = tallies
        self._loop_delay = loop_delay
        self._started_at: float | None = None
        self._link_totals = LinkTotals()
        self._forwarded: dict[Direction, int] = {}

    async def read(self) -> Reading:
        """Read everything. Other callbacks run in between. Only one call may run at a time."""
        descriptors = None
        for count in process.count_descriptors():
            descriptors = count
            await asyncio.sleep(0)
        clients = await self._read_clients()
        await asyncio.sleep(0)
        services_up: dict[str, bool] = {}
        services_by_state: Counter[str] = Counter()
        services = self._role.iterate_services()
        await asyncio.sleep(0)
        for number, service in enumerate(services, 1):
            label = self._tallies.service(service.name).name
            services_up[label] = service.state == "up" or services_up.get(label, False)
            services_by_state[service.state] += 1
            clients.setdefault((label, "open"), 0)
            if not number % SERVICES_PER_TURN:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        role = self._role.describe()
        await asyncio.sleep(0)
        links = [(self._tallies.origin(link.origin).name, link) for link in self._role.list_links()]
        self._link_totals.update(links)
        if self._started_at is None:  # computed once, because the clocks differ a little each time
            self._started_at = time.time() - role.age
        return Reading(
            role=role,
            started_at=self._started_at,
            services_up=services_up,
            services_by_state=services_by_state,
            clients=clients,
            forwarded=self._forwarded,
            links=_current_links(links),
            links_by_state=Counter(_state(link) for _, link in links),
            link_totals=self._link_totals.by_origin,
            tallies=self._tallies,
            loop_delay=self._loop_delay.histogram,
            descriptors=descriptors,
        )

    async def _read_clients(self) -> Counter[tuple[str, str]]:
        """Count the clients by service and state, and update the bytes of all.

        The bytes of clients that have left are taken first. A client that leaves meanwhile is
        therefore counted once: as the one that it was.
        """
        forwarded: Counter[Direction] = Counter()
        for tally in self._tallies.services.values():
            forwarded[tally.name, "up"] = tally.bytes_up
            forwarded[tally.name, "down"] = tally.bytes_down
        found: Counter[tuple[str, str]] = Counter()
        clients = self._role.iterate_clients()
        await asyncio.sleep(0)
        for number, client in enumerate(clients, 1):
            label = self._tallies.service(client.service).name
            forwarded[label, "up"] += client.bytes_up
            forwarded[label, "down"] += client.bytes_down
            found[label, client.state] += 1
            if not number % CLIENTS_PER_TURN:
                await asyncio.sleep(0)
        for direction, count in forwarded.items():
            # The bytes of a client that moves to another origin are counted from 0 again.
            self._forwarded[direction] = max(count, self._forwarded.get(direction, 0))
        return found


def _current_links(links: Sequence[tuple[str, LinkSnapshot]]) -> dict[str, LinkSnapshot]:
    """Return the newest link of each origin, if possible one that accepts new clients."""
    found: dict[str, LinkSnapshot] = {}
    for origin, link in links:
        if origin not in found or not link.is_draining or found[origin].is_draining:
            found[origin] = link
    return found


def _state(link: LinkSnapshot) -> str:
    if link.silent_for is not None:
        return "silent"
    return "draining" if link.is_draining else "up"
