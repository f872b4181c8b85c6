"""Where clients reach services: the remote's outside address, and ports that origins ask for.

A port is opened when the first origin asks for it. It stays open while an origin serves it, also
while the link is silent, and for `client_wait` longer: clients wait for an origin that restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass, field

from quictunnel.config.addresses import HostPort
from quictunnel.config.files import why
from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.config.hosts import HostName, HostProtocol
from quictunnel.config.policy import Place
from quictunnel.config.ports import AUTO, AllowedPorts, PortRange, parse_ports
from quictunnel.config.services import DEFAULT_SERVICE
from quictunnel.config.settings import RemoteSettings
from quictunnel.errors import Refused, SettingsError
from quictunnel.events import EventSink
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.relay.tcp_options import KeepAlive
from quictunnel.remote.acceptor import relayed
from quictunnel.remote.fair_table import FairTable
from quictunnel.remote.outside_listener import OutsideListener, SocketAddress
from quictunnel.remote.registry import Identity

MAX_PORTS = 2048
"""Ports that may be open at once. Each needs a file descriptor for IPv4 and IPv6 together, or two
if the host has an address of each."""

MAX_ATTEMPTS = 64
"""Ports that are tried for one service that asks for any free port. Each try is a system call."""

MAX_REMEMBERED = MAX_PORTS
"""Closed ports that are remembered, so that a service gets the same one again."""

CLOSED = "the service has ended"
"""Why a client is rejected that waits when a port is closed."""


@dataclass(eq=False, slots=True)
class Route:
    """A place where clients of one service arrive."""

    key: str
    """Identifies it. Another route to the same place, for another token, has another key."""

    name: str
    """The service's name, as the origin calls it that serves it or was the last to do so."""

    address: str
    """The place, for origins: `192.0.2.1:80`, `192.0.2.1:5000-5100` for a range, or
    `www.example.com:443,80` for a host name."""

    ports: PortRange | None = None
    """The ports that were opened for it; None at the outside address, or with a host name."""

    token_id: str = ""
    """The token of the origins that may serve it; empty for all tokens."""

    holder: Identity | None = None
    """The origin that serves it or was the last to do so; None before the first one."""

    listeners: list[OutsideListener] = field(default_factory=list)
    """Their listening sockets."""

    closing: asyncio.TimerHandle | None = None
    """Closes the ports that no origin serves, or sets the host name aside."""

    host: HostName | None = None
    """The host name that selects it."""

    protocol: HostProtocol | None = None
    """The protocol of the clients of the host name; None for every protocol."""

    is_closed: bool = False
    """Whether it gets no more clients. A later route may have the same key."""

    @property
    def place(self) -> Place:
        """The place. Its clients choose a port or a name of it."""
        return self.ports if self.host is None else self.host

    def is_own(self, identity: Identity, origins: Set[Identity]) -> bool:
        """Return whether an origin alone serves it, or was the last to do so.

        :param origins: those that serve it now.
        """
        return origins == {identity} if origins else self.holder == identity

    def is_kept_from(self, identity: Identity) -> bool:
        """Return whether no origin serves it, but it is kept for one with another token."""
        return self.closing is not None and self.token_id != identity.token_id


class Routes:
    """The routes of a remote.

    :param new_client: makes the protocol of a client that arrives at a route.
    :param reject_waiting: rejects the clients that wait at a route, for a reason.
    :param origins_at: returns the origins that serve a route, given by its key.
    :param outside_sockets: bound TCP sockets to use in place of `settings.outside`.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        new_client: Callable[[Route], asyncio.Protocol],
        reject_waiting: Callable[[str, str], None],
        origins_at: Callable[[str], Set[Identity]],
        *,
        emit: EventSink,
        outside_sockets: Sequence[socket.socket] = (),
    ) -> None:
        self._settings = settings
        self._new_client = new_client
        self._reject_waiting = reject_waiting
        self._origins_at = origins_at
        self._emit = emit
        self._default = Route(DEFAULT_SERVICE, DEFAULT_SERVICE, str(settings.outside))
        self._outside = OutsideListener(
            settings.outside,
            relayed(lambda: new_client(self._default)),
            emit=emit,
            sockets=outside_sockets,
            keep_alive=KeepAlive.of_client(settings.client_keepalive),
        )
        self._opened: dict[str, Route] = {}
        self._by_port: dict[int, Route] = {}
        self._allowed: dict[str, AllowedPorts] = {}  # by the id of the token
        self._hosts: list[SocketAddress] = []
        self._by_service: dict[tuple[Identity, str], Route] = {}
        """The open route that an origin's service has, or was the last to have."""
        self._closed: FairTable[tuple[Identity, str], int] = FairTable()
        """The port that an origin's service had last. It is closed, or another service has it."""
        self._exhausted: set[str] = set()
        """The tokens for which no port was free in this iteration of the event loop."""
        self._rng = random.Random()

    @property
    def outside_address(self) -> Address:
        """The bound outside address, from `bind` on."""
        return self._outside.address

    async def bind(self) -> None:
        """Bind the outside address, and look up the host of ports that origins may ask for.

        :raises SettingsError: the address is taken, not this machine's, or not allowed.
        """
        await self._outside.bind()
        self._default.address = str(self.outside_address)
        self._hosts = await self._outside.resolve()

    def serve(self) -> None:
        """Accept clients at the outside address."""
        self._outside.serve()

    def close(self) -> None:
        """Accept no new clients anywhere."""
        self._outside.close()
        for key in tuple(self._opened):
            self._close(key)

    def apply(self, settings: RemoteSettings) -> list[str]:
        """Apply changed `ports`, `grants`, `client_wait` and `client_keepalive`.

        :return: the keys of routes whose ports are no longer allowed. They are closed.
        """
        token_ids = {route.token_id for route in self._opened.values()}
        before = {token_id: self._ports_of(token_id) for token_id in token_ids}
        if settings.client_keepalive != self._settings.client_keepalive:
            keep_alive = KeepAlive.of_client(settings.client_keepalive)
            opened = (listener for route in self._opened.values() for listener in route.listeners)
            for listener in (self._outside, *opened):
                listener.set_keep_alive(keep_alive)
        self._settings = settings
        self._allowed.clear()
        self._exhausted.clear()
        changed = {
            token_id for token_id in token_ids if self._ports_of(token_id) != before[token_id]
        }
        gone = [
            route.key
            for route in self._opened.values()
            if route.token_id in changed
            and route.ports
            and not self._is_allowed(route.token_id, route.ports)
        ]
        for key in gone:
            self._close(key)
        return gone

    def key(self, identity: Identity, service: Service) -> str | None:
        """Return the key of the route that a service asks for; None if it names none."""
        try:
            ports = _asked_ports(service)
        except Refused:
            return None
        if ports is None:
            return service.name
        return None if ports == AUTO else _key(identity, ports)

    def obtain(self, identity: Identity, service: Service, beside: Collection[Route] = ()) -> Route:
        """Return the route that an origin's service asks for. Its ports are open from now on.

        A route of the same origin at other ports that overlap is closed: the origin has changed.
        So is one that no origin serves, if it is not kept for another token.

        Call `hold` once it is claimed, and `free` when no origin serves it.

        :param beside: the routes of the origin's other services.
        :raises Refused: the service asks for a place that the remote does not have, does not allow,
            or has given to another service.
        """
        ports = _asked_ports(service)
        if ports is None:
            if service.name == DEFAULT_SERVICE:
                if not self._grant(identity.token_id).outside:
                    raise Refused(Code.NOT_ALLOWED, "the token does not allow the outside address")
                return self._default
            raise Refused(
                Code.NOT_ALLOWED,
                f"the remote has no outside address for the service {service.name!r}",
            )
        if service.name == DEFAULT_SERVICE:
            raise Refused(
                Code.NOT_ALLOWED, f"the service {DEFAULT_SERVICE!r} is at the outside address only"
            )
        if ports == AUTO:
            return self._obtain_any(identity, service.name, beside)
        if not self._is_allowed(identity.token_id, ports):
            if self._grant(identity.token_id).ports is not None:
                raise Refused(Code.NOT_ALLOWED, f"the token does not allow {ports.where}")
            raise Refused(
                Code.NOT_ALLOWED,
                f"the remote does not let origins have {ports.where}; "
                f"allow it there with --ports {ports}",
            )
        return self._obtain(identity, service.name, ports, beside)

    def hold(self, route: Route, identity: Identity, name: str) -> None:
        """Keep a route open for an origin's service, which has been claimed."""
        self._unlink(route)
        route.holder, route.name = identity, name
        if route.ports is not None:
            self._by_service[identity, name] = route
            self._closed.pop(identity.token_id, (identity, name))
        if route.closing is not None:
            route.closing.cancel()
            route.closing = None

    def free(self, key: str) -> None:
        """Close a route soon, because no origin serves it any more."""
        route = self._opened.get(key)
        if route is not None and route.closing is None:
            loop = asyncio.get_running_loop()
            route.closing = loop.call_later(self._settings.client_wait, self._close, key)

    # -- Inside

    def _grant(self, token_id: str) -> Grant:
        return self._settings.grants.get(token_id, DEFAULT_GRANT)

    def _ports_of(self, token_id: str) -> tuple[PortRange, ...]:
        ports = self._grant(token_id).ports
        return self._settings.ports if ports is None else ports

    def _is_allowed(self, token_id: str, ports: PortRange) -> bool:
        allowed = self._allowed.get(token_id)
        if allowed is None:
            allowed = self._allowed[token_id] = AllowedPorts(self._ports_of(token_id))
        return ports in allowed

    def _obtain_any(self, identity: Identity, name: str, beside: Collection[Route]) -> Route:
        """Return a route at a free port: the one that the service has or had last, if possible.

        The services of a list are judged in one iteration of the event loop. When a search has
        found no port, those that follow in it do not search again.
        """
        own = self._by_service.get((identity, name))
        if own is not None and (
            own in beside or not own.is_own(identity, self._origins_at(own.key))
        ):
            own = None
        if own is not None and own.ports is not None and own.ports.size == 1:
            return own
        attempts = 0
        for port in self._candidates(identity, name):
            if self._by_port.get(port, own) is not own:
                continue
            attempts += 1
            if attempts > MAX_ATTEMPTS:
                break
            with contextlib.suppress(Refused):  # another program has it, or there are too many
                return self._obtain(identity, name, PortRange(port, port), beside)
        if not self._exhausted:
            asyncio.get_running_loop().call_soon(self._exhausted.clear)
        self._exhausted.add(identity.token_id)
        if self._grant(identity.token_id).ports is not None:
            raise Refused(Code.NOT_ALLOWED, "none of the token's ports is free")
        raise Refused(
            Code.NOT_ALLOWED,
            "the remote has no free port for origins; allow more there with --ports",
        )

    def _candidates(self, identity: Identity, name: str) -> Iterator[int]:
        """Iterate over the allowed ports: the service's last one, then all from a random one on."""
        allowed = self._ports_of(identity.token_id)
        last = self._closed.get(identity.token_id, (identity, name))
        if last is not None and self._is_allowed(identity.token_id, PortRange(last, last)):
            yield last
        if not allowed or identity.token_id in self._exhausted:
            return
        first = self._rng.randrange(len(allowed))
        start = self._rng.randint(allowed[first].first, allowed[first].last)
        yield from range(start, allowed[first].last + 1)
        for ports in (*allowed[first + 1 :], *allowed[:first]):
            yield from _each(ports)
        yield from range(allowed[first].first, start)

    def _obtain(
        self, identity: Identity, name: str, ports: PortRange, beside: Collection[Route]
    ) -> Route:
        key = _key(identity, ports)
        if (route := self._opened.get(key)) is not None:
            return route
        replaced = self._overlapping(ports)
        for other in replaced:
            is_own = other.is_own(identity, self._origins_at(other.key))
            is_free = other.closing is not None and not other.is_kept_from(identity)
            if other.ports is not None and (not (is_own or is_free) or other in beside):
                raise refuse_taken(other.ports.where, other, identity)
        freed = {port for other in replaced for port in _each(other.ports)}
        if len(self._by_port) - len(freed) + ports.size > MAX_PORTS:
            raise Refused(Code.NOT_ALLOWED, f"origins may have {MAX_PORTS} ports in all, not more")
        route = Route(
            key, name, _address(self.outside_address.host, ports), ports, identity.token_id
        )
        try:
            # First those that no other route has: if one of them fails, nothing has changed.
            for port in sorted(_each(ports), key=freed.__contains__):
                if port in freed:
                    for other in replaced:
                        self._close(other.key)
                    replaced = []
                self._listen(route, port)
            for other in replaced:
                self._close(other.key)
        except OSError as exc:
            for listener in route.listeners:
                listener.close()
            sentence = f"the remote cannot open {ports.where}: {why(exc)}"
            raise Refused(Code.SERVICE_TAKEN, sentence) from exc
        self._opened[key] = route
        self._by_port.update((port, route) for port in _each(ports))
        return route

    def _listen(self, route: Route, port: int) -> None:
        listener = OutsideListener(
            HostPort(self._settings.outside.host, port),
            relayed(lambda: self._new_client(route)),
            emit=self._emit,
            keep_alive=KeepAlive.of_client(self._settings.client_keepalive),
        )
        route.listeners.append(listener)
        listener.bind_at(self._hosts)
        listener.serve()

    def _overlapping(self, ports: PortRange) -> list[Route]:
        """Return the routes that have one of these ports, which may be more than can be open."""
        if ports.size > len(self._by_port):
            found = (route for port, route in self._by_port.items() if port in _each(ports))
        else:
            found = (self._by_port[port] for port in _each(ports) if port in self._by_port)
        return list(dict.fromkeys(found))

    def _close(self, key: str) -> None:
        route = self._opened.pop(key)
        route.is_closed = True
        self._exhausted.clear()
        self._remember(route)
        if route.closing is not None:
            route.closing.cancel()
        for port in _each(route.ports):
            del self._by_port[port]
        for listener in route.listeners:
            listener.close()
        self._reject_waiting(key, CLOSED)

    def _remember(self, route: Route) -> None:
        """Remember the port of a route that closes for the service that has it."""
        if self._unlink(route) and route.holder and route.ports and route.ports.size == 1:
            service = route.holder, route.name
            self._closed.add(route.token_id, service, route.ports.first)
            if len(self._closed) > MAX_REMEMBERED:
                self._closed.pop(*self._closed.oldest())

    def _unlink(self, route: Route) -> bool:
        """Note that a service no longer has a route; return whether this was its newest one."""
        if route.holder is None or self._by_service.get((route.holder, route.name)) is not route:
            return False
        del self._by_service[route.holder, route.name]
        return True


def refuse_taken(where: str, route: Route, identity: Identity) -> Refused:
    """Return the refusal for an origin that asks for a place that a route has.

    :param where: the place, in words.
    """
    if route.closing is None or not route.is_kept_from(identity):
        return Refused(Code.SERVICE_TAKEN, f"another service already has {where}")
    left = math.ceil(route.closing.when() - asyncio.get_running_loop().time())
    return Refused(
        Code.SERVICE_TAKEN,
        f"an origin with another token had {where} and may return; try again in {max(left, 1)} s",
    )


def asks_any_port(service: Service) -> bool:
    """Return whether a service asks for any free port."""
    return service.host is None and service.port == AUTO.first


def _asked_ports(service: Service) -> PortRange | None:
    """Return the ports that a service asks for; None if it asks for none.

    :raises Refused: the range is not valid.
    """
    if service.port is not None:
        return PortRange(service.port, service.port)
    if service.ports is None:
        return None
    try:
        return parse_ports(service.ports)
    except SettingsError as exc:
        raise Refused(Code.NOT_ALLOWED, f"the service {service.name!r}: {exc}") from exc


def _key(identity: Identity, ports: PortRange) -> str:
    return f"{identity.token_id} {ports}"


def _each(ports: PortRange | None) -> range:
    return range(0) if ports is None else range(ports.first, ports.last + 1)


def _address(host: str, ports: PortRange) -> str:
    return f"[{host}]:{ports}" if ":" in host else f"{host}:{ports}"
