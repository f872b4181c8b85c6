"""Applies a policy to the clients of one route: lists, limits and rates."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from quictunnel.config.addresses import Network
from quictunnel.config.policy import Place, Policy, describe_place
from quictunnel.protocol.address import Address

IPV6_SOURCE_BITS = 64
"""Bits of an IPv6 address that identify a client's network. A client chooses the others."""

MAX_SOURCES = 65_536
"""Sources whose rate is remembered, some 10 MB. The one that is idle for longest is dropped."""

_MINUTE = 60.0

Source: TypeAlias = str
"""An IPv4 address, or the network of an IPv6 address."""


def source_of(address: Address) -> Source:
    """Return the source of a client, for which limits per address count."""
    host = ipaddress.ip_address(address.host)
    if isinstance(host, ipaddress.IPv4Address):
        return str(host)
    return str(ipaddress.ip_network((host, IPV6_SOURCE_BITS), strict=False))


class Gate:
    """Accepts or rejects the clients of one route.

    :param now: the clock, in seconds.
    :param place: the place of the route.
    """

    def __init__(self, policy: Policy, now: Callable[[], float], place: Place = None) -> None:
        self.place = place
        self.policy = policy
        """The rules. They may be replaced; clients that are connected stay."""
        self._now = now
        self._total = 0
        self._by_source: Counter[Source] = Counter()
        self._tokens: OrderedDict[Source, tuple[float, float]] = OrderedDict()

    def enter(self, address: Address) -> str | None:
        """Count a new client, and call `leave` later; or return why it is rejected."""
        policy, host = self.policy, ipaddress.ip_address(address.host)
        if _is_in(host, policy.deny) or (policy.allow and not _is_in(host, policy.allow)):
            return f"the policy of {describe_place(self.place)} does not allow the address"
        source = source_of(address)
        if policy.max_clients is not None and self._total >= policy.max_clients:
            return f"the limit of clients is reached ({policy.max_clients})"
        limit = policy.max_clients_per_address
        if limit is not None and self._by_source[source] >= limit:
            return f"the limit per address is reached ({limit})"
        if not self._take_token(source):
            return f"the rate per address is exceeded ({policy.max_rate_per_address} a minute)"
        self._total += 1
        self._by_source[source] += 1
        return None

    def leave(self, address: Address) -> None:
        """Count an accepted client as gone."""
        source = source_of(address)
        self._total -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]

    def _take_token(self, source: Source) -> bool:
        """Take a token from the source's bucket; return False if it is empty."""
        rate = self.policy.max_rate_per_address
        if rate is None:
            return True
        now = self._now()
        tokens, filled_at = self._tokens.pop(source, (float(rate), now))
        tokens = min(rate, tokens + (now - filled_at) * rate / _MINUTE)
        has_token = tokens >= 1
        self._tokens[source] = (tokens - has_token, now)
        if len(self._tokens) > MAX_SOURCES:
            self._tokens.popitem(last=False)
        return has_token


def _is_in(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: tuple[Network, ...]
) -> bool:
    return any(host in network for network in networks)
