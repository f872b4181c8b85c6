"""Reads the server name in a TLS ClientHello (RFC 8446, 4.1.2 and 5.1; RFC 6066, section 3).

Nothing is decrypted or changed: the remote looks at the first bytes of a client, and forwards them
as they are. With Encrypted Client Hello, the name is that of the outer hello.
"""

from __future__ import annotations

from dataclasses import dataclass

from quictunnel.config.host_names import is_ip_literal, normalise_host
from quictunnel.errors import ProtocolError

MAX_CLIENT_HELLO = 16 * 1024
"""Bytes of the longest ClientHello, with the headers of its records. Browsers send about 2 KiB."""

_MAX_FRAGMENT = 2**14
"""Bytes of a record without its header (RFC 8446, section 5.1)."""

_ALERT = 21
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0

_RECORD_HEADER = 5
_MESSAGE_HEADER = 4

# Descriptions of alerts (RFC 8446, section 6).
_UNEXPECTED_MESSAGE = 10
_RECORD_OVERFLOW = 22
_ILLEGAL_PARAMETER = 47
_DECODE_ERROR = 50
_UNRECOGNIZED_NAME = 112


@dataclass(frozen=True, slots=True)
class ServerName:
    """The name of the server that a complete ClientHello asks for."""

    name: str | None
    """As `normalise_host` returns it; None if the client names no host, or an IP address."""


class ClientHelloError(ProtocolError):
    """The first bytes of a client are no valid ClientHello.

    :param answer: the bytes to send before closing: an alert, or nothing to a client that does
        not speak TLS.
    """

    def __init__(self, message: str, answer: bytes) -> None:
        super().__init__(message)
        self.answer = answer


class ClientHelloReader:
    """Reads the ClientHello of one connection. Unusable after it has returned a name or raised.

    It keeps at most MAX_CLIENT_HELLO bytes. The work is linear in the number of bytes, even if they
    arrive one by one.
    """

    __slots__ = ("_header", "_message", "_record_left", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._header = bytearray()
        self._record_left = 0
        self._message = bytearray()

    def feed(self, data: bytes) -> ServerName | None:
        """Return the server name once the ClientHello is whole, or None while more is needed.

        Bytes after the ClientHello are ignored.

        :raises ClientHelloError: at the first byte that cannot be part of a ClientHello, or if it
            is longer than MAX_CLIENT_HELLO.
        """
        rest = memoryview(data)[: MAX_CLIENT_HELLO - self._size]
        self._size += len(rest)
        while rest:
            if not self._record_left:
                missing = _RECORD_HEADER - len(self._header)
                self._header += rest[:missing]
                rest = rest[missing:]
                self._check_header()
                continue
            content = rest[: self._record_left]
            rest = rest[len(content) :]
            self._record_left -= len(content)
            self._message += content
            if self._is_whole():
                return ServerName(_server_name(bytes(self._message[_MESSAGE_HEADER:])))
        if self._size >= MAX_CLIENT_HELLO:
            raise _too_long()
        return None

    def _check_header(self) -> None:
        """Check the part of a record's header that has arrived, and note the record's length."""
        header = self._header
        # The rest of the version means nothing (RFC 8446, section 5.1).
        if header[0] != _HANDSHAKE or (len(header) > 1 and header[1] != 3):
            if self._message:
                raise _error("another record inside a ClientHello", _UNEXPECTED_MESSAGE)
            raise ClientHelloError("the client does not speak TLS", b"")
        if len(header) < _RECORD_HEADER:
            return
        self._record_left = int.from_bytes(header[3:], "big")
        header.clear()
        if not self._record_left:
            raise _error("empty record inside a ClientHello", _UNEXPECTED_MESSAGE)
        if self._record_left > _MAX_FRAGMENT:
            raise _error("TLS record that is longer than TLS allows", _RECORD_OVERFLOW)

    def _is_whole(self) -> bool:
        """Return whether the message has arrived, after a check of the part that has."""
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise _error("TLS message that is no ClientHello", _UNEXPECTED_MESSAGE)
        if len(message) < _MESSAGE_HEADER:
            return False
        length = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")
        if _RECORD_HEADER + length > MAX_CLIENT_HELLO:
            raise _too_long()
        if len(message) < length:
            return False
        if len(message) > length or self._record_left:
            raise _error("record that continues after the ClientHello", _UNEXPECTED_MESSAGE)
        return True


def unrecognized_name_alert() -> bytes:
    """Return the alert that refuses a client whose server name has no service (RFC 6066, 3)."""
    return _alert(_UNRECOGNIZED_NAME)


class _Fields:
    """Takes fields from the front of a message's bytes."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next bytes, or raise if there are fewer."""
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise _malformed()
        self._at += size
        return taken

    def number(self, size: int) -> int:
        """Return the next number, which has this many bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, length_size: int) -> bytes:
        """Return the next vector, whose length is in front (RFC 8446, section 3.4)."""
        return self.take(self.number(length_size))


def _server_name(body: bytes) -> str | None:
    """Return the host name of a ClientHello without its message header."""
    fields = _Fields(body)
    fields.take(2 + 32)  # the version and the random value
    session_id = fields.vector(1)
    suites = fields.vector(2)
    compression = fields.vector(1)
    if len(session_id) > 32 or not suites or len(suites) % 2 or not compression:
        raise _malformed()
    if not fields:
        return None  # TLS 1.2 allows a hello without extensions
    extensions = _Fields(fields.vector(2))
    if fields:
        raise _malformed()
    names: bytes | None = None
    while extensions:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            if names is not None:
                raise _error("two server_name extensions", _ILLEGAL_PARAMETER)
            names = content
    return None if names is None else _host_name(names)


def _host_name(extension: bytes) -> str | None:
    """Return the host name of a server_name extension."""
    fields = _Fields(extension)
    names = _Fields(fields.vector(2))
    if fields or not names:
        raise _malformed()
    host: bytes | None = None
    while names:
        # Names of other kinds begin with their length too (RFC 6066, section 3).
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            if host is not None:
                raise _error("two host names in a ClientHello", _ILLEGAL_PARAMETER)
            host = name
    return None if host is None else _normal(host)


def _normal(host: bytes) -> str | None:
    """Return the name that routes are found by; None for an IP address.

    RFC 6066 allows neither an IP address nor a trailing dot, but clients send both.
    """
    text = host.decode("latin-1")
    name = normalise_host(text) if text.isascii() else None
    if name is None and not is_ip_literal(text):
        raise _error("server name that is no host name", _ILLEGAL_PARAMETER)
    return name


def _malformed() -> ClientHelloError:
    return _error("malformed ClientHello", _DECODE_ERROR)


def _too_long() -> ClientHelloError:
    return _error(f"ClientHello of more than {MAX_CLIENT_HELLO} bytes", _ILLEGAL_PARAMETER)


def _error(message: str, description: int) -> ClientHelloError:
    return ClientHelloError(message, _alert(description))


def _alert(description: int) -> bytes:
    """Return a record with a fatal alert. Its version is the one that every client accepts."""
    return bytes([_ALERT, 3, 3, 0, 2, 2, description])
