"""The admin interface of a role: where it listens, its start and its end.

A role without `--admin` has only a Unix socket, which few programs ever use. Starlette and uvicorn
are therefore imported when the first request arrives.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
from typing import TYPE_CHECKING, Any

from quictunnel.admin.first_connection import FirstConnection
from quictunnel.admin.managed import ManagedRole
from quictunnel.admin.runtime import socket_path
from quictunnel.admin.unix_socket import AdminSocket
from quictunnel.config.addresses import EVERY_ADDRESS, HostPort
from quictunnel.config.admin_token import AdminToken
from quictunnel.config.listen_errors import listen_error
from quictunnel.errors import SettingsError
from quictunnel.events import AdminSocketNotCreated, EventSink, InternalErrorOccurred
from quictunnel.protocol.address import Address
from quictunnel.remote.outside_listener import resolve_listen
from quictunnel.session.failure_reporter import FailureReporter

if TYPE_CHECKING:
    from quictunnel.admin.application import Application

APPLICATION = "quictunnel.admin.application"
"""The module that is imported when it is needed."""

BACKLOG = 16
"""Connections that may wait in the kernel, which asyncio accepts all at once."""


class AdminInterface:
    """Serves the admin interface on a Unix socket, and on a TCP address if one is given.

    :param managed: the role.
    :param listen: the TCP address. Port 0 lets the system choose.
    :param token: the token for the TCP address. One that is not loopback needs it.
    :param emit: receives the events.
    """

    def __init__(
        self,
        managed: ManagedRole,
        listen: HostPort | None = None,
        token: AdminToken | None = None,
        *,
        emit: EventSink,
    ) -> None:
        self._managed = managed
        self._listen = listen
        self._token = token
        self._failures = FailureReporter(emit)
        self._emit: EventSink = self._failures
        self._tcp: socket.socket | None = None
        self._unix: AdminSocket | None = None
        self._servers: list[asyncio.Server] = []
        self._waiting: set[FirstConnection] = set()
        self._loading: asyncio.Task[Application | None] | None = None

    @property
    def address(self) -> Address | None:
        """The TCP address, from `bind` on; None without one."""
        return None if self._tcp is None else Address.of(self._tcp.getsockname())

    async def bind(self) -> None:
        """Bind the TCP address, if there is one. From then on the kernel queues connections.

        :raises SettingsError: the address is taken, not this machine's, or not allowed.
        """
        if self._listen is not None:
            self._tcp = await _bind(self._listen)

    async def start(self) -> None:
        """Accept connections, until `close`.

        If the Unix socket cannot be created, an event says so, and the role goes on without it.
        """
        self._managed.links.start()
        loop = asyncio.get_running_loop()
        if self._tcp is not None:
            application = await self._load()
            if application is not None:
                make_protocol = application.tcp.make_protocol
                self._servers.append(
                    await loop.create_server(make_protocol, sock=self._tcp, backlog=BACKLOG)
                )
        try:
            self._unix = AdminSocket.make(self._managed.name)
        except SettingsError as exc:
            path = socket_path(self._managed.name, os.getpid())
            self._emit(AdminSocketNotCreated(str(path), str(exc)))
            return
        self._servers.append(
            await loop.create_unix_server(self._accept, sock=self._unix.listener, backlog=BACKLOG)
        )

    async def close(self) -> None:
        """Stop, and remove the Unix socket. Current requests may finish. It may be called again."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._unix is not None:
            self._unix.close()
        if self._tcp is not None:
            self._tcp.close()
        for connection in tuple(self._waiting):
            connection.abort()
        if self._loading is not None:
            application = await self._loading
            if application is not None:
                await application.close()
        await self._managed.links.close()
        self._managed.loop_delay.close()
        self._failures.close()

    # -- Inside

    def _accept(self) -> asyncio.Protocol:
        """Return the protocol of a connection to the Unix socket."""
        if self._loading is not None and self._loading.done():
            application = self._loading.result()
            if application is not None:
                return application.unix.make_protocol()
        return FirstConnection(self._waiting, self._load)

    async def _load(self) -> Application | None:
        """Return the application, which is imported at the first call; None if that fails."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._import(), name="admin application")
        return await asyncio.shield(self._loading)

    async def _import(self) -> Application | None:
        try:
            # It takes a fraction of a second. In a thread, it delays no client.
            module: Any = await asyncio.to_thread(importlib.import_module, APPLICATION)
            made: Application = module.Application(
                self._managed, self._listen, self._token, emit=self._emit
            )
        except Exception as exc:  # a bug, or an incomplete installation, must not end the role
            self._emit(InternalErrorOccurred("loading the admin interface", exc, None))
            return None
        return made


async def _bind(listen: HostPort) -> socket.socket:
    """Return a socket that listens there.

    :raises SettingsError: the address is taken, not this machine's, or not allowed.
    """
    host = await resolve_listen("tcp", listen)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio sets TCP_NODELAY only on connections of sockets with this protocol. Without it,
        # the body of a response waits for the acknowledgement of its head, 40 ms or more.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if host == EVERY_ADDRESS:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, listen.port))
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as exc:
        raise listen_error("tcp", listen, exc, "--admin") from exc
    return sock
