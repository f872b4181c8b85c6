"""On what terms a remote takes origins in. Facts only; they are held against hellos elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quictunnel.config.tokens import Token
from quictunnel.protocol.address import Address
from quictunnel.remote.proof_failures import ProofFailures


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSessionSettings:
    """The terms; the same for all sessions of a remote."""

    instance: str
    """Names this run of the remote: another one knows nothing of the links of this one."""

    tokens: Mapping[str, Token]
    """The tokens that may come, by their id."""

    outside: Mapping[str, Address]
    """The services that can be offered, and the outside address of each."""

    hold: float
    """Seconds that a silent link is kept alive."""

    linger: float
    """Seconds that the second half of a client's connection may be quiet."""

    failures: ProofFailures = field(default_factory=ProofFailures)
    """The failed proofs of all of them."""
