"""Finds the value of a host name among patterns: the most specific pattern wins.

`config/host_names.py` has the rules for names and patterns.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from quictunnel.config.host_names import EVERY_HOST

T = TypeVar("T")


class HostTable(Generic[T]):
    """Values by pattern.

    Names are as `normalise_host` returns them, patterns as `parse_pattern` does. A lookup takes
    time in proportion to the name's labels, whatever the number of patterns.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, T] = {}

    def set(self, pattern: str, value: T) -> None:
        """Set the value of a pattern. It replaces an earlier value."""
        self._values[pattern] = value

    def remove(self, pattern: str) -> None:
        """Remove a pattern.

        :raises KeyError: it is not in the table.
        """
        del self._values[pattern]

    def find(self, name: str | None) -> T | None:
        """Return the value for a name: of the name itself, the longest wildcard, or `*`.

        :param name: None if the client has named no host, which finds only `*`.
        :returns: None if no pattern stands for the name.
        """
        values = self._values
        if name is not None:
            if name in values:
                return values[name]
            dot = name.find(".")
            while dot >= 0:
                pattern = "*" + name[dot:]
                if pattern in values:
                    return values[pattern]
                dot = name.find(".", dot + 1)
        return values.get(EVERY_HOST)
