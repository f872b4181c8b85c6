"""The settings of the origin's sessions."""

from __future__ import annotations

from dataclasses import dataclass

from quictunnel.config.tokens import Token
from quictunnel.origin.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSessionSettings:
    """The settings that all sessions of an origin share."""

    name: str
    """The origin's name, which distinguishes the origins of one token."""

    instance: str
    """Identifies this run of the origin."""

    token: Token | None
    """The token by which both ends authenticate each other; None if there is none."""

    offer: Offer
    """The services."""

    hold: float
    """Seconds that a silent link is kept."""

    linger: float
    """Seconds that the second half of a client's connection may be idle."""

    take_over: bool = False
    """Whether to replace another origin of this token and name that still answers."""

    max_clients: int
    """The limit on current clients. More clients wait at the remote."""
