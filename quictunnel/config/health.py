"""Health checks: how an origin finds out whether the origin server of a service works."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from quictunnel.config.addresses import HostPort, parse_target
from quictunnel.config.units import format_duration
from quictunnel.errors import OutOfRange, SettingsError

TCP = "tcp"
"""The text of a check that only connects."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

_INTERVAL_RANGE = (0.1, 86_400.0)
_TIMEOUT_RANGE = (0.1, 3600.0)
_COUNT_RANGE = (1, 1000)

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class HealthUrl:
    """The URL that a check requests."""

    scheme: Literal["http", "https"]

    server: HostPort
    """The host and port to connect to."""

    path: str
    """The path and the query, as in a request line."""

    @property
    def authority(self) -> str:
        """The host as the request names it: without a port that is the scheme's default."""
        if self.server.port != _DEFAULT_PORTS[self.scheme]:
            return str(self.server)
        return str(self.server).removesuffix(f":{self.server.port}")

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How, and how often, an origin server is checked."""

    url: HealthUrl | None = None
    """The URL to request; None to connect to the origin server."""

    interval: float = 10.0
    """Seconds between two checks."""

    timeout: float = 5.0
    """Seconds that one check may take."""

    failures: int = 3
    """Failed checks in a row after which the server does not work."""

    successes: int = 1
    """Successful checks in a row after which it works again."""

    def __post_init__(self) -> None:
        """Check the numbers.

        :raises OutOfRange: one is out of its range.
        """
        for name, seconds, (least, most) in (
            ("check-interval", self.interval, _INTERVAL_RANGE),
            ("check-timeout", self.timeout, _TIMEOUT_RANGE),
        ):
            if not least <= seconds <= most:
                raise OutOfRange(
                    name,
                    f"must be between {format_duration(least)} and {format_duration(most)}, "
                    f"not {format_duration(seconds)}",
                )
        least, most = _COUNT_RANGE
        for name, count in (
            ("check-failures", self.failures),
            ("check-successes", self.successes),
        ):
            if not least <= count <= most:
                raise OutOfRange(name, f"must be from {least} to {most}, not {count}")


def parse_check(text: str) -> HealthUrl | None:
    """Parse `tcp`, which is None, or `http://localhost:8000/healthz`.

    :raises SettingsError: it is anything else.
    """
    if text == TCP:
        return None
    if not _VISIBLE.fullmatch(text):
        raise SettingsError(
            f"{text!r} is not a check: a URL has neither spaces nor letters beyond ASCII"
        )
    try:
        url = urlsplit(text)
    except ValueError:
        url = None
    if url is None or url.scheme not in _DEFAULT_PORTS or not url.netloc:
        raise SettingsError(f"{text!r} is not a check; write tcp or http://localhost:8000/healthz")
    if "@" in url.netloc:
        raise SettingsError("a check sends no user name and no password; remove them from the URL")
    if url.fragment:
        raise SettingsError(f"{text!r} has a part after '#', which no server gets; remove it")
    path = url.path or "/"
    return HealthUrl(
        "https" if url.scheme == "https" else "http",
        parse_target(url.netloc, _DEFAULT_PORTS[url.scheme]),
        f"{path}?{url.query}" if url.query else path,
    )
