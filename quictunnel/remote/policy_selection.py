"""Selects the policy of a place: the most specific one counts."""

from __future__ import annotations

from collections.abc import Mapping

from quictunnel.config.policy import Place, Policy
from quictunnel.config.ports import PortRange
from quictunnel.protocol.host_names import HostTable


class PolicyTable:
    """The policies of a remote, by the places that they are for.

    A lookup does not slow down with their number.
    """

    def __init__(self, policies: Mapping[Place, Policy]) -> None:
        self._policies = policies
        # The smallest range comes first.
        self._ranges = sorted(
            (place for place in policies if isinstance(place, PortRange)),
            key=lambda ports: ports.size,
        )
        self._hosts: HostTable[str] = HostTable()
        for place in policies:
            if isinstance(place, str):
                self._hosts.set(place, place)
        self._by_port: dict[PortRange, PortRange | None] = {}
        """The results for single ports."""

    def __bool__(self) -> bool:
        """Return whether there is any policy."""
        return bool(self._policies)

    def find(self, place: Place) -> tuple[Place, Policy] | None:
        """Return the policy for the clients of a place, after the place that it is for.

        For ports, it is that of the smallest range that contains them; for a host name or a
        wildcard, that of the name itself, of the longest wildcard that covers it, or of `*`.

        :returns: None if there is none.
        """
        if isinstance(place, PortRange):
            place = self._range_of(place)
        elif place is not None:
            place = self._hosts.find(place)
        elif place in self._policies:
            return None, self._policies[None]
        return None if place is None else (place, self._policies[place])

    def _range_of(self, ports: PortRange) -> PortRange | None:
        """Return the smallest range that contains some ports."""
        if ports in self._by_port:
            return self._by_port[ports]
        smallest = next((each for each in self._ranges if ports in each), None)
        if ports.size == 1:
            self._by_port[ports] = smallest
        return smallest
