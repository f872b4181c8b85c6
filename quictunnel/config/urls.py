"""Parses URLs of web servers and of WebSockets. It resolves no names and opens no sockets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from quictunnel.config.addresses import HostPort, parse_target
from quictunnel.errors import SettingsError

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The port of a URL without one, by its scheme."""

WEBSOCKET_PORTS = {"ws": 80, "wss": 443}
"""The port of a WebSocket's URL without one, by its scheme (RFC 6455, section 3)."""

WEBSOCKET_PATH = "/quictunnel"
"""The path of a remote's WebSocket, unless its settings say otherwise."""

_VISIBLE = re.compile(r"[!-~]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """A URL that can be requested."""

    scheme: Literal["http", "https"]

    server: HostPort
    """The host and port to connect to."""

    path: str
    """The path and the query, as in a request line."""

    @property
    def authority(self) -> str:
        """The host as a request names it: without a port that is the scheme's default."""
        return _authority(self.server, DEFAULT_PORTS[self.scheme])

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class WebSocketUrl:
    """A URL at which a WebSocket can be opened."""

    scheme: Literal["ws", "wss"]

    server: HostPort
    """The host and port to connect to."""

    path: str
    """The path and the query, as in a request line."""

    @property
    def authority(self) -> str:
        """The host as a request names it: without a port that is the scheme's default."""
        return _authority(self.server, WEBSOCKET_PORTS[self.scheme])

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_http_url(text: str, what: str, example: str) -> HttpUrl:
    """Parse a URL such as `http://localhost:8000/healthz`.

    :param what: what the URL is for, for errors: "a check".
    :param example: what to write instead of something else.
    :raises SettingsError: it is no such URL, or has a user name, a password or a fragment.
    """
    scheme, server, path = _parse(text, what, example, DEFAULT_PORTS)
    return HttpUrl("https" if scheme == "https" else "http", server, path or "/")


def parse_websocket_url(text: str) -> WebSocketUrl:
    """Parse a URL such as `wss://vps.example.com/quictunnel`.

    A URL without a path has the remote's default path.

    :raises SettingsError: it is no such URL, or has a user name, a password or a fragment.
    """
    example = f"wss://vps.example.com{WEBSOCKET_PATH}"
    scheme, server, path = _parse(text, "a URL of a WebSocket", example, WEBSOCKET_PORTS)
    return WebSocketUrl("wss" if scheme == "wss" else "ws", server, path or WEBSOCKET_PATH)


def _authority(server: HostPort, default_port: int) -> str:
    if server.port != default_port:
        return str(server)
    return str(server).removesuffix(f":{server.port}")


def _parse(
    text: str, what: str, example: str, ports: Mapping[str, int]
) -> tuple[str, HostPort, str]:
    """Return the scheme, the server, and the path with the query, which may be empty."""
    if "@" in text.partition("://")[2].partition("/")[0]:
        # The error does not repeat the password.
        raise SettingsError(f"{what} has no user name and no password; remove them from the URL")
    if not _VISIBLE.fullmatch(text):
        raise SettingsError(
            f"{text!r} is not {what}: a URL has neither spaces nor letters beyond ASCII"
        )
    try:
        url = urlsplit(text)
    except ValueError:
        url = None
    if url is None or url.scheme not in ports or not url.netloc:
        raise SettingsError(f"{text!r} is not {what}; write {example}")
    if url.fragment:
        raise SettingsError(f"{text!r} has a part after '#', which no server gets; remove it")
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path
    return url.scheme, parse_target(url.netloc, ports[url.scheme]), path
