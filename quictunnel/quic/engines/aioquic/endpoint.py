"""The aioquic connections of one UDP socket: routes datagrams to them and takes new ones.

Sans-IO. aioquic itself offers this only on asyncio. Connections report their connection IDs; a
datagram without a connection is answered, or becomes an incoming connection for the caller to
accept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from aioquic.quic.packet import QuicHeader

from quictunnel.quic import limits
from quictunnel.quic.engine import Path, ReceivedBatch
from quictunnel.quic.engines.aioquic import packets, resets, tls
from quictunnel.quic.engines.aioquic.connection import AioquicEngine
from quictunnel.quic.flow_control import Budget
from quictunnel.quic.rate_budget import RateBudget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.quic.engine import Datagram, Engine, IncomingConnection
    from quictunnel.quic.settings import LinkSettings, ServerTls


MAX_FIRST_DATAGRAMS = 8
"""Datagrams kept for an incoming connection until it is accepted. A ClientHello fits two or three,
and the client may have sent them again."""


@dataclass(eq=False, slots=True)
class AioquicIncoming:
    """A connection attempt. Implements `quictunnel.quic.engine.IncomingConnection`."""

    initial: QuicHeader
    path: tuple[str, int, bytes]
    original_id: bytes | None
    """The connection ID that the client chose before our Retry, if it bears a valid token."""
    datagrams: list[Datagram] = field(default_factory=list)

    @property
    def is_validated(self) -> bool:
        """The client bears a valid token of our Retry."""
        return self.original_id is not None


class AioquicEndpoint:
    """The connections of one socket. Implements `quictunnel.quic.engine.Endpoint`.

    :param server_tls: the certificate for clients; None if no connections are accepted.
    :param streams: how many streams a peer may have open until `allow_streams` raises it.
    :param now: the current time in seconds, on the clock of all later calls.
    """

    def __init__(
        self, settings: LinkSettings, *, server_tls: ServerTls | None, streams: int, now: float
    ) -> None:
        self.budget = Budget(settings.unread_limit)
        """Limits the unread data of all connections."""
        self._settings = settings
        self._unproven = RateBudget(
            rate=limits.UNPROVEN_DATAGRAMS_PER_SECOND, burst=limits.UNPROVEN_DATAGRAM_BURST, now=now
        )
        self._tls = server_tls
        self._new_engine = partial(AioquicEngine, budget=self.budget, routes=self, streams=streams)
        self._retries = packets.Retries()
        self._resets = resets.Resets(settings.reset_key)
        self._routes: dict[bytes, AioquicEngine] = {}  # by connection ID
        self._ids: dict[AioquicEngine, set[bytes]] = {}
        self._dialed: dict[AioquicEngine, tuple[str, int, bytes]] = {}
        self._incoming: dict[bytes, AioquicIncoming] = {}  # by the connection ID it was sent to
        self._answers: list[Datagram] = []

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Use this certificate for new connections."""
        self._tls = server_tls

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> AioquicEngine:
        """Start a connection to a literal address."""
        engine = self._new_engine(tls.client_configuration(server_name, self._settings))
        path = self._dialed[engine] = Path(*peer)
        engine.connect(path, now)
        return engine

    # Datagrams

    def receive(self, datagrams: Sequence[Datagram], now: float) -> ReceivedBatch:
        """Route datagrams to their connections, proven ones first, and find incoming ones."""
        touched: dict[AioquicEngine, None] = {}
        newcomers: list[AioquicIncoming] = []
        others: list[tuple[bytes, AioquicEngine | None, Datagram]] = []
        for datagram in datagrams:
            connection_id = packets.destination(datagram[0])
            if connection_id is None:
                continue
            engine = self._routes.get(connection_id)
            if engine is not None and engine.is_proven:
                self._receive_routed(engine, datagram, touched, now)
            else:
                others.append((connection_id, engine, datagram))
        for connection_id, engine, datagram in others:
            if engine is not None:
                self._receive_routed(engine, datagram, touched, now)
            elif self._tls is not None:
                self._receive_unrouted(connection_id, datagram, newcomers, now)
            elif (engine := self._find_reset(datagram[0])) is not None:
                engine.end_by_reset(now)
                touched[engine] = None
        return ReceivedBatch(list(touched), newcomers)

    def _receive_routed(
        self,
        engine: AioquicEngine,
        datagram: Datagram,
        touched: dict[AioquicEngine, None],
        now: float,
    ) -> None:
        """Hand a datagram to its connection, unless that is closed or its share is used up."""
        if engine.is_closed or not (engine.has_free_datagram or self._unproven.take(now)):
            return
        data, path = datagram
        # A client knows one address of its peer, however the socket spells it.
        engine.receive(data, self._dialed.get(engine, path), now)
        touched[engine] = None

    def _receive_unrouted(
        self,
        connection_id: bytes,
        datagram: Datagram,
        newcomers: list[AioquicIncoming],
        now: float,
    ) -> None:
        """Take a datagram that belongs to no connection."""
        data, path = datagram
        if packets.is_short(data):
            reset = self._resets.answer(data, connection_id, now)
            if reset is not None:
                self._answers.append((reset, path))
            return
        newcomer = self._incoming.get(connection_id)
        if newcomer is None:
            initial = packets.parse_initial(data)
            if not isinstance(initial, QuicHeader):
                self._answers += [] if initial is None else [(initial, path)]
                return
            original_id = self._retries.check(initial, path, now)
            newcomer = self._incoming[connection_id] = AioquicIncoming(initial, path, original_id)
            newcomers.append(newcomer)
        if len(newcomer.datagrams) < MAX_FIRST_DATAGRAMS:
            newcomer.datagrams.append(datagram)

    def _find_reset(self, data: bytes) -> AioquicEngine | None:
        """Return the connection that a stateless reset ends, if the datagram is one.

        Only dialed connections are looked at: a client whose server is gone connects again.
        """
        matches = (engine for engine in self._dialed if resets.is_reset(data, engine.reset_tokens))
        return next(matches, None)

    def transmit(self) -> list[Datagram]:
        """Return the answers to datagrams without a connection."""
        answers, self._answers = self._answers, []
        return answers

    # Incoming connections

    def accept(self, newcomer: IncomingConnection, now: float) -> AioquicEngine | None:
        """Start a connection. An invalid token is answered with a Retry instead."""
        assert isinstance(newcomer, AioquicIncoming)
        assert self._tls is not None  # or there would be no newcomers
        initial = newcomer.initial
        self._incoming.pop(initial.destination_cid, None)
        if initial.token and not newcomer.is_validated:
            self.retry(newcomer, now)
            return None
        engine = self._new_engine(
            tls.server_configuration(self._tls, self._settings),
            original_destination_connection_id=newcomer.original_id or initial.destination_cid,
            retry_source_connection_id=initial.destination_cid if newcomer.is_validated else None,
        )
        self.add_route(initial.destination_cid, engine)
        for data, path in newcomer.datagrams:
            engine.receive(data, path, now)
        return engine

    def retry(self, newcomer: IncomingConnection, now: float) -> None:
        """Answer with a Retry."""
        assert isinstance(newcomer, AioquicIncoming)
        self._incoming.pop(newcomer.initial.destination_cid, None)
        answer = self._retries.ask(newcomer.initial, newcomer.path, now)
        self._answers.append((answer, newcomer.path))

    def ignore(self, newcomer: IncomingConnection) -> None:
        """Drop an incoming connection."""
        assert isinstance(newcomer, AioquicIncoming)
        self._incoming.pop(newcomer.initial.destination_cid, None)

    # Connection IDs

    def add_route(self, connection_id: bytes, connection: AioquicEngine) -> None:
        """Route datagrams for this connection ID to a connection."""
        self._routes[connection_id] = connection
        self._ids.setdefault(connection, set()).add(connection_id)

    def remove_route(self, connection_id: bytes, connection: AioquicEngine) -> None:
        """Stop routing datagrams for this connection ID."""
        self._routes.pop(connection_id, None)
        self._ids[connection].discard(connection_id)

    def reset_token(self, connection_id: bytes) -> bytes:
        """Return the stateless reset token of a connection ID."""
        return self._resets.token(connection_id)

    def forget(self, engine: Engine) -> None:
        """Route nothing to a connection any more, and free its memory."""
        assert isinstance(engine, AioquicEngine)
        engine.release()
        self._dialed.pop(engine, None)
        for connection_id in self._ids.pop(engine, ()):
            self._routes.pop(connection_id, None)
