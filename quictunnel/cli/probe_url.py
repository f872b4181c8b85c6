"""Parses the arguments of `quictunnel probe`: a URL of HTTP or of TCP, and statuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from quictunnel.config.addresses import HostPort, parse_target
from quictunnel.config.urls import HttpUrl, parse_http_url
from quictunnel.errors import SettingsError

_TCP = "tcp://"

_EXAMPLE = "https://www.example.com/ or tcp://vps.example.com:2222"

_STATUS = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TcpUrl:
    """An address to connect to."""

    server: HostPort
    """The host and port."""

    def __str__(self) -> str:
        """Return the URL."""
        return f"{_TCP}{self.server}"


ProbeUrl: TypeAlias = HttpUrl | TcpUrl


@dataclass(frozen=True, slots=True)
class StatusRange:
    """Statuses of HTTP that count as success."""

    first: int
    """The lowest one."""
    last: int
    """The highest one."""

    def __str__(self) -> str:
        """Return the range, or its only status."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, status: int) -> bool:
        """Return whether a status counts."""
        return self.first <= status <= self.last


def parse_probe_url(text: str) -> ProbeUrl:
    """Parse `https://www.example.com/path`, `http://...` or `tcp://HOST:PORT`.

    :raises SettingsError: it is anything else.
    """
    if text.lower().startswith(_TCP):
        return TcpUrl(parse_target(text[len(_TCP) :].removesuffix("/")))
    return parse_http_url(text, "a URL to probe", _EXAMPLE)


def parse_status(text: str) -> StatusRange:
    """Parse a status such as `200`, or a range such as `200-399`.

    :raises SettingsError: it is anything else, or the range is empty.
    """
    match = _STATUS.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is not a status; write for example 200 or 200-399")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise SettingsError(f"{text!r} has no status; write the lower one first")
    return StatusRange(first, last)
