"""Selects the policy of a place: the most specific one counts."""

from __future__ import annotations

from collections.abc import Mapping

from quictunnel.config.host_names import covers
from quictunnel.config.policy import ACCEPT_ALL, Place, Policy
from quictunnel.config.ports import PortRange


def select_policy(policies: Mapping[Place, Policy], place: Place) -> Policy:
    """Return the policy for the clients of a place.

    For ports, it is that of the smallest range that contains them; for a host name, that of the
    name itself, of the longest wildcard that covers it, or of `*`.
    """
    if place is None:
        return policies.get(None, ACCEPT_ALL)
    if isinstance(place, PortRange):
        ranges = [each for each in policies if isinstance(each, PortRange) and place in each]
        smallest = min(ranges, key=lambda each: each.size, default=None)
        return ACCEPT_ALL if smallest is None else policies[smallest]
    if place in policies:
        return policies[place]
    hosts = [each for each in policies if isinstance(each, str) and covers(each, place)]
    longest = max(hosts, key=len, default=None)
    return ACCEPT_ALL if longest is None else policies[longest]
