"""Reads the host that the first request of an HTTP/1 connection names (RFC 9112, section 3.2).

The head is only read: the remote forwards its bytes as they are. Whatever two servers could read
differently is therefore an error, so that no origin server sees a host other than the one that
selected it. h11 is not used for that reason: it accepts bare LF and joins folded lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from quictunnel.config.host_names import is_ip_literal, normalise_host
from quictunnel.errors import ProtocolError

MAX_REQUEST_HEAD = 16 * 1024
"""Bytes of the longest head, with its empty line. Servers usually accept 8 to 64 KiB."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD_NAME = re.compile(_TOKEN)
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/([0-9]\.[0-9])")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*).*", re.IGNORECASE)
_AUTHORITY = re.compile(rb"(?:\[(.*)\]|([^:\[\]]+))(?::[0-9]{0,5})?")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no line has (RFC 9110, section 5.5). CR and LF count: they only end a line."""


@dataclass(frozen=True, slots=True)
class RequestHost:
    """The host that a complete request head asks for."""

    name: str | None
    """As `normalise_host` returns it; None if the request names no host, or an IP address."""

    is_head: bool = False
    """Whether the method is HEAD, so that a response has no content."""


class RequestHeadError(ProtocolError):
    """The first bytes of a client are no request head that all servers read alike.

    :param status: the HTTP status to answer with.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestHostReader:
    """Reads the head of a connection's first request. Unusable after it has returned or raised.

    It keeps one line, of at most MAX_REQUEST_HEAD bytes. The work is linear in the number of bytes,
    even if they arrive one by one.
    """

    __slots__ = ("_has_host", "_host", "_line", "_request", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._line = bytearray()
        self._request: _Request | None = None
        self._has_host = False
        self._host: str | None = None

    def feed(self, data: bytes) -> RequestHost | None:
        """Return the host once the head is whole, or None while more is needed.

        Bytes after the head's empty line are ignored.

        :raises RequestHeadError: at the first character or line that a head cannot have, or if the
            head is longer than MAX_REQUEST_HEAD.
        """
        at, end = 0, min(len(data), MAX_REQUEST_HEAD - self._size)
        self._size += end
        while at < end:
            newline = data.find(b"\n", at, end)
            if newline < 0:
                self._extend_line(data[at:end])
                break
            self._extend_line(data[at:newline])
            at = newline + 1
            if (found := self._end_line()) is not None:
                return found
        if self._size >= MAX_REQUEST_HEAD:
            raise self._too_large()
        return None

    def _extend_line(self, piece: bytes) -> None:
        """Add a piece of a line, and check its characters. A CR at its end may be part of CRLF."""
        line = self._line
        unchecked = max(0, len(line) - 1)
        line += piece
        if _CONTROL.search(line, unchecked, len(line) - line.endswith(b"\r")):
            raise _bad("control character in the head of a request")

    def _end_line(self) -> RequestHost | None:
        """Take the line, which LF has ended. Return the host if it is the head's empty line."""
        if not self._line.endswith(b"\r"):
            raise _bad("line that does not end in CRLF")
        line = bytes(self._line[:-1])
        self._line.clear()
        if self._request is None:
            self._request = _read_request_line(line)
        elif line:
            self._take_field(line)
        else:
            return self._finish(self._request)
        return None

    def _take_field(self, line: bytes) -> None:
        """Check a field line, and note the value of Host."""
        name, colon, value = line.partition(b":")
        # A folded line begins with a space (RFC 9112, section 5.2), and is refused here too.
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise _bad("malformed header field")
        if name.lower() != b"host":
            return
        if self._has_host:
            raise _bad("two Host fields")
        self._has_host = True
        authority = value.strip(b" \t")
        if authority:  # an empty one is legal for a target without a host
            self._host = _read_authority(authority)

    def _finish(self, request: _Request) -> RequestHost:
        """Return the host of a whole head."""
        if not self._has_host and request.needs_host:
            raise _bad("HTTP/1.1 request without Host")
        if not request.is_absolute:
            return RequestHost(self._host, request.is_head)
        # The target counts, not Host (RFC 9112, section 3.2.2), but not every server knows that.
        if self._has_host and self._host != request.host:
            raise _bad("Host differs from the host in the request target")
        return RequestHost(request.host, request.is_head)

    def _too_large(self) -> RequestHeadError:
        if self._request is None:
            return RequestHeadError(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"request line of more than {MAX_REQUEST_HEAD} bytes",
            )
        return RequestHeadError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"request head of more than {MAX_REQUEST_HEAD} bytes",
        )


def response(status: int, sentence: str, *, is_head: bool = False) -> bytes:
    """Return a whole HTTP/1.1 response with one line of text, after which the connection ends.

    :param status: one that HTTP defines.
    :param sentence: the text. It contains no input of the client.
    :param is_head: whether it answers a HEAD request, and so has no content.
    """
    content = f"{sentence}\n".encode()
    head = (
        f"HTTP/1.1 {status:d} {HTTPStatus(status).phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else content)


@dataclass(frozen=True, slots=True)
class _Request:
    """The facts of a request line that matter for the host."""

    needs_host: bool
    is_head: bool
    is_absolute: bool
    host: str | None
    """The host of an absolute target."""


def _read_request_line(line: bytes) -> _Request:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _bad("malformed request line")
    method, target, version = match.groups()
    if version not in (b"1.0", b"1.1"):
        raise RequestHeadError(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP version other than 1.0 and 1.1"
        )
    if method == b"CONNECT":
        raise RequestHeadError(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is only for proxies")
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None and not target.startswith(b"/") and (method, target) != (b"OPTIONS", b"*"):
        raise _bad("malformed request target")
    return _Request(
        needs_host=version == b"1.1",
        is_head=method == b"HEAD",
        is_absolute=absolute is not None,
        host=None if absolute is None else _read_authority(absolute[1]),
    )


def _read_authority(authority: bytes) -> str | None:
    """Return the host of `HOST[:PORT]`; None if it is an IP address."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not authority.isascii():
        raise _bad("malformed host")
    if match[1] is not None:
        address = match[1].decode()
        if ":" not in address or not is_ip_literal(address):
            raise _bad("malformed IPv6 address in brackets")
        return None
    text = match[2].decode()
    name = normalise_host(text)
    if name is None and not is_ip_literal(text):
        raise _bad("malformed host")
    return name


def _bad(message: str) -> RequestHeadError:
    return RequestHeadError(HTTPStatus.BAD_REQUEST, message)
