"""Applies a policy to the clients of one route or service: lists, limits and rates.

The remote applies its own policies. The origin applies those of its services, which narrow them.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from quictunnel.config.policy import Policy
from quictunnel.events import ClientEnding
from quictunnel.protocol.address import Address
from quictunnel.protocol.source import Source, source_of
from quictunnel.relay.idle_timer import IdleTimer
from quictunnel.relay.rate_limit import RateLimit
from quictunnel.relay.relay import NO_LIMITS, Relay, RelayLimits
from quictunnel.session.rejection import Rejection

MAX_SOURCES = 65_536
"""Sources whose rate is remembered, some 10 MB. The one that is idle for longest is dropped."""

_MINUTE = 60.0


class Gate:
    """Accepts or rejects the clients of one route or service, and limits those it has accepted.

    :param now: the clock, in seconds.
    :param where: the route or service in words, for reasons.
    """

    def __init__(self, policy: Policy, now: Callable[[], float], where: str) -> None:
        self._policy = policy
        self._has_lists = bool(policy.allow or policy.deny)
        self._now = now
        self._where = where
        self._total = 0
        self._by_source: dict[Source, int] = {}
        self._tokens: OrderedDict[Source, tuple[float, float]] = OrderedDict()
        self._rate: RateLimit | None = None  # of all clients together, once there was one
        self._idle_timer: IdleTimer[Relay] | None = None  # of the policy, once a client needed it

    @property
    def is_empty(self) -> bool:
        """Whether every client that has entered has left."""
        return not self._total

    def apply(self, policy: Policy) -> None:
        """Replace the rules. Connected clients stay. Those that share a rate get the new one."""
        if policy.idle_timeout != self._policy.idle_timeout:
            self._idle_timer = None
        self._policy = policy
        self._has_lists = bool(policy.allow or policy.deny)
        if self._rate is not None:
            self._rate.change(policy.rate)

    def enter(self, address: Address | None) -> Rejection | None:
        """Count a new client, and call `leave` later; or return why it is rejected.

        :param address: None if it is unknown. Lists then reject the client.
        """
        policy = self._policy
        if self._has_lists and not self._is_listed(address):
            sentence = (
                "needs an address, and the client has none"
                if address is None
                else "does not allow the address"
            )
            return Rejection(ClientEnding.POLICY, f"the policy of {self._where} {sentence}")
        source = source_of(address)
        if policy.max_clients is not None and self._total >= policy.max_clients:
            return _limit(f"the limit of clients is reached ({policy.max_clients})")
        count, limit = self._by_source.get(source, 0), policy.max_clients_per_address
        if limit is not None and count >= limit:
            return _limit(f"the limit per address is reached ({limit})")
        if policy.max_rate_per_address is not None and not self._take_token(source):
            rate = policy.max_rate_per_address
            return _limit(f"the rate per address is exceeded ({rate} a minute)")
        self._total += 1
        self._by_source[source] = count + 1
        return None

    def limits(self) -> RelayLimits:
        """Return the limits of the relay of a client that has entered."""
        policy = self._policy
        rates: tuple[RateLimit, ...] = ()
        if policy.rate_per_client is not None:
            rates += (RateLimit(policy.rate_per_client),)
        if policy.rate is not None:
            self._rate = self._rate or RateLimit(policy.rate)
            rates += (self._rate,)
        if policy.idle_timeout is not None and self._idle_timer is None:
            self._idle_timer = IdleTimer(policy.idle_timeout, Relay.idle_expired)
        if not rates and self._idle_timer is None:
            return NO_LIMITS
        return RelayLimits(rates, self._idle_timer)

    def leave(self, address: Address | None) -> None:
        """Count an accepted client as gone."""
        source = source_of(address)
        self._total -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]

    def _is_listed(self, address: Address | None) -> bool:
        """Return whether the lists accept an address."""
        if address is None:
            return False
        host, policy = ipaddress.ip_address(address.host), self._policy
        return host not in policy.deny and (not policy.allow or host in policy.allow)

    def _take_token(self, source: Source) -> bool:
        """Take a token from the source's bucket; return False if it is empty."""
        now, rate = self._now(), self._policy.max_rate_per_address
        assert rate is not None
        tokens, filled_at = self._tokens.pop(source, (float(rate), now))
        tokens = min(rate, tokens + (now - filled_at) * rate / _MINUTE)
        has_token = tokens >= 1
        self._tokens[source] = (tokens - has_token, now)
        if len(self._tokens) > MAX_SOURCES:
            self._tokens.popitem(last=False)
        return has_token


def _limit(reason: str) -> Rejection:
    return Rejection(ClientEnding.LIMIT, reason)
