"""The admin interface as an ASGI application: given routes, and the rules that hold for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import cast

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quictunnel.config.addresses import is_loopback
from quictunnel.events import EventSink, InternalErrorOccurred

WRONG_HOST = "The admin interface answers only to addresses of this machine and to localhost.\n"

_LOCALHOST = "localhost"


def make_app(routes: Sequence[BaseRoute], *, emit: EventSink) -> ASGIApp:
    """Return an application with these routes.

    A request whose Host header is not an address of loopback or `localhost` is refused. A web page
    of another site could otherwise read the answers through a name that it has pointed here (DNS
    rebinding). GET requests must not change anything, because any page can send them.

    :param routes: their responses get a `Date` header.
    :param emit: receives an `InternalErrorOccurred` for each exception of a route, whose client
        gets the status 500.
    """
    return _Reported(_LocalOnly(Starlette(routes=routes)), emit)


class _LocalOnly:
    """Refuses requests whose Host header is not local."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_local(_host_header(scope)):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse(WRONG_HOST, 421)(scope, receive, send)


class _Reported:
    """Adds the date to responses, and reports exceptions as events."""

    def __init__(self, app: ASGIApp, emit: EventSink) -> None:
        self._app = app
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Date"] = formatdate(time.time(), usegmt=True)
            await send(message)

        try:
            await self._app(scope, receive, send_dated)
        except asyncio.CancelledError:
            # The server has ended, and with it this task. uvicorn would log a traceback.
            return
        except Exception as exc:  # Starlette has sent the status 500, if that was still possible
            self._emit(InternalErrorOccurred("answering an admin request", exc, None))


def is_local(host: str) -> bool:
    """Return whether a Host header names this machine: `localhost`, 127.0.0.1 or [::1].

    The port is not checked: a proxy or a forwarded port may have another one.
    """
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()):
        name = host
    if name.startswith("[") and name.endswith("]"):
        return is_loopback(name[1:-1])
    return name.lower() == _LOCALHOST or (":" not in name and is_loopback(name))


def _host_header(scope: Scope) -> str:
    """Return the value of the only Host header, or nothing."""
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    hosts = [value for name, value in headers if name == b"host"]
    return hosts[0].decode("latin-1") if len(hosts) == 1 else ""
