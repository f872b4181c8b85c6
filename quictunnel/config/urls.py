"""Parses URLs of web servers. It resolves no names and opens no sockets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from quictunnel.config.addresses import HostPort, parse_target
from quictunnel.errors import SettingsError

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The port of a URL without one, by its scheme."""

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)


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
        if self.server.port != DEFAULT_PORTS[self.scheme]:
            return str(self.server)
        return str(self.server).removesuffix(f":{self.server.port}")

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_http_url(text: str, what: str, example: str) -> HttpUrl:
    """Parse a URL such as `http://localhost:8000/healthz`.

    :param what: what the URL is for, for errors: "a check".
    :param example: what to write instead of something else.
    :raises SettingsError: it is no such URL, or has a user name, a password or a fragment.
    """
    if not _VISIBLE.fullmatch(text):
        raise SettingsError(
            f"{text!r} is not {what}: a URL has neither spaces nor letters beyond ASCII"
        )
    try:
        url = urlsplit(text)
    except ValueError:
        url = None
    if url is None or url.scheme not in DEFAULT_PORTS or not url.netloc:
        raise SettingsError(f"{text!r} is not {what}; write {example}")
    if "@" in url.netloc:
        # The error does not repeat the password.
        raise SettingsError(f"{what} has no user name and no password; remove them from the URL")
    if url.fragment:
        raise SettingsError(f"{text!r} has a part after '#', which no server gets; remove it")
    path = url.path or "/"
    return HttpUrl(
        "https" if url.scheme == "https" else "http",
        parse_target(url.netloc, DEFAULT_PORTS[url.scheme]),
        f"{path}?{url.query}" if url.query else path,
    )
