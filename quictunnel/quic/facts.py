"""What is known of a link: addresses, the time to its peer, and who that is by its TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from quictunnel.protocol.address import Address

if TYPE_CHECKING:
    from quictunnel.quic.engine import Engine


class LinkFacts:
    """The part of a link that only tells."""

    def __init__(self, engine: Engine, local: Address) -> None:
        self.engine = engine
        """For streams only: what roles may do stands in `Link`."""
        self.local = local
        """Our address on the link, as far as the socket knows it."""
        self._peer: tuple[tuple[str, int], Address] | None = None
        self._moved_to: Address | None = None

    def __repr__(self) -> str:
        return f"<Link to {self.peer}>"

    @property
    def peer(self) -> Address:
        """Where the peer is now."""
        if self._moved_to is not None:
            return self._moved_to
        at = self.engine.peer
        if at is None:
            return self.local
        if self._peer is None or self._peer[0] != at:  # every stream asks, and it seldom moves
            self._peer = at, Address.of(at)
        return self._peer[1]

    @property
    def hold(self) -> float:
        """Seconds of silence after which it is lost: the smaller of both ends'."""
        return self.engine.hold

    @property
    def exporter(self) -> bytes:
        """The TLS exporter, 32 bytes, the same at both ends of this very connection."""
        return self.engine.exporter

    @property
    def peer_certificates(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the accepting end has shown, the leaf first.

        :raises ValueError: one of them cannot be read.
        """
        return tuple(map(x509.load_der_x509_certificate, self.engine.peer_certificates))

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The leaf of them, if there is one.

        :raises ValueError: it cannot be read.
        """
        shown = self.engine.peer_certificates
        return x509.load_der_x509_certificate(shown[0]) if shown else None

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds, once there is one."""
        return self.engine.rtt
