"""Routes of host names: which origin's service gets the clients of a name.

A name needs no socket of its own: clients of all names arrive at a few shared places. It stays
known when its origin has gone, so that clients wait for an origin that restarts.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Collection, Sequence, Set
from typing import Protocol

from quictunnel.config.grants import DEFAULT_GRANT
from quictunnel.config.host_names import EVERY_HOST
from quictunnel.config.hosts import (
    HOST_PROTOCOLS,
    HostName,
    HostProtocol,
    parse_host,
    parse_host_protocol,
)
from quictunnel.config.services import DEFAULT_SERVICE
from quictunnel.config.settings import RemoteSettings
from quictunnel.errors import Refused, SettingsError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.host_names import HostTable
from quictunnel.protocol.messages import Service
from quictunnel.remote.fair_table import FairTable
from quictunnel.remote.host_sockets import HostSockets
from quictunnel.remote.registry import Identity
from quictunnel.remote.routes import CLOSED, Route, refuse_taken

MAX_FREE_NAMES = 1024
"""Names that no origin serves any more and are still known. When there are more, the token with the
most loses the one that is free for longest."""


MAX_ADDRESS = 261
"""Characters of an address in a message."""


class HostPlace(Protocol):
    """A place where clients of host names arrive."""

    @property
    def protocol(self) -> HostProtocol:
        """The protocol of its clients."""

    @property
    def port(self) -> int:
        """Its TCP port."""


class HostRoutes:
    """The routes of a remote's host names.

    A name has one route for each protocol, or one for both.

    :param reject_waiting: rejects the clients that wait at a route, for a reason.
    :param origins_at: returns the origins that serve a route, given by its key.
    :param sockets: has a Unix socket for each name whose clients speak HTTP; None for none.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        reject_waiting: Callable[[str, str], None],
        origins_at: Callable[[str], Set[Identity]],
        sockets: HostSockets | None = None,
    ) -> None:
        self._settings = settings
        self._reject_waiting = reject_waiting
        self._origins_at = origins_at
        self._sockets = sockets
        self._allowed: dict[str, HostTable[bool]] = {}  # by the id of the token
        self._places: list[HostPlace] = []
        self._routes: dict[str, Route] = {}
        self._by_name: dict[tuple[HostProtocol, HostName], Route] = {}
        self._served = {protocol: HostTable[Route]() for protocol in HOST_PROTOCOLS}
        self._unserved = {protocol: HostTable[Route]() for protocol in HOST_PROTOCOLS}
        """Those without an origin for longer than `client_wait`. Any served route comes first."""
        self._free: FairTable[str, Route] = FairTable()
        """Those without an origin, by their keys."""

    def add_place(self, place: HostPlace) -> None:
        """Let clients of host names arrive at a place, which is bound before an origin comes."""
        self._places.append(place)

    def find(self, protocol: HostProtocol, name: HostName | None) -> Route | None:
        """Return the route of the most specific name that stands for a client's name.

        :param name: None if the client names no host, which finds only the fallback `*`.
        """
        return self._served[protocol].find(name) or self._unserved[protocol].find(name)

    def has_site(self, name: HostName) -> bool:
        """Return whether a service is known whose clients speak HTTP and name this host.

        A service for all names does not count.
        """
        found = [tables["http"].find(name) for tables in (self._served, self._unserved)]
        return any(route is not None and route.host != EVERY_HOST for route in found)

    def close(self) -> None:
        """Stop the timers. No client is rejected."""
        for route in self._free:
            _stop_timer(route)

    def apply(self, settings: RemoteSettings) -> list[str]:
        """Apply changed `hosts`, `grants` and `client_wait`.

        :return: the keys of routes whose names are no longer allowed. They are removed.
        """
        self._settings = settings
        self._allowed.clear()
        gone = [
            route.key
            for route in self._routes.values()
            if route.host is not None and not self._is_allowed(route.token_id, route.host)
        ]
        for key in gone:
            self._remove(key)
        return gone

    def key(self, identity: Identity, service: Service) -> str | None:
        """Return the key of the route that a service asks for; None if its name is not valid."""
        try:
            return _key(identity, *_asked_name(service))
        except Refused:
            return None

    def obtain(self, identity: Identity, service: Service, beside: Collection[Route] = ()) -> Route:
        """Return the route that an origin's service asks for.

        A route of the same origin for the same name, but other protocols, is removed: the origin
        has changed.

        A name that no origin serves is kept for its token for `client_wait`, for an origin that
        restarts. Then another token gets it.

        Call `hold` once it is claimed, and `free` when no origin serves it.

        :param beside: the routes of the origin's other services.
        :raises Refused: the name or the protocol is not valid, the remote has no place for it or
            does not allow it, or another service has it.
        """
        host, protocol = _asked_name(service)
        protocols = _protocols(protocol)
        ports = [place.port for place in self._places if place.protocol in protocols]
        sockets = self._sockets if "http" in protocols else None
        if not ports and sockets is None:
            raise Refused(
                Code.NOT_ALLOWED,
                f"the remote has no listener for host {host}; start it with {_missing(protocol)}",
            )
        if not self._is_allowed(identity.token_id, host):
            if self._settings.grants.get(identity.token_id, DEFAULT_GRANT).hosts is not None:
                raise Refused(Code.NOT_ALLOWED, f"the token does not allow host {host}")
            raise Refused(
                Code.NOT_ALLOWED,
                f"the remote does not let origins have host {host}; "
                f"allow it there with --hosts {shlex.quote(host)}",
            )
        key = _key(identity, host, protocol)
        if (route := self._routes.get(key)) is not None:
            if sockets is not None:
                sockets.add(host)  # it was removed if the route was set aside
            self._end_free(route)
            return route
        replaced = [
            other for each in protocols if (other := self._by_name.get((each, host))) is not None
        ]
        for other in replaced:
            is_own = other.is_own(identity, self._origins_at(other.key))
            is_free = self._is_free(other) and not other.is_kept_from(identity)
            if not (is_own or is_free) or other in beside:
                raise refuse_taken(f"host {host}", other, identity)
        if sockets is not None:
            sockets.add(host)
        for other in replaced:
            if other.key in self._routes:  # one route may have had both protocols
                self._remove(other.key, has_socket=sockets is not None)
        route = Route(
            key,
            service.name,
            _address(host, ports),
            token_id=identity.token_id,
            host=host,
            protocol=protocol,
        )
        self._routes[key] = route
        for each in protocols:
            self._by_name[each, host] = route
            self._served[each].set(host, route)
        return route

    def hold(self, route: Route, identity: Identity, name: str) -> None:
        """Note that an origin's service has been claimed."""
        route.holder, route.name = identity, name

    def free(self, key: str) -> None:
        """Keep a name known, although no origin serves it any more."""
        route = self._routes.get(key)
        if route is None or self._is_free(route):
            return
        self._free.add(route.token_id, key, route)
        loop = asyncio.get_running_loop()
        route.closing = loop.call_later(self._settings.client_wait, self._set_aside, route)
        if len(self._free) > MAX_FREE_NAMES:
            _, oldest = self._free.oldest()
            self._remove(oldest)

    # -- Inside

    def _is_allowed(self, token_id: str, host: HostName) -> bool:
        allowed = self._allowed.get(token_id)
        if allowed is None:
            granted = self._settings.grants.get(token_id, DEFAULT_GRANT).hosts
            allowed = self._allowed[token_id] = HostTable()
            for pattern in self._settings.hosts if granted is None else granted:
                allowed.set(pattern, True)
        # A pattern covers the wildcards below it as it covers the names.
        return allowed.find(host) is True

    def _is_free(self, route: Route) -> bool:
        return self._free.get(route.token_id, route.key) is not None

    def _end_free(self, route: Route) -> None:
        """Note that an origin is about to serve a route, so that its name cannot be dropped."""
        if self._free.pop(route.token_id, route.key) is not None:
            if route.closing is None:
                self._move(route, self._unserved, self._served)
            _stop_timer(route)

    def _set_aside(self, route: Route) -> None:
        """Let less specific names that are served have the clients from now on.

        Without its socket, an HTTP proxy finds the socket of such a name.
        """
        route.closing = None
        self._move(route, self._served, self._unserved)
        self._remove_socket(route)

    def _remove(self, key: str, *, has_socket: bool = False) -> None:
        """Remove a route.

        :param has_socket: whether the name keeps its socket, for another route.
        """
        route = self._routes.pop(key)
        route.is_closed = True
        is_free = self._free.pop(route.token_id, key) is not None
        is_set_aside = is_free and route.closing is None
        _stop_timer(route)
        tables = self._unserved if is_set_aside else self._served
        assert route.host is not None  # it is in this table
        for protocol in _protocols(route.protocol):
            del self._by_name[protocol, route.host]
            tables[protocol].remove(route.host)
        if not has_socket:
            self._remove_socket(route)
        self._reject_waiting(key, CLOSED)

    def _remove_socket(self, route: Route) -> None:
        assert route.host is not None  # it is in this table
        if self._sockets is not None and "http" in _protocols(route.protocol):
            self._sockets.remove(route.host)

    def _move(
        self,
        route: Route,
        source: dict[HostProtocol, HostTable[Route]],
        target: dict[HostProtocol, HostTable[Route]],
    ) -> None:
        assert route.host is not None  # it is in this table
        for protocol in _protocols(route.protocol):
            source[protocol].remove(route.host)
            target[protocol].set(route.host, route)


def _asked_name(service: Service) -> tuple[HostName, HostProtocol | None]:
    """Return the host name and the protocol that a service asks for.

    :raises Refused: one of them is not valid, or the service asks for a port as well.
    """
    if service.name == DEFAULT_SERVICE:
        raise Refused(
            Code.NOT_ALLOWED, f"the service {DEFAULT_SERVICE!r} is at the outside address only"
        )
    if service.port is not None or service.ports is not None:
        raise Refused(Code.NOT_ALLOWED, "a service has a port or a host name, not both")
    try:
        host = parse_host(service.host or "")
        protocol = None if service.protocol is None else parse_host_protocol(service.protocol)
    except SettingsError as exc:
        raise Refused(Code.NOT_ALLOWED, f"the service {service.name!r}: {exc}") from exc
    return host, protocol


def _protocols(protocol: HostProtocol | None) -> Sequence[HostProtocol]:
    return HOST_PROTOCOLS if protocol is None else (protocol,)


def _address(host: HostName, ports: Sequence[int]) -> str:
    """Return where clients reach a name: with all ports, or the first one if all are too long.

    Without a port, a proxy in front of the remote knows it.
    """
    if not ports:
        return host
    address = f"{host}:{','.join(map(str, ports))}"
    return address if len(address) <= MAX_ADDRESS else f"{host}:{ports[0]}"


def _missing(protocol: HostProtocol | None) -> str:
    """Return the options that give a remote a place for clients of this protocol."""
    options = {"tls": "--tls", "http": "--http or --sockets"}
    return "--tls, --http or --sockets" if protocol is None else options[protocol]


def _key(identity: Identity, host: HostName, protocol: HostProtocol | None) -> str:
    return f"{identity.token_id} {host} {protocol or 'any'}"


def _stop_timer(route: Route) -> None:
    if route.closing is not None:
        route.closing.cancel()
        route.closing = None
