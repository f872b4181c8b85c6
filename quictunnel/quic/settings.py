"""Settings of links: times, limits and TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from quictunnel.config.settings import HOLD, UNREAD_LIMIT
from quictunnel.protocol.codes import ALPN
from quictunnel.quic.limits import HANDSHAKE_TIMEOUT, MAX_LINKS, RETRY_ABOVE, UNPROVEN_LINKS

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from quictunnel.config.settings import Congestion, EngineName
    from quictunnel.quic.engine import Qlog


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Times in seconds, sizes in bytes."""

    hold: float = HOLD
    """How long a silent link is kept: QUIC's idle timeout. The smaller of both ends' counts."""
    unread_limit: int = UNREAD_LIMIT
    """Unread bytes of all links of an endpoint above which their peers are slowed down."""
    max_links: int = MAX_LINKS
    """Links that a listener has at once."""
    max_unproven: int = UNPROVEN_LINKS
    """Links without proof that a listener has at once."""
    retry_above: int = RETRY_ABOVE
    """Links without proof above which a new peer must prove its address with a Retry."""
    handshake_timeout: float = HANDSHAKE_TIMEOUT
    """How long a handshake may take at the accepting end."""
    alpn: str = ALPN
    """The application protocol (RFC 7301)."""
    engine: EngineName = "auto"
    """The QUIC engine; see `engines.selection.select`."""
    congestion: Congestion | None = None
    """The congestion control of this end's sending; None for the engine's default."""
    qlog: Qlog | None = None
    """Records connections; None for no recording."""
    reset_key: bytes | None = field(default=None, repr=False)
    """The key of stateless reset tokens, a secret. A key that survives a restart lets the new
    process reset the links of the old one. None for a random key."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The identity of an accepting end."""

    chain: tuple[x509.Certificate, ...]
    """The certificates, the leaf first."""
    key: PrivateKeyTypes
    """The leaf's private key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """How a dialing end identifies its peer."""

    server_name: str | None
    """The name sent in SNI. A verified certificate must be valid for it."""
    verify: Literal["none", "system", "ca"] = "system"
    """How the certificate is verified; `none` if a pin or a proof identifies the peer."""
    ca: Path | None = None
    """PEM file of authorities for `ca`."""
    pin: bytes | None = None
    """SHA-256 of the leaf's DER that is required."""
