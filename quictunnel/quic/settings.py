"""What a link is told from above: times, limits, and by what its TLS goes. Facts only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from quictunnel.protocol.codes import ALPN
from quictunnel.quic.flow_control import UNREAD_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from quictunnel.config.settings import Congestion, EngineName


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Times in seconds, sizes in bytes."""

    hold: float = 900.0
    """How long a silent link is kept (QUIC's idle timeout; the smaller of both ends' counts)."""
    unread_limit: int = UNREAD_LIMIT
    """What all links of a listener may hold received and unread before their peers are slowed."""
    max_links: int = 1024
    """How many links a listener accepts at once."""
    max_unproven: int = 128
    """How many of them may be without `trust`: beyond, newcomers are not answered."""
    retry_above: int = 16
    """With more unproven links than this, a newcomer must first show that its address is its own
    (Retry, RFC 9000, 8.1.2)."""
    handshake_timeout: float = 10.0
    """How long a handshake may take at the accepting end."""
    alpn: str = ALPN
    """The application protocol (RFC 7301)."""
    engine: EngineName = "auto"
    """Which QUIC engine carries the link; see `engines.choose`."""
    congestion: Congestion | None = None
    """How this end's sending follows the network; None leaves it to the engine."""
    reset_key: bytes | None = field(default=None, repr=False)
    """From which the tokens of stateless resets follow: kept over a restart, it lets the new
    process tell the peers of the old one; None for one that ends with the endpoint. A secret."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What an accepting end shows."""

    chain: tuple[x509.Certificate, ...]
    """The leaf first."""
    key: PrivateKeyTypes
    """The leaf's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """By what a dialling end knows whom it talks to."""

    server_name: str | None
    """The name asked for (SNI) and, where the certificate is verified, the name it must bear."""
    verify: Literal["none", "system", "ca"] = "system"
    """`none` is for those who check the peer in another way: by a pin, or by a proof."""
    ca: Path | None = None
    """PEM file of authorities, with `ca`."""
    pin: bytes | None = None
    """SHA-256 of the leaf's DER that must be shown."""
