"""The admin interface's servers. Importing this imports Starlette and uvicorn, some megabytes."""

from __future__ import annotations

from functools import partial

from starlette.types import ASGIApp

from quictunnel.admin.access import (
    WRONG_HOST_WITH_TOKEN,
    SameSite,
    is_local,
    is_local_or_address,
)
from quictunnel.admin.app import make_app
from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.login import TokenLogin
from quictunnel.admin.managed import ManagedRole
from quictunnel.admin.routes import make_routes
from quictunnel.admin.server import HttpServer
from quictunnel.config.addresses import HostPort
from quictunnel.config.admin_token import AdminToken
from quictunnel.events import EventSink


class Application:
    """The servers of the Unix socket and of the TCP address, which have the same routes.

    :param listen: the address of `--admin`; None if it is not given.
    :param token: the token for that address; None if it needs none.
    :param emit: receives the events.
    """

    def __init__(
        self,
        managed: ManagedRole,
        listen: HostPort | None,
        token: AdminToken | None,
        *,
        emit: EventSink,
    ) -> None:
        self._streams = EventStreams(managed.history)
        routes = make_routes(managed, self._streams)
        # The mode of the socket decides who may connect.
        self.unix = HttpServer(make_app(routes, _local, emit=emit))
        self.tcp = self.unix
        if listen is not None and token is None:
            self.tcp = HttpServer(make_app(routes, _local, emit=emit))
        elif listen is not None and token is not None:
            cookie = f"quictunnel-{managed.name}-{listen.port}"
            login = TokenLogin(token, cookie, emit=emit)
            accepts = partial(is_local_or_address, configured=listen.host)

            def guard(app: ASGIApp) -> ASGIApp:
                return SameSite(login.guard(app), accepts, WRONG_HOST_WITH_TOKEN)

            self.tcp = HttpServer(make_app([*login.routes(), *routes], guard, emit=emit))

    async def close(self) -> None:
        """Let current requests finish, then end all connections."""
        self._streams.close()
        await self.unix.close()
        await self.tcp.close()


def _local(app: ASGIApp) -> ASGIApp:
    return SameSite(app, is_local)
