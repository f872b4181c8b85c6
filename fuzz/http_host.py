"""Fuzz target: the first bytes of an HTTP client. Three other parsers must read the same host."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import h11
import httptools

from fuzz.fuzzer import run
from fuzz.outcomes import outcome_of_any_split
from quictunnel.config.host_names import normalise_host
from quictunnel.protocol.http_host import RequestHost, RequestHostReader

Fields = list[tuple[bytes, bytes]]


def check(data: bytes) -> None:
    """Check that a result does not depend on the split, and agrees with the other parsers."""
    found = outcome_of_any_split(RequestHostReader, data)
    if not isinstance(found, RequestHost):
        return
    assert found.name is None or normalise_host(found.name) == found.name
    for parse in PARSERS:
        seen = parse(data)
        if seen is None:
            continue
        target, fields = seen
        hosts = [value for name, value in fields if name.lower() == b"host"]
        assert len(hosts) <= 1, f"{parse.__name__} reads {len(hosts)} Host fields"
        for authority in hosts:
            assert _name(authority) == found.name, f"{parse.__name__} reads another host"
        if not hosts and found.name is not None:
            assert found.name.encode() in target.lower(), f"{parse.__name__} reads no host"


def _name(authority: bytes) -> str | None:
    """Return the name of a host and port that one of the parsers has returned."""
    return normalise_host(authority.decode("latin-1").strip(" \t").partition(":")[0])


def with_h11(data: bytes) -> tuple[bytes, Fields] | None:
    """Return the target and the fields that h11 reads; None if it refuses the head."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Request), "h11 reads no whole head"
    return event.target, list(event.headers)


class _Llhttp:
    """Takes what llhttp, the parser of Node.js, calls back with."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: Fields = []
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field, unless it is one of a trailer or of a second request."""
        if not self.is_whole:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Note the end of the head."""
        self.is_whole = True


def with_llhttp(data: bytes) -> tuple[bytes, Fields] | None:
    """Return the target and the fields that llhttp reads; None if it refuses the head."""
    head = _Llhttp()
    # It may refuse the bytes after the head too, and reports an upgrade as an error.
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(head).feed_data(data)
    return (head.target, head.fields) if head.is_whole else None


class _StandardHandler(BaseHTTPRequestHandler):
    """Reads a head as Python's own server does."""

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.wfile = io.BytesIO()
        self.client_address = ("192.0.2.1", 1024)
        self.raw_requestline = self.rfile.readline()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log nothing."""


def with_http_server(data: bytes) -> tuple[bytes, Fields] | None:
    """Return the target and the fields that http.server reads; None if it refuses the head."""
    handler = _StandardHandler(data)
    if not handler.parse_request():
        return None
    return handler.path.encode(), [
        (name.encode(), value.encode("latin-1")) for name, value in handler.headers.items()
    ]


PARSERS: list[Callable[[bytes], tuple[bytes, Fields] | None]] = [
    with_h11,
    with_llhttp,
    with_http_server,
]


if __name__ == "__main__":
    run("fuzz.http_host")
