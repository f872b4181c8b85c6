"""quinn's connections that share a socket: the native endpoint, with Python's keys and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quictunnel.errors import SettingsError
from quictunnel.quic.engine import ReceivedBatch
from quictunnel.quic.engines.quinn import extension

if TYPE_CHECKING:
    from collections.abc import Sequence

    import quictunnel_quinn

    from quictunnel.quic.engine import Datagram, Engine, IncomingConnection
    from quictunnel.quic.settings import LinkSettings, ServerTls


class QuinnEndpoint:
    """The connections of one socket. Implements `quictunnel.quic.engine.Endpoint`.

    :param server_tls: what those who come are shown; None where nobody may come.
    :param streams: how many streams a peer may have open until `allow_streams` says more.
    :param now: seconds, on the clock of all that follows.
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
            now=now,
        )
        """For the carriage, which goes by no detour."""
        if server_tls is not None:
            self.set_certificate(server_tls)

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Show another certificate to those who come from now on.

        :raises SettingsError: rustls cannot use such a key.
        """
        chain = [certificate.public_bytes(Encoding.DER) for certificate in server_tls.chain]
        try:
            key = server_tls.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            self.native.set_certificate(chain, key)
        except ValueError as exc:
            raise SettingsError(f"the quinn engine cannot use this certificate: {exc}") from exc

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> Engine:
        """Begin a connection to a literal address."""
        return self.native.connect(peer, server_name, now)

    def receive(self, datagrams: Sequence[Datagram], now: float) -> ReceivedBatch:
        """Take datagrams: lead them to their connections, and find newcomers."""
        return ReceivedBatch(*self.native.receive(datagrams, now))

    def accept(self, newcomer: IncomingConnection, now: float) -> Engine | None:
        """Begin a connection; None if what it opened with is no good."""
        return self.native.accept(newcomer, now)  # type: ignore[arg-type]  # it is one of these

    def retry(self, newcomer: IncomingConnection, now: float) -> None:
        """Answer with a Retry."""
        self.native.retry(newcomer, now)  # type: ignore[arg-type]  # it is one of these

    def ignore(self, newcomer: IncomingConnection) -> None:
        """Say nothing."""
        self.native.ignore(newcomer)  # type: ignore[arg-type]  # it is one of these

    def transmit(self) -> list[Datagram]:
        """Return the answers to those who have no connection."""
        return self.native.transmit()

    def forget(self, engine: Engine) -> None:
        """Lead nothing to a connection any more."""
        self.native.forget(engine)  # type: ignore[arg-type]  # it is one of these
