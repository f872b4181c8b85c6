"""The settings and counters that all sessions of a remote share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quictunnel.config.tokens import Token
from quictunnel.protocol.address import Address
from quictunnel.remote.proof_failures import ProofFailures


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSessionSettings:
    """Shared by all sessions of a remote."""

    instance: str
    """Identifies this process: after a restart, the remote has lost its links."""

    tokens: Mapping[str, Token]
    """The accepted tokens, by id."""

    outside: Mapping[str, Address]
    """The services that origins can serve, with the outside address of each."""

    hold: float
    """Seconds that a silent link is kept."""

    linger: float
    """Seconds that the second half of a client's connection may be idle."""

    failures: ProofFailures = field(default_factory=ProofFailures)
    """Failed proofs of all origins."""
