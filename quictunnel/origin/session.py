"""The origin's end of one link: hello, the remote's proof, then a connection for each client.

Nothing of any client is read, and nothing dialled, before the remote has proven who it is. When
to connect and what to do when a link is lost is the role's business.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from quictunnel import __version__
from quictunnel.errors import LinkFailed, LinkLost, ProtocolError, Refused
from quictunnel.events import EventSink, discard_event
from quictunnel.observe.logging_setup import fact
from quictunnel.origin.pending_stream import PREAMBLE_TIMEOUT, PendingStream
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.origin.upstream import Dial, DialError, Dialler
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import (
    Hello,
    Message,
    RefusedMessage,
    Service,
    Services,
    Welcome,
)
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import check, prove
from quictunnel.protocol.proxy_v1 import encode_v1
from quictunnel.quic import Link, Stream
from quictunnel.relay import LingerTimer, Relay
from quictunnel.relay.timers import SharedTimer
from quictunnel.session.clients import Client
from quictunnel.session.control_stream import ControlStream
from quictunnel.session.session import Session
from quictunnel.session.state import State

WELCOME_TIMEOUT = 10.0
"""Seconds from our hello to the remote's answer, which it delays by one when a proof has failed."""

STREAMS_BEFORE_PROOF = 64
"""Streams that the remote may open before its proof is read: they may overtake its welcome."""

FOR_GOOD = frozenset(
    {
        Code.BAD_CERTIFICATE,
        Code.BAD_TOKEN,
        Code.BAD_VERSION,
        Code.NOT_ALLOWED,
        Code.NOT_PROVEN,
        Code.NO_TOKEN,
        Code.SERVICE_TAKEN,
        Code.TAKEN_OVER,
    }
)
"""Codes of the remote after which trying again is of no use."""

_log = logging.getLogger("quictunnel.origin")


class OriginSession(Session):
    """The origin's end of one link.

    :param offer: what it offers.
    :param emit: receives the events.
    """

    def __init__(self, offer: OriginSessionSettings, emit: EventSink = discard_event) -> None:
        super().__init__("origin server", emit)
        self.ended: asyncio.Future[Exception | None] = self._loop.create_future()
        """Done when the link is over, with what ended it."""
        self.silent = asyncio.Event()
        """Set while the remote is not heard."""
        self.heard = asyncio.Event()
        """Set while it is."""
        self.heard.set()
        self._offer = offer
        self._linger_timer = LingerTimer(offer.linger)
        self._welcomed: asyncio.Future[Welcome] = self._loop.create_future()
        self._services: tuple[str, ...] = ()
        self._incoming: set[PendingStream] = set()
        self.preambles = SharedTimer(PREAMBLE_TIMEOUT, self._late, self._loop)

    async def greet(self) -> Welcome:
        """Say hello and return the remote's welcome, once its proof is good.

        :raises Refused: by the remote, or by us because it cannot prove that it knows the token.
        :raises LinkFailed: the remote did not answer, or not as it should.
        """
        offer, link = self._offer, self.link
        proof = prove(offer.token.secret, "origin", link.exporter) if offer.token else ""
        self._control = ControlStream(self)
        try:
            link.open_stream(self._control)
            self._control.send(
                Hello(
                    version=VERSION,
                    agent=f"quictunnel/{__version__}",
                    name=offer.name,
                    token_id=offer.token.id if offer.token else "",
                    proof=proof,
                    services=[Service(name=name) for name in offer.services],
                    hold=offer.hold,
                    instance=offer.instance,
                )
            )
            self._set_deadline(
                WELCOME_TIMEOUT, lambda: self._fail(LinkFailed("the remote does not answer"))
            )
            return await self._welcomed
        except BaseException:
            self.close(Code.NO_ERROR)
            raise

    def origin_address(self) -> str:
        """Return this end's host. Each socket has another port, which says nothing."""
        return self.link.local.host

    def stopped_accepting(self) -> None:
        """See `Session`: the remote sends no new clients."""

    # -- The link

    def link_made(self, link: Link) -> None:
        """Take the link; the role decides whether to greet on it."""
        super().link_made(link)
        link.allow_streams(STREAMS_BEFORE_PROOF)

    def link_silent(self) -> None:
        """Note that the remote is not heard any more."""
        super().link_silent()
        self.silent.set()
        self.heard.clear()

    def link_back(self) -> None:
        """Note that it is heard again."""
        super().link_back()
        self.preambles.restart_all()
        self.heard.set()
        self.silent.clear()

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """Read who a stream's client is; not before the remote has proven itself."""
        incoming = PendingStream(self, may_read=self.state is not State.GREETING)
        self._incoming.add(incoming)
        return incoming

    # -- Messages

    def greeting_received(self, message: Message) -> None:
        """Take the remote's answer to our hello.

        :raises ProtocolError: when it is none.
        """
        if isinstance(message, RefusedMessage):
            self._fail(Refused(message.code, message.message))
        elif isinstance(message, Welcome):
            self._check_welcome(message)
        else:
            raise ProtocolError(f"{type(message).__name__} in place of a welcome")

    def message_received(self, message: Message) -> None:
        """Take the list of services that the remote offers now.

        :raises ProtocolError: for a message that only begins a session, or only origins send.
        """
        if not isinstance(message, Services):
            raise ProtocolError(f"{type(message).__name__} in a session that stands")
        names = tuple(service.name for service in message.services)
        if names != self._services:
            self._services = names
            fact(_log, logging.INFO, "services changed", services=",".join(names))

    def control_violated(self, error: ProtocolError) -> None:
        """Close the link of a remote that breaks the rules."""
        super().control_violated(error)
        self._give_up(LinkFailed(f"the remote breaks the protocol: {error}"))

    # -- Streams

    def preamble_read(self, stream: Stream, preamble: Preamble, rest: bytes) -> None:
        """Join a client's stream to a new connection to the origin server."""
        client = Client(
            id=preamble.client_id,
            address=preamble.client,
            outside=preamble.outside,
            service=preamble.service or "",
        )
        dialler = self._offer.services.get(client.service)
        if dialler is None:
            fact(
                _log,
                logging.WARNING,
                Code.UNKNOWN_SERVICE.word,
                service=client.service,
                client=client.text,
                id=client.id,
            )
            stream.reset(Code.UNKNOWN_SERVICE)
            return
        self._emit(client.accepted())
        relay = self._make_relay(client, dialler, self._header(preamble))
        stream.set_protocol(relay.stream)
        relay.stream.connection_made(stream)
        if rest:
            relay.stream.data_received(rest)

    def incoming_failed(self, reason: str) -> None:
        """Note a stream whose preamble was none."""
        fact(_log, logging.WARNING, Code.BAD_PREAMBLE.word, peer=self.link.peer, reason=reason)

    def incoming_over(self, incoming: PendingStream) -> None:
        """Forget a stream that was taken over, or has ended."""
        self._incoming.discard(incoming)

    # -- Inside

    def _check_welcome(self, welcome: Welcome) -> None:
        token = self._offer.token
        if token and not check(token.secret, "remote", self.link.exporter, welcome.proof):
            self._fail(
                Refused(
                    Code.NOT_PROVEN,
                    "the remote does not prove that it knows the token: either the token is "
                    "another remote's, or somebody between the two ends TLS",
                )
            )
            return
        self._services = tuple(service.name for service in welcome.services)
        self._establish(origin=self._offer.name, token=token.id if token else None)
        self.link.allow_streams(max(STREAMS_BEFORE_PROOF, self._offer.max_clients))
        # The role hears of it first, then come the clients.
        self._welcomed.set_result(welcome)
        for incoming in tuple(self._incoming):
            incoming.release()

    def _fail(self, error: Refused | LinkFailed) -> None:
        """End before it has begun."""
        self._give_up(error)
        # Only what we refuse ourselves is news to the remote.
        not_proven = isinstance(error, Refused) and error.code == Code.NOT_PROVEN
        self.close(Code.NOT_PROVEN if not_proven else Code.NO_ERROR, str(error))

    def _give_up(self, error: Exception) -> None:
        if not self._welcomed.done():
            self._welcomed.set_exception(error)
            # Where nobody greets (any more), nobody is to hear of it.
            self._welcomed.exception()

    def _late(self, incoming: PendingStream) -> None:
        """Refuse a stream whose preamble has not come, unless nothing can come at present."""
        if self.link.is_silent:
            self.preambles.start(incoming)
        else:
            incoming.late()

    def _make_relay(self, client: Client, dialler: Dialler, header: bytes) -> Relay:
        """Return a client's relay, whose way to the origin server has been begun."""
        dial: Dial | None = None

        def left() -> None:
            if dial is not None:
                dial.cancel()

        relay = self.clients.add(
            client,
            lambda ended: Relay(
                linger_timer=self._linger_timer,
                loop=self._loop,
                on_end=ended,
                tcp_reset_code=Code.ORIGIN_RESET,
            ),
            on_end=left,
        )
        if header:
            relay.tcp.write(header)
        dial = dialler.dial(relay.tcp, partial(self._dial_failed, relay, client, dialler))
        return relay

    def _dial_failed(self, relay: Relay, client: Client, dialler: Dialler, exc: Exception) -> None:
        """Reset a client's stream with the reason why the origin server cannot be had."""
        if isinstance(exc, DialError):
            fact(
                _log,
                logging.WARNING,
                exc.code.word,
                target=dialler.target,
                reason=exc,
                id=client.id,
            )
            relay.abort(exc.code)
        else:  # a fault of ours ends one client, and is shown
            fact(_log, logging.ERROR, "fault in dialling", exc_info=exc, id=client.id)
            relay.abort(Code.INTERNAL)

    def _header(self, preamble: Preamble) -> bytes:
        if self._offer.proxy_protocol == "v1":
            return encode_v1(preamble)
        if self._offer.proxy_protocol == "v2":
            return encode_v2(preamble)
        return b""

    def link_ended(self, exc: Exception | None, reason: str, *, is_wanted: bool) -> None:
        """Report the loss of the link, unless this end wanted it and it was not silent."""
        if not is_wanted or self.silent_for is not None:
            self.report_dropped(reason)
        if isinstance(exc, LinkLost) and exc.code in FOR_GOOD:
            self._give_up(Refused(exc.code, reason))
        else:
            self._give_up(LinkFailed(reason))
        self.ended.set_result(exc)
