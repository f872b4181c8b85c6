"""Who comes in: clients are counted, wait for an origin while none is there, and are joined to one.

It neither listens nor reads: arrivals come from the outside listeners, sessions from the registry.
No decision here awaits anything, so none can be overtaken by another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from ipaddress import ip_address
from typing import Protocol

from quictunnel.config.addresses import Network
from quictunnel.observe.logging_setup import fact
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.relay import Relay
from quictunnel.remote.pending_client import PendingClient
from quictunnel.session.clients import Client, log_client_in, log_client_out

MAX_WAITING = 4096
"""Clients that may wait at once, over all services: each holds a socket and a few kB."""

NO_ORIGIN = "no origin came for it in time"

_log = logging.getLogger("quictunnel.remote")


class ClientCarrier(Protocol):
    """A session, as far as admission looks."""

    def bring(self, client: Client, on_end: Callable[[], None]) -> Relay:
        """Open a stream for the client; `on_end` is called once it has left."""


class Admission:
    """The way of clients from the outside to a session.

    :param find: returns the session that a client of a service can be brought to now, if any.
    :param client_wait: seconds that a client waits for one.
    :param proxies: the networks from which a PROXY header is expected.
    :param max_clients: how many clients there may be, waiting and joined.
    """

    def __init__(
        self,
        find: Callable[[str], ClientCarrier | None],
        *,
        client_wait: float,
        proxies: Collection[Network],
        max_clients: int,
    ) -> None:
        self._find = find
        self._client_wait = client_wait
        self._proxies = tuple(proxies)
        self._max_clients = max_clients
        self._present = 0
        self._waiting: dict[str, dict[PendingClient, None]] = {}  # in the order in which they came
        self._unserved: set[PendingClient] = set()
        self._is_full = False
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many clients are there that are not joined to a stream."""
        return len(self._unserved)

    def arrival(self, service: str) -> PendingClient:
        """Return the protocol of a client that has just come to this service's address."""
        return PendingClient(service, self)

    def serve(self, service: str) -> None:
        """Bring the clients that wait for a service to the session that has come for it."""
        for arrival in tuple(self._waiting.get(service, ())):
            session = self._find(service)
            if session is None:
                return
            self._waiting[service].pop(arrival, None)
            self._join(arrival, session)

    def close(self, reason: str) -> None:
        """Turn away those who wait, and whoever comes from now on."""
        self._is_closed = True
        for arrival in tuple(self._unserved):
            arrival.turn_away(reason)

    # -- What an arrival tells

    def came(self, arrival: PendingClient) -> bool:
        """Count a client that has come; False: there is no room for it."""
        if self._is_closed:
            return False
        if self._present >= self._max_clients or len(self._unserved) >= MAX_WAITING:
            if not self._is_full:  # one line for a flood of clients
                self._is_full = True
                fact(
                    _log,
                    logging.WARNING,
                    Code.OVERLOADED.word,
                    present=self._present,
                    waiting=len(self._unserved),
                )
            return False
        self._is_full = False
        self._present += 1
        self._unserved.add(arrival)
        return True

    def expects_header(self, peer: Address) -> bool:
        """Return whether a PROXY header stands before the bytes of this peer."""
        if not self._proxies:
            return False
        host = ip_address(peer.host)
        return any(host in network for network in self._proxies)

    def known(self, arrival: PendingClient) -> None:
        """Bring a client to a session at once, or let it wait for one."""
        if arrival.client is None:
            raise RuntimeError("an arrival that nobody knows")
        log_client_in(_log, arrival.client)
        session = self._find(arrival.service)
        if session is not None:
            self._join(arrival, session)
            return
        self._waiting.setdefault(arrival.service, {})[arrival] = None
        arrival.wait(self._client_wait, NO_ORIGIN)

    def gone(self, arrival: PendingClient, reason: str) -> None:
        """Forget a client that came and left without having been joined to a stream."""
        self._unserved.discard(arrival)
        self._waiting.get(arrival.service, {}).pop(arrival, None)
        self._left()
        if arrival.client is None:
            fact(_log, logging.WARNING, "client turned away", peer=arrival.peer, reason=reason)
            return
        waited = asyncio.get_running_loop().time() - arrival.came
        log_client_out(_log, arrival.client, up=0, down=0, duration=waited, ending=reason)

    # -- Inside

    def _join(self, arrival: PendingClient, session: ClientCarrier) -> None:
        if arrival.client is None:
            raise RuntimeError("an arrival that nobody knows")
        self._unserved.discard(arrival)
        arrival.join(session.bring(arrival.client, self._left))

    def _left(self) -> None:
        self._present -= 1
