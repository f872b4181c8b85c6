"""The rates of tokens, each shared by all clients of the token's origins."""

from __future__ import annotations

from collections.abc import Mapping

from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.relay.rate_limit import RateLimit


class TokenRates:
    """One `RateLimit` for each token that has a rate.

    It stays when the token loses its rate, because clients that still use it may get the next one.
    """

    def __init__(self) -> None:
        self._by_token: dict[str, RateLimit] = {}

    def limits(self, token_id: str, rate: int | None) -> tuple[RateLimit, ...]:
        """Return the limit for a new client; none without a rate.

        :param rate: the token's rate now, in bytes per second.
        """
        if rate is None:
            return ()
        if token_id not in self._by_token:
            self._by_token[token_id] = RateLimit(rate)
        return (self._by_token[token_id],)

    def apply(self, grants: Mapping[str, Grant]) -> None:
        """Apply changed rights, also to the current clients of tokens that had a rate."""
        for token_id, limit in self._by_token.items():
            limit.change(grants.get(token_id, DEFAULT_GRANT).rate)
