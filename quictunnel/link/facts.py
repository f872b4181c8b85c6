"""What is known of a link: addresses, the time to its peer, and who that is by its TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.protocol.address import Address

if TYPE_CHECKING:
    from cryptography import x509

    from quictunnel.link.engine import Engine


class LinkFacts:
    """The part of a link that only tells."""

    def __init__(self, engine: Engine, local: Address) -> None:
        self.engine = engine
        """For streams only: what roles may do stands in `Link`."""
        self.local = local
        """Our address on the link, as far as the socket knows it."""

    def __repr__(self) -> str:
        return f"<Link to {self.peer}>"

    @property
    def peer(self) -> Address:
        """Where the peer is now."""
        path = self.engine.path
        return self.local if path is None else Address.of((path.host, path.port))

    @property
    def exporter(self) -> bytes:
        """The TLS exporter, 32 bytes, the same at both ends of this very connection."""
        return self.engine.exporter

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate that the accepting end showed."""
        return self.engine.peer_certificate

    @property
    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """What it sent along with it."""
        return self.engine.peer_chain

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds, once there is one."""
        return self.engine.rtt
