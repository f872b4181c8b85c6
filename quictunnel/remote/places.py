"""All places of a remote where clients arrive: its outside address, ports, and host names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence, Set
from functools import partial

from quictunnel.config.addresses import HostPort
from quictunnel.config.hosts import HostName, HostProtocol
from quictunnel.config.settings import RemoteSettings
from quictunnel.errors import Refused
from quictunnel.events import EventSink
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.relay.tcp_options import KeepAlive
from quictunnel.remote.host_routes import HostRoutes
from quictunnel.remote.host_sockets import HostSockets
from quictunnel.remote.name_readers import NameReader
from quictunnel.remote.named_listeners import NamedListener
from quictunnel.remote.registry import Identity
from quictunnel.remote.routes import Route, Routes
from quictunnel.remote.service_urls import service_urls


class Places:
    """The listeners of a remote, and the routes of its services.

    :param new_client: makes the protocol of a client that arrives at a route.
    :param new_named_client: makes the protocol of a client that names its host first.
    :param new_local_proxy: makes the protocol of a connection to a Unix socket of a route.
    :param reject_waiting: rejects the clients that wait at a route, for a reason.
    :param origins_at: returns the origins that serve a route, given by its key.
    :param outside_sockets: bound TCP sockets to use in place of `settings.outside`.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        new_client: Callable[[Route], asyncio.Protocol],
        new_named_client: Callable[[NameReader], asyncio.Protocol],
        new_local_proxy: Callable[[Route], asyncio.Protocol],
        *,
        reject_waiting: Callable[[str, str], None],
        origins_at: Callable[[str], Set[Identity]],
        emit: EventSink,
        outside_sockets: Sequence[socket.socket] = (),
    ) -> None:
        self._ports = Routes(
            settings,
            new_client,
            reject_waiting,
            origins_at,
            emit=emit,
            outside_sockets=outside_sockets,
        )
        self._new_local_proxy = new_local_proxy
        self._sockets: HostSockets | None = None
        self._sockets_at = settings.sockets
        if settings.sockets is not None:
            self._sockets = HostSockets(settings.sockets, self._new_proxy_of, emit=emit)
        self._hosts = HostRoutes(settings, reject_waiting, origins_at, self._sockets)
        self._named: dict[HostProtocol, NamedListener] = {}
        addresses: dict[HostProtocol, HostPort | None] = {
            "tls": settings.tls,
            "http": settings.http,
        }
        for protocol, listen in addresses.items():
            if listen is not None:
                find = partial(self._hosts.find, protocol)
                self._named[protocol] = NamedListener(
                    listen,
                    protocol,
                    find,
                    new_named_client,
                    emit=emit,
                    keep_alive=KeepAlive.of_client(settings.client_keepalive),
                )

    @property
    def outside_address(self) -> Address:
        """The bound outside address, from `bind` on."""
        return self._ports.outside_address

    @property
    def named_addresses(self) -> dict[HostProtocol, Address]:
        """The bound addresses of the shared listeners, from `bind` on."""
        return {protocol: listener.address for protocol, listener in self._named.items()}

    def describe(self) -> tuple[str, ...]:
        """Return the addresses for clients, each with what it is for: `tcp [::]:9000`.

        From `bind` on.
        """
        named = [f"{protocol} {address}" for protocol, address in self.named_addresses.items()]
        sockets = () if self._sockets_at is None else (f"sockets {self._sockets_at}",)
        return (f"tcp {self.outside_address}", *named, *sockets)

    def urls_of(self, route: Route) -> tuple[str, ...]:
        """Return the addresses of a route's service that a person can open. From `bind` on."""
        return service_urls(
            route,
            outside=self.outside_address,
            named=self.named_addresses,
            has_sockets=self._sockets is not None,
        )

    async def bind(self) -> None:
        """Bind all addresses of the settings.

        :raises SettingsError: one is taken, not this machine's, or not allowed.
        """
        await self._ports.bind()
        for listener in self._named.values():
            await listener.bind()
            self._hosts.add_place(listener)
        if self._sockets is not None:
            self._sockets.bind()

    def serve(self) -> None:
        """Accept clients at the bound addresses."""
        self._ports.serve()
        for listener in self._named.values():
            listener.serve()

    def close(self) -> None:
        """Accept no new clients anywhere."""
        self._ports.close()
        self._hosts.close()
        for listener in self._named.values():
            listener.close()
        if self._sockets is not None:
            self._sockets.close()

    def has_site(self, name: HostName) -> bool:
        """Return whether a service with this host name, or one that covers it, is known."""
        return self._hosts.has_site(name)

    def apply(self, settings: RemoteSettings) -> list[str]:
        """Apply changed rights, `client_wait` and `client_keepalive`.

        :return: the keys of routes that are no longer allowed. They are closed.
        """
        for listener in self._named.values():
            listener.set_keep_alive(KeepAlive.of_client(settings.client_keepalive))
        return [*self._ports.apply(settings), *self._hosts.apply(settings)]

    def key(self, identity: Identity, service: Service) -> str | None:
        """Return the key of the route that a service asks for; None if it names none."""
        return self._table(service).key(identity, service)

    def obtain(self, identity: Identity, service: Service, beside: Collection[Route] = ()) -> Route:
        """Return the route that an origin's service asks for beside others.

        :raises Refused: the service asks for a place that the remote does not have, does not allow,
            or has given to another service.
        """
        if service.host is None and service.protocol is not None:
            raise Refused(
                Code.NOT_ALLOWED,
                f"the remote does not know the protocol {service.protocol!r} of a service without "
                "a host name; it may be older than the origin",
            )
        return self._table(service).obtain(identity, service, beside)

    def hold(self, route: Route, identity: Identity, name: str) -> None:
        """Keep a route for an origin's service, which has been claimed."""
        (self._ports if route.host is None else self._hosts).hold(route, identity, name)

    def free(self, key: str) -> None:
        """Note that no origin serves a route any more."""
        self._ports.free(key)
        self._hosts.free(key)

    def _new_proxy_of(self, host: HostName) -> asyncio.Protocol:
        """Return the protocol of a connection to the socket of a name, which has a route."""
        route = self._hosts.find("http", host)
        assert route is not None
        return self._new_local_proxy(route)

    def _table(self, service: Service) -> Routes | HostRoutes:
        return self._ports if service.host is None else self._hosts
