"""aioquic's connections that share a socket: which datagram is for which, and who may begin one.

aioquic has no such thing that is sans-IO. Connections tell which ids lead to them; what has none is
answered, or held out to whoever decides on newcomers.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from quictunnel.quic.engine import Path, ReceivedBatch
from quictunnel.quic.engines.aioquic import packets, resets, tls
from quictunnel.quic.engines.aioquic.connection import AioquicEngine
from quictunnel.quic.flow_control import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.quic.engine import Datagram, Engine, IncomingConnection
    from quictunnel.quic.engines.aioquic.receiving import ReceivingConnection
    from quictunnel.quic.settings import LinkSettings, ServerTls


class AioquicIncoming:
    """A connection attempt. Implements `quictunnel.quic.engine.IncomingConnection`."""

    def __init__(
        self,
        initial: packets.Initial,
        path: tuple[str, int, bytes],
        retries: packets.Retries,
        now: float,
    ) -> None:
        self.initial = initial
        self.path = path
        self.datagrams: list[Datagram] = []
        self._retries = retries
        self._now = now

    @property
    def is_validated(self) -> bool:
        """They bear a token of our Retry."""
        return self.original_id is not None

    @cached_property
    def original_id(self) -> bytes | None:
        """The connection id that they chose before our Retry, if a good token says so."""
        if not self.initial.token:
            return None
        return self._retries.check(self.initial, self.path, self._now)


class AioquicEndpoint:
    """The connections of one socket. Implements `quictunnel.quic.engine.Endpoint`.

    :param server_tls: what those who come are shown; None where nobody may come.
    :param streams: how many streams a peer may have open until `allow_streams` says more.
    :param now: is of no interest here: every call says what time it is.
    """

    def __init__(
        self, settings: LinkSettings, *, server_tls: ServerTls | None, streams: int, now: float
    ) -> None:
        self.budget = Budget(settings.unread_limit)
        """What all connections hold unread."""
        self._settings = settings
        self._tls = server_tls
        self._streams = streams
        self._retries = packets.Retries()
        self._resets = resets.Resets(settings.reset_key)
        self._led: dict[bytes, AioquicEngine] = {}  # by connection id
        self._ids: dict[AioquicEngine, set[bytes]] = {}
        self._dialled: dict[AioquicEngine, tuple[str, int, bytes]] = {}
        self._answers: list[Datagram] = []

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Show another certificate to those who come from now on."""
        self._tls = server_tls

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> AioquicEngine:
        """Begin a connection to a literal address."""
        engine = AioquicEngine(
            tls.client_configuration(server_name, self._settings),
            budget=self.budget,
            routes=self,
            streams=self._streams,
        )
        path = self._dialled[engine] = Path(*peer)
        engine.connect(path, now)
        return engine

    # Datagrams

    def receive(self, datagrams: Sequence[Datagram], now: float) -> ReceivedBatch:
        """Take datagrams: lead them to their connections, and find newcomers."""
        touched: dict[AioquicEngine, None] = {}
        newcomers: dict[bytes, AioquicIncoming] = {}
        for data, path in datagrams:
            connection_id = packets.destination(data)
            if connection_id is None:
                continue
            engine = self._led.get(connection_id)
            if engine is not None:
                # What has been dialled is seen in one way, however the socket spells the address.
                engine.receive(data, self._dialled.get(engine, path), now)
                touched[engine] = None
            elif self._tls is not None:
                self._meet(connection_id, (data, path), newcomers, now)
            elif (engine := self._forgotten(data)) is not None:
                engine.end_by_reset(now)
                touched[engine] = None
        return ReceivedBatch(list(touched), list(newcomers.values()))

    def _meet(
        self,
        connection_id: bytes,
        datagram: Datagram,
        newcomers: dict[bytes, AioquicIncoming],
        now: float,
    ) -> None:
        """Take a datagram for no connection that there is."""
        data, path = datagram
        if packets.is_short(data):
            reset = self._resets.answer(data, connection_id, now)
            if reset is not None:
                self._answers.append((reset, path))
            return
        newcomer = newcomers.get(connection_id)
        if newcomer is None:
            initial = packets.newcomer(data)
            if isinstance(initial, bytes):
                self._answers.append((initial, path))
            if not isinstance(initial, packets.Initial):
                return
            newcomer = newcomers[connection_id] = AioquicIncoming(initial, path, self._retries, now)
        newcomer.datagrams.append(datagram)

    def _forgotten(self, data: bytes) -> AioquicEngine | None:
        """Return the connection of ours that a datagram says is known no more, if it does.

        Only those that were dialled are asked: who has begun a connection comes back by itself.
        """
        for engine in self._dialled:
            if resets.is_reset(data, engine.reset_tokens):
                return engine
        return None

    def transmit(self) -> list[Datagram]:
        """Return the answers to those who have no connection."""
        answers, self._answers = self._answers, []
        return answers

    # Newcomers

    def accept(self, newcomer: IncomingConnection, now: float) -> AioquicEngine | None:
        """Begin a connection; a token that is not good is answered with a Retry instead."""
        assert isinstance(newcomer, AioquicIncoming)
        assert self._tls is not None  # or there would be no newcomers
        initial = newcomer.initial
        if initial.token and not newcomer.is_validated:
            self.retry(newcomer, now)
            return None
        engine = AioquicEngine(
            tls.server_configuration(self._tls, self._settings),
            budget=self.budget,
            routes=self,
            streams=self._streams,
            original_destination_connection_id=newcomer.original_id or initial.destination,
            retry_source_connection_id=initial.destination if newcomer.is_validated else None,
        )
        self.lead(initial.destination, engine)
        for data, path in newcomer.datagrams:
            engine.receive(data, path, now)
        return engine

    def retry(self, newcomer: IncomingConnection, now: float) -> None:
        """Answer with a Retry."""
        assert isinstance(newcomer, AioquicIncoming)
        answer = self._retries.ask(newcomer.initial, newcomer.path, now)
        self._answers.append((answer, newcomer.path))

    def ignore(self, newcomer: IncomingConnection) -> None:
        """Say nothing: nothing is kept of them."""

    # Connection ids

    def lead(self, connection_id: bytes, connection: ReceivingConnection) -> None:
        """Lead datagrams to this connection id to a connection."""
        assert isinstance(connection, AioquicEngine)
        self._led[connection_id] = connection
        self._ids.setdefault(connection, set()).add(connection_id)

    def lead_no_more(self, connection_id: bytes, connection: ReceivingConnection) -> None:
        """Do so no longer."""
        assert isinstance(connection, AioquicEngine)
        self._led.pop(connection_id, None)
        self._ids[connection].discard(connection_id)

    def reset_token(self, connection_id: bytes) -> bytes:
        """Return what the peer will know a stateless reset by."""
        return self._resets.token(connection_id)

    def forget(self, engine: Engine) -> None:
        """Lead nothing to a connection any more."""
        assert isinstance(engine, AioquicEngine)
        self._dialled.pop(engine, None)
        for connection_id in self._ids.pop(engine, ()):
            self._led.pop(connection_id, None)
