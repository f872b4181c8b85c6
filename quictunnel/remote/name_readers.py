"""Select a client's route by the host name in its first bytes, and phrase answers to clients."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, TypeAlias

from quictunnel.config.hosts import HostName
from quictunnel.events import ClientEnding
from quictunnel.protocol.client_hello import (
    ClientHelloError,
    ClientHelloReader,
    unrecognized_name_alert,
)
from quictunnel.protocol.http_host import RequestHeadError, RequestHostReader, response
from quictunnel.remote.routes import Route
from quictunnel.session.rejection import Rejection

Find: TypeAlias = Callable[[HostName | None], Route | None]
"""Returns the route of a host name, or of clients without one; None if there is none."""


class ClientRefusedError(Exception):
    """A client that gets no route.

    :param kind: why, in a word.
    :param reason: why, for the log.
    :param answer: the last bytes for the client; empty for a reset.
    """

    def __init__(self, kind: ClientEnding, reason: str, answer: bytes) -> None:
        super().__init__(reason)
        self.rejection = Rejection(kind, reason)
        self.answer = answer


class NameReader(Protocol):
    """Reads the first bytes of one client."""

    @property
    def name(self) -> HostName | None:
        """The name that was read; None before that, or if the client names no host."""

    def feed(self, data: bytes) -> Route | None:
        """Return the route once the name is known, or None while more bytes are needed.

        :raises ClientRefusedError: the bytes are malformed, or no route has the name.
        """

    def timed_out(self) -> ClientRefusedError:
        """Return the refusal of a client that does not name its host in time."""

    def no_origin(self) -> bytes:
        """Return the last bytes for a client whose route has no origin; empty for a reset."""


class TlsNameReader:
    """Reads the server name in a ClientHello. Refusals are alerts."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._reader = ClientHelloReader()
        self.name: HostName | None = None
        """See `NameReader`."""

    def feed(self, data: bytes) -> Route | None:
        """See `NameReader`."""
        try:
            found = self._reader.feed(data)
        except ClientHelloError as exc:
            raise ClientRefusedError(ClientEnding.MALFORMED, str(exc), exc.answer) from exc
        if found is None:
            return None
        self.name = found.name
        if (route := self._find(found.name)) is None:
            raise ClientRefusedError(
                ClientEnding.UNKNOWN_HOST, _unknown(found.name), unrecognized_name_alert()
            )
        return route

    def timed_out(self) -> ClientRefusedError:
        """See `NameReader`."""
        return ClientRefusedError(ClientEnding.TIMEOUT, "no ClientHello in time", b"")

    def no_origin(self) -> bytes:
        """See `NameReader`. TLS has no alert for it, so the client is reset as at a port."""
        return b""


class HttpNameReader:
    """Reads the host of a connection's first HTTP/1 request. Refusals are responses."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._reader = RequestHostReader()
        self.name: HostName | None = None
        """See `NameReader`."""
        self._has_begun = False
        self._is_head = False

    def feed(self, data: bytes) -> Route | None:
        """See `NameReader`."""
        self._has_begun = True
        try:
            found = self._reader.feed(data)
        except RequestHeadError as exc:
            answer = self._answer(exc.status, str(exc))
            raise ClientRefusedError(ClientEnding.MALFORMED, str(exc), answer) from exc
        if found is None:
            return None
        self.name, self._is_head = found.name, found.is_head
        if (route := self._find(found.name)) is None:
            sentence = "no site is configured for this host name"
            answer = self._answer(HTTPStatus.NOT_FOUND, sentence)
            raise ClientRefusedError(ClientEnding.UNKNOWN_HOST, _unknown(found.name), answer)
        return route

    def timed_out(self) -> ClientRefusedError:
        """See `NameReader`. Browsers open connections in advance, and these need no answer."""
        reason = "no complete HTTP request head in time"
        answer = self._answer(HTTPStatus.REQUEST_TIMEOUT, reason) if self._has_begun else b""
        return ClientRefusedError(ClientEnding.TIMEOUT, reason, answer)

    def no_origin(self) -> bytes:
        """See `NameReader`."""
        return http_no_origin(is_head=self._is_head)

    def _answer(self, status: HTTPStatus, sentence: str) -> bytes:
        return response(status, sentence, is_head=self._is_head)


def http_no_origin(*, is_head: bool = False) -> bytes:
    """Return the HTTP response to a request whose route has no origin."""
    sentence = "the server of this site is not connected right now"
    return response(HTTPStatus.SERVICE_UNAVAILABLE, sentence, is_head=is_head)


def _unknown(name: HostName | None) -> str:
    if name is None:
        return "the client names no host, and no service is the fallback '*'"
    return f"no service has the host name {name}"
