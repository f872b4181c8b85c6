"""The admin interface as an ASGI application: given routes, and the rules that hold for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quictunnel.admin.operations import error_response
from quictunnel.events import EventSink, InternalErrorOccurred

HEADERS = {
    # Nothing comes from another host, and no script or style is in a page itself.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, a browser would send `Origin: null` with the login form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response."""

_RAW_HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in {"Cache-Control": "no-store", **HEADERS}.items()
]
"""The same, and that no response is stored, as ASGI has them."""

_SENTENCES = {404: "there is no such path", 405: "the path has another method"}
"""The errors that Starlette reports with a status only."""


def make_app(
    routes: Sequence[BaseRoute], guard: Callable[[ASGIApp], ASGIApp], *, emit: EventSink
) -> ASGIApp:
    """Return an application with these routes. Errors are JSON.

    :param routes: their responses get the headers of `HEADERS` and a date. They are not stored,
        unless they say something else.
    :param guard: wraps the application in the rules for who may use it.
    :param emit: receives an `InternalErrorOccurred` for each exception of a route, whose client
        gets the status 500.
    """
    handlers = {HTTPException: _http_error, Exception: _internal_error}
    return _Reported(guard(Starlette(routes=routes, exception_handlers=handlers)), emit)


class _Reported:
    """Adds headers to responses, and reports exceptions as events."""

    def __init__(self, app: ASGIApp, emit: EventSink) -> None:
        self._app = app
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _with_headers(message["headers"])}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The server has ended, and with it this task. uvicorn would log a traceback.
            return
        except Exception as exc:  # Starlette has sent the status 500, if that was still possible
            self._emit(InternalErrorOccurred("answering an admin request", exc, None))


def _with_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response with a date, and with those of `_RAW_HEADERS` it lacks."""
    own = list(headers)
    names = {name for name, _ in own}
    date = (b"date", formatdate(time.time(), usegmt=True).encode())
    return [*own, date, *(header for header in _RAW_HEADERS if header[0] not in names)]


async def _http_error(_request: Request, exc: Exception) -> Response:
    error = cast("HTTPException", exc)
    response = error_response(_SENTENCES.get(error.status_code, error.detail), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _internal_error(_request: Request, _exc: Exception) -> Response:
    return error_response("internal error; the role's log has the details", 500)
