"""Describes the services and clients of a remote as values."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from quictunnel.events import ClientEnding
from quictunnel.relay.relay import CLOSED
from quictunnel.remote.admission import Admission
from quictunnel.remote.pending_client import PendingClient
from quictunnel.remote.routes import Route
from quictunnel.remote.session import RemoteSession
from quictunnel.session.observation import client_snapshots, find_relay, is_open
from quictunnel.session.rejection import Rejection
from quictunnel.snapshots import ClientSnapshot, ServiceSnapshot

BY_ADMINISTRATOR = Rejection(ClientEnding.CLOSED, CLOSED)


@dataclass(slots=True)
class _Served:
    """A route that origins serve."""

    name: str
    route: Route
    sessions: list[RemoteSession] = field(default_factory=list)


def service_snapshots(
    sessions: Collection[RemoteSession],
    admission: Admission,
    urls_of: Callable[[Route], tuple[str, ...]],
) -> Iterator[ServiceSnapshot]:
    """Iterate over the services that connected origins ask for: granted ones, then refused ones.

    A service that several origins share is there once. The services may change meanwhile.

    :param urls_of: returns the URLs of a route's service.
    """
    clients = Counter(admission.waiting_by_route)
    for session in sessions:
        clients.update(session.clients_by_route)
    served: dict[str, _Served] = {}
    refused: list[Iterator[ServiceSnapshot]] = []
    for session in sorted(filter(is_open, sessions), key=_established_at):
        for name, route in session.served:
            served.setdefault(route.key, _Served(name, route)).sessions.append(session)
        refused.append(_refused(session))
    granted = (
        _granted(each, urls_of(each.route), clients[each.route.key]) for each in served.values()
    )
    return chain(granted, *refused)


def remote_client_snapshots(
    sessions: Iterable[RemoteSession], pending: Iterable[PendingClient]
) -> Iterator[ClientSnapshot]:
    """Iterate over the clients that a remote has now. They may change meanwhile.

    :param pending: those that no session has.
    """
    now = asyncio.get_running_loop().time()
    waiting = (_pending_snapshot(each, now) for each in tuple(pending))
    return chain(waiting, *[client_snapshots(each, "client", now) for each in sessions])


def close_remote_client(
    sessions: Iterable[RemoteSession], pending: Collection[PendingClient], key: str
) -> bool:
    """Reset the client with this key; return False if there is none."""
    waiting = [each for each in pending if each.id == key]
    for each in waiting:
        each.reject(BY_ADMINISTRATOR)
    relays = [relay for _, relay in find_relay(sessions, key)]
    for relay in relays:
        relay.close()
    return bool(waiting or relays)


def _established_at(session: RemoteSession) -> float:
    return session.established_at or 0.0


def _granted(served: _Served, urls: tuple[str, ...], clients: int) -> ServiceSnapshot:
    is_up = any(session.is_usable for session in served.sessions)
    silences = [session.silent_for or 0.0 for session in served.sessions]
    return ServiceSnapshot(
        name=served.name,
        places=(served.route.address,),
        urls=urls,
        target=None,
        origins=tuple(sorted({session.origin_name for session in served.sessions})),
        state="up" if is_up else "silent",
        reason=None if is_up else f"its origin has not answered for {min(silences):.0f} s",
        clients=clients,
    )


def _refused(session: RemoteSession) -> Iterator[ServiceSnapshot]:
    return (
        ServiceSnapshot(
            name=refused.name,
            places=(),
            urls=(),
            target=None,
            origins=(session.origin_name,),
            state="refused",
            reason=refused.message,
            clients=0,
        )
        for refused in tuple(session.refused)
    )


def _pending_snapshot(pending: PendingClient, now: float) -> ClientSnapshot:
    client, peer, route = pending.client, pending.peer, pending.route
    return ClientSnapshot(
        id=pending.id,
        address=None if peer is None else str(peer),
        service=client.service if client is not None else route.name if route is not None else "",
        origin=None,
        link=None,
        state="closing" if pending.has_answer else "waiting",
        age=now - pending.accepted_at,
        bytes_up=0,
        bytes_down=0,
    )
