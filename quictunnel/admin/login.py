"""Lets in requests with the admin token: in a header, or from a browser that has logged in.

The token is never in a URL, because URLs end up in logs and histories.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from quictunnel.admin.operations import error_response, media_type, read_body
from quictunnel.admin.paths import LIVE_PATH, LOGIN_PATH, READY_PATH
from quictunnel.config.addresses import ASK_PATH
from quictunnel.config.admin_token import AdminToken
from quictunnel.events import AdminLoginFailed, EventSink
from quictunnel.protocol.address import Address
from quictunnel.protocol.source import Source, source_of

MAX_FAILURES = 5
"""Wrong tokens of a source that are answered and logged at once."""

RECOVERY = 12.0
"""Seconds after which another wrong token of the source is."""

MAX_SOURCES = 4096
"""Sources that are limited at a time. The one whose last failure is the oldest is dropped."""

MAX_LOGINS = 64
"""Browsers that are logged in at a time. The one that logged in first is logged out."""

LOGIN_LIFETIME = 12 * 3600.0
"""Seconds that a login lasts."""

STYLE_PATH = "/login.css"
LOGOUT_PATH = "/logout"
FORM = "application/x-www-form-urlencoded"

NEEDED = "the admin interface needs its token: send 'Authorization: Bearer TOKEN'"
WRONG = "this is not the token of the admin interface"
TOO_MANY = "too many wrong tokens from this address; wait a minute"

_PUBLIC = frozenset({LIVE_PATH, READY_PATH, LOGIN_PATH, STYLE_PATH})
"""Paths that need no token. They tell nothing but whether the role works."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>quictunnel</title>
<link rel="stylesheet" href="/login.css">
<form method="post" action="/login">
<h1>quictunnel</h1>
<label for="token">Token of the admin interface</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
<p role="alert">{message}</p>
</form>
</html>
"""

_STYLE = """body { font: 1rem/1.5 system-ui, sans-serif; display: grid; min-height: 90vh;
  place-content: center; margin: 1rem; }
form { display: grid; gap: .5rem; width: min(22rem, 90vw); }
input, button { font: inherit; padding: .5rem; }
p { min-height: 1.5em; margin: 0; }
"""


class TokenLogin:
    """Passes on requests that have the token or come from a browser that has logged in.

    `request.state.is_trusted` says so to routes. Health checks, which need no token, and Caddy's
    question from the same machine are passed on in any case.

    :param cookie: the name of the browser's cookie. Browsers send cookies to all ports of a host.
    :param emit: receives an `AdminLoginFailed` for each wrong token.
    :param now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        token: AdminToken,
        cookie: str,
        *,
        emit: EventSink,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._cookie = cookie
        self._emit = emit
        self._failures = _Failures(now)
        self._logins = _Logins(now)

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Return an application that passes on requests which may be answered."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            request = HTTPConnection(scope)
            try:
                is_trusted = self._is_trusted(request)
            except HTTPException as exc:
                response = error_response(exc.detail, exc.status_code)
                response.headers.update(exc.headers or {})
                await response(scope, receive, send)
                return
            request.state.is_trusted = is_trusted
            if is_trusted or _is_public(scope):
                await app(scope, receive, send)
            else:
                await _ask_for_token(request)(scope, receive, send)

        return guarded

    def routes(self) -> list[Route]:
        """Return the routes of the login form."""
        return [
            Route(LOGIN_PATH, self._show, methods=["GET"]),
            Route(LOGIN_PATH, self._log_in, methods=["POST"]),
            Route(LOGOUT_PATH, self._log_out, methods=["POST"]),
            Route(STYLE_PATH, self._style, methods=["GET"]),
        ]

    # -- Inside

    def _is_trusted(self, request: HTTPConnection) -> bool:
        """Return whether a request has the token, or the cookie of a login.

        :raises HTTPException: it has another token.
        """
        header = request.headers.get("authorization")
        if header is None:
            cookie = request.cookies.get(self._cookie, "")
            return self._logins.includes(cookie, source_of(_address(request)))
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized(NEEDED)
        if not self._is_right(request, given.strip()):
            raise _unauthorized(WRONG)
        return True

    def _is_right(self, request: HTTPConnection, given: str) -> bool:
        """Return whether a text is the token.

        The right token is always accepted: behind a proxy, all clients have the same source, and
        strangers could shut out the user. Its 80 bits cannot be guessed at any rate.

        :raises HTTPException: it is not, and its source has sent too many wrong ones.
        """
        if self._token.is_equal(given):
            return True
        address = _address(request)
        source = source_of(address)
        if wait := self._failures.wait(source):
            raise HTTPException(429, TOO_MANY, {"Retry-After": str(math.ceil(wait))})
        self._failures.add(source)
        self._emit(AdminLoginFailed("unknown" if address is None else str(address)))
        return False

    async def _show(self, _request: Request) -> Response:
        return _form("")

    async def _style(self, _request: Request) -> Response:
        return PlainTextResponse(_STYLE, media_type="text/css")

    async def _log_in(self, request: Request) -> Response:
        if media_type(request) != FORM:
            raise HTTPException(415, f"the login form has the content type {FORM}")
        body = await read_body(request)
        try:
            given = parse_qs(body.decode("ascii"), max_num_fields=4).get("token", [])
        except ValueError:
            given = []
        try:
            is_right = self._is_right(request, given[0].strip() if len(given) == 1 else "")
        except HTTPException as exc:
            return _form(f"{TOO_MANY[0].upper()}{TOO_MANY[1:]}.", 429, exc.headers)
        if not is_right:
            return _form("This is not the token of this admin interface.", 403)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self._cookie,
            self._logins.add(source_of(_address(request))),
            max_age=int(LOGIN_LIFETIME),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def _log_out(self, request: Request) -> Response:
        self._logins.remove(request.cookies.get(self._cookie, ""))
        response = RedirectResponse(LOGIN_PATH, 303)
        response.delete_cookie(self._cookie, httponly=True, samesite="strict")
        return response


class _Failures:
    """Counts wrong tokens by source. The counts go down with time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._of: OrderedDict[Source, tuple[float, float]] = OrderedDict()  # the count, and when

    def add(self, source: Source) -> None:
        """Count one."""
        self._of[source] = self._count(source) + 1, self._now()
        self._of.move_to_end(source)
        if len(self._of) > MAX_SOURCES:
            self._of.popitem(last=False)

    def wait(self, source: Source) -> float:
        """Return the seconds until a source may send another one; 0 if it may now."""
        return max(0.0, (self._count(source) - MAX_FAILURES + 1) * RECOVERY)

    def _count(self, source: Source) -> float:
        count, then = self._of.get(source, (0.0, 0.0))
        return max(0.0, count - (self._now() - then) / RECOVERY)


class _Logins:
    """The browsers that are logged in. Only hashes of their cookies are kept.

    A browser sends a cookie to all ports of a host, and so to servers of origins that have a port
    of the same machine. A cookie is therefore good only for the source that has logged in.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._of: OrderedDict[bytes, tuple[float, Source]] = OrderedDict()  # the end, and whose

    def add(self, source: Source) -> str:
        """Return the cookie of a new login."""
        cookie = secrets.token_urlsafe(32)
        self._of[_hash(cookie)] = self._now() + LOGIN_LIFETIME, source
        if len(self._of) > MAX_LOGINS:
            self._of.popitem(last=False)
        return cookie

    def includes(self, cookie: str, source: Source) -> bool:
        """Return whether a cookie is that of a login by this source which still lasts."""
        end, owner = self._of.get(_hash(cookie), (0.0, source))
        return self._now() < end and owner == source

    def remove(self, cookie: str) -> None:
        """End a login."""
        self._of.pop(_hash(cookie), None)


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="surrogatepass")).digest()


def _form(message: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return HTMLResponse(_PAGE.format(message=message), status, headers)


def _unauthorized(sentence: str) -> HTTPException:
    return HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"})


def _ask_for_token(request: HTTPConnection) -> Response:
    """Return the answer to a request without a token: for a person, the way to the login form."""
    is_page = request.scope["method"] == "GET"
    if is_page and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(LOGIN_PATH, 303)
    response = error_response(NEEDED, 401)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _is_public(scope: Scope) -> bool:
    return scope["path"] in _PUBLIC or (scope["path"] == ASK_PATH and _is_of_this_machine(scope))


def _is_of_this_machine(scope: Scope) -> bool:
    """Return whether a request comes from the address at which it has arrived."""
    client, server = scope["client"], scope["server"]
    return client is not None and server is not None and client[0] == server[0]


def _address(request: HTTPConnection) -> Address | None:
    client = request.client
    return None if client is None else Address.of((client.host, client.port))
