"""Sets of IP networks, which are searched by bisection, and the files that list them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from quictunnel.config.addresses import Network, parse_network
from quictunnel.config.files import quoted, read_text
from quictunnel.errors import SettingsError

_MAX_TEXT = 64
"""Characters of a network, at most. An error quotes no more of a file that is not a list."""


class NetworkSet:
    """IP networks that do not change. A lookup takes microseconds, also among 10,000 networks.

    :param networks: they may overlap, and may be of both families.
    """

    __slots__ = ("_ranges",)

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        by_version: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for network in networks:
            addresses = (int(network.network_address), int(network.broadcast_address))
            by_version[network.version].append(addresses)
        self._ranges = {version: _merged(found) for version, found in by_version.items()}
        """By IP version: the first address of each range, in order, and the last of each."""

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        """Return whether an address is in one of the networks."""
        firsts, lasts = self._ranges[address.version]
        number = int(address)
        index = bisect_right(firsts, number) - 1
        return index >= 0 and number <= lasts[index]

    def __bool__(self) -> bool:
        """Return whether there is a network."""
        return any(firsts for firsts, _ in self._ranges.values())

    def __eq__(self, other: object) -> bool:
        """Return whether another set has the same addresses."""
        return isinstance(other, NetworkSet) and self._ranges == other._ranges

    def __hash__(self) -> int:
        """Return the hash of the addresses."""
        return hash(tuple(self._ranges.values()))


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the first and the last addresses of ranges, in order and without overlaps."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return tuple(firsts), tuple(lasts)


NO_NETWORKS = NetworkSet()


def read_networks(path: Path) -> list[Network]:
    """Return the networks of a file: one in each line. `#` starts a comment.

    :raises SettingsError: the file cannot be read or is larger than 1 MiB, or a line is no network.
    """
    what = "the list of networks"
    networks: list[Network] = []
    for number, line in enumerate(read_text(path, what).splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        place = f"{what} {quoted(path)}, line {number}"
        if len(text) > _MAX_TEXT:
            raise SettingsError(f"{place}: the line is too long for a network; write one a line")
        try:
            networks.append(parse_network(text))
        except SettingsError as exc:
            raise SettingsError(f"{place}: {exc}") from exc
    return networks
