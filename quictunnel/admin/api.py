"""The admin API: a role's state as JSON."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from quictunnel import __version__
from quictunnel.admin.answers import (
    ClientEntry,
    ClientPage,
    LinkEntry,
    LinkList,
    OriginEntry,
    OriginList,
    Overview,
    RefusalList,
    RemoteEntry,
    RemoteList,
    ServiceList,
    Status,
    Summary,
)
from quictunnel.admin.client_rates import SLICE, ClientRates, Rates
from quictunnel.admin.managed import ManagedRole
from quictunnel.admin.operations import (
    Operation,
    Parameter,
    flag_of,
    json_response,
    number_of,
    text_of,
)
from quictunnel.admin.paths import API
from quictunnel.events import (
    ClientRejected,
    ConnectFailed,
    Event,
    OriginRejected,
    ProofFailed,
    ServiceNotGranted,
    ServiceRefused,
    ServicesLeftOut,
    UnknownServiceRequested,
)
from quictunnel.observe.event_json import event_members
from quictunnel.snapshots import ClientSnapshot, LinkSnapshot

MAX_CLIENTS = 2000
"""Clients in one answer, at most."""

MAX_REFUSALS = 100
"""Refusals in an answer."""

REFUSALS: tuple[type[Event], ...] = (
    ClientRejected,
    ConnectFailed,
    OriginRejected,
    ProofFailed,
    ServiceNotGranted,
    ServiceRefused,
    ServicesLeftOut,
    UnknownServiceRequested,
)
"""Events about something that was refused."""

_CLIENT_FIELDS = tuple(field.name for field in fields(ClientSnapshot))
_RATES = ("rate_up", "rate_down")
_SUMS = ("rate", "bytes")
"""Sums of both directions, to sort by."""

OFFSET = Parameter("offset", "Clients to leave out at the beginning.", "integer", default=0)
LIMIT = Parameter("limit", "Clients in the answer.", "integer", default=100, most=MAX_CLIENTS)
SORT = Parameter(
    "sort",
    "The member to sort by; `rate` and `bytes` are the sums of both directions.",
    choices=(*_CLIENT_FIELDS, *_RATES, *_SUMS),
    default="age",
)
DESCENDING = Parameter(
    "descending", "Whether the largest value is the first.", "boolean", default=False
)
SAMPLES_SINCE = Parameter(
    "since", "Only samples from this time on, in seconds since 1970.", "integer", default=0
)
HISTORY = Parameter("history", "Samples of each link, the last ones. By default all.", "integer")
SERVICE = Parameter("service", "Only clients of the service with this name.")

_OF_LINKS = (SAMPLES_SINCE, HISTORY)
_OF_CLIENTS = (OFFSET, LIMIT, SORT, DESCENDING, SERVICE)
_MALFORMED = {400: "A parameter is malformed."}


class StateApi:
    """The operations that return a role's state."""

    def __init__(self, managed: ManagedRole) -> None:
        self._managed = managed
        self._role = managed.role
        self._rates = ClientRates()

    def operations(self) -> list[Operation]:
        """Return the operations. Remotes list their origins, and origins their remotes."""
        if self._managed.name == "remote":
            peers = Operation(
                "GET",
                f"{API}/origins",
                "List the origins that are connected.",
                self._origins,
                OriginList,
            )
        else:
            peers = Operation(
                "GET",
                f"{API}/remotes",
                "List the remotes of this origin.",
                self._remotes,
                RemoteList,
            )
        return [
            Operation("GET", f"{API}/status", "Return the role as a whole.", self._status, Status),
            Operation("GET", f"{API}/services", "List services.", self._services, ServiceList),
            peers,
            Operation(
                "GET",
                f"{API}/links",
                "List links with their last ten minutes.",
                self._links,
                LinkList,
                parameters=_OF_LINKS,
                failures=_MALFORMED,
            ),
            Operation(
                "GET",
                f"{API}/clients",
                "List clients that are connected now, a page at a time.",
                self._clients,
                ClientPage,
                parameters=_OF_CLIENTS,
                failures=_MALFORMED,
            ),
            Operation(
                "GET",
                f"{API}/overview",
                "Return status, links and a page of clients at once. Programs that ask every "
                "second need one request for them.",
                self._overview,
                Overview,
                parameters=(*_OF_LINKS, *_OF_CLIENTS),
                failures=_MALFORMED,
            ),
            Operation(
                "GET",
                f"{API}/refusals",
                "List what was refused lately: services, clients and origins.",
                self._refusals,
                RefusalList,
            ),
        ]

    # -- Inside

    async def _status(self, _request: Request) -> Response:
        return json_response(self._describe(self._role.list_links()))

    def _describe(self, links: Sequence[LinkSnapshot]) -> Status:
        self._managed.links.watch()
        state = self._role.describe()
        services = self._role.list_services()
        up, down = self._managed.links.rates()
        summary = Summary(
            links=len(links),
            silent_links=sum(link.silent_for is not None for link in links),
            services=len(services),
            services_up=sum(service.state == "up" for service in services),
            rate_up=up,
            rate_down=down,
        )
        return Status(
            **_members(state),
            version=__version__,
            pid=os.getpid(),
            time=time.time(),
            last_event=self._managed.history.last,
            summary=summary,
        )

    async def _services(self, _request: Request) -> Response:
        return json_response(ServiceList(self._role.list_services()))

    async def _origins(self, _request: Request) -> Response:
        grouped: dict[tuple[str, str | None], list[LinkSnapshot]] = {}
        for link in self._role.list_links():
            grouped.setdefault((link.origin, link.token), []).append(link)
        return json_response(OriginList([_origin(links) for links in grouped.values()]))

    async def _remotes(self, _request: Request) -> Response:
        links = self._role.list_links()
        state = "up" if any(link.silent_for is None for link in links) else "silent"
        ids = [link.id for link in links]
        remotes = [
            RemoteEntry(address, state if links else "down", ids)  # type: ignore[arg-type]
            for address in self._role.describe().addresses
        ]
        return json_response(RemoteList(remotes))

    async def _links(self, request: Request) -> Response:
        return json_response(LinkList(self._list_links(request, self._role.list_links())))

    def _list_links(self, request: Request, links: Sequence[LinkSnapshot]) -> list[LinkEntry]:
        since, most = number_of(request, SAMPLES_SINCE) or 0, number_of(request, HISTORY)
        history = self._managed.links
        history.watch()
        return [
            LinkEntry(
                **_members(link),
                history=history.samples(link.id, since, most),
                changes=history.changes(link.id),
            )
            for link in links
        ]

    async def _clients(self, request: Request) -> Response:
        return json_response(await self._page_of_clients(request))

    async def _overview(self, request: Request) -> Response:
        clients = await self._page_of_clients(request)
        links = self._role.list_links()
        return json_response(
            Overview(self._describe(links), self._list_links(request, links), clients)
        )

    async def _page_of_clients(self, request: Request) -> ClientPage:
        offset, limit = number_of(request, OFFSET) or 0, number_of(request, LIMIT) or 0
        key, is_descending = text_of(request, SORT) or "", flag_of(request, DESCENDING)
        service = text_of(request, SERVICE)
        clients = await self._list_clients()
        rates = await self._rates.of(clients)
        if service is not None:
            clients = [client for client in clients if client.service == service]
        page = _sorted(clients, rates, key, is_descending=is_descending)[offset : offset + limit]
        entries = [_entry(client, rates[client.id]) for client in page]
        return ClientPage(len(clients), entries)

    async def _list_clients(self) -> list[ClientSnapshot]:
        """Return all clients, the oldest first. Other callbacks run in between."""
        found: list[ClientSnapshot] = []
        for client in self._role.iterate_clients():
            found.append(client)
            if len(found) % SLICE == 0:
                await asyncio.sleep(0)
        return sorted(found, key=lambda client: client.age, reverse=True)

    async def _refusals(self, _request: Request) -> Response:
        events = self._managed.history.after(0)
        refused = [entry for entry in reversed(events) if isinstance(entry.event, REFUSALS)]
        return json_response(RefusalList(list(map(event_members, refused[:MAX_REFUSALS]))))


def _members(snapshot: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}


def _origin(links: Sequence[LinkSnapshot]) -> OriginEntry:
    newest = links[-1]
    return OriginEntry(
        name=newest.origin,
        token=newest.token,
        agent=newest.agent,
        address=newest.peer,
        links=[link.id for link in links],
        services=sorted({name for link in links for name in link.services}),
        clients=sum(link.clients for link in links),
        age=max(link.age for link in links),
    )


def _entry(client: ClientSnapshot, rates: Rates) -> ClientEntry:
    up, down = rates
    return ClientEntry(**_members(client), rate_up=up, rate_down=down)


def _bytes(client: ClientSnapshot) -> int:
    return client.bytes_up + client.bytes_down


def _sorted(
    clients: Iterable[ClientSnapshot], rates: dict[str, Rates], key: str, *, is_descending: bool
) -> list[ClientSnapshot]:
    """Return clients sorted by a member. Those without a value are the last ones."""
    if key in _RATES:
        index = _RATES.index(key)
        return sorted(clients, key=lambda each: rates[each.id][index], reverse=is_descending)
    if key == "rate":
        return sorted(clients, key=lambda each: sum(rates[each.id]), reverse=is_descending)
    if key == "bytes":
        return sorted(clients, key=_bytes, reverse=is_descending)
    known: list[ClientSnapshot] = []
    unknown: list[ClientSnapshot] = []
    for client in clients:
        (unknown if getattr(client, key) is None else known).append(client)
    known.sort(key=lambda each: getattr(each, key), reverse=is_descending)
    return known + unknown
