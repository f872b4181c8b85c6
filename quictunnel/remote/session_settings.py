"""The settings and counters that all sessions of a remote share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Protocol

from quictunnel.config.grants import Grant
from quictunnel.config.tokens import Token
from quictunnel.protocol.messages import Service
from quictunnel.remote.proof_failures import ProofFailures
from quictunnel.remote.registry import Identity
from quictunnel.remote.routes import Route
from quictunnel.remote.token_rates import TokenRates


class RouteTable(Protocol):
    """The routes of a remote, as its sessions see them: `Routes`."""

    def key(self, identity: Identity, service: Service) -> str | None:
        """Return the key of the route that a service asks for; None for any free one."""

    def obtain(self, identity: Identity, service: Service, beside: Collection[Route]) -> Route:
        """Return the route that a service asks for beside others, or raise `Refused`."""

    def hold(self, route: Route, identity: Identity, name: str) -> None:
        """Keep a route open for an origin's service, which has been claimed."""

    def free(self, key: str) -> None:
        """Note that no origin serves a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSessionSettings:
    """Shared by all sessions of a remote."""

    instance: str
    """Identifies this process: after a restart, the remote has lost its links."""

    tokens: Mapping[str, Token]
    """The accepted tokens, by id."""

    routes: RouteTable
    """Where clients reach services."""

    hold: float
    """Seconds that a silent link is kept."""

    linger: float
    """Seconds that the second half of a client's connection may be idle."""

    grants: MutableMapping[str, Grant] = field(default_factory=dict)
    """The rights of tokens, by the token's id."""

    usage: Counter[str] = field(default_factory=Counter)
    """The clients of each token, by the token's id."""

    rates: TokenRates = field(default_factory=TokenRates)
    """The rates of tokens."""

    failures: ProofFailures = field(default_factory=ProofFailures)
    """Failed proofs of all origins."""
