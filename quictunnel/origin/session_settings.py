"""What an origin offers to a remote, and how it serves it. Facts only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quictunnel.config.settings import ProxyProtocol
from quictunnel.config.tokens import Token
from quictunnel.origin.upstream import Dialler


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSessionSettings:
    """The offer; the same for all sessions of an origin."""

    name: str
    """Which of the token's origins it is."""

    instance: str
    """Names this run of the origin."""

    token: Token | None
    """By which it and the remote know each other."""

    services: Mapping[str, Dialler]
    """Its services, and the way to the origin server of each."""

    proxy_protocol: ProxyProtocol
    """The header that tells an origin server who the client is."""

    hold: float
    """Seconds that a silent link is kept alive."""

    linger: float
    """Seconds that the second half of a client's connection may be quiet."""

    max_clients: int
    """How many clients may be there at once; more wait at the remote."""
