"""Keeps the gates of a remote: each counts the clients of one route that one policy is for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from quictunnel.config.policy import ACCEPT_ALL, Place, Policy, describe_place
from quictunnel.protocol.address import Address
from quictunnel.remote.policy_selection import PolicyTable
from quictunnel.session.gate import Gate


@dataclass(eq=False, frozen=True, slots=True)
class PlaceGate:
    """A gate, and what it is for."""

    route: str
    """The key of the route."""

    place: Place
    """The place of the policy, which may be wider or narrower than that of the route."""

    gate: Gate


class PlaceGates:
    """The gates of all routes.

    A route has a gate for each policy that its clients have needed. An origin chooses the places
    that it asks for, but not the policies. So a wide range or a wildcard does not avoid the policy
    of a port or a name in it.

    The gate of a closed route stays until its last client has left. The clients therefore still
    count if an origin closes and opens its places in turn.
    """

    def __init__(self, policies: Mapping[Place, Policy]) -> None:
        self._policies = PolicyTable(policies)
        self._gates: dict[str, dict[Place, PlaceGate]] = {}  # by the key of the route
        self._closed: set[str] = set()
        """The keys of closed routes whose gates still count clients."""

    def __len__(self) -> int:
        """Return the number of gates."""
        return sum(map(len, self._gates.values()))

    @property
    def has_policies(self) -> bool:
        """Whether any place has a policy."""
        return bool(self._policies)

    def apply(self, policies: Mapping[Place, Policy]) -> None:
        """Replace the policies. Gates whose policy is gone get the next more general one."""
        self._policies = PolicyTable(policies)
        for gates in self._gates.values():
            for place, counted in gates.items():
                found = self._policies.find(place)
                counted.gate.apply(ACCEPT_ALL if found is None else found[1])

    def obtain(self, route: str, place: Place) -> PlaceGate | None:
        """Return the gate for a client of an open route; None if no policy is for it.

        :param route: the key of the route.
        :param place: the one port or the one name that the client has chosen.
        """
        found = self._policies.find(place)
        if found is None:
            return None
        self._closed.discard(route)
        gates = self._gates.setdefault(route, {})
        policy_place, policy = found
        if policy_place not in gates:
            gate = Gate(policy, time.monotonic, describe_place(policy_place))
            gates[policy_place] = PlaceGate(route, policy_place, gate)
        return gates[policy_place]

    def leave(self, counted: PlaceGate, address: Address | None) -> None:
        """Count a client as gone that has entered a gate."""
        counted.gate.leave(address)
        if counted.route in self._closed and counted.gate.is_empty:
            self._remove(counted)

    def close_route(self, route: str) -> None:
        """Forget the gates of a closed route, as soon as they are empty."""
        self._closed.add(route)
        for counted in tuple(self._gates.get(route, {}).values()):
            if counted.gate.is_empty:
                self._remove(counted)
        if route not in self._gates:
            self._closed.discard(route)

    def _remove(self, counted: PlaceGate) -> None:
        gates = self._gates[counted.route]
        del gates[counted.place]
        if not gates:
            del self._gates[counted.route]
            self._closed.discard(counted.route)
