"""The quinn endpoint: the native endpoint behind `quictunnel.quic.engine.Endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quictunnel.errors import SettingsError
from quictunnel.protocol.codes import Code
from quictunnel.quic import limits
from quictunnel.quic.engine import ReceivedBatch
from quictunnel.quic.engines.quinn import extension
from quictunnel.quic.engines.quinn.qlog import QlogCollector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import quictunnel_quinn

    from quictunnel.quic.engine import Datagram, Engine, IncomingConnection
    from quictunnel.quic.settings import LinkSettings, ServerTls


class QuinnEndpoint:
    """The connections of one socket. Implements `quictunnel.quic.engine.Endpoint`.

    :param server_tls: the server certificate and key; None if incoming connections are ignored.
    :param streams: streams that a peer may have open until `allow_streams`.
    :param now: the current time in seconds, on the clock of all later calls.
    """

    def __init__(
        self, settings: LinkSettings, *, server_tls: ServerTls | None, streams: int, now: float
    ) -> None:
        self.native: quictunnel_quinn.Endpoint = extension.load().Endpoint(
            alpn=settings.alpn,
            hold=settings.hold,
            streams=streams,
            unread_limit=settings.unread_limit,
            congestion=settings.congestion,
            reset_key=settings.reset_key,
            accepts=server_tls is not None,
            unproven_datagrams=limits.UNPROVEN_DATAGRAMS,
            unproven_datagrams_free=limits.UNPROVEN_DATAGRAMS_FREE,
            unproven_datagrams_per_second=limits.UNPROVEN_DATAGRAMS_PER_SECOND,
            unproven_datagram_burst=limits.UNPROVEN_DATAGRAM_BURST,
            unproven_frames=limits.UNPROVEN_FRAMES,
            frames_per_packet=limits.FRAMES_PER_PACKET,
            link_frames_per_packet=limits.LINK_FRAMES_PER_PACKET,
            too_much=Code.TOO_MUCH,
            violation=Code.PROTOCOL_VIOLATION,
            qlog=settings.qlog is not None,
            now=now,
        )
        """The native endpoint, which `QuinnEndpointSocket` calls directly."""
        self.qlog = None if settings.qlog is None else QlogCollector(self.native, settings.qlog)
        """Collects the events of connections, after each call that may have caused some."""
        if server_tls is not None:
            self.set_certificate(server_tls)

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Use this certificate for new connections.

        :raises SettingsError: rustls does not support the key.
        """
        chain = [certificate.public_bytes(Encoding.DER) for certificate in server_tls.chain]
        try:
            key = server_tls.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            self.native.set_certificate(chain, key)
        except ValueError as exc:
            raise SettingsError(f"the quinn engine cannot use this certificate: {exc}") from exc

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> Engine:
        """Dial a literal address."""
        engine = self.native.connect(peer, server_name, now)
        self._collect_qlog()
        return engine

    def receive(self, datagrams: Sequence[Datagram], now: float) -> ReceivedBatch:
        """Route datagrams to their connections, and return incoming connections."""
        batch = ReceivedBatch(*self.native.receive(datagrams, now))
        self._collect_qlog()
        return batch

    def accept(self, incoming: IncomingConnection, now: float) -> Engine | None:
        """Accept a connection; None if its first packet is not valid."""
        engine = self.native.accept(incoming, now)  # type: ignore[arg-type]  # a native object
        self._collect_qlog()
        return engine

    def retry(self, incoming: IncomingConnection, now: float) -> None:
        """Respond with a Retry packet. quinn's tokens use the system's clock, not `now`."""
        self.native.retry(incoming)  # type: ignore[arg-type]  # a native object

    def ignore(self, incoming: IncomingConnection) -> None:
        """Drop an incoming connection without a response."""
        self.native.ignore(incoming)  # type: ignore[arg-type]  # a native object

    def transmit(self) -> list[Datagram]:
        """Return the responses to peers without a connection.

        A path without a socket of the native module calls this after each `Engine.transmit`, whose
        events are then collected.
        """
        self._collect_qlog()
        return self.native.transmit()

    def forget(self, engine: Engine) -> None:
        """Route no more datagrams to a connection."""
        self.native.discard(engine)  # type: ignore[arg-type]  # a native object
        self._collect_qlog()

    def _collect_qlog(self) -> None:
        if self.qlog is not None:
            self.qlog.collect()
