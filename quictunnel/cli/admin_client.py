"""Sends requests to the admin interface of a running role, by its Unix socket or its URL.

Calls block. Each wait has a timeout, and each response a limit.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from quictunnel import __version__
from quictunnel.admin.paths import API
from quictunnel.cli.deadline import Deadline
from quictunnel.cli.server_events import MAX_LINE, ServerEvent, parse_events
from quictunnel.config.files import why
from quictunnel.config.urls import HttpUrl
from quictunnel.errors import ProtocolError, QuictunnelError, RoleUnavailable
from quictunnel.escaping import cut_sentence
from quictunnel.quic.system_store import system_tls_context

Answer = TypeVar("Answer")

TIMEOUT = 10.0
"""Seconds that the role has to accept the connection and to send the next part of a response."""

ANSWER_TIMEOUT = 60.0
"""Seconds that a complete response may take, however steadily its parts come."""

SILENCE = 45.0
"""Seconds without anything from a stream of events, which has a comment at least every 15."""

MAX_RESPONSE = 64 << 20
"""Bytes of the longest response. 1,024 services and 64 links with their histories have a tenth."""


class RequestRefused(QuictunnelError):
    """The role understands a request but does not do it. The message is its sentence."""


class AdminClient:
    """Asks one role.

    :param place: the role's Unix socket, or the URL of its admin interface.
    :param name: the role in errors: "the remote (process 123)".
    :param token: the token of an interface that needs one.
    """

    def __init__(self, place: Path | HttpUrl, name: str, token: str | None = None) -> None:
        self._place = place
        self.name = name
        self._token = token

    def get(self, resource: str, kind: type[Answer], **query: str | int) -> Answer:
        """Return what the role answers about a resource.

        :param resource: its path below the API, such as `status`.
        :param kind: the type of the answer. Members that it lacks are ignored.
        :raises RoleUnavailable: there is no answer, or not one of this type.
        """
        with (
            self._explained(),
            self._response("GET", resource, query, TIMEOUT) as (response, _),
        ):
            content = response.read(MAX_RESPONSE + 1)
            if len(content) > MAX_RESPONSE:
                raise RoleUnavailable(f"{self.name} sends too long an answer")
            if response.length:  # `read` with a limit does not notice
                raise http.client.IncompleteRead(content, response.length)
            try:
                return msgspec.json.decode(content, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise self._has_other_version() from None

    def post(self, resource: str) -> None:
        """Give the role a command.

        :raises RequestRefused: the role does not do it now.
        :raises RoleUnavailable: there is no answer.
        """
        with self._explained(), self._response("POST", resource, {}, TIMEOUT) as (response, _):
            response.read(MAX_LINE)  # the role can then close the connection in order

    def events(self, *, is_endless: bool, **query: str | int) -> Iterator[ServerEvent]:
        """Yield events as they come, until the role ends the stream.

        :param is_endless: whether the stream may take longer than `ANSWER_TIMEOUT`.
        :raises RoleUnavailable: there is no answer, or the connection is lost.
        """
        with (
            self._explained(),
            self._response("GET", "events", query, SILENCE) as (response, deadline),
        ):
            if is_endless:
                deadline.cancel()
            yield from parse_events(iter(lambda: response.readline(MAX_LINE), b""))

    @contextmanager
    def _response(
        self, method: str, resource: str, query: dict[str, str | int], timeout: float
    ) -> Iterator[tuple[http.client.HTTPResponse, Deadline]]:
        """Send a request, and provide its response, which has not been read, and its deadline.

        :raises TimeoutError: the deadline has passed.
        :raises RequestRefused: the status says that the role does not do it.
        :raises RoleUnavailable: the status says that this user may not ask, or that the role does
            not know the resource.
        """
        with contextlib.closing(self._connection(timeout)) as connection:
            connection.connect()
            deadline = Deadline(connection.sock, ANSWER_TIMEOUT)
            try:
                connection.request(
                    method,
                    self._path(resource, query),
                    body="{}" if method == "POST" else None,
                    headers=self._headers(method),
                )
                with connection.getresponse() as response:
                    if response.status >= http.HTTPStatus.MULTIPLE_CHOICES:
                        raise self._failure(method, response)
                    yield response, deadline
                if deadline.is_over:  # the end of a body without a length may be ours
                    raise TimeoutError
            except (OSError, http.client.HTTPException, QuictunnelError) as exc:
                if deadline.is_over:
                    raise TimeoutError from exc
                raise
            finally:
                deadline.cancel()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if isinstance(self._place, Path):
            return _UnixConnection(self._place, timeout)
        server = self._place.server
        if self._place.scheme == "http":
            return http.client.HTTPConnection(server.host, server.port, timeout=timeout)
        return http.client.HTTPSConnection(
            server.host, server.port, timeout=timeout, context=system_tls_context()
        )

    def _path(self, resource: str, query: dict[str, str | int]) -> str:
        base = "" if isinstance(self._place, Path) else self._place.path.rstrip("/")
        path = f"{base}{API}/{resource}"
        return f"{path}?{urlencode(query)}" if query else path

    def _headers(self, method: str) -> dict[str, str]:
        headers = {"User-Agent": f"quictunnel/{__version__}", "Connection": "close"}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _failure(self, method: str, response: http.client.HTTPResponse) -> QuictunnelError:
        """Return the error that a status means."""
        sentence = _sentence(response.read(MAX_LINE))
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            if self._token is None:
                return RoleUnavailable(
                    f"{self.name} needs a token; give it with --admin-token-file"
                )
            return RoleUnavailable(f"{self.name} does not accept the token of --admin-token-file")
        if method == "GET" and response.status == http.HTTPStatus.NOT_FOUND:
            return self._has_other_version()
        reason = sentence or f"HTTP status {response.status}"
        if response.status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT):
            return RequestRefused(reason)
        return RoleUnavailable(f"{self.name} refuses the request: {reason}")

    def _has_other_version(self) -> RoleUnavailable:
        return RoleUnavailable(
            f"{self.name} is of another version than this command ({__version__}), and they do "
            "not understand each other; update both, and restart it"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the connection into one sentence.

        :raises RoleUnavailable: instead of them.
        """
        try:
            yield
        except PermissionError as exc:
            raise RoleUnavailable(
                f"permission denied: {self.name} runs as another user; use sudo, or run this "
                "command as that user"
            ) from exc
        except ssl.SSLError as exc:
            detail = getattr(exc, "verify_message", None) or exc.reason or str(exc)
            raise RoleUnavailable(f"TLS with {self.name} failed: {detail}") from exc
        except TimeoutError as exc:
            raise RoleUnavailable(f"{self.name} does not answer") from exc
        except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead) as exc:
            # http.client.RemoteDisconnected is a ConnectionResetError.
            raise RoleUnavailable(f"the connection to {self.name} was lost: it has ended") from exc
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise RoleUnavailable(f"{self.name} does not run: {why(exc)}") from exc
        except (OSError, UnicodeError) as exc:
            reason = why(exc) if isinstance(exc, OSError) else str(exc)
            raise RoleUnavailable(f"cannot connect to {self.name}: {reason}") from exc
        except (http.client.HTTPException, ProtocolError) as exc:
            raise RoleUnavailable(
                f"{self.name} gives no valid HTTP response: is it an admin interface of quictunnel?"
            ) from exc


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        """Connect.

        :raises OSError: nothing listens there, or this user may not connect.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self._patience)
            sock.connect(os.fspath(self._path))
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def _sentence(body: bytes) -> str | None:
    """Return the sentence in the body of an error; None if it has none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = answer.get("error") if isinstance(answer, dict) else None
    return cut_sentence(error) if isinstance(error, str) else None
