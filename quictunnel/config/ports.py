"""Ports of the remote: one, a range, or any that is free."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from quictunnel.errors import SettingsError

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`, both included."""

    HIGHEST: ClassVar[int] = 65535

    first: int
    last: int

    @property
    def size(self) -> int:
        """The number of ports."""
        return self.last - self.first + 1

    @property
    def where(self) -> str:
        """The ports in words: `port 2222`, `ports 50000-50100` or `a free port`."""
        if self == AUTO:
            return "a free port"
        return f"port {self}" if self.size == 1 else f"ports {self}"

    def __str__(self) -> str:
        """Return `2222`, `50000-50100` or `auto`."""
        if self == AUTO:
            return "auto"
        return str(self.first) if self.size == 1 else f"{self.first}-{self.last}"

    def __contains__(self, other: PortRange) -> bool:
        """Return whether all ports of another range are in this one."""
        return self.first <= other.first and other.last <= self.last

    def overlaps(self, other: PortRange) -> bool:
        """Return whether a port is in both ranges."""
        return self.first <= other.last and other.first <= self.last


AUTO = PortRange(0, 0)
"""Any free port."""


class AllowedPorts:
    """Ports that may be asked for. A lookup does not slow down with their number.

    :param ranges: the ports. Ranges may overlap.
    """

    def __init__(self, ranges: Iterable[PortRange]) -> None:
        in_order = sorted(ranges, key=lambda ports: ports.first)
        self._firsts = [ports.first for ports in in_order]
        # The highest port of any range that begins so early.
        self._lasts = list(accumulate((ports.last for ports in in_order), max))

    def __contains__(self, ports: PortRange) -> bool:
        """Return whether one of the ranges has all of these ports."""
        earlier = bisect_right(self._firsts, ports.first)
        return earlier > 0 and ports.last <= self._lasts[earlier - 1]


def parse_ports(text: str) -> PortRange:
    """Parse `2222`, `50000-50100`, or `auto` for any free port.

    :raises SettingsError: it is anything else, or a port is not from 1 to 65535.
    """
    text = text.strip()
    if text == "auto":
        return AUTO
    return _parse_range(text, "2222, 50000-50100 or auto")


def parse_allowed_ports(text: str) -> PortRange:
    """Parse ports that origins may ask for: `2222` or `2000-2999`.

    :raises SettingsError: it is anything else.
    """
    return _parse_range(text.strip(), "2222 or 2000-2999")


def _parse_range(text: str, examples: str) -> PortRange:
    match = _PORTS.fullmatch(text)
    if match is None:
        raise SettingsError(f"{text!r} is not a port; write {examples}")
    first = int(match[1])
    last = int(match[2] or first)
    for port in (first, last):
        if not 1 <= port <= PortRange.HIGHEST:
            raise SettingsError(f"{port} is not a port from 1 to {PortRange.HIGHEST}")
    if last < first:
        raise SettingsError(f"{text!r} is empty; write the lower port first")
    return PortRange(first, last)
