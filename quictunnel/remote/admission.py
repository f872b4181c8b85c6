"""Admits clients: counts them, lets them wait for an origin, and hands them to its session.

No decision here awaits anything, so decisions never interleave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from ipaddress import ip_address
from typing import Protocol

from quictunnel.config.addresses import Network
from quictunnel.config.policy import Place, Policy
from quictunnel.escaping import cut_sentence
from quictunnel.events import ClientEnding, ClientLimitReached, ClientRejected, EventSink
from quictunnel.protocol.address import Address
from quictunnel.protocol.source import source_of
from quictunnel.relay.relay import NO_LIMITS, Relay, RelayLimits
from quictunnel.remote.movable_client import MovableClient
from quictunnel.remote.name_readers import NameReader
from quictunnel.remote.pending_client import ClientRoute, PendingClient
from quictunnel.remote.place_gates import PlaceGate, PlaceGates
from quictunnel.remote.routes import CLOSED
from quictunnel.remote.unnamed_clients import MAX_UNNAMED_PER_SOURCE, UnnamedClients
from quictunnel.session.clients import Client
from quictunnel.session.rejection import Rejection

MAX_WAITING = 4096
"""Clients that may wait at a time, over all services: each holds a socket and a few kB."""

NO_ORIGIN = Rejection(ClientEnding.NO_ORIGIN, "no origin connected in time")

TAKEN_MEANWHILE = Rejection(
    ClientEnding.SERVICE_GONE, "an origin with another token serves the place now"
)
"""Why a client is rejected that an origin of the previous token has not answered."""

PLACE_CLOSED = Rejection(ClientEnding.SERVICE_GONE, CLOSED)

NO_ROOM = Rejection(
    ClientEnding.LIMIT, "the client has named no host, and its place is needed for another client"
)

TOO_MANY_UNNAMED = Rejection(
    ClientEnding.LIMIT,
    f"more than {MAX_UNNAMED_PER_SOURCE} clients of the address have named no host",
)


class ForwardingSession(Protocol):
    """A session, as admission sees it."""

    @property
    def rejection(self) -> Rejection | None:
        """Why no more clients can be forwarded now; None if they can."""

    @property
    def token_id(self) -> str:
        """The id of the token of its origin."""

    def forward(
        self, client: Client, route: str, on_end: Callable[[], None], limits: RelayLimits
    ) -> Relay:
        """Open a stream for the client of a route; call `on_end` once the client has left.

        It is not called if the relay was detached.
        """

    def is_shared(self, route: str) -> bool:
        """Return whether other origins may serve the route too, so that its clients may move."""

    def await_answer(self, client: MovableClient) -> None:
        """Call the client's `answered` once the origin has answered what was sent last."""


class Admission:
    """Admits clients and hands them to sessions.

    :param find: returns the session that a client of a route can be forwarded to now, if any, given
        the client's address if it is known. A route is given by its key, here and below.
    :param client_wait: seconds that a client waits for a session.
    :param proxies: the networks of the proxies that send a PROXY header.
    :param policies: the rules for clients, by the places that they are for.
    :param max_clients: the limit on clients, waiting and forwarded.
    """

    def __init__(
        self,
        find: Callable[[str, Address | None], ForwardingSession | None],
        *,
        client_wait: float,
        proxies: Collection[Network],
        policies: Mapping[Place, Policy] | None = None,
        max_clients: int,
        emit: EventSink,
    ) -> None:
        self._find = find
        self._max_clients = max_clients
        self._emit = emit
        self._gates = PlaceGates({})
        self.apply(client_wait=client_wait, proxies=proxies, policies=policies or {})
        self._count = 0
        self._waiting: dict[str, dict[PendingClient, Client]] = {}  # in order of arrival
        self._pending: set[PendingClient] = set()
        self._unnamed: UnnamedClients[PendingClient] = UnnamedClients()
        self._limit_reported = False
        self._closed_because: Rejection | None = None

    @property
    def pending(self) -> int:
        """The number of clients that have not been handed to a session."""
        return len(self._pending)

    @property
    def pending_clients(self) -> Collection[PendingClient]:
        """Those clients."""
        return self._pending

    @property
    def count(self) -> int:
        """The number of clients, pending and forwarded."""
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another client."""
        return self._count >= self._max_clients or len(self._pending) >= MAX_WAITING

    @property
    def max_clients(self) -> int:
        """The limit on clients."""
        return self._max_clients

    @property
    def waiting_by_route(self) -> dict[str, int]:
        """The numbers of clients that wait for an origin, by the keys of their routes."""
        return {route: len(waiting) for route, waiting in self._waiting.items()}

    def apply(
        self,
        *,
        client_wait: float,
        proxies: Collection[Network],
        policies: Mapping[Place, Policy],
    ) -> None:
        """Apply changed settings to the clients to come."""
        self._client_wait = client_wait
        self._proxies = tuple(proxies)
        self._gates.apply(policies)

    def new_client(self, route: ClientRoute) -> PendingClient:
        """Return the protocol of a client that has arrived at this route."""
        return PendingClient(route, self)

    def new_named_client(self, reader: NameReader) -> PendingClient:
        """Return the protocol of a client whose first bytes name its route."""
        return PendingClient(None, self, reader)

    def new_local_proxy(self, route: ClientRoute) -> PendingClient:
        """Return the protocol of a connection to a Unix socket of this route."""
        return PendingClient(route, self, is_local_proxy=True)

    def forward_waiting(self, route: str) -> None:
        """Hand the clients that wait at a route to its session, which is usable again."""
        for pending, client in tuple(self._waiting.get(route, {}).items()):
            session = self._find(route, client.address)
            if session is None:
                return
            self._stop_waiting(pending, route)
            if (rejection := _rejection(session, client)) is not None:
                pending.reject(rejection)
            else:
                self._forward(pending, client, route, session)

    def reject_waiting(self, route: str, reason: str) -> None:
        """Reject the clients that wait at a route, which is closed."""
        for pending in tuple(self._waiting.get(route, ())):
            pending.reject(Rejection(ClientEnding.SERVICE_GONE, reason))
        self._gates.close_route(route)

    def close(self, reason: str) -> None:
        """Reject pending clients, and all new ones from now on."""
        self._closed_because = Rejection(ClientEnding.CUT_SHORT, reason)
        for pending in tuple(self._pending):
            pending.reject(self._closed_because)

    # -- Called by pending clients

    def admit(self, pending: PendingClient) -> bool:
        """Count a new connection; return False if there is no room for it.

        If there is none, the oldest client that has not named its host is rejected. Most clients
        send the name at once.
        """
        if self._closed_because is not None:
            return False
        if self.is_full:
            if not self._limit_reported:
                self._limit_reported = True
                self._emit(ClientLimitReached(clients=self._count, waiting=len(self._pending)))
            oldest = self._unnamed.oldest
            if oldest is None:
                return False
            oldest.reject(NO_ROOM)
        else:
            self._limit_reported = False
        self._count += 1
        self._pending.add(pending)
        if not pending.is_named:
            self._unnamed.add(pending)
        return True

    def expect_name(self, pending: PendingClient) -> None:
        """Count a client that has yet to name its host, and reject its source's oldest if needed.

        A proxy in front is not limited: it has the connections of many clients.
        """
        if pending.peer is None or self.expects_header(pending.peer):
            return
        oldest = self._unnamed.count(pending, source_of(pending.peer))
        if oldest is not None:
            oldest.reject(TOO_MANY_UNNAMED)

    def expects_header(self, peer: Address) -> bool:
        """Return whether this peer is a proxy that sends a PROXY header first."""
        if not self._proxies:
            return False
        host = ip_address(peer.host)
        return any(host in network for network in self._proxies)

    def client_identified(self, pending: PendingClient, client: Client, route: ClientRoute) -> None:
        """Hand a client to a session, let it wait for one, or reject it."""
        self._unnamed.discard(pending)
        if route.is_closed:
            self._turn_away(pending, PLACE_CLOSED)
            return
        session = self._find(route.key, client.address)
        if session is not None and (rejection := session.rejection) is not None:
            self._turn_away(pending, rejection)
            return
        if self._gates.has_policies and client.address is not None:
            counted = self._gates.obtain(route.key, pending.place)
            if counted is not None:
                if (rejection := counted.gate.enter(client.address)) is not None:
                    self._turn_away(pending, rejection)
                    return
                pending.gate = counted
        self._emit(client.accepted())
        if session is not None:
            self._forward(pending, client, route.key, session)
        else:
            self._let_wait(pending, client, route.key)

    def client_returned(self, pending: PendingClient, client: Client, route: ClientRoute) -> None:
        """Forward a client again that its origin has not answered, or let it wait."""
        self._pending.add(pending)
        self._emit(client.moved())
        session = self._find(route.key, client.address)
        rejection = self._closed_because or (PLACE_CLOSED if route.is_closed else None)
        if session is not None:
            rejection = rejection or _rejection(session, client)
        elif len(self._pending) > MAX_WAITING:
            rejection = rejection or NO_ORIGIN
        if rejection is not None:
            pending.reject(rejection)
        elif session is not None:
            self._forward(pending, client, route.key, session)
        else:
            self._let_wait(pending, client, route.key)

    def client_dropped(self, pending: PendingClient, rejection: Rejection) -> None:
        """Report a client that has left, or was rejected, before it was handed to a session."""
        if pending.route is not None:
            self._stop_waiting(pending, pending.route.key)
        if pending.client is None:
            reason = cut_sentence(rejection.reason)
            self._emit(ClientRejected(str(pending.peer), reason, rejection.kind))
            return
        now = asyncio.get_running_loop().time()
        self._emit(pending.client.closed(rejection, up=0, down=0, now=now))

    def connection_ended(self, pending: PendingClient) -> None:
        """Stop counting a dropped client, whose connection has ended."""
        self._pending.discard(pending)
        self._unnamed.discard(pending)
        self._client_left(pending.gate, pending.client)

    # -- Inside

    def _let_wait(self, pending: PendingClient, client: Client, route: str) -> None:
        self._waiting.setdefault(route, {})[pending] = client
        pending.give_up_after(self._client_wait, NO_ORIGIN)

    def _stop_waiting(self, pending: PendingClient, route: str) -> None:
        waiting = self._waiting.get(route)
        if waiting is not None:
            waiting.pop(pending, None)
            if not waiting:
                del self._waiting[route]

    def _turn_away(self, pending: PendingClient, rejection: Rejection) -> None:
        """Reject a client that was not accepted."""
        pending.client = None
        pending.reject(rejection)

    def _forward(
        self, pending: PendingClient, client: Client, route: str, session: ForwardingSession
    ) -> None:
        self._pending.discard(pending)
        on_end, limits = self._client_left, NO_LIMITS
        if pending.gate is not None:
            on_end = partial(self._client_left, pending.gate, client)
            limits = pending.gate.gate.limits()
        relay = session.forward(client, route, on_end, limits)
        if not session.is_shared(route):
            pending.hand_over(relay.tcp)
            return
        movable = MovableClient(pending, route, relay)
        session.await_answer(movable)
        pending.hand_over(movable)

    def _client_left(self, counted: PlaceGate | None = None, client: Client | None = None) -> None:
        self._count -= 1
        if counted is not None and client is not None:
            self._gates.leave(counted, client.address)


def _rejection(session: ForwardingSession, client: Client) -> Rejection | None:
    """Return why a session cannot have a client that has waited; None if it can.

    The bytes that a client has sent to the origin of one token must not come to that of another
    one, which may serve the outside address by now.
    """
    if client.token not in (None, session.token_id):
        return TAKEN_MEANWHILE
    return session.rejection
